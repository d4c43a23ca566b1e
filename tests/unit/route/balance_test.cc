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

TEST_CASE("balance: who is overdue and silent gets nothing while another one answers") {
  using base::milliseconds;
  for (const Balancing balancing : {Balancing::kLeastConnections, Balancing::kLeastLatency}) {
    CAPTURE(static_cast<int>(balancing));
    Scene scene(3);
    scene.config.routing.balancing = balancing;
    scene.config.monitor_timeout = milliseconds(1000);
    std::vector<HostLoad> load(4, HostLoad{.active = 1, .latency = {500, 500}});
    const auto of_first = [&](base::Duration silent, std::uint32_t overdue) {
      load[1].silent = silent;
      load[1].overdue = overdue;
      return spread(scene, 3000, load)[1];
    };
    CHECK(of_first(milliseconds(0), 0) > 900);
    CHECK(of_first(milliseconds(50), 1) > 900);
    CHECK(of_first(milliseconds(51), 1) == 0);
    CHECK(of_first(milliseconds(51), 0) > 900);  // what it does may take long
    CHECK(of_first(milliseconds(1999), 1) == 0);
    CHECK(of_first(milliseconds(2000), 1) > 900);  // its monitor has an answer
    for (HostLoad& each : load) each.silent = milliseconds(500), each.overdue = 1;
    CHECK(of_first(milliseconds(500), 1) > 900);  // somebody must do it
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
  const std::vector<HostLoad> load{{0}, {12}, {4}, {14}};
  CHECK(b.pick(scene.snapshot, load, 0, 0) == 2);
  SUBCASE("a load that is too short means idle") {
    CHECK(b.pick(scene.snapshot, std::span(load).first(3), 0, 0) == 3);
  }
  SUBCASE("by weight") {
    scene.config.hosts[3].weight = 4;
    CHECK(b.pick(scene.snapshot, load, 0, 0) == 3);  // 14 / 4 < 4
  }
  SUBCASE("equals are served evenly, even if one is always fuller") {
    const auto counts = spread(scene, 600, {{0}, {4}, {4}, {9}});
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

TEST_CASE("balance: a weight that was set counts in place of the configured one") {
  Scene scene(2);
  scene.config.hosts[1].weight = 4;
  scene.snapshot.hosts[2].weight = 8;
  scene.config.routing.balancing = Balancing::kRandom;
  CHECK(within(spread(scene, 30'000)[2], 20'000, 0.05));
  // With as many connections for each unit of weight the next read goes by weight.
  scene.config.routing.balancing = Balancing::kLeastConnections;
  CHECK(spread(scene, 300, {{}, {.active = 4}, {.active = 8}}) == std::vector<int>{0, 100, 200});
  // At equal latencies it pays for twice the connections.
  scene.config.routing.balancing = Balancing::kLeastLatency;
  CHECK(spread(scene, 100, {{}, {.active = 5}, {.active = 7}}) == std::vector<int>{0, 0, 100});
}

TEST_CASE("balance: least latency, the better of two") {
  Scene scene(3);
  scene.config.routing.balancing = Balancing::kLeastLatency;
  const int n = 6000;
  const auto host = [](std::uint32_t active, double peak) {
    return HostLoad{.active = active, .latency = {.peak = peak, .typical = peak}};
  };
  SUBCASE("each pair comes as often: the best wins two of three, the worst none") {
    const auto counts = spread(scene, n, {{}, host(0, 900), host(0, 300), host(0, 600)});
    CHECK(counts[1] == 0);
    CHECK(within(counts[2], n * 2 / 3.0, 0.05));
    CHECK(within(counts[3], n / 3.0, 0.05));
  }
  SUBCASE("a fast one that is full is left") {
    const auto counts = spread(scene, n, {{}, host(9, 900), host(2, 300), host(0, 600)});
    CHECK(counts[1] == 0);
    CHECK(counts[3] > counts[2]);  // 600 * 1 < 300 * 3
  }
  SUBCASE("a heavier one may be fuller") {
    scene.config.hosts[2].weight = 4;
    const auto counts = spread(scene, n, {{}, host(9, 900), host(2, 300), host(0, 600)});
    CHECK(counts[2] > counts[3]);  // 300 * 3 / 4 < 600
  }
  SUBCASE("one not measured counts as fast as the other") {
    const auto counts = spread(scene, n, {{}, host(0, 900), host(0, 300), host(0, 0)});
    CHECK(within(counts[1], n / 6.0, 0.1));
    CHECK(within(counts[2], n / 2.0, 0.1));
    CHECK(within(counts[3], n / 3.0, 0.1));
  }
  SUBCASE("what no reply confirms fades: the slowest is measured again") {
    std::vector<HostLoad> load{{}, host(0, 900), host(0, 300), host(0, 600)};
    load[1].unconfirmed = 2 * kLatencyMemory;  // 900 / e^2 < 300
    CHECK(within(spread(scene, n, load)[1], n * 2 / 3.0, 0.05));
  }
  SUBCASE("of two, always both") {
    scene.snapshot.hosts[3].reads = false;
    CHECK(spread(scene, n, {{}, host(0, 900), host(0, 300)}) == std::vector<int>{0, 0, n, 0});
  }
  SUBCASE("one alone") {
    scene.snapshot.hosts[2].reads = scene.snapshot.hosts[3].reads = false;
    CHECK(spread(scene, 10, {{}, host(50, 9e9)}) == std::vector<int>{0, 10, 0, 0});
  }
}

TEST_CASE("balance: the one that is slow is left out") {
  const auto typical = [](double us) { return HostLoad{.latency = {.peak = us, .typical = us}}; };
  const int n = 10'000;
  const std::vector<HostLoad> load{{}, typical(1000), typical(1000), typical(20'000)};
  for (const Balancing balancing : {Balancing::kLeastConnections, Balancing::kLeastLatency}) {
    CAPTURE(static_cast<int>(balancing));
    Scene scene(3);
    scene.config.routing.balancing = balancing;
    {  // but for few reads, which find out whether it still is
      std::vector<HostLoad> long_ago = load;
      long_ago[3].unconfirmed = base::seconds(60);
      const auto counts = spread(scene, n, long_ago);
      CHECK(counts[3] > 0);
      CHECK(counts[3] < n / 200);
      CHECK(within(counts[1], n / 2.0, 0.05));
      CHECK(within(counts[2], n / 2.0, 0.05));
    }
    {  // whatever the others have to do, and though it is still busy with what it got
      std::vector<HostLoad> busy = load;
      busy[1].active = busy[2].active = 50;
      busy[3].active = 1;
      const auto counts = spread(scene, n, busy);
      CHECK(counts[3] > 0);
      CHECK(counts[3] < n / 200);
    }
    {  // when it is fast again it gets its share, and no more
      Balancer b(scene.config, 1);
      for (int i = 0; i < n; ++i) b.pick(scene.snapshot, load, 0, 0);
      std::vector<HostLoad> again = load;
      again[3] = typical(1000);
      int returned = 0;
      for (int i = 0; i < 300; ++i) returned += b.pick(scene.snapshot, again, 0, 0) == 3;
      CHECK(returned > 70);
      CHECK(returned < 130);
    }
    {  // one that is faster than all others does not make them slow: it may fail at once
      const std::vector<HostLoad> fails{{}, typical(10), typical(20'000), typical(20'000)};
      scene.snapshot.hosts[1].reads = false;
      CHECK(within(spread(scene, n, fails)[3], n / 2.0, 0.05));
      scene.snapshot.hosts[1].reads = true;
      if (balancing == Balancing::kLeastConnections) {
        CHECK(within(spread(scene, n, fails)[3], n / 3.0, 0.05));
      }
    }
    {  // of two, too
      scene.snapshot.hosts[2].reads = false;
      CHECK(spread(scene, n, load)[3] < n / 100);
    }
  }
}

TEST_CASE("balance: by connections, what is a little slower is not left out") {
  Scene scene(3);
  const auto typical = [](double us) { return HostLoad{.latency = {.peak = us, .typical = us}}; };
  const std::vector<int> evenly{0, 1000, 1000, 1000};
  CHECK(spread(scene, 3000, {{}, typical(100), typical(100), typical(2000)}) == evenly);
  CHECK(spread(scene, 3000, {{}, typical(9000), typical(9000), typical(36'000)}) == evenly);
  CHECK(spread(scene, 3000, {{}, {}, {}, typical(1e6)}) == evenly);  // the others are not known
}

TEST_CASE("balance: with less than its full share a replica gets that share") {
  for (const Balancing balancing : kAll) {
    if (balancing == Balancing::kClientAddressHash) continue;
    for (const double share : {0.1, 0.5}) {
      CAPTURE(static_cast<int>(balancing));
      CAPTURE(share);
      Scene scene(3);
      scene.config.routing.balancing = balancing;
      scene.snapshot.hosts[2].share = share;
      const int n = 12'000;
      const double whole = n / (2 + share);
      const auto counts = spread(scene, n);
      // As one of two it is passed over for the other one: its share of a third.
      const bool of_two = balancing == Balancing::kLeastLatency;
      CHECK(within(counts[2], of_two ? n * share / 3 : share * whole, 0.1));
      CHECK(counts[1] > counts[2]);
      CHECK(counts[3] > counts[2]);
    }
  }
}

TEST_CASE("balance: a share is one of the others': alone a replica gets everything") {
  for (const Balancing balancing : kAll) {
    Scene scene(1);
    scene.config.routing.balancing = balancing;
    scene.snapshot.hosts[1].share = 0.01;
    CHECK(spread(scene, 100) == std::vector<int>{0, 100});
  }
}

TEST_CASE("balance: the own zone first") {
  for (const Balancing balancing : kAll) {
    CAPTURE(static_cast<int>(balancing));
    Scene scene(4);
    scene.config.routing.balancing = balancing;
    scene.config.routing.zone = "here";
    scene.config.routing.zone_active_max = 5;
    scene.config.hosts[1].zone = scene.config.hosts[2].zone = "here";
    scene.config.hosts[3].zone = "there";
    const auto other_zones = [&](std::vector<HostLoad> load) {
      int others = 0;
      Balancer b(scene.config, 7);
      for (std::uint64_t client = 0; client < 400; ++client) {
        others += b.pick(scene.snapshot, load, 0, client) > 2;
      }
      return others;
    };
    CHECK(other_zones({}) == 0);
    CHECK(other_zones({{}, {4}, {4}, {0}, {0}}) == 0);
    // One has room: it is the one.
    CHECK(other_zones({{}, {5}, {4}, {0}, {0}}) == 0);
    scene.config.hosts[2].weight = 2;
    CHECK(other_zones({{}, {5}, {9}, {0}, {0}}) == 0);
    CHECK(other_zones({{}, {5}, {10}, {0}, {0}}) > 0);
    CHECK(other_zones({{}, {.full = true}, {.full = true}, {0}, {0}}) > 0);
    CHECK(other_zones({{}, {.full = true}, {9}, {0}, {0}}) == 0);
    scene.snapshot.hosts[1].reads = false;
    CHECK(other_zones({}) == 0);
    scene.snapshot.hosts[2].lsn = 10;
    CHECK(Balancer(scene.config, 1).pick(scene.snapshot, {}, 11, 0) > 2);
    scene.snapshot.hosts[2].reads = false;
    CHECK(other_zones({}) == 400);
    scene.config.routing.zone = "elsewhere";
    scene.snapshot.hosts[1].reads = scene.snapshot.hosts[2].reads = true;
    CHECK(other_zones({}) > 0);
    scene.config.routing.zone = "";  // hosts in no zone are not in this one
    CHECK(other_zones({}) > 0);
    CHECK(other_zones({}) < 400);
  }
}

TEST_CASE("balance: what the own zone has no room for is served by all") {
  Scene scene(3);
  scene.config.routing.zone = "here";
  scene.config.routing.zone_active_max = 10;
  scene.config.hosts[1].zone = "here";
  Balancer b(scene.config, 1);
  std::vector<HostLoad> load(4);
  for (int i = 0; i < 12; ++i) {
    ++load[static_cast<std::size_t>(b.pick(scene.snapshot, load, 0, 0))].active;
  }
  CHECK(load[1].active == 10);
  CHECK(load[2].active == 1);
  CHECK(load[3].active == 1);
}

TEST_CASE("balance: a slow host of the own zone is found out by those of other zones") {
  const auto typical = [](double us) { return HostLoad{.latency = {.peak = us, .typical = us}}; };
  HostLoad slow = typical(20'000);
  slow.unconfirmed = base::seconds(60);
  const int n = 20'000;
  for (const Balancing balancing : {Balancing::kLeastConnections, Balancing::kLeastLatency}) {
    CAPTURE(static_cast<int>(balancing));
    Scene scene(4);
    scene.config.routing.balancing = balancing;
    scene.config.routing.zone = "here";
    scene.config.hosts[1].zone = scene.config.hosts[2].zone = "here";
    {  // one of two: the other one serves, and no other zone
      const auto counts = spread(scene, n, {{}, slow, typical(500), typical(900), typical(900)});
      CHECK(counts[1] > 0);
      CHECK(counts[1] < n / 100);
      CHECK(counts[3] + counts[4] == 0);
    }
    {  // both: the other zones serve, and whether they still are is asked now and then
      const auto counts = spread(scene, n, {{}, slow, slow, typical(900), typical(900)});
      CHECK(counts[1] + counts[2] > 0);
      CHECK(counts[1] + counts[2] < n / 50);
    }
    {  // of the others nothing is known: a few reads find out
      const auto counts = spread(scene, n, {{}, slow, slow, {}, {}});
      CHECK(counts[3] + counts[4] > 0);
      CHECK(counts[3] + counts[4] < n / 100);
    }
    {  // they are as slow, being far away
      const auto far = typical(30'000);
      const auto counts = spread(scene, n, {{}, slow, slow, far, far});
      CHECK(counts[3] + counts[4] == 0);
    }
    {  // those here are fast: nobody asks
      CHECK(spread(scene, n, {{}, typical(1900), typical(1900), {}, {}})[3] == 0);
    }
  }
  Scene scene(2);  // latency is none of the other algorithms' concerns
  scene.config.routing.balancing = Balancing::kRoundRobin;
  scene.config.routing.zone = scene.config.hosts[1].zone = "here";
  CHECK(spread(scene, 100, {{}, typical(20'000), typical(900)}) == std::vector<int>{0, 100, 0});
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

TEST_CASE("balance: a host that is half-open gets one read at a time") {
  for (const Balancing balancing : kAll) {
    CAPTURE(static_cast<int>(balancing));
    Scene scene(2);
    scene.config.routing.balancing = balancing;
    scene.snapshot.hosts[1].breaker = cluster::Breaker::State::kHalfOpen;
    std::vector<HostLoad> load(3);
    load[1].active = 1;
    CHECK(spread(scene, 100, load) == std::vector<int>{0, 0, 100});
    // One that has not answered for long is no probe: a session keeps it. The other one has as
    // many, or having none would be a reason to ask that.
    load[1].unconfirmed = base::seconds(2);
    load[2].active = 1;
    if (balancing != Balancing::kClientAddressHash) CHECK(spread(scene, 100, load)[1] > 0);
    load[1].unconfirmed = {};
    // It has its turn while nothing is asked of it; who stays with one host may have that one.
    load[1].active = 0;
    if (balancing != Balancing::kClientAddressHash) CHECK(spread(scene, 100, load)[1] > 0);
    // Nobody else: the rest is not for it.
    scene.snapshot.hosts[2].reads = false;
    load[1].active = 1;
    Balancer balancer(scene.config, 1);
    CHECK(balancer.pick(scene.snapshot, load, 0, 0) == -1);
    load[1].active = 0;
    CHECK(balancer.pick(scene.snapshot, load, 0, 0) == 1);
  }
}
