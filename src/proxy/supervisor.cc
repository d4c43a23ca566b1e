#include "proxy/supervisor.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace proxy {
namespace {

std::uint64_t variable(const char* name) {
  const char* text = getenv(name);
  std::uint64_t value = 0;
  if (text != nullptr) std::from_chars(text, text + std::string_view(text).size(), value);
  return value;
}

// sd_watchdog_enabled(3). We answer three times in that time.
base::Duration watchdog_interval() {
  const std::uint64_t pid = variable("WATCHDOG_PID");
  if (pid != 0 && pid != static_cast<std::uint64_t>(getpid())) return {};
  constexpr std::uint64_t kDayUs = 86'400'000'000;
  return base::microseconds(std::min(variable("WATCHDOG_USEC"), kDayUs) / 3);
}

void append_cluster(std::string& line, const ClusterRuntime& cluster) {
  const auto snapshot = cluster.monitor.snapshot();
  line += "; " + cluster.config.name + ": ";
  if (snapshot->primary < 0) {
    line += "no primary";
  } else {
    line += "primary " + snapshot->hosts[static_cast<std::size_t>(snapshot->primary)].name;
  }
  const auto others = snapshot->hosts.size() - (snapshot->primary < 0 ? 0 : 1);
  if (others == 0) return;
  line += ", " + std::to_string(std::ranges::count(snapshot->hosts, true, &cluster::Host::reads)) +
          " of " + std::to_string(others) + (others == 1 ? " replica reads" : " replicas read");
}

}  // namespace

bool has_primaries(const Topology& topology) {
  return std::ranges::all_of(topology.clusters, [](const ClusterPtr& cluster) {
    return cluster->monitor.snapshot()->primary >= 0;
  });
}

std::string status_line(std::uint32_t clients, const Topology& topology, bool draining) {
  constexpr std::size_t kClustersShown = 3;
  std::string line = draining ? "draining, " : "";
  line += std::to_string(clients) + (clients == 1 ? " client" : " clients");
  const std::size_t count = topology.clusters.size();
  for (std::size_t i = 0; i < std::min(count, kClustersShown); ++i) {
    append_cluster(line, *topology.clusters[i]);
  }
  if (count > kClustersShown) {
    line += "; and " + std::to_string(count - kClustersShown) + " more clusters";
  }
  // A line of its own would be another word to the service manager.
  std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < 32; }, '?');
  return line;
}

Supervisor::Supervisor(Asks asks)
    : asks_(std::move(asks)), socket_(net::NotifySocket::from_environment()) {
  if (socket_.is_open()) watchdog_ = watchdog_interval();
}

void Supervisor::on_start(base::Time now) {
  ready_at_latest_ = now + kStartup;
  is_main_ = asks_.is_main();
}

base::Duration Supervisor::tick(base::Time now) {
  if (!ready_ && !stopping_ && (asks_.has_primaries() || now >= ready_at_latest_)) {
    ready_ = true;
    asks_.on_ready();
  }
  const bool waits = !ready_ && !stopping_;
  if (!socket_.is_open()) return waits ? base::Duration() : base::Duration::max();
  flush();
  if (replaced_) {
    if (!unsent_.empty()) return {};
    socket_ = net::NotifySocket();
    return base::Duration::max();
  }
  if (!is_main_) is_main_ = asks_.is_main();
  if (!is_main_) return {};
  if (now >= status_due_) tell_status(now);
  if (waits) return {};
  if (!stopping_ && !std::exchange(told_ready_, true)) {
    tell("READY=1");
    tell_status(now);
  }
  if (!unsent_.empty()) return {};
  base::Duration next = status_due_ - now;
  if (watchdog_ > base::Duration()) {
    watch(now);
    next = std::min(next, watchdog_due_ - now);
  }
  return next;
}

void Supervisor::on_reload_begun(base::Time now) {
  // Who was never told of our being ready would take the end of this for it.
  if (!told_ready_ || stopping_) return;
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(base::to_us(now.time_since_epoch())));
}

void Supervisor::on_reload_ended(bool refused) {
  reload_refused_ = refused;
  status_due_ = {};
  if (told_ready_ && !stopping_) tell("READY=1");
}

void Supervisor::on_stopping() {
  if (std::exchange(stopping_, true)) return;
  status_due_ = {};
  tell("STOPPING=1");
}

void Supervisor::on_replaced(pid_t by) {
  tell("MAINPID=" + std::to_string(by));
  stopping_ = replaced_ = true;
}

void Supervisor::tell(std::string state) {
  if (!socket_.is_open() || !is_main_ || replaced_) return;
  flush();
  if (unsent_.empty() && socket_.send(state)) return;
  if (unsent_.size() < kUnsentMax) unsent_.push_back(std::move(state));
}

void Supervisor::flush() {
  while (!unsent_.empty() && socket_.send(unsent_.front())) unsent_.pop_front();
}

void Supervisor::tell_status(base::Time now) {
  status_due_ = now + kStatusEvery;
  std::string status = asks_.status();
  if (reload_refused_) status += "; the last reload was refused, see the log";
  if (status == status_) return;
  status_ = std::move(status);
  tell("STATUS=" + status_);
}

void Supervisor::watch(base::Time now) {
  if (now < watchdog_due_) return;
  watchdog_due_ = now + watchdog_;
  if (answer_awaited_) {
    if (!std::exchange(silence_told_, true)) {
      spdlog::error("weir: a worker does not answer since {} ms: no sign of life to the watchdog",
                    base::to_ms(now - asked_));
    }
    return;
  }
  answer_awaited_ = true;
  asked_ = now;
  asks_.workers([this] {
    answer_awaited_ = silence_told_ = false;
    tell("WATCHDOG=1");
  });
}

}  // namespace proxy
