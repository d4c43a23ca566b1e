// Which of the replicas that are fit for a read serves it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cluster/snapshot.h"
#include "config/config.h"

namespace route {

// Load of one host as this process sees it; index as Snapshot::hosts.
struct HostLoad {
  std::uint32_t active = 0;  // server connections executing for a client, all workers
  double latency_us = 0;     // moving average of its replies; 0 = not measured
};

// One algorithm of config::Balancing over the hosts that serve reads and have replayed enough.
// Equals are taken in turn. Never allocates. The config outlives it.
//
// kLeastConnections: fewest active / weight. Up to one more than twice as many count as equal, and
//   of equals the one is taken that was served least so far, by weight: replicas get their share
//   of the reads until one is more than twice as slow as another.
// kRoundRobin: in turn.
// kRandom: by weight.
// kLeastLatency: lowest latency * (active + 1), so that a fast host that fills up is left in time
//   (Finagle's "peak EWMA" without the peak). A host not measured yet counts as fast as the
//   fastest; one read in kExploreEvery goes to a random host, so that one that was slow once is
//   measured again.
// kClientAddressHash: rendezvous hashing (Thaler, Ravishankar 1998): a client stays on its
//   replica for as long as that is fit, and only a lost replica's clients move.
class Balancer {
 public:
  static constexpr std::uint64_t kExploreEvery = 32;

  Balancer(const config::Cluster& config, std::uint64_t seed)
      : config_(config), state_(seed), credit_(config.hosts.size()) {}

  // Index of a host whose position is at least `at_least`, or -1. load may be shorter than the
  // hosts: those without an entry are idle and not measured.
  int pick(const cluster::Snapshot& snapshot, std::span<const HostLoad> load, cluster::Lsn at_least,
           std::uint64_t client_hash);

 private:
  struct Candidates;  // what pick() was asked

  // Lowest cost(index), equals in turn.
  template <typename Cost>
  int lowest(const Candidates& candidates, Cost cost);
  int least_connections(const Candidates& candidates);
  int random(const Candidates& candidates, bool weighted);
  int least_latency(const Candidates& candidates);
  double weight(std::size_t host) const;
  std::uint64_t next_random();

  const config::Cluster& config_;
  std::uint64_t state_;
  std::vector<double> credit_;  // by host: reads that it lacks of its share, times weight
  std::size_t next_ = 0;        // where the next turn begins: behind the last one chosen
};

}  // namespace route
