// A model of a host under load, and what Spread finds for it.
#include "pool/spread.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>
#include <vector>

#include "fixture.h"

using namespace pool;
using namespace std::chrono_literals;

namespace {

// Clients that ask again as soon as they are answered. Beyond the number of cores each busy
// connection costs a part of what they can do, for changing between them.
struct Host {
  explicit Host(double cores_, std::size_t connections = 20)
      : cores(cores_), servers(connections) {}

  struct Read {
    double left_us;
    base::Time came;
    std::uint32_t turn;
  };
  static constexpr std::size_t kDepth = 8;
  double cores;
  double change_cost = 0.03;
  std::vector<std::deque<Read>> servers;
  Spread spread;
  std::size_t clients = 0;
  base::Time now = at(0);
  std::mt19937 random{7};
  std::uint32_t answers = 0, shared = 0;  // in the latest run()

  std::uint32_t busy() const {
    return static_cast<std::uint32_t>(
        std::ranges::count_if(servers, [](const auto& reads) { return !reads.empty(); }));
  }

  void ask() {
    Spread::Answer how;
    if (const auto many = busy(); spread.concerns(many, now)) how = spread.next(many, now);
    auto to = std::ranges::min_element(servers, {}, &std::deque<Read>::size);
    if (busy() >= how.over) {
      // Always the same ones, so that the others come free.
      std::uint32_t over = how.over;
      auto best = servers.end();
      for (auto at = servers.begin(); at != servers.end() && over != 0; ++at) {
        if (at->empty()) continue;
        --over;
        if (at->size() < (best == servers.end() ? kDepth : best->size())) best = at;
      }
      if (best != servers.end()) to = best;
      shared += best == servers.end() ? 0 : 1;
    }
    to->push_back({50 * std::exponential_distribution(1.0)(random), now, how.turn});
  }

  void run(std::size_t asking, base::milliseconds time) {
    constexpr auto kStep = 20us;
    answers = shared = 0;
    for (const auto end = now + time; now < end; now += kStep) {
      for (; clients < asking; ++clients) ask();
      const double many = busy();
      const double cost = 1 + change_cost * std::max(0.0, many - cores);
      const double done_us = 20 * std::min(1.0, cores / std::max(1.0, many)) / cost;
      for (auto& reads : servers) {
        if (reads.empty() || (reads.front().left_us -= done_us) > 0) continue;
        const Read read = reads.front();
        reads.pop_front();
        ++answers;
        --clients;
        if (read.turn != 0) spread.answered(read.turn, now - read.came);
      }
    }
  }
};

}  // namespace

TEST_CASE("spread: over few servers where few cores are all busy") {
  Host host(2);
  host.run(32, 200ms);
  const auto before = host.answers;
  host.run(32, 6000ms);
  CHECK(host.spread.limit() <= 10);
  CHECK(host.spread.limit() >= Spread::kLeast);
  host.run(32, 200ms);
  CHECK(host.answers > before * 1.2);
  CHECK(host.shared > host.answers / 2);
}

TEST_CASE("spread: over all where there are cores for all") {
  Host host(32);
  host.run(20, 5000ms);  // trials, ever more seldom
  CHECK(host.shared < host.answers / 5);
  host.run(20, 10000ms);
  CHECK(host.spread.limit() == Spread::kAll);
  CHECK(host.shared < host.answers / 20);
}

TEST_CASE("spread: a host that gets more cores is found out") {
  Host host(2);
  host.run(20, 6000ms);
  REQUIRE(host.spread.limit() <= 10);
  host.cores = 32;
  host.run(20, 12000ms);
  CHECK(host.spread.limit() >= 20);
}

TEST_CASE("spread: nothing is tried where few are busy, and a limit of a crowd goes with it") {
  Host host(2);
  host.run(4, 2000ms);
  CHECK(host.shared == 0);
  CHECK(host.spread.limit() == Spread::kAll);
  host.run(64, 6000ms);
  REQUIRE(host.spread.limit() <= 10);
  host.run(2, 3000ms);
  CHECK(host.shared == 0);
  host.run(8, 20ms);
  CHECK(host.spread.limit() == Spread::kAll);
}

namespace {

// Reads that come twenty to a millisecond while 20 servers are busy: so many of a thousand are late
// over all servers, and so many where they are sent behind one another.
struct Reads {
  int late_over_all, late_behind;
  Spread spread;
  base::Time now = at(0);
  std::mt19937 random{7};

  void run(base::milliseconds time) {
    for (const auto end = now + time; now < end; now += 50us) {
      if (!spread.concerns(20, now)) continue;
      const Spread::Answer how = spread.next(20, now);
      const bool behind = how.over < 20;
      const int late = behind ? late_behind : late_over_all;
      const bool is_late = static_cast<int>(random() % 1000) < late;
      const auto took = behind ? 700us : 1000us;
      if (how.turn != 0) spread.answered(how.turn, is_late ? 3000us : took);
    }
  }
};

}  // namespace

TEST_CASE("spread: what is sooner as a rule is not better where more are late") {
  Reads as_late{.late_over_all = 10, .late_behind = 5};
  as_late.run(20'000ms);
  CHECK(as_late.spread.limit() < 20);
  Reads later{.late_over_all = 10, .late_behind = 25};
  later.run(20'000ms);
  CHECK(later.spread.limit() == Spread::kAll);
  as_late.late_behind = 25;
  as_late.run(90'000ms);
  CHECK(as_late.spread.limit() >= 20);
}

TEST_CASE("spread: answers of another round do not count") {
  Spread spread;
  CHECK_FALSE(spread.concerns(Spread::kLeast, at(0)));
  std::uint32_t turn = 0;
  for (int i = 0; turn == 0; ++i) turn = spread.next(20, at(i)).turn;
  spread.answered(turn, 1h);
  spread.answered(0, 1h);
  spread.answered(turn + 64, 1h);
  // Away: the round begins anew, and what comes then is in order.
  CHECK(spread.next(20, at(500)).turn == 0);
  spread.answered(turn, 1h);
  CHECK(spread.limit() == Spread::kAll);
}
