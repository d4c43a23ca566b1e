// Turns the monitors' observations of one cluster into snapshots. Pure: fed samples and a time.
// Thread rule: the caller serialises (one mutex per cluster in proxy/monitor).
//
// Who is the primary. Candidates answer, are not in recovery, belong to the cluster (by system
// identifier), and are not configured as replicas. A promotion starts a new timeline, so:
// - no host that is behind the highest timeline that any host of the cluster was last seen on is
//   used as primary, also while the host that was seen there is down ("superseded by ...");
// - of several candidates on that timeline the one that was the primary stays it, and the others
//   are fenced. If none was, all are fenced: another proxy might choose another one;
// - unless an operator chose one of them. His word is about that timeline: as long as its host does
//   not answer none of the others is taken, for they may lack what it has. It ends when he takes it
//   back, when its host is seen in recovery, or on another timeline, and with a higher timeline of
//   any host's: a promotion needs nobody's word;
// - the first primary is chosen only when every host has answered or failed, or monitor_timeout
//   has passed: an old primary may be the first to answer.
// The cluster's system identifier is the one that most hosts have when it is first needed; it is
// kept for as long as any host was last seen with it.
//
// Lag of a replica: the age of the primary's position that it has replayed, in the primary's own
// history (history.h), as of the moment the replica was asked, or as of now when its next sample
// is overdue. 0 once it has replayed all that is known to be written: an idle primary makes no
// lag. Unknown (-1, no reads) when it has not reached the first position known.
// In the background PostgreSQL writes whole pages of WAL, and the rest of a record that reaches
// into the next one only when somebody commits, or after up to 15 s: a transaction that pauses
// leaves the primary at a position that no replica can replay to. wants_flush() tells of that.
// While there is no primary, time stands still at its last sample: a replica's lag does not grow,
// shrinks as it catches up, and reads that need no primary go on.
//
// A cluster whose configuration changes gets a new Tracker, which adopts what the old one knew:
// else an old primary that comes back just then would be the only one heard of, and be believed.
// What was seen of hosts that are gone from the configuration is forgotten with them: to take one
// out is an operator's word.
//
// Share of its weight that a replica which serves reads should get: falls evenly from 1 without
// lag to kLeastShare at lag_max, and rises evenly from kLeastShare to 1 in the first slow_start
// after it returned: its caches are cold, and it has replay to catch up with. Both together
// multiply. It did not return when it was unfit for a monitor_interval at most (one connection
// broke, the next sample was good), nor when it first serves reads within slow_start of the first
// publication: then this process has only just begun.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/history.h"
#include "cluster/snapshot.h"

namespace cluster {

// One answer of a host to the monitor's question.
struct Sample {
  Time asked{};  // just before the question left
  Time answered{};
  bool in_recovery = false;
  // The timeline being written, or received in recovery. Not the control file's, which follows
  // only with a later checkpoint. 0 = not known: of a host that stays in recovery the last one
  // known counts; else it is never compared as newer.
  std::uint32_t timeline = 0;
  std::uint64_t system_identifier = 0;  // 0 = not known: not compared
  Lsn lsn = 0;           // pg_current_wal_lsn(), or pg_last_wal_replay_lsn() in recovery
  Lsn received_lsn = 0;  // pg_last_wal_receive_lsn() in recovery
  Lsn flushed_lsn = 0;   // not in recovery: up to here replicas can receive it
  Lsn inserted_lsn = 0;  // not in recovery: the end of the last record, be it written or not
};

// An operator wants no reads on a host.
struct Ban {
  std::string by;             // the operator's name, for people
  std::optional<Time> until;  // nullopt = until it is taken back
};

class Tracker {
 public:
  static constexpr double kLeastShare = 0.1;

  // config: copied. seed: of what is random, so that no two processes do the same.
  explicit Tracker(const config::Cluster& config, std::uint64_t seed = 0);

  // All that `before`, of another configuration of the same cluster, knows of the hosts that both
  // have, by name or else by address. One with a new address is down until it answers there. Call
  // before anything else.
  void adopt(const Tracker& before, Time now);

  // Samples of a host come in the order they were asked; an older one is ignored.
  void on_sample(std::size_t host, const Sample& sample);
  void on_failure(std::size_t host, Time at, std::string why);  // refused, timed out, broke off
  // A worker could not reach or lost this host: counted as a failure at once; the next good
  // sample asked for after it clears it. kRefused: a new connection; its breaker counts those.
  enum class Met : std::uint8_t { kRefused, kEnded };
  void on_connect_failure(std::size_t host, Time at, std::string why, Met met = Met::kRefused);
  // For its breaker; counted up by the caller. Often enough: breakers change their state here.
  void on_traffic(std::size_t host, const Traffic& total, Time now);
  // Ages lag and silence to `now`, decides roles and who serves reads. Call after observations
  // and at least every monitor_interval.
  SnapshotPtr publish(Time now);
  // The primary stands still with WAL that is not written to its end, while a replica that has
  // received all the rest is behind it. As of the latest publication.
  bool wants_flush(Time now) const;

  // An operator's words (tracker_orders.cc); the next publication follows them.
  //
  // Answers why the host cannot be the primary, and changes nothing then; "" = it is chosen.
  std::string choose_primary(std::size_t host, std::string by, Time now);
  bool choose_by_rules();  // false: nothing was chosen
  void ban(std::size_t host, Ban ban);
  bool unban(std::size_t host);                      // false: it was not banned
  bool pause(std::size_t host, std::string by);      // false: it was paused already
  bool resume(std::size_t host);                     // false: it was not paused
  void set_weight(std::size_t host, double weight);  // 0 = as configured
  bool forget_weights();                             // false: none was set

 private:
  struct HostRecord {
    bool answered = false;
    Sample last{};
    bool failed = false;
    Time failed_at{};
    std::string failure;
    bool lagging = false;  // hysteresis: was beyond the limits and not yet back within the lower
    bool reads = false;    // as last published
    std::optional<Time> reads_until;  // when it was last found unfit; nullopt = never was fit
    std::optional<Time> returned;     // when its slow start began
    Breaker breaker;
    std::optional<Ban> ban;
    std::optional<std::string> paused_by;
    double weight = 0;  // 0 = as configured
  };
  struct Choice {
    std::size_t host = 0;
    std::uint32_t timeline = 0;
    std::string by;
  };
  // How far a replica is behind.
  struct Lag {
    std::optional<Duration> time;  // nullopt = unknown
    Duration at_least{};           // when unknown: no less than this
    std::int64_t bytes = -1;       // -1 = unknown
  };

  double random();  // 0..1
  bool silent(const HostRecord& record, Time now) const;
  bool belongs(const HostRecord& record) const;
  bool alive(const HostRecord& record, Time now) const;
  int counterpart(const config::Host& host, const config::Cluster& before) const;
  void settle_system_identifier();
  void find_highest_timeline();
  void elect(Time now);
  int choose(Time now) const;
  void review_orders(Time now);
  std::string why_down(const HostRecord& record, Time now) const;
  std::string why_foreign(const HostRecord& record) const;
  std::string why_superseded(const HostRecord& record) const;

  Host describe(std::size_t index, Time now);
  void describe_primary(std::size_t index, Host& host) const;
  void add_orders(std::size_t index, Host& host) const;
  void describe_replica(HostRecord& record, Time now, Host& host) const;
  Lag lag_of(const HostRecord& record, Time now) const;
  std::string judge(HostRecord& record, const Lag& lag) const;  // why no reads, "" = reads
  void note_reads(HostRecord& record, bool reads, Time now) const;
  double share_by_return(const HostRecord& record, Time now) const;
  double share_by_lag(const Lag& lag) const;

  // Fixed after construction.
  config::Cluster config_;

  std::uint64_t random_state_;

  // Observed.
  std::vector<HostRecord> hosts_;
  std::optional<Time> started_;         // first publish, also of those adopted from
  std::optional<Time> settling_since_;  // first publish for which it was not settled

  // Said by an operator.
  std::optional<Choice> choice_;

  // Decided by the latest publish.
  std::uint64_t system_identifier_ = 0;
  std::uint32_t highest_timeline_ = 0;
  std::size_t highest_host_ = 0;  // seen on highest_timeline_
  bool settled_ = false;          // every host was heard of, or had its time
  int primary_ = -1;
  int last_primary_ = -1;  // stays while there is none
  History history_;        // of last_primary_
  std::uint32_t history_timeline_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace cluster
