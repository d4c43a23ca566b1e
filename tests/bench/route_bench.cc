// Nanoseconds per choice of a replica, by algorithm and number of replicas, and per reply noted.
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "config/words.h"
#include "route/balance.h"

namespace {

using Clock = std::chrono::steady_clock;

double ns_each(config::Balancing balancing, std::size_t replicas) {
  constexpr int kPicks = 5'000'000;
  config::Cluster config;
  config.hosts.resize(replicas + 1);
  config.routing.balancing = balancing;
  cluster::Snapshot snapshot;
  snapshot.hosts.resize(replicas + 1);
  std::vector<route::HostLoad> load(replicas + 1);
  for (std::size_t i = 1; i <= replicas; ++i) {
    snapshot.hosts[i].reads = true;
    load[i] = {.active = 3, .latency = {300.0 + static_cast<double>(i), 300}};
  }
  route::Balancer balancer(config, 1);
  std::size_t sink = 0;
  const auto begin = Clock::now();
  for (int i = 0; i < kPicks; ++i) {
    load[1].active = static_cast<std::uint32_t>(i & 3);
    sink +=
        static_cast<std::size_t>(balancer.pick(snapshot, load, 0, static_cast<std::uint64_t>(i)));
  }
  const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
  return sink == 0 ? 0 : took.count() / kPicks;
}

double ns_each_reply() {
  constexpr int kReplies = 20'000'000;
  route::Latency latency;
  const auto begin = Clock::now();
  for (int i = 0; i < kReplies; ++i) {
    latency = route::after_reply(latency, 300 + (i & 255), base::microseconds(i & 127));
  }
  const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
  return latency.peak == 0 ? 0 : took.count() / kReplies;
}

}  // namespace

int main() {
  std::printf("%-20s %9s %9s %9s\n", "replicas", "2", "3", "8");
  for (int i = 0; i < static_cast<int>(config::kBalancingWords.size()); ++i) {
    const auto balancing = static_cast<config::Balancing>(i);
    std::printf("%-20s", config::word(balancing).data());
    for (const std::size_t replicas : {2u, 3u, 8u})
      std::printf(" %9.1f", ns_each(balancing, replicas));
    std::printf("\n");
  }
  std::printf("%-20s %9.1f\n", "noting a reply", ns_each_reply());
}
