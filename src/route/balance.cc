#include "route/balance.h"

#include <algorithm>
#include <array>
#include <bit>
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
constexpr std::size_t kStaysMax = 4096;
constexpr double kMaxCredit = 5;  // reads in a row
// Averages move slowly: looking at them for every read would cost more than the rest of it.
constexpr std::uint32_t kSlowEvery = 16;

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;

const HostLoad kIdle;

// What an active connection to a half-open host may be doing all day (LISTEN keeps one) is no
// probe.
constexpr base::Duration kProbeTime = base::seconds(1);
bool load_of_probe(const HostLoad& load) {
  return load.active != 0 && load.unconfirmed < kProbeTime;
}

constexpr base::Duration kSilentAfter = base::milliseconds(50);
constexpr base::Duration kMonitorSlack = base::seconds(1);

std::uint64_t bit(std::size_t host) { return std::uint64_t{1} << host; }

// The host of a set that n others come before.
std::size_t nth(std::uint64_t bits, std::uint64_t n) {
  for (; n > 0; --n) bits &= bits - 1;
  return static_cast<std::size_t>(std::countr_zero(bits));
}

// The hosts of a set, in order.
template <typename Visit>
void each(std::uint64_t bits, Visit visit) {
  for (; bits != 0; bits &= bits - 1) visit(static_cast<std::size_t>(std::countr_zero(bits)));
}

int rendezvous(std::uint64_t bits, std::uint64_t client_hash) {
  std::uint64_t lowest = 0;
  int chosen = -1;
  each(bits, [&](std::size_t i) {
    const std::uint64_t rank = mix(client_hash + (i + 1) * kGolden);
    if (chosen >= 0 && rank >= lowest) return;
    lowest = rank;
    chosen = static_cast<int>(i);
  });
  return chosen;
}

}  // namespace

bool may_hang(const HostLoad& load, const config::Cluster& config) {
  return load.overdue != 0 && load.silent > kSilentAfter &&
         load.silent < config.monitor_timeout + kMonitorSlack;
}

struct Balancer::Candidates {
  std::span<const cluster::Host> hosts;
  std::span<const HostLoad> loads;
  std::uint64_t bits = 0;  // those who may be picked

  const HostLoad& load(std::size_t i) const { return i < loads.size() ? loads[i] : kIdle; }
  double active(std::size_t i) const { return load(i).active; }
  double latency(std::size_t i) const { return faded(load(i).latency.peak, load(i).unconfirmed); }
  std::uint64_t slow() const;  // of them
};

std::uint64_t Balancer::Candidates::slow() const {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  double fastest = kNone, second = kNone;
  int measured = 0;
  each(bits, [&](std::size_t i) {
    const double typical = load(i).latency.typical;
    if (typical == 0) return;
    ++measured;
    second = std::min(second, std::max(fastest, typical));
    fastest = std::min(fastest, typical);
  });
  const double above = (measured == 2 ? fastest : second) * kSlowTimes + kSlowByUs;
  std::uint64_t found = 0;
  each(bits, [&](std::size_t i) {
    if (load(i).latency.typical > above) found |= bit(i);
  });
  return found;
}

Balancer::Balancer(const config::Cluster& config, std::uint64_t seed)
    : config_(config), state_(seed), credit_(config.hosts.size()), residents_(config.hosts.size()) {
  if (config.routing.zone.empty()) return;
  for (std::size_t i = 0; i < std::min(kHostsMax, config.hosts.size()); ++i) {
    if (config.hosts[i].zone == config.routing.zone) own_zone_ |= bit(i);
  }
}

std::uint64_t Balancer::next_random() { return mix(state_ += kGolden); }

// 53 bits: what a double holds.
double Balancer::next_unit() { return static_cast<double>(next_random() >> 11) * 0x1p-53; }

double Balancer::weight(const Candidates& candidates, std::size_t host) const {
  const double set = candidates.hosts[host].weight;
  return set > 0 ? set : config_.hosts[host].weight;
}

bool Balancer::takes_part(double share) { return share >= 1 || next_unit() < share; }

bool Balancer::minds_slow_hosts() const {
  return config_.routing.balancing == config::Balancing::kLeastConnections ||
         config_.routing.balancing == config::Balancing::kLeastLatency;
}

double Balancer::share_if_slow(std::size_t host) const {
  return (slow_ & bit(host)) == 0 ? 1 : kSlowShare;
}

int Balancer::pick(const cluster::Snapshot& snapshot, std::span<const HostLoad> load,
                   cluster::Lsn at_least, std::uint64_t client_hash, base::Time stays_from,
                   std::uint64_t allowed) {
  Candidates fit{snapshot.hosts, load};
  const std::size_t count = std::min({kHostsMax, fit.hosts.size(), config_.hosts.size()});
  for (std::size_t i = 0; i < count; ++i) {
    const bool probed =
        fit.hosts[i].breaker == cluster::Breaker::State::kHalfOpen && load_of_probe(fit.load(i));
    if (fit.hosts[i].reads && !probed && fit.hosts[i].lsn >= at_least) fit.bits |= bit(i);
  }
  fit.bits &= allowed;
  if (fit.bits == 0) return -1;
  if (minds_slow_hosts()) leave_silent(fit);
  if (minds_slow_hosts() && turn_++ % kSlowEvery == 0) slow_ = fit.slow();
  if (own_zone_ != 0) keep_to_zone(fit);
  switch (config_.routing.balancing) {
    case config::Balancing::kLeastConnections:
      return stays_from == base::Time{} ? least_connections(fit)
                                        : fewest_residents(fit, stays_from);
    case config::Balancing::kRoundRobin:
      return round_robin(fit);
    case config::Balancing::kRandom:
      return random(fit);
    case config::Balancing::kLeastLatency:
      return least_latency(fit);
    case config::Balancing::kClientAddressHash:
      return rendezvous(fit.bits, client_hash);
  }
  return -1;
}

void Balancer::leave_silent(Candidates& candidates) const {
  std::uint64_t silent = 0;
  each(candidates.bits, [&](std::size_t i) {
    if (may_hang(candidates.load(i), config_)) silent |= bit(i);
  });
  if (silent != candidates.bits) candidates.bits &= ~silent;
}

void Balancer::keep_to_zone(Candidates& candidates) {
  const std::uint64_t zone = with_room_in_zone(candidates);
  if ((zone & ~slow_) == 0 || looks_beyond(candidates, zone)) return;
  candidates.bits = zone;
}

// Now and then, where the zone's hosts may be slow and no other one was ever measured.
bool Balancer::looks_beyond(const Candidates& candidates, std::uint64_t zone) {
  if (!minds_slow_hosts()) return false;
  bool suspicious = true, beyond = false, known = false;
  each(candidates.bits, [&](std::size_t i) {
    const double typical = candidates.load(i).latency.typical;
    if ((zone & bit(i)) != 0) {
      suspicious = suspicious && typical > kSlowByUs;
    } else {
      beyond = true;
      known = known || typical != 0;
    }
  });
  return suspicious && beyond && !known && takes_part(kSlowShare);
}

std::uint64_t Balancer::with_room_in_zone(const Candidates& candidates) const {
  std::uint64_t found = 0;
  each(candidates.bits & own_zone_, [&](std::size_t i) {
    const HostLoad& load = candidates.load(i);
    const double weighs = weight(candidates, i) * candidates.hosts[i].share;
    const double room = config_.routing.zone_active_max * weighs;
    if (!load.full && load.active < room) found |= bit(i);
  });
  return found;
}

int Balancer::round_robin(const Candidates& candidates) {
  const std::uint64_t behind = next_ < kHostsMax ? candidates.bits & ~(bit(next_) - 1) : 0;
  int first = -1, chosen = -1;
  for (std::uint64_t left : {behind, candidates.bits & ~behind}) {
    for (; left != 0 && chosen < 0; left &= left - 1) {
      const int i = std::countr_zero(left);
      if (first < 0) first = i;
      if (takes_part(candidates.hosts[static_cast<std::size_t>(i)].share)) chosen = i;
    }
  }
  if (chosen < 0) chosen = first;  // all were passed over
  next_ = static_cast<std::size_t>(chosen) + 1;
  return chosen;
}

// Equals by smooth weighted round robin (nginx): all earn their weight, the chosen one pays for
// all. The credit is bounded, so that a host that returns is not flooded. One without a connection
// is always an equal, whatever its weight: else a light one would get nothing from few clients.
int Balancer::least_connections(const Candidates& candidates) {
  std::array<double, kHostsMax> load;  // with this read, by weight; 0 = always an equal
  double least = std::numeric_limits<double>::infinity(), earned = 0;
  each(candidates.bits, [&](std::size_t i) {
    const HostLoad& now = candidates.load(i);
    const double of_slow = share_if_slow(i);
    const bool slow = of_slow < 1;
    const double weighs = weight(candidates, i) * candidates.hosts[i].share * of_slow;
    earned += weighs;
    credit_[i] += weighs;
    const double with_this = (now.active + 1.0) / weighs;
    // What a slow one is trying to answer must not keep it from being tried again.
    load[i] = slow || now.active == 0 ? 0 : with_this;
    if (!slow) least = std::min(least, with_this);
  });
  int best = -1;
  each(candidates.bits, [&](std::size_t i) {
    credit_[i] = std::clamp(credit_[i], -kMaxCredit * earned, kMaxCredit * earned);
    if (load[i] > least * kNearlyEqual) return;
    if (best < 0 || credit_[i] > credit_[static_cast<std::size_t>(best)])
      best = static_cast<int>(i);
  });
  credit_[static_cast<std::size_t>(best)] -= earned;
  return best;
}

// Ties at random, so that the first sessions of several workers do not all go to one host.
int Balancer::fewest_residents(const Candidates& candidates, base::Time now) {
  while (!stays_.empty() && (now - stays_.front().first >= kStay || stays_.size() > kStaysMax)) {
    --residents_[stays_.front().second];
    stays_.pop_front();
  }
  double fewest = std::numeric_limits<double>::infinity();
  std::uint64_t equal = 0;
  each(candidates.bits, [&](std::size_t i) {
    const double of_slow = share_if_slow(i);
    // A slow one is looked at again now and then, all the same.
    const double weighs =
        weight(candidates, i) * candidates.hosts[i].share * (takes_part(of_slow) ? 1 : of_slow);
    const double with_this = (residents_[i] + 1) / weighs;
    if (with_this > fewest) return;
    equal = with_this < fewest ? bit(i) : equal | bit(i);
    fewest = with_this;
  });
  const std::size_t chosen =
      nth(equal, next_random() % static_cast<unsigned>(std::popcount(equal)));
  ++residents_[chosen];
  stays_.emplace_back(now, chosen);
  return static_cast<int>(chosen);
}

int Balancer::random(const Candidates& candidates) {
  const auto weight_of = [&](std::size_t i) {
    return weight(candidates, i) * candidates.hosts[i].share;
  };
  double total = 0;
  each(candidates.bits, [&](std::size_t i) { total += weight_of(i); });
  double left = next_unit() * total;
  int chosen = -1;
  each(candidates.bits, [&](std::size_t i) {
    if (chosen >= 0 && left < 0) return;  // rounding may leave a little at the end: the last one
    chosen = static_cast<int>(i);
    left -= weight_of(i);
  });
  return chosen;
}

int Balancer::least_latency(const Candidates& candidates) {
  const std::uint64_t fast = candidates.bits & ~slow_;
  const std::uint64_t drawn = fast == 0 || takes_part(kSlowShare) ? candidates.bits : fast;
  const auto count = static_cast<std::uint64_t>(std::popcount(drawn));
  if (count == 1) return std::countr_zero(drawn);
  const std::uint64_t random = next_random();
  // The halves, each taken to a range: the second is of the others.
  const std::uint64_t first = (random >> 32) * count >> 32;
  const std::uint64_t other = (random & 0xffffffffu) * (count - 1) >> 32;
  const std::size_t a = nth(drawn, first);
  const std::size_t b = nth(drawn & ~bit(a), other);
  const bool with_a = takes_part(candidates.hosts[a].share);
  const bool with_b = takes_part(candidates.hosts[b].share);
  if (with_a != with_b) return static_cast<int>(with_a ? a : b);
  const double latency_a = candidates.latency(a), latency_b = candidates.latency(b);
  const auto cost = [&](std::size_t i, double own, double other_one) {
    const double latency = own > 0 ? own : other_one > 0 ? other_one : 1;
    return latency * (candidates.active(i) + 1) / weight(candidates, i);
  };
  return static_cast<int>(cost(b, latency_b, latency_a) < cost(a, latency_a, latency_b) ? b : a);
}

}  // namespace route
