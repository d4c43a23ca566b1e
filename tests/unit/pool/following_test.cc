// Clients whose requests are sent behind others', on leased servers.
#include <doctest/doctest.h>

#include <random>

#include "fixture.h"

using namespace pool;
using Kind = Pool::Kind;

TEST_CASE("following: only where one would wait, and behind nobody who does") {
  Permits permits(2, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  CHECK_FALSE(pool.must_wait());  // one may be opened
  TestServer& first = rig.lease(at(0));
  TestServer& second = rig.lease(at(0));
  CHECK(pool.must_wait());
  pool.follow(0, at(1));
  pool.invariants();
  CHECK(pool.must_wait());  // and another one
  CHECK(pool.waiting() == 0);
  CHECK_FALSE(pool.unused());
  TestWaiter waiter;
  CHECK(pool.acquire(waiter, 0, at(2)).kind == Kind::kWait);
  CHECK_FALSE(pool.must_wait());
  pool.invariants();
  bool close_it = false;
  CHECK(pool.ready(first, at(3), close_it).waiter == &waiter);
  CHECK(pool.must_wait());
  pool.unfollow(0);
  pool.pass_on(second, 0);
  pool.invariants();
  rig.release(first, at(4));
  CHECK_FALSE(pool.must_wait());
  CHECK_FALSE(pool.starving());
  CHECK_FALSE(permits.starving());
}

TEST_CASE("following: it is a server that is wanted, of another worker if need be") {
  Permits permits(2, 0);
  Rig a({&permits}), b({&permits});
  TestServer& idle = a.lease(at(0));
  a.release(idle, at(5));
  TestServer& shared = b.lease(at(6));
  b.pool.follow(0, at(10));
  CHECK(b.pool.starving());
  CHECK(a.pool.others_starve());
  CHECK_FALSE(b.pool.may_open(at(11)));
  b.pool.invariants();
  CHECK(a.pool.surplus(at(200), milliseconds(0)) == &idle);  // not used of late
  a.pool.closed(idle);
  CHECK(b.pool.may_open(at(201)));
  CHECK_FALSE(b.pool.may_open(at(201)));  // one for one
  CHECK_FALSE(b.pool.starving());
  bool close_it = false;
  CHECK(b.pool.ready(b.open(at(201)), at(202), close_it).waiter == nullptr);  // its turn is to come
  CHECK(b.pool.idle() == 1);
  b.pool.unfollow(0);
  b.pool.pass_on(shared, 0);
  b.pool.invariants();
}

TEST_CASE("following: counts for its group") {
  Permits permits(3, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  TestServer* held[3];
  for (TestServer*& each : held) each = &rig.lease(at(0));
  pool.pass_on(*held[1], 1);
  pool.pass_on(*held[2], 1);
  pool.invariants();
  for (int i = 0; i < 3; ++i) pool.follow(0, at(1));
  TestWaiter of_zero, of_one;
  of_one.group = 1;
  CHECK(pool.acquire(of_zero, 0, at(2)).kind == Kind::kWait);
  CHECK(pool.acquire(of_one, 0, at(3)).kind == Kind::kWait);
  CHECK(pool.next_waiter() == &of_one);  // 2 to 4, though the other one has waited longer
  for (int i = 0; i < 3; ++i) pool.unfollow(0);
  CHECK(pool.next_waiter() == &of_zero);  // 2 to 1
  pool.cancel(of_zero);
  pool.cancel(of_one);
  CHECK(pool.next_waiter() == nullptr);
  pool.invariants();
}

TEST_CASE(
    "following: random use of shared budgets keeps every count, and nobody starves for ever") {
  std::mt19937_64 random(20);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 50; ++round) {
    Permits permits(static_cast<std::uint32_t>(1 + below(4)), 0);
    Rig rigs[2] = {Rig({&permits}), Rig({&permits})};
    TestWaiter waiters[2][6];
    std::vector<std::uint16_t> following[2];
    std::int64_t now = 0;
    for (int step = 0; step < 400; ++step) {
      now += static_cast<std::int64_t>(below(8));
      const std::size_t which = below(2);
      Rig& rig = rigs[which];
      Pool& pool = rig.pool;
      auto& followers = following[which];
      TestWaiter& waiter = waiters[which][below(6)];
      Server* leased = nullptr;
      for (auto& server : rig.servers) {
        if (server->pool_state() == Server::State::kLeased && below(2) == 0) leased = server.get();
      }
      switch (below(5)) {
        case 0:
          if (waiter.waiting()) break;
          waiter.group = static_cast<std::uint16_t>(below(3));
          if (pool.acquire(waiter, 0, at(now)).kind == Kind::kOpen) rig.open(at(now));
          break;
        case 1:
          if (!pool.must_wait() || leased == nullptr) break;
          followers.push_back(static_cast<std::uint16_t>(below(3)));
          pool.follow(followers.back(), at(now));
          break;
        case 2:
          if (followers.empty()) break;
          pool.unfollow(followers.back());
          if (leased != nullptr) pool.pass_on(*leased, followers.back());
          followers.pop_back();
          break;
        case 3:
          for (auto& server : rig.servers) {
            const bool opening = server->pool_state() == Server::State::kOpening;
            if (server.get() != leased && !opening) continue;
            bool close_it = false;
            pool.ready(*server, at(now), close_it);
            if (close_it) pool.closed(*server);
          }
          break;
        case 4:
          while (Server* surplus = pool.surplus(at(now), milliseconds(50))) pool.closed(*surplus);
          while (pool.may_open(at(now))) rig.open(at(now));
          break;
      }
      for (Rig& each : rigs) each.pool.invariants();
    }
    for (std::size_t i = 0; i < 2; ++i) {
      for (const auto group : following[i]) rigs[i].pool.unfollow(group);
      while (Waiter* left = rigs[i].pool.first_waiter()) rigs[i].pool.cancel(*left);
      rigs[i].pool.invariants();
    }
    CHECK_FALSE(permits.starving());
  }
}
