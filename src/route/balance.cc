#include "route/balance.h"

#include <algorithm>
#include <limits>

namespace route {
namespace {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

constexpr double kNearlyEqual = 2;
constexpr double kMaxCredit = 16;  // reads

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;

}  // namespace

struct Balancer::Candidates {
  const cluster::Snapshot& snapshot;
  std::span<const HostLoad> load;
  cluster::Lsn at_least;

  std::size_t size() const { return snapshot.hosts.size(); }
  bool fit(std::size_t i) const {
    return snapshot.hosts[i].reads && snapshot.hosts[i].lsn >= at_least;
  }
  double active(std::size_t i) const { return i < load.size() ? load[i].active : 0; }
  double latency(std::size_t i) const { return i < load.size() ? load[i].latency_us : 0; }
};

std::uint64_t Balancer::next_random() { return mix(state_ += kGolden); }

double Balancer::weight(std::size_t host) const {
  return host < config_.hosts.size() ? config_.hosts[host].weight : 1;
}

int Balancer::pick(const cluster::Snapshot& snapshot, std::span<const HostLoad> load,
                   cluster::Lsn at_least, std::uint64_t client_hash) {
  const Candidates all{snapshot, load, at_least};
  switch (config_.routing.balancing) {
    case config::Balancing::kLeastConnections:
      return least_connections(all);
    case config::Balancing::kRoundRobin:
      return lowest(all, [](std::size_t) { return 0; });
    case config::Balancing::kRandom:
      return random(all, /*weighted=*/true);
    case config::Balancing::kLeastLatency:
      return least_latency(all);
    case config::Balancing::kClientAddressHash:
      return lowest(all, [&](std::size_t i) { return mix(client_hash + (i + 1) * kGolden); });
  }
  return -1;
}

template <typename Cost>
int Balancer::lowest(const Candidates& candidates, Cost cost) {
  const std::size_t n = candidates.size();
  if (n == 0) return -1;
  int best = -1;
  decltype(cost(0)) best_cost{};
  std::size_t i = next_ < n ? next_ : 0;
  for (std::size_t turn = 0; turn < n; ++turn, i = i + 1 == n ? 0 : i + 1) {
    if (!candidates.fit(i)) continue;
    const auto c = cost(i);
    if (best >= 0 && !(c < best_cost)) continue;
    best = static_cast<int>(i);
    best_cost = c;
  }
  if (best >= 0) next_ = static_cast<std::size_t>(best) + 1;
  return best;
}

// Equals by smooth weighted round robin (nginx): all earn their weight, the chosen one pays for
// all. The credit is bounded, so that a host that returns is not flooded.
int Balancer::least_connections(const Candidates& candidates) {
  const std::size_t n = std::min(candidates.size(), credit_.size());
  double least = std::numeric_limits<double>::infinity(), earned = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (!candidates.fit(i)) continue;
    least = std::min(least, candidates.active(i) / weight(i));
    earned += weight(i);
    credit_[i] += weight(i);
  }
  int best = -1;
  for (std::size_t i = 0; i < n; ++i) {
    if (!candidates.fit(i)) continue;
    const double most = kMaxCredit * weight(i);
    credit_[i] = std::clamp(credit_[i], -most, most);
    if ((candidates.active(i) - 1) / weight(i) > least * kNearlyEqual) continue;
    if (best < 0 || credit_[i] > credit_[static_cast<std::size_t>(best)])
      best = static_cast<int>(i);
  }
  if (best >= 0) credit_[static_cast<std::size_t>(best)] -= earned;
  return best;
}

int Balancer::random(const Candidates& candidates, bool weighted) {
  const auto weight_of = [&](std::size_t i) { return weighted ? weight(i) : 1.0; };
  double total = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (candidates.fit(i)) total += weight_of(i);
  }
  // 53 bits: what a double holds; in [0, 1).
  double left = static_cast<double>(next_random() >> 11) * 0x1p-53 * total;
  int last = -1;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (!candidates.fit(i)) continue;
    last = static_cast<int>(i);
    left -= weight_of(i);
    if (left < 0) break;  // rounding may leave a little at the end: the last one then
  }
  return last;
}

int Balancer::least_latency(const Candidates& candidates) {
  if (next_random() % kExploreEvery == 0) return random(candidates, /*weighted=*/false);
  double fastest = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const double latency = candidates.latency(i);
    if (candidates.fit(i) && latency > 0 && (fastest == 0 || latency < fastest)) fastest = latency;
  }
  if (fastest == 0) fastest = 1;
  return lowest(candidates, [&](std::size_t i) {
    const double latency = candidates.latency(i) > 0 ? candidates.latency(i) : fastest;
    return latency * (candidates.active(i) + 1);
  });
}

}  // namespace route
