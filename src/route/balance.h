// Which of the replicas that are fit for a read serves it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "base/time.h"
#include "cluster/snapshot.h"
#include "config/config.h"
#include "route/latency.h"

namespace route {

// Load of one host as this process sees it; index as Snapshot::hosts.
struct HostLoad {
  std::uint32_t active = 0;      // server connections executing for a client, all workers
  Latency latency{};             // of its replies
  base::Duration unconfirmed{};  // since the last of them
  base::Duration silent{};       // the same, but for as long as it was idle: 0 if it is
  std::uint32_t overdue = 0;     // server connections at what has long been answered as a rule
  bool full = false;             // clients of the pool that asks wait for a connection to it
};

// It has answered nobody for a while, what is overdue there neither; nor for so long that its
// monitor would have called it down: it may hang.
bool may_hang(const HostLoad& load, const config::Cluster& config);

// One algorithm of config::Balancing over the hosts that serve reads and have replayed enough.
// Equals are taken in turn, or at random. Allocates only to remember sessions that stay. The config
// outlives it.
//
// First those of the own zone (Routing::zone) that have room: fewer active connections than
// zone_active_max for each unit of weight, and nobody waiting. If there is none, or if all of them
// are slow (see below), all.
//
// A host's weight is the configured one, or what an operator has set (cluster::Host), times its
// share (likewise).
// kLeastConnections: fewest active / weight. Up to one more than twice as many count as equal, and
//   of equals the one is taken that was served least so far, by weight: replicas get their share
//   of the reads until one is more than twice as slow as another. A session that stays goes where
//   the fewest have come within kStay, by weight.
// kRoundRobin: in turn. A host with less than its full share is passed over now and then.
// kRandom: by weight.
// kLeastLatency: of two at random the one with the lower latency * (active + 1) / weight ("peak
//   EWMA" and "power of two choices", Finagle), so that a fast host that fills up is left in time.
//   A host not measured yet counts as fast as the other one. A latency that no reply confirms
//   fades: a host that was slow once is measured again. One with less than its full share is
//   passed over now and then.
// kClientAddressHash: rendezvous hashing (Thaler, Ravishankar 1998): a client stays on its
//   replica for as long as that is fit, and only a lost replica's clients move. By no weight: lag,
//   which comes and goes, would move clients to and fro.
//
// A host whose breaker is half-open takes part while it has no active connection: what it gets then
// is the probe.
//
// Slow hosts. Even a host that is twenty times slower would get one read of forty by its active
// connections, and more by its latency whenever the others have a few each: enough to be the 99th
// percentile of all reads. So under kLeastConnections and kLeastLatency a host whose replies
// typically take kSlowTimes those of the second fastest, and kSlowByUs more, gets kSlowShare of
// its share: enough to find out that it is fast again. The second fastest, because one that fails
// at once is fast, too; of two hosts it is the other one. They are all hosts that are fit, of
// whatever zone; where nothing is known of those outside of it, and those of the own zone take
// kSlowByUs, kSlowShare of the reads finds out.
//
// Silent hosts. Under the same two, one that may hang gets nothing as long as another one answers:
// until its monitor knows, all clients would come to wait there, one after the other.
class Balancer {
 public:
  static constexpr std::size_t kHostsMax = 64;
  static constexpr base::Duration kStay = base::milliseconds(100);
  static constexpr double kSlowTimes = 4, kSlowByUs = 2000, kSlowShare = 1.0 / 256;

  Balancer(const config::Cluster& config, std::uint64_t seed);

  // Index of a host whose position is at least `at_least`, or -1. load may be shorter than the
  // hosts: those without an entry are idle and not measured. `stays`: later reads of the same
  // session will go there unasked; turns of those are taken apart from those of single reads.
  // `allowed`: a bit for each host that may be picked at all.
  int pick(const cluster::Snapshot& snapshot, std::span<const HostLoad> load, cluster::Lsn at_least,
           std::uint64_t client_hash, base::Time stays_from = {},
           std::uint64_t allowed = ~std::uint64_t{0});

 private:
  struct Candidates;  // those of which one is to be picked

  void leave_silent(Candidates& candidates) const;
  void keep_to_zone(Candidates& candidates);
  std::uint64_t with_room_in_zone(const Candidates& candidates) const;  // a bit for each host
  bool looks_beyond(const Candidates& candidates, std::uint64_t zone);
  int round_robin(const Candidates& candidates);
  int least_connections(const Candidates& candidates);
  int fewest_residents(const Candidates& candidates, base::Time now);
  int random(const Candidates& candidates);
  int least_latency(const Candidates& candidates);
  double weight(const Candidates& candidates, std::size_t host) const;
  bool minds_slow_hosts() const;
  double share_if_slow(std::size_t host) const;
  bool takes_part(double share);
  std::uint64_t next_random();
  double next_unit();  // in [0, 1)

  const config::Cluster& config_;
  std::uint64_t state_;
  std::uint64_t own_zone_ = 0;  // a bit for each host of Routing::zone
  std::uint64_t slow_ = 0;      // a bit for each host, as last looked at
  std::uint32_t turn_ = 0;      // picks, for when to look again
  std::vector<double> credit_;  // by host: reads that it lacks of its share, times weight
  std::size_t next_ = 0;        // where the next turn begins: behind the last one chosen
  std::deque<std::pair<base::Time, std::size_t>> stays_;  // when a session came to which host
  std::vector<std::uint32_t> residents_;                  // by host: how many of them
};

}  // namespace route
