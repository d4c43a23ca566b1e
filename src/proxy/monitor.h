// Watches the hosts of one cluster: samples each several times a second, publishes what it means.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "cluster/snapshot.h"
#include "cluster/tracker.h"
#include "config/config.h"
#include "proxy/fault_log.h"
#include "proxy/host_probe.h"

namespace proxy {

// How a monitor logs into a host of the cluster.
ServerLogin monitor_login(const config::Cluster& cluster, const config::Host& host);

// One thread a host asks it (HostProbe), every monitor_interval and when told to; one more lets lag
// and silence age when no host answers. All feed one cluster::Tracker, whose snapshots are
// published here.
//
// Thread rule: start() and stop() from one thread, everything else from any.
class ClusterMonitor {
 public:
  // on_roles_changed, if not null: after a snapshot whose primary, or any host's role, state,
  // fitness for reads, breaker, ban or pause is not that of the one before. Called without a lock
  // held, by whichever thread published: a monitor's, or one that is in report_connect_failure() or
  // order(). before, if not null: of the same cluster with another configuration, running or not;
  // what it knows is known here from the first snapshot on. faults, if not null, gets what changes.
  ClusterMonitor(const config::Cluster& cluster, std::function<void()> on_roles_changed,
                 const ClusterMonitor* before = nullptr, std::shared_ptr<FaultLog> faults = nullptr,
                 std::uint64_t seed = 0);
  ~ClusterMonitor();
  ClusterMonitor(const ClusterMonitor&) = delete;
  ClusterMonitor& operator=(const ClusterMonitor&) = delete;

  // What workers have met on a host so far; asked for in each tick. Before start().
  void set_traffic(std::function<cluster::Traffic(std::size_t host)> traffic) {
    traffic_ = std::move(traffic);
  }
  // on_awaited, if not null, as on_roles_changed: after a snapshot that somebody awaits.
  void start(std::function<void()> on_awaited = {});
  // Interrupts what is under way and joins; a host name that is being looked up is waited for.
  // It cannot be started again.
  void stop();

  // Never null: before the first sample all hosts are unknown.
  cluster::SnapshotPtr snapshot() const;
  // Of the latest snapshot; a snapshot() taken after it is at least that new. One atomic load.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }

  // A worker could not connect to the host, or lost it. It is down in the snapshot when this
  // returns, and is sampled at once to see whether it really is.
  void report_connect_failure(std::size_t host, std::string why,
                              cluster::Tracker::Met met = cluster::Tracker::Met::kRefused);

  // An operator's words to the tracker; the snapshot follows them when this returns. Answers what
  // `give` does.
  std::string order(absl::FunctionRef<std::string(cluster::Tracker& tracker, base::Time now)> give);

  enum class Urgency : std::uint8_t {
    kNone,
    kCommit,   // the primary's position from now on will be asked for
    kAwaited,  // all hosts' positions from now on are waited for: on_awaited tells of them
  };
  // Cheap to repeat: all wishes until the next sample begins are one, and samples begin at least
  // 1 ms apart, or 5 ms for kCommit. Nothing happens without a primary.
  void sample_soon(Urgency urgency);

  // A session commits without waiting for its WAL to be written (synchronous_commit = off), or is
  // going to: from now on the primary's position is where WAL is inserted, though that may be
  // written, and reach the replicas, only later.
  void note_async_commits() { async_commits_ = true; }
  bool async_commits() const { return async_commits_.load(std::memory_order_relaxed); }

 private:
  struct Watch {
    explicit Watch(HostProbe host_probe) : probe(std::move(host_probe)) {}
    HostProbe probe;           // the thread's
    std::string failure;       // the thread's: of the last sample; "" = it answered
    base::Duration backoff{};  // the thread's: the last pause after a failure
    base::Time flushed{};      // the thread's: when it last had WAL written
    std::atomic<Urgency> wanted{Urgency::kNone};
    std::condition_variable wake;  // with wait_mutex_: wanted, or stop
    std::thread thread;
  };

  void run(std::size_t host);
  void flush_if_wanted(std::size_t host);
  // Both answer when to sample next, at the earliest and at the latest.
  std::pair<base::Time, base::Time> on_sample(std::size_t host, const cluster::Sample& sample);
  std::pair<base::Time, base::Time> on_failure(std::size_t host, const absl::Status& status);
  void run_ticks();
  void want(Watch& watch, Urgency urgency);
  template <class Change>
  void publish_after(Change change);
  void log_changes(const cluster::Snapshot& before, const cluster::Snapshot& after) const;

  const config::Cluster config_;
  const std::function<void()> on_roles_changed_;
  const std::shared_ptr<FaultLog> faults_;
  std::function<cluster::Traffic(std::size_t)> traffic_;
  StopSignal stop_;
  std::vector<std::unique_ptr<Watch>> watches_;  // index as config_.hosts
  std::thread ticker_;
  std::mutex wait_mutex_;  // nothing but the condition variables' and the raising of stop_
  std::condition_variable tick_;

  mutable std::mutex tracker_mutex_;  // before snapshot_mutex_
  cluster::Tracker tracker_;

  mutable std::mutex snapshot_mutex_;
  cluster::SnapshotPtr snapshot_;
  std::atomic<std::uint64_t> version_{0};
  std::atomic<int> primary_{-1};  // of snapshot_
  std::function<void()> on_awaited_;
  std::atomic<bool> awaited_{false};
  std::atomic<bool> async_commits_{false};
};

}  // namespace proxy
