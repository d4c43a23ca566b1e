// Turns the monitors' observations of one cluster into snapshots. Pure: fed samples and a time.
// Thread rule: the caller serialises (one mutex per cluster in proxy/monitor).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "cluster/snapshot.h"

namespace cluster {

// One answer of a host to the monitor's question.
struct Sample {
  Time asked{};     // just before the question left
  Time answered{};
  bool in_recovery = false;
  std::uint32_t timeline = 0;
  std::uint64_t system_identifier = 0;
  Lsn lsn = 0;           // pg_current_wal_lsn(), or pg_last_wal_replay_lsn() in recovery
  Lsn received_lsn = 0;  // pg_last_wal_receive_lsn() in recovery
};

class Tracker {
 public:
  // The config is kept for as long as the Tracker lives.
  explicit Tracker(const config::Cluster& config);

  void on_sample(std::size_t host, const Sample& sample);
  void on_failure(std::size_t host, Time at, std::string why);  // refused, timed out, broke off
  // A worker could not reach or lost this host: counted as a failure at once; the next good
  // sample clears it.
  void on_connect_failure(std::size_t host, Time at, std::string why);
  // Ages lag and silence to `now`, decides roles and who serves reads. Call after observations
  // and at least every monitor_interval.
  SnapshotPtr publish(Time now);

 private:
  struct HostRecord {
    bool answered = false;
    Sample last{};
    bool failed = false;
    Time failed_at{};
    std::string failure;
    bool serving = false;  // hysteresis: was within the limits
  };
  config::Cluster config_;
  std::vector<HostRecord> hosts_;
  std::deque<PrimarySample> history_;  // of the current primary, bounded
  int primary_ = -1;
  std::uint64_t version_ = 0;
};

}  // namespace cluster
