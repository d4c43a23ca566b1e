#include "route/balance.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "fixture.h"

using namespace route;
using config::Balancing;

namespace {

// How often each host is picked.
std::vector<int> spread(Scene& scene, int picks, std::vector<HostLoad> load = {},
                        cluster::Lsn at_least = 0) {
  Balancer balancer(scene.config, 42);
  std::vector<int> counts(scene.snapshot.hosts.size());
  for (int i = 0; i < picks; ++i) {
    const int host = balancer.pick(scene.snapshot, load, at_least, 0);
    REQUIRE(host >= 0);
    ++counts[static_cast<std::size_t>(host)];
  }
  return counts;
}

bool within(int count, double expected, double share) {
  return std::abs(count - expected) <= share * expected;
}

constexpr Balancing kAll[] = {Balancing::kLeastConnections, Balancing::kRoundRobin,
                              Balancing::kRandom, Balancing::kLeastLatency,
                              Balancing::kClientAddressHash};

}  // namespace

TEST_CASE("balance: only hosts that serve reads and are far enough, never the primary") {
  for (const Balancing balancing : kAll) {
    Scene scene(3);
    scene.config.routing.balancing = balancing;
    scene.snapshot.hosts[1].reads = false;
    scene.snapshot.hosts[2].lsn = 900;
    CHECK(spread(scene, 100, {}, 901) == std::vector<int>{0, 0, 0, 100});
    Balancer balancer(scene.config, 1);
    CHECK(balancer.pick(scene.snapshot, {}, 1001, 0) == -1);
    CHECK(balancer.pick(scene.snapshot, {}, 1000, 0) == 3);
    const cluster::Snapshot none;
    CHECK(balancer.pick(none, {}, 0, 0) == -1);
  }
}

TEST_CASE("balance: equals are served evenly, wherever the primary stands in the list") {
  for (const Balancing balancing : kAll) {
    if (balancing == Balancing::kClientAddressHash) continue;
    for (const std::size_t replicas : {2u, 3u, 5u}) {
      for (std::size_t primary = 0; primary <= replicas; ++primary) {
        CAPTURE(static_cast<int>(balancing));
        CAPTURE(primary);
        Scene scene(replicas);
        scene.config.routing.balancing = balancing;
        scene.snapshot.hosts[0].reads = true;
        scene.snapshot.hosts[primary].reads = false;
        const int n = 6000;
        const auto counts = spread(scene, n);
        for (std::size_t i = 0; i <= replicas; ++i) {
          if (i == primary) CHECK(counts[i] == 0);
          if (i != primary) CHECK(within(counts[i], n / static_cast<double>(replicas), 0.1));
        }
      }
    }
  }
}

TEST_CASE("balance: round robin takes turns exactly") {
  Scene scene(3);
  scene.config.routing.balancing = Balancing::kRoundRobin;
  Balancer b(scene.config, 1);
  std::vector<int> picked;
  for (int i = 0; i < 7; ++i) picked.push_back(b.pick(scene.snapshot, {}, 0, 0));
  CHECK(picked == std::vector<int>{1, 2, 3, 1, 2, 3, 1});
}

TEST_CASE("balance: least connections") {
  Scene scene(3);
  Balancer b(scene.config, 1);
  const std::vector<HostLoad> load{{0, 0}, {12, 0}, {4, 0}, {14, 0}};
  CHECK(b.pick(scene.snapshot, load, 0, 0) == 2);
  SUBCASE("a load that is too short means idle") {
    CHECK(b.pick(scene.snapshot, std::span(load).first(3), 0, 0) == 3);
  }
  SUBCASE("by weight") {
    scene.config.hosts[3].weight = 4;
    CHECK(b.pick(scene.snapshot, load, 0, 0) == 3);  // 14 / 4 < 4
  }
  SUBCASE("equals are served evenly, even if one is always fuller") {
    const auto counts = spread(scene, 600, {{0, 0}, {4, 0}, {4, 0}, {9, 0}});
    CHECK(counts == std::vector<int>{0, 200, 200, 200});
  }
  SUBCASE("who was away is not flooded when it returns") {
    scene.snapshot.hosts[3].reads = false;
    for (int i = 0; i < 1000; ++i) b.pick(scene.snapshot, {}, 0, 0);
    scene.snapshot.hosts[3].reads = true;
    int returned = 0;
    for (int i = 0; i < 60; ++i) returned += b.pick(scene.snapshot, {}, 0, 0) == 3;
    CHECK(returned <= 40);
  }
  SUBCASE("connections settle at the weights") {
    scene.config.hosts[1].weight = 1;
    scene.config.hosts[2].weight = 2;
    scene.config.hosts[3].weight = 3;
    std::vector<HostLoad> open(4);
    for (int i = 0; i < 600; ++i) {
      ++open[static_cast<std::size_t>(b.pick(scene.snapshot, open, 0, 0))].active;
    }
    CHECK(within(static_cast<int>(open[1].active), 100, 0.1));
    CHECK(within(static_cast<int>(open[2].active), 200, 0.1));
    CHECK(within(static_cast<int>(open[3].active), 300, 0.1));
  }
}

TEST_CASE("balance: random by weight") {
  Scene scene(3);
  scene.config.routing.balancing = Balancing::kRandom;
  scene.config.hosts[1].weight = 1;
  scene.config.hosts[2].weight = 3;
  scene.config.hosts[3].weight = 0.5;
  const auto counts = spread(scene, 45'000);
  CHECK(within(counts[1], 10'000, 0.05));
  CHECK(within(counts[2], 30'000, 0.05));
  CHECK(within(counts[3], 5'000, 0.05));
  // Another seed, another order.
  Balancer a(scene.config, 1), b(scene.config, 2);
  int differ = 0;
  for (int i = 0; i < 100; ++i) {
    if (a.pick(scene.snapshot, {}, 0, 0) != b.pick(scene.snapshot, {}, 0, 0)) ++differ;
  }
  CHECK(differ > 10);
}

TEST_CASE("balance: least latency") {
  Scene scene(3);
  scene.config.routing.balancing = Balancing::kLeastLatency;
  SUBCASE("mostly the fastest, the others now and then so that they are measured again") {
    const auto counts = spread(scene, 6400, {{0, 0}, {0, 900}, {0, 300}, {0, 600}});
    CHECK(counts[2] > 6000);
    CHECK(counts[1] > 20);
    CHECK(counts[3] > 20);
  }
  SUBCASE("a fast one that is full is left") {
    const auto counts = spread(scene, 6400, {{0, 0}, {9, 900}, {2, 300}, {0, 600}});
    CHECK(counts[3] > 6000);  // 600 * 1 < 300 * 3
  }
  SUBCASE("one not measured counts as the fastest") {
    const auto counts = spread(scene, 6400, {{0, 0}, {0, 900}, {0, 300}, {0, 0}});
    CHECK(within(counts[2], 3200, 0.1));
    CHECK(within(counts[3], 3200, 0.1));
  }
}

TEST_CASE("balance: a client's address keeps its replica, and only a lost one's clients move") {
  Scene scene(4);
  scene.config.routing.balancing = Balancing::kClientAddressHash;
  Balancer b(scene.config, 1);
  const int n = 8000;
  std::vector<int> home(n), counts(5);
  for (int client = 0; client < n; ++client) {
    // Neighbouring addresses: the hash need not be a good one.
    home[static_cast<std::size_t>(client)] =
        b.pick(scene.snapshot, {}, 0, static_cast<std::uint64_t>(client));
    ++counts[static_cast<std::size_t>(home[static_cast<std::size_t>(client)])];
  }
  for (std::size_t i = 1; i <= 4; ++i) CHECK(within(counts[i], n / 4.0, 0.1));
  scene.snapshot.hosts[2].reads = false;
  std::vector<int> moved(5);
  for (int client = 0; client < n; ++client) {
    const int now = b.pick(scene.snapshot, {}, 0, static_cast<std::uint64_t>(client));
    const int before = home[static_cast<std::size_t>(client)];
    if (before != 2) CHECK(now == before);
    if (before == 2) ++moved[static_cast<std::size_t>(now)];
  }
  for (const std::size_t i : {1u, 3u, 4u}) CHECK(within(moved[i], counts[2] / 3.0, 0.15));
}
