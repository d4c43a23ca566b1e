#include "pool/permits.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "fixture.h"

using namespace pool;

TEST_CASE("permits: limit and reserve") {
  Permits p(2, 1);
  CHECK(p.free(false) == 2);
  CHECK(p.free(true) == 3);
  CHECK(p.try_take(false));
  CHECK_FALSE(p.full(0));
  CHECK(p.try_take(false));
  CHECK(p.full(0));
  CHECK_FALSE(p.full(1));
  CHECK_FALSE(p.try_take(false));
  CHECK_FALSE(p.over_limit());
  CHECK(p.try_take(true));
  CHECK(p.over_limit());
  CHECK_FALSE(p.over_limit(1));
  CHECK_FALSE(p.over_reserve(0));
  CHECK_FALSE(p.try_take(true));
  CHECK(p.free(true) == 0);
  CHECK(p.taken() == 3);
  p.give_back();
  CHECK(p.taken() == 2);
  CHECK_FALSE(p.try_take(false));
  CHECK(p.try_take(true));
}

TEST_CASE("permits: unlimited") {
  Permits p(0, 5);
  for (int i = 0; i < 1000; ++i) CHECK(p.try_take(false));
  CHECK_FALSE(p.full(0));
  CHECK_FALSE(p.over_limit());
  CHECK(p.free(false) == UINT32_MAX);
}

TEST_CASE("permits: the largest limits do not wrap") {
  Permits p(UINT32_MAX, UINT32_MAX);
  CHECK(p.try_take(true));
  CHECK(p.free(true) == UINT32_MAX);
  CHECK(p.free(false) == UINT32_MAX - 1);
  CHECK_FALSE(p.over_limit(UINT32_MAX));
}

TEST_CASE("permits: a resize leaves taken ones taken") {
  Permits p(3, 0);
  for (int i = 0; i < 3; ++i) CHECK(p.try_take(false));
  p.resize(1, 1);
  CHECK(p.over_limit());
  CHECK(p.over_reserve(0));
  CHECK(p.taken() == 3);
  p.give_back();
  CHECK_FALSE(p.over_reserve(0));
  CHECK_FALSE(p.try_take(true));
  p.resize(4, 0);
  CHECK(p.try_take(false));
}

TEST_CASE("permits: one of each or none") {
  Permits a(2, 0), b(1, 0), c(2, 0);
  Permits* const all[] = {&a, &b, &c};
  CHECK(take_all(all, false));
  CHECK_FALSE(take_all(all, false));
  CHECK(a.taken() == 1);
  CHECK(b.taken() == 1);
  CHECK(c.taken() == 1);
  give_back_all(all);
  CHECK(a.taken() + b.taken() + c.taken() == 0);
  CHECK(take_all({}, false));
}

TEST_CASE("permits: the longest wait claims") {
  Permits p(1, 0);
  const auto since = [&] {
    const auto claim = p.claim();
    return claim ? claim->since : base::Time::max();
  };
  CHECK_FALSE(p.claim());
  p.starve({at(20), 1, 4});
  CHECK(since() == at(20));
  p.starve({at(10), 2, 8});
  CHECK(since() == at(10));
  CHECK(p.claim()->open == 2);
  CHECK(p.claim()->need == 8);
  p.starve({at(30), 3, 12});
  CHECK(since() == at(10));
  CHECK(p.claim()->open == 2);
  CHECK(p.starving_count() == 3);
  p.fed(at(10));
  CHECK_FALSE(p.claim());  // the others look again soon
  p.starve_on(at(30), {at(30), 3, 12});
  CHECK(since() == at(30));
  // Its longest waiter has gone.
  p.starve_on(at(30), {at(40), 4, 16, &p, 5});
  CHECK(since() == at(40));
  CHECK(p.claim()->open == 4);
  CHECK(p.claim()->need == 16);
  CHECK(p.claim()->total == 5);
  CHECK(p.claim()->owner == &p);
  p.starve_on(at(20), {at(25), 1, 4});
  CHECK(since() == at(25));
  p.fed(at(40) + 5 * Claim::kServerWeighs);
  CHECK(since() == at(25));
  p.fed(at(25));
  CHECK_FALSE(p.starving());
}

TEST_CASE(
    "permits: of two owners who has less claims, of one's workers who has less for his needs") {
  Permits shared(4, 0), first(0, 0), second(0, 0);
  const Claim rich{.since = at(10), .open = 1, .need = 9, .owner = &first, .total = 3};
  const Claim poor{.since = at(20), .open = 2, .need = 4, .owner = &second, .total = 1};
  const Claim younger{.since = at(30), .open = 2, .need = 4, .owner = &second, .total = 0};
  const Claim needier{.since = at(40), .open = 1, .need = 4, .owner = &second, .total = 1};
  CHECK(poor.is_before(rich));
  CHECK(younger.is_before(rich));
  CHECK(poor.is_before(younger));
  CHECK(needier.is_before(poor));
  CHECK_FALSE(poor.is_before(needier));
  for (const Claim& claim : {rich, poor, younger}) shared.starve(claim);
  CHECK(shared.claim()->since == at(20));
  CHECK(shared.claim()->owner == &second);
  shared.starve(needier);
  CHECK(shared.claim()->since == at(40));
  shared.fed(needier.rank());
  shared.starve_on(rich.rank(), rich);
  CHECK(shared.claim()->owner == &first);
  shared.starve_on(younger.rank(), younger);
  CHECK(shared.claim()->since == at(30));
}

TEST_CASE("permits: the level up to which groups get what they want") {
  Permits p(0, 0);
  for (int i = 0; i < 12; ++i) CHECK(p.try_take(false));
  CHECK(p.level() == Permits::kNoLevel);
  p.note_wanted(3, 0, 100);
  CHECK(p.level() == Permits::kNoLevel);  // it is alone
  p.note_wanted(255, 0, 40);
  CHECK(p.level() == 6 * Permits::kWhole);
  p.note_wanted(0, 0, 2);
  CHECK(p.level() == 5 * Permits::kWhole);  // 5, 5 and 2
  p.note_wanted(7, 0, 4);
  p.note_wanted(7, 0, 1);  // by another worker
  CHECK(p.wanted(7) == 5);
  CHECK(p.level() == 10 * Permits::kWhole / 3);  // a third each of what one leaves
  p.note_wanted(3, 100, 1);
  p.note_wanted(255, 40, 3);
  CHECK(p.level() >= 5 * Permits::kWhole);  // all have what they want
  p.note_wanted(255, 3, 0);
  p.note_wanted(7, 5, 0);
  p.note_wanted(0, 2, 0);
  CHECK(p.level() == Permits::kNoLevel);
}

TEST_CASE("permits: never too many, from many threads") {
  Permits own[2] = {{3, 0}, {5, 1}};
  Permits shared(6, 0);
  std::atomic<int> holders{0}, most{0};
  std::atomic<int> own_holders[2] = {0, 0};
  std::atomic<bool> wrong{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 rng(t);
      const std::size_t mine = t % 2;
      Permits* const all[] = {&own[mine], &shared};
      for (int i = 0; i < 20'000; ++i) {
        const bool reserve = rng() % 2 == 0;
        if (take_all(all, reserve)) {
          const int n = ++holders;
          if (n > 6 || ++own_holders[mine] > (mine == 0 ? 3 : 6)) wrong = true;
          int seen = most;
          while (n > seen && !most.compare_exchange_weak(seen, n)) {
          }
          if (rng() % 4 == 0) std::this_thread::yield();
          --own_holders[mine];
          --holders;
          give_back_all(all);
        } else {
          const base::Time since = at(static_cast<std::int64_t>(rng() % 1000));
          const base::Time later = since + milliseconds(1);
          shared.starve({since, 1, 2});
          const auto claim = shared.claim();
          if (shared.starving_count() == 0 || (claim && claim->need != 2)) wrong = true;
          shared.starve_on(since, {later, 1, 2});
          shared.fed(later);
        }
        if (rng() % 64 == 0) shared.resize(static_cast<std::uint32_t>(4 + rng() % 3), 0);
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK_FALSE(wrong);
  CHECK(most > 0);
  CHECK(own[0].taken() + own[1].taken() + shared.taken() == 0);
  CHECK_FALSE(shared.starving());
  CHECK_FALSE(shared.claim());
}
