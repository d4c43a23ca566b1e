#include "cluster/tracker.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "base/check.h"

namespace cluster {
namespace {

using config::HostRole;

std::string ms(Duration d) { return std::to_string(base::to_ms(d)) + " ms"; }
std::string bytes(std::uint64_t n) { return std::to_string(n) + " bytes"; }

Duration history_cover(const config::Cluster& config) {
  return std::max<Duration>(base::seconds(10), 4 * config.routing.lag_max);
}

Duration share(Duration whole, double ratio) {
  return Duration(static_cast<Duration::rep>(static_cast<double>(whole.count()) * ratio));
}

std::uint64_t share(std::uint64_t whole, double ratio) {
  if (ratio >= 1) return whole;  // a double may round it up, out of range
  return static_cast<std::uint64_t>(static_cast<double>(whole) * ratio);
}

// A commit is written by then, also one that nobody waits for.
constexpr Duration kStandsStill = base::milliseconds(250);

// From kLeastShare to 1 as `some` grows to the whole.
double grown(Duration some, Duration whole) {
  if (some >= whole) return 1;
  const double part = static_cast<double>(some.count()) / static_cast<double>(whole.count());
  return Tracker::kLeastShare + (1 - Tracker::kLeastShare) * std::max(0.0, part);
}

}  // namespace

Tracker::Tracker(const config::Cluster& config, std::uint64_t seed)
    : config_(config),
      random_state_(seed),
      hosts_(config.hosts.size()),
      history_(history_cover(config)) {}

// The index in `before` of the host that `host` is; -1 = it is new.
int Tracker::counterpart(const config::Host& host, const config::Cluster& before) const {
  for (std::size_t i = 0; i < before.hosts.size(); ++i) {
    if (before.hosts[i].name == host.name) return static_cast<int>(i);
  }
  for (std::size_t i = 0; i < before.hosts.size(); ++i) {
    const config::Host& old = before.hosts[i];
    const bool stays =
        std::ranges::find(config_.hosts, old.name, &config::Host::name) != config_.hosts.end();
    if (!stays && old.host == host.host && old.port == host.port) return static_cast<int>(i);
  }
  return -1;
}

void Tracker::adopt(const Tracker& before, Time now) {
  CHECK(version_ == 0);
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    const config::Host& host = config_.hosts[i];
    const int old = counterpart(host, before.config_);
    if (old < 0) continue;
    const auto from = static_cast<std::size_t>(old);
    hosts_[i] = before.hosts_[from];
    if (old == before.last_primary_) last_primary_ = static_cast<int>(i);
    if (before.choice_ && before.choice_->host == from) {
      choice_ = before.choice_;
      choice_->host = i;
    }
    const config::Host& was = before.config_.hosts[from];
    if (was.host != host.host || was.port != host.port) {
      on_failure(i, now, "not heard of yet at its new address");
    }
  }
  started_ = before.started_;
  system_identifier_ = before.system_identifier_;
  version_ = before.version_;
  if (last_primary_ < 0) return;  // whoever is the next: once all were heard of
  settled_ = before.settled_;
  history_timeline_ = before.history_timeline_;
  for (const PrimarySample& sample : before.history_.excerpt(History::kSamplesMax)) {
    history_.add(sample);
  }
}

void Tracker::on_sample(std::size_t host, const Sample& sample) {
  CHECK(host < hosts_.size());
  HostRecord& record = hosts_[host];
  if (record.answered && sample.asked < record.last.asked) return;
  // A standby that receives nothing cannot say its timeline; it is where it was. One that could not
  // follow a promotion is in just this state, and must not pass for one that did.
  const bool keeps_timeline =
      record.answered && record.last.in_recovery && sample.in_recovery && sample.timeline == 0;
  const std::uint32_t timeline = keeps_timeline ? record.last.timeline : sample.timeline;
  record.answered = true;
  record.last = sample;
  record.last.timeline = timeline;
  if (record.failed && sample.asked >= record.failed_at) record.failed = false;
  // More samples than publications may come, and each one makes reads after a commit cheaper.
  if (static_cast<int>(host) == primary_ && !sample.in_recovery && belongs(record) &&
      sample.timeline == history_timeline_) {
    history_.add({sample.asked, sample.lsn});
  }
}

void Tracker::on_failure(std::size_t host, Time at, std::string why) {
  CHECK(host < hosts_.size());
  HostRecord& record = hosts_[host];
  record.failed = true;
  record.failed_at = at;
  record.failure = std::move(why);
}

void Tracker::on_connect_failure(std::size_t host, Time at, std::string why, Met met) {
  const bool known = hosts_[host].failed;  // all clients find out, one after the other
  on_failure(host, at, std::move(why));
  if (met == Met::kRefused && !known)
    hosts_[host].breaker.on_refusal(at, random(), config_.routing);
}

void Tracker::on_traffic(std::size_t host, const Traffic& total, Time now) {
  CHECK(host < hosts_.size());
  hosts_[host].breaker.on_traffic(total, now, random(), config_.routing);
}

// SplitMix64.
double Tracker::random() {
  std::uint64_t x = random_state_ += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

SnapshotPtr Tracker::publish(Time now) {
  if (!started_) started_ = now;
  settle_system_identifier();
  find_highest_timeline();
  review_orders(now);
  elect(now);
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->version = ++version_;
  snapshot->primary = primary_;
  if (choice_) snapshot->chosen = static_cast<int>(choice_->host);
  snapshot->hosts.reserve(hosts_.size());
  for (std::size_t i = 0; i < hosts_.size(); ++i) snapshot->hosts.push_back(describe(i, now));
  snapshot->primary_history = history_.excerpt(Snapshot::kHistoryShown);
  return snapshot;
}

bool Tracker::wants_flush(Time now) const {
  if (primary_ < 0 || history_.empty()) return false;
  const Sample& at = hosts_[static_cast<std::size_t>(primary_)].last;
  const Lsn end = history_.newest().lsn;
  const Time then = now - kStandsStill;
  if (at.flushed_lsn >= at.inserted_lsn || history_.oldest().asked > then ||
      history_.position_at(then) != end) {
    return false;
  }
  return std::ranges::any_of(hosts_, [&](const HostRecord& record) {
    return alive(record, now) && belongs(record) && record.last.in_recovery &&
           record.last.received_lsn >= at.flushed_lsn && record.last.lsn < end;
  });
}

bool Tracker::silent(const HostRecord& record, Time now) const {
  return now - record.last.answered > config_.monitor_timeout;
}

bool Tracker::belongs(const HostRecord& record) const {
  return record.last.system_identifier == 0 || system_identifier_ == 0 ||
         record.last.system_identifier == system_identifier_;
}

bool Tracker::alive(const HostRecord& record, Time now) const {
  return record.answered && !record.failed && !silent(record, now);
}

void Tracker::settle_system_identifier() {
  const auto votes = [this](std::uint64_t id) {
    return std::count_if(hosts_.begin(), hosts_.end(), [id](const HostRecord& r) {
      return r.answered && r.last.system_identifier == id;
    });
  };
  // Until a primary was chosen by it the identifier is only a guess of whoever answered first.
  const bool kept = last_primary_ >= 0 && system_identifier_ != 0 && votes(system_identifier_) > 0;
  if (kept) return;
  std::uint64_t best = 0;
  std::ptrdiff_t best_votes = 0;
  bool best_writes = false;
  for (const HostRecord& record : hosts_) {
    const std::uint64_t id = record.last.system_identifier;
    if (!record.answered || id == 0) continue;
    const auto n = votes(id);
    const bool writes = !record.last.in_recovery;
    if (n > best_votes || (n == best_votes && writes && !best_writes)) {
      best = id;
      best_votes = n;
      best_writes = writes;
    }
  }
  system_identifier_ = best;
}

void Tracker::find_highest_timeline() {
  highest_timeline_ = 0;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    const HostRecord& record = hosts_[i];
    if (!record.answered || !belongs(record) || record.last.timeline <= highest_timeline_) continue;
    highest_timeline_ = record.last.timeline;
    highest_host_ = i;
  }
}

int Tracker::choose(Time now) const {
  int found = -1;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    const HostRecord& record = hosts_[i];
    if (!alive(record, now) || !belongs(record) || record.last.in_recovery) continue;
    if (config_.hosts[i].role == HostRole::kReplica) continue;
    if (record.last.timeline < highest_timeline_) continue;
    if (choice_) {
      if (i == choice_->host) return static_cast<int>(i);
      continue;
    }
    if (static_cast<int>(i) == last_primary_) return last_primary_;
    found = found == -1 ? static_cast<int>(i) : -2;  // -2: more than one, none known
  }
  return std::max(found, -1);
}

void Tracker::elect(Time now) {
  if (!settling_since_) settling_since_ = now;
  settled_ = settled_ || now - *settling_since_ >= config_.monitor_timeout ||
             std::all_of(hosts_.begin(), hosts_.end(),
                         [](const HostRecord& r) { return r.answered || r.failed; });
  primary_ = settled_ ? choose(now) : -1;
  if (primary_ < 0) return;
  const Sample& last = hosts_[static_cast<std::size_t>(primary_)].last;
  // Positions of another timeline are no positions of this one: the branches may have parted
  // before them.
  if (primary_ != last_primary_ || last.timeline != history_timeline_) history_.clear();
  last_primary_ = primary_;
  history_timeline_ = last.timeline;
  history_.add({last.asked, last.lsn});
}

Host Tracker::describe(std::size_t index, Time now) {
  HostRecord& record = hosts_[index];
  Host host;
  host.name = config_.hosts[index].name;
  if (record.answered) {
    host.role = record.last.in_recovery ? Role::kReplica : Role::kPrimary;
    host.lsn = record.last.lsn;
    host.received_lsn = record.last.in_recovery ? record.last.received_lsn : 0;
    host.timeline = record.last.timeline;
    host.sampled = record.last.asked;
  }
  if (!alive(record, now)) {
    if (record.failed || record.answered) host.state = HostState::kDown;
    host.why = why_down(record, now);
  } else if (!belongs(record)) {
    host.state = HostState::kFenced;
    host.why = why_foreign(record);
  } else if (record.last.in_recovery) {
    if (config_.hosts[index].role == HostRole::kPrimary) {
      host.state = HostState::kRefused;
      host.why = "configured as primary, but in recovery";
    } else {
      describe_replica(record, now, host);
    }
  } else {
    describe_primary(index, host);
  }
  add_orders(index, host);
  note_reads(record, host.reads, now);
  if (host.reads) host.share *= share_by_return(record, now);
  return host;
}

std::string Tracker::why_down(const HostRecord& record, Time now) const {
  if (record.failed) return record.failure;
  if (!record.answered) return "not heard of yet";
  return "no answer for " + ms(now - record.last.answered);
}

std::string Tracker::why_foreign(const HostRecord& record) const {
  return "belongs to another cluster: system identifier " +
         std::to_string(record.last.system_identifier) + ", not " +
         std::to_string(system_identifier_);
}

std::string Tracker::why_superseded(const HostRecord& record) const {
  return "superseded by timeline " + std::to_string(highest_timeline_) + " of " +
         config_.hosts[highest_host_].name + ": this one is on " +
         std::to_string(record.last.timeline);
}

void Tracker::describe_primary(std::size_t index, Host& host) const {
  const std::string timeline = std::to_string(host.timeline);
  host.state = HostState::kFenced;
  if (static_cast<int>(index) == primary_) {
    host.state = HostState::kUp;
    host.lag_ms = 0;
    host.lag_bytes = 0;
  } else if (config_.hosts[index].role == HostRole::kReplica) {
    host.why = "configured as replica, but not in recovery";
  } else if (host.timeline < highest_timeline_) {
    host.why = why_superseded(hosts_[index]);
  } else if (!settled_) {
    host.state = HostState::kUnknown;
    host.why = "waiting for the other hosts before a primary is chosen";
  } else if (choice_) {
    host.why = "second primary on timeline " + timeline + ": " + config_.hosts[choice_->host].name +
               " was chosen by " + choice_->by;
  } else if (primary_ >= 0) {
    host.why = "second primary on timeline " + timeline + ": " +
               config_.hosts[static_cast<std::size_t>(primary_)].name + " is in use";
  } else {
    host.why = "one of several primaries on timeline " + timeline + ", none of them known before";
  }
}

void Tracker::describe_replica(HostRecord& record, Time now, Host& host) const {
  // On an older branch its position may lie past the fork and mean something else.
  if (primary_ >= 0 && record.last.timeline != 0 && record.last.timeline < history_timeline_) {
    host.state = HostState::kRefused;
    host.why = "still on timeline " + std::to_string(record.last.timeline) +
               ": the primary is on " + std::to_string(history_timeline_);
    return;
  }
  const Lag lag = lag_of(record, now);
  host.lag_bytes = lag.bytes;
  if (lag.time) {
    host.lag_ms = base::to_ms(*lag.time);
  } else if (lag.at_least > config_.routing.lag_max) {
    host.lag_ms = base::to_ms(lag.at_least);
  }
  host.why = judge(record, lag);
  host.reads = host.why.empty();
  host.share = share_by_lag(lag);
  host.state = host.reads ? HostState::kUp : HostState::kLagging;
  host.breaker = record.breaker.state();
  if (host.reads && host.breaker != Breaker::State::kClosed) {
    host.why = record.breaker.why(now);
    host.reads = host.breaker == Breaker::State::kHalfOpen;
  } else if (host.reads && primary_ < 0) {
    host.why = history_.empty() ? "no primary seen, no lag limits"
                                : "no primary: lag behind the last position of the old one";
  }
}

Tracker::Lag Tracker::lag_of(const HostRecord& record, Time now) const {
  Lag lag;
  const Lsn replayed = record.last.lsn;
  if (replayed == 0 || history_.empty()) return lag;
  const PrimarySample& newest = history_.newest();
  const bool overdue = now - record.last.asked > 2 * config_.monitor_interval;
  Time as_of = overdue ? now : record.last.asked;
  if (primary_ < 0) as_of = std::min(as_of, newest.asked);

  const Lsn written = history_.position_at(as_of);
  constexpr auto kBytesMax = static_cast<Lsn>(std::numeric_limits<std::int64_t>::max());
  const Lsn behind = written > replayed ? written - replayed : 0;
  lag.bytes = static_cast<std::int64_t>(std::min(behind, kBytesMax));
  if (replayed >= newest.lsn) {
    lag.time = Duration{};
  } else if (const auto reached = history_.reached(replayed)) {
    lag.time = std::max(Duration{}, as_of - *reached);
  } else {
    lag.at_least = std::max(Duration{}, as_of - history_.oldest().asked);
  }
  return lag;
}

void Tracker::note_reads(HostRecord& record, bool reads, Time now) const {
  if (reads && !record.reads) {
    const bool was_away = record.reads_until ? now - *record.reads_until > config_.monitor_interval
                                             : now - *started_ > config_.routing.slow_start;
    if (was_away) record.returned = now;
  } else if (!reads && record.reads) {
    record.reads_until = now;
  }
  record.reads = reads;
}

double Tracker::share_by_return(const HostRecord& record, Time now) const {
  if (!record.returned) return 1;
  return grown(now - *record.returned, config_.routing.slow_start);
}

double Tracker::share_by_lag(const Lag& lag) const {
  const Duration most = config_.routing.lag_max;
  return most.count() == 0 || !lag.time ? 1 : grown(most - *lag.time, most);
}

std::string Tracker::judge(HostRecord& record, const Lag& lag) const {
  const Duration time_max = config_.routing.lag_max;
  const std::uint64_t bytes_max = config_.routing.lag_bytes_max;
  const double ratio = config_.routing.lag_recover_ratio;
  const Duration time = lag.time.value_or(lag.at_least);
  const std::string lag_text = (lag.time ? "lag " : "lag at least ") + ms(time);
  const auto n_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(lag.bytes, 0));

  if (time_max.count() != 0 && time > time_max) {
    record.lagging = true;
    return lag_text + " over " + ms(time_max);
  }
  if (bytes_max != 0 && n_bytes > bytes_max) {
    record.lagging = true;
    return "lag " + bytes(n_bytes) + " over " + bytes(bytes_max);
  }
  if (record.last.lsn == 0) return "lag unknown: nothing replayed yet";
  if ((time_max.count() != 0 && !lag.time) || (bytes_max != 0 && lag.bytes < 0)) {
    return history_.empty() ? "lag unknown: no primary seen yet"
                            : "lag unknown: behind the first position seen of the primary";
  }
  if (record.lagging && time_max.count() != 0 && time > share(time_max, ratio)) {
    return lag_text + " not yet below " + ms(share(time_max, ratio));
  }
  const std::uint64_t bytes_low = share(bytes_max, ratio);
  if (record.lagging && bytes_max != 0 && n_bytes > bytes_low) {
    return "lag " + bytes(n_bytes) + " not yet below " + bytes(bytes_low);
  }
  record.lagging = false;
  return "";
}

}  // namespace cluster
