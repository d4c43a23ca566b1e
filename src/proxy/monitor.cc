#include "proxy/monitor.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "net/loop.h"

namespace proxy {
namespace {

using cluster::HostState;
using cluster::Snapshot;
using net::read_clock;

// Between the beginnings of two samples, however many are wanted.
constexpr base::Duration kSpacing = base::milliseconds(1);
constexpr base::Duration kCommitSpacing = base::milliseconds(5);
constexpr base::Duration kBackoffMax = base::seconds(1);
constexpr base::Duration kFlushSpacing = base::seconds(1);

bool same(const cluster::Host& a, const cluster::Host& b) {
  return a.role == b.role && a.state == b.state && a.reads == b.reads && a.banned == b.banned &&
         a.breaker == b.breaker && a.paused == b.paused;
}

bool same_roles(const Snapshot& a, const Snapshot& b) {
  return a.primary == b.primary && a.chosen == b.chosen &&
         std::equal(a.hosts.begin(), a.hosts.end(), b.hosts.begin(), b.hosts.end(), same);
}

std::string change_text(const cluster::Host& was, const cluster::Host& is) {
  std::string text(cluster::state_name(is.state));
  text.append(", was ").append(cluster::state_name(was.state));
  text.append("; ").append(cluster::role_name(is.role));
  if (is.reads) text += " that serves reads";
  if (was.banned && !is.banned) text += " and banned no more";
  if (was.paused && !is.paused) text += " and paused no more";
  if (!is.why.empty()) text.append(": ").append(is.why);
  return text;
}

}  // namespace

ServerLogin monitor_login(const config::Cluster& cluster, const config::Host& host) {
  return {.host = host.host,
          .port = host.port,
          .tls = cluster.tls,
          .dbname = cluster.monitor_database,
          .user = cluster.monitor_user,
          .password = cluster.monitor_password,
          .application_name = "weir monitor",
          .timeout = cluster.monitor_timeout};
}

ClusterMonitor::ClusterMonitor(const config::Cluster& cluster,
                               std::function<void()> on_roles_changed, const ClusterMonitor* before,
                               std::shared_ptr<FaultLog> faults, std::uint64_t seed)
    : config_(cluster),
      on_roles_changed_(std::move(on_roles_changed)),
      faults_(std::move(faults)),
      tracker_(cluster, seed) {
  for (const config::Host& host : config_.hosts) {
    watches_.push_back(
        std::make_unique<Watch>(HostProbe(monitor_login(config_, host), stop_, async_commits_)));
  }
  if (before != nullptr) {
    std::lock_guard lock(before->tracker_mutex_);
    tracker_.adopt(before->tracker_, read_clock());
    async_commits_ = before->async_commits();
  }
  snapshot_ = tracker_.publish(read_clock());
  version_ = snapshot_->version;
  primary_ = snapshot_->primary;
}

ClusterMonitor::~ClusterMonitor() { stop(); }

void ClusterMonitor::start(std::function<void()> on_awaited) {
  on_awaited_ = std::move(on_awaited);
  CHECK(!ticker_.joinable() && !stop_.raised());
  for (std::size_t i = 0; i < watches_.size(); ++i) {
    watches_[i]->thread = std::thread([this, i] { run(i); });
  }
  ticker_ = std::thread([this] { run_ticks(); });
}

void ClusterMonitor::stop() {
  {
    std::lock_guard lock(wait_mutex_);
    stop_.raise();
  }
  tick_.notify_all();
  for (auto& watch : watches_) watch->wake.notify_all();
  for (auto& watch : watches_) {
    if (watch->thread.joinable()) watch->thread.join();
  }
  if (ticker_.joinable()) ticker_.join();
}

cluster::SnapshotPtr ClusterMonitor::snapshot() const {
  std::lock_guard lock(snapshot_mutex_);
  return snapshot_;
}

void ClusterMonitor::report_connect_failure(std::size_t host, std::string why,
                                            cluster::Tracker::Met met) {
  CHECK(host < watches_.size());
  spdlog::debug("{}/{}: a worker could not connect why=\"{}\"", config_.name,
                config_.hosts[host].name, why);
  publish_after([&](base::Time now) {
    tracker_.on_connect_failure(host, now, std::move(why), met);
    // When a host dies, all of its clients find out: one snapshot is enough for them.
    return snapshot()->hosts[host].state != HostState::kDown;
  });
  want(*watches_[host], Urgency::kAwaited);
}

std::string ClusterMonitor::order(
    absl::FunctionRef<std::string(cluster::Tracker&, base::Time)> give) {
  std::string answer;
  publish_after([&](base::Time now) {
    answer = give(tracker_, now);
    return true;
  });
  return answer;
}

void ClusterMonitor::sample_soon(Urgency urgency) {
  const int primary = primary_.load(std::memory_order_relaxed);
  if (primary < 0) return;
  if (urgency == Urgency::kCommit)
    return want(*watches_[static_cast<std::size_t>(primary)], urgency);
  awaited_ = true;
  for (auto& watch : watches_) want(*watch, urgency);
}

// `wanted` is taken back before a sample looks at the clock: whoever finds it set will be served
// by a sample that is asked for later.
void ClusterMonitor::want(Watch& watch, Urgency urgency) {
  Urgency before = watch.wanted.load();
  do {
    if (before >= urgency) return;
  } while (!watch.wanted.compare_exchange_weak(before, urgency));
  {
    std::lock_guard lock(wait_mutex_);
  }  // not between the thread's look at `wanted` and its wait
  watch.wake.notify_one();
}

void ClusterMonitor::run(std::size_t host) {
  Watch& watch = *watches_[host];
  while (!stop_.raised()) {
    watch.wanted = Urgency::kNone;
    const absl::StatusOr<cluster::Sample> sample = watch.probe.sample();
    if (stop_.raised()) return;
    if (sample.ok()) flush_if_wanted(host);
    const auto [earliest, latest] =
        sample.ok() ? on_sample(host, *sample) : on_failure(host, sample.status());
    std::unique_lock lock(wait_mutex_);
    watch.wake.wait_until(lock, earliest, [this] { return stop_.raised(); });
    const auto wanted = [&](Urgency least) {
      return stop_.raised() || watch.wanted.load() >= least;
    };
    watch.wake.wait_until(lock, std::min(latest, earliest + (kCommitSpacing - kSpacing)),
                          [&] { return wanted(Urgency::kAwaited); });
    watch.wake.wait_until(lock, latest, [&] { return wanted(Urgency::kCommit); });
  }
}

// Not of a host that is not, or not any more, the primary: that could part it from the others.
void ClusterMonitor::flush_if_wanted(std::size_t host) {
  Watch& watch = *watches_[host];
  const base::Time now = read_clock();
  if (now - watch.flushed < kFlushSpacing) return;
  {
    std::lock_guard lock(tracker_mutex_);
    if (primary_ != static_cast<int>(host) || !tracker_.wants_flush(now)) return;
  }
  watch.flushed = now;
  watch.probe.flush_wal();
}

std::pair<base::Time, base::Time> ClusterMonitor::on_sample(std::size_t host,
                                                            const cluster::Sample& sample) {
  Watch& watch = *watches_[host];
  publish_after([&](base::Time) {
    tracker_.on_sample(host, sample);
    return true;
  });
  watch.failure.clear();
  watch.backoff = {};
  return {sample.asked + kSpacing, sample.asked + config_.monitor_interval};
}

std::pair<base::Time, base::Time> ClusterMonitor::on_failure(std::size_t host,
                                                             const absl::Status& status) {
  Watch& watch = *watches_[host];
  const std::string why =
      absl::IsDeadlineExceeded(status)
          ? "no answer within " + std::to_string(config_.monitor_timeout.count()) + " ms"
          : std::string(status.message());
  publish_after([&](base::Time now) {
    tracker_.on_failure(host, now, why);
    return true;
  });
  // The first failure shows as a change of the host's state.
  if (!watch.failure.empty() && watch.failure != why) {
    spdlog::warn("{}/{}: still down why=\"{}\"", config_.name, config_.hosts[host].name, why);
  }
  watch.failure = why;
  watch.backoff =
      std::min(kBackoffMax, watch.backoff == base::Duration::zero() ? config_.monitor_interval
                                                                    : 2 * watch.backoff);
  const base::Time next = read_clock() + watch.backoff;
  return {next, next};
}

void ClusterMonitor::run_ticks() {
  while (true) {
    {
      std::unique_lock lock(wait_mutex_);
      if (tick_.wait_for(lock, config_.monitor_interval, [this] { return stop_.raised(); })) return;
    }
    publish_after([this](base::Time now) {
      for (std::size_t i = 0; traffic_ && i < watches_.size(); ++i) {
        tracker_.on_traffic(i, traffic_(i), now);
      }
      return true;
    });
  }
}

// change: feeds the tracker, under its lock, and says whether to publish.
template <class Change>
void ClusterMonitor::publish_after(Change change) {
  bool changed = false;
  {
    std::lock_guard lock(tracker_mutex_);
    const base::Time now = read_clock();
    if (!change(now)) return;
    cluster::SnapshotPtr after = tracker_.publish(now);
    cluster::SnapshotPtr before = after;
    {
      std::lock_guard snapshot_lock(snapshot_mutex_);
      snapshot_.swap(before);
    }
    primary_.store(after->primary, std::memory_order_relaxed);
    version_.store(after->version, std::memory_order_relaxed);
    changed = !same_roles(*before, *after);
    if (changed) log_changes(*before, *after);  // here, so that lines come in the order of events
  }
  if (changed && on_roles_changed_) on_roles_changed_();
  if (on_awaited_ && awaited_.load(std::memory_order_relaxed) && awaited_.exchange(false))
    on_awaited_();
}

void ClusterMonitor::log_changes(const Snapshot& before, const Snapshot& after) const {
  for (std::size_t i = 0; i < after.hosts.size(); ++i) {
    const cluster::Host& was = before.hosts[i];
    const cluster::Host& is = after.hosts[i];
    if (same(was, is)) continue;
    const bool well = is.state == HostState::kUp || is.state == HostState::kUnknown;
    const bool split = is.state == HostState::kFenced;  // two take writes: somebody must act
    spdlog::log(well    ? spdlog::level::info
                : split ? spdlog::level::err
                        : spdlog::level::warn,
                "{}/{}: state={} was={} role={} reads={} timeline={} why=\"{}\"", config_.name,
                is.name, cluster::state_name(is.state), cluster::state_name(was.state),
                cluster::role_name(is.role), is.reads ? "yes" : "no", is.timeline, is.why);
    if (faults_ == nullptr) continue;
    faults_->add(well    ? Fault::Severity::kInfo
                 : split ? Fault::Severity::kError
                         : Fault::Severity::kWarning,
                 "host", config_.name + "/" + is.name, change_text(was, is));
  }
  const auto name = [](const Snapshot& snapshot, int host) {
    return host < 0 ? std::string("none") : snapshot.hosts[static_cast<std::size_t>(host)].name;
  };
  if (before.chosen != after.chosen) {
    spdlog::info("{}: chosen={} was={}", config_.name, name(after, after.chosen),
                 name(before, before.chosen));
  }
  // Also without an operator's word: it ends with a promotion, say.
  if (before.chosen >= 0 && after.chosen < 0 && faults_ != nullptr) {
    faults_->add(Fault::Severity::kInfo, "primary", config_.name,
                 name(before, before.chosen) + " is not the chosen one any more");
  }
  if (before.primary == after.primary) return;
  const std::string is = name(after, after.primary), was = name(before, before.primary);
  spdlog::log(after.primary < 0 ? spdlog::level::warn : spdlog::level::info,
              "{}: primary={} was={}", config_.name, is, was);
  if (faults_ == nullptr) return;
  faults_->add(after.primary < 0 ? Fault::Severity::kError : Fault::Severity::kInfo, "primary",
               config_.name, is + ", was " + was);
}

}  // namespace proxy
