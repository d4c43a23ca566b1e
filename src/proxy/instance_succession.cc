// Instance: how it replaces a process, and is replaced.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "proxy/instance.h"

namespace proxy {

void Instance::begin_accepting() {
  on_all_workers([this](Worker& worker) { worker.begin_accepting(sockets_); });
  if (http_.begin) http_.begin();
}

// ended: on the control thread, when no worker does any more; then the sockets are closed.
void Instance::end_accepting(std::function<void()> ended) {
  on_all_workers([](Worker& worker) { worker.end_accepting(); });
  ask_workers([this, ended = std::move(ended)] {
    sockets_.clear();
    ended();
  });
}

// All is ready: who came until now went to the predecessor.
void Instance::take_over() {
  if (!predecessor_.exists()) return;
  begin_accepting();
  for (net::ListeningSocket* socket : with_path_) socket->own_path();
  predecessor_.tell_ready();
}

void Instance::upgrade(Upgraded done) {
  loop_.post([this, done = std::move(done)]() mutable { start_successor(std::move(done)); });
}

void Instance::start_successor(Upgraded done) {
  const char* why_not = nullptr;
  if (draining_) {
    why_not = "this process is draining";
  } else if (replaced_at_ != base::Time{}) {
    why_not = "this process was replaced, the new one must be told";
  } else if (successor_) {
    why_not = "one is under way";
  } else if (!predecessor_.has_left()) {
    why_not = "this process has not taken over yet";
  }
  if (why_not != nullptr) {
    spdlog::warn("weir: no online restart: {}", why_not);
    if (done) done(absl::FailedPreconditionError(why_not));
    return;
  }
  upgraded_ = std::move(done);
  std::vector<Handed> listening;
  for (const auto& socket : sockets_) {
    listening.push_back({.fd = socket->fd(), .with_path = socket->owns_path()});
  }
  if (http_.fd >= 0) listening.push_back({.fd = http_.fd});
  // The new process knows those before us itself: nothing is passed on here.
  auto started = Successor::start(
      loop_, listening, predecessor_.alive(),
      {.ready = [this](pid_t by) { loop_.post([this, by] { on_successor_ready(by); }); },
       .failed = [this](const std::string& why) { on_successor_failed(why); },
       .cancel =
           [this](const protocol::CancelRequest& request) {
             for (const auto& worker : workers_) worker->cancel(request);
           },
       .reload = [this] { on_signal(SIGHUP); }});
  if (!started.ok()) return on_successor_failed(std::string(started.status().message()));
  successor_ = std::move(*started);
}

void Instance::on_successor_failed(const std::string& why) {
  if (!draining_) {
    spdlog::error("weir: no online restart, this process goes on: {}", why);
    shared_.faults->add(Fault::Severity::kError, "restart", "weir", why);
  }
  if (upgraded_) std::exchange(upgraded_, {})(absl::FailedPreconditionError(why));
  loop_.post([this] { successor_.reset(); });
}

void Instance::on_successor_ready(pid_t by) {
  if (draining_) return;
  for (const auto& socket : sockets_) socket->hand_over();
  end_accepting([this, by] { on_replaced(by); });
}

void Instance::on_replaced(pid_t by) {
  if (draining_) return;
  replaced_at_ = loop_.now();
  const std::string note =
      fmt::format("process {} accepts clients from now on; {} stay here", by, staying());
  spdlog::info("weir: {}", note);
  if (upgraded_) std::exchange(upgraded_, {})(note);
  if (http_.retire) http_.retire();
  forget_pauses();
  on_all_workers([](Worker& worker) { worker.leave_consoles(); });
  supervisor_.on_replaced(by);
  successor_->tell_left();
}

// The new process knows nothing of them, and nobody can reach this one any more to take them back.
void Instance::forget_pauses() {
  paused_.clear();
  end_awaited([](const Awaited& one) { return one.what != Awaited::What::kClose; });
  on_all_workers([](Worker& worker) { worker.set_paused("", false); });
  const auto resume = [](const ClusterPtr& cluster) {
    cluster->monitor.order([&](cluster::Tracker& tracker, base::Time) {
      for (std::size_t i = 0; i < cluster->config.hosts.size(); ++i) tracker.resume(i);
      return "";
    });
  };
  std::ranges::for_each(topology_->clusters, resume);
  std::ranges::for_each(retired_clusters_, resume);
}

void Instance::check_stay() {
  if (staying() == 0) return loop_.stop();
  const auto limit = topology_->config->timeouts.upgrade;
  if (limit.count() != 0 && loop_.now() - replaced_at_ >= limit) shutdown(Shutdown::kDrain);
}

// Clients, also those that a worker has yet to begin with. Who is on the console does not count:
// what it tells is the new process's to tell. Both numbers only fall, for nobody comes any more,
// and the consoles' before the clients': so this may be too high for a moment, and never too low.
std::uint32_t Instance::staying() const {
  std::uint32_t all = 0;
  for (const auto& worker : workers_) all += worker->client_count();
  return all - std::min(all, shared_.consoles.load());
}

}  // namespace proxy
