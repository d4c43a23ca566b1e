#include "pool/pool.h"

#include <doctest/doctest.h>

#include "fixture.h"

using namespace pool;
using Kind = Pool::Kind;
using State = Server::State;

TEST_CASE("pool: the first client opens a server and gets it, then finds it idle") {
  Permits permits(2, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  CHECK(pool.unused());
  TestWaiter a;
  const auto answer = pool.acquire(a, 0, at(0));
  CHECK(answer.kind == Kind::kOpen);
  CHECK(answer.server == nullptr);
  CHECK(a.waiting());
  CHECK(a.waiting_in() == &pool);
  CHECK(a.waiting_since() == at(0));
  CHECK(permits.taken() == 1);
  CHECK_FALSE(pool.may_open(at(0)));  // one opening for one waiter, also before opening()
  TestServer& s = rig.open(at(1));
  CHECK(s.pool_state() == State::kOpening);
  CHECK(s.opened() == at(1));
  CHECK(pool.opening_count() == 1);
  CHECK_FALSE(pool.may_open(at(1)));
  pool.invariants();

  bool close_it = true;
  const auto grant = pool.ready(s, at(5), close_it);
  CHECK(grant.waiter == &a);
  CHECK(grant.server == &s);
  CHECK_FALSE(close_it);
  CHECK_FALSE(a.waiting());
  CHECK(s.pool_state() == State::kLeased);
  CHECK(pool.leased() == 1);
  pool.invariants();

  CHECK_FALSE(rig.release(s, at(9)));
  CHECK(s.pool_state() == State::kIdle);
  CHECK(s.idle_since() == at(9));
  CHECK(pool.idle() == 1);
  CHECK(pool.any_idle() == &s);

  const auto again = pool.acquire(a, 0, at(10));
  CHECK(again.kind == Kind::kLease);
  CHECK(again.server == &s);
  CHECK_FALSE(a.waiting());
  CHECK(permits.taken() == 1);
  pool.closed(s);
  CHECK(pool.unused());
  CHECK(permits.taken() == 0);
  pool.invariants();
}

TEST_CASE("pool: waiters are served first come, first served") {
  Permits permits(1, 0);
  Rig rig({&permits});
  TestServer& s = rig.lease(at(0));
  TestWaiter w[4];
  for (int i = 0; i < 4; ++i) CHECK(rig.pool.acquire(w[i], 0, at(i)).kind == Kind::kWait);
  CHECK(rig.pool.waiting() == 4);
  CHECK(rig.pool.first_waiter() == &w[0]);
  rig.pool.cancel(w[1]);
  rig.pool.invariants();
  for (const int i : {0, 2, 3}) {
    bool close_it = false;
    CHECK(rig.pool.ready(s, at(10 + i), close_it).waiter == &w[i]);
    CHECK_FALSE(close_it);
    rig.pool.invariants();
  }
  CHECK(rig.pool.waiting() == 0);
}

TEST_CASE("pool: the most recently used idle server first, one with equal settings before it") {
  Permits permits(0, 0);
  Rig rig({&permits});
  std::vector<TestServer*> s;
  for (int i = 0; i < 6; ++i) s.push_back(&rig.lease(at(0)));
  for (int i = 0; i < 6; ++i) {
    s[static_cast<std::size_t>(i)]->settings_hash = static_cast<std::uint64_t>(i);
    rig.release(*s[static_cast<std::size_t>(i)], at(i));
  }
  CHECK(rig.pool.any_idle() == s[0]);
  TestWaiter w;
  CHECK(rig.pool.acquire(w, 99, at(10)).server == s[5]);
  CHECK(rig.pool.acquire(w, 3, at(10)).server == s[3]);
  // Idle now, latest first: 4 2 1 0. All of these are looked at.
  CHECK(rig.pool.acquire(w, 0, at(10)).server == s[0]);
  for (const std::size_t i : {0u, 3u, 5u}) rig.release(*s[i], at(20));
  // 5 3 0 4 2 1: the fifth is not looked at any more.
  CHECK(rig.pool.acquire(w, 2, at(30)).server == s[5]);
  rig.pool.invariants();
}

TEST_CASE("pool: what need not wait gets an idle server, and a new one that nobody else wants") {
  Permits permits(2, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  CHECK(pool.lease_spare(0, at(0), 0) == nullptr);
  CHECK_FALSE(pool.starving());
  CHECK(pool.may_open_spare());
  CHECK_FALSE(pool.may_open_spare());  // one at a time
  TestServer& s = rig.open(at(0));
  CHECK_FALSE(pool.may_open_spare());
  bool close_it = true;
  CHECK(pool.ready(s, at(1), close_it).waiter == nullptr);
  CHECK_FALSE(close_it);
  s.kept = true;
  CHECK(pool.lease_spare(0, at(2), 0) == nullptr);
  s.kept = false;
  CHECK(pool.lease_spare(0, at(2), 0) == &s);
  CHECK(s.pool_state() == State::kLeased);
  CHECK(pool.lease_spare(0, at(3), 0) == nullptr);
  TestServer& other = rig.lease(at(3));
  CHECK(permits.taken() == 2);
  CHECK_FALSE(pool.may_open_spare());  // no permit is left
  TestWaiter waiter;
  CHECK(pool.acquire(waiter, 0, at(4)).kind == Kind::kWait);
  CHECK_FALSE(pool.may_open_spare());
  pool.cancel(waiter);
  pool.invariants();
  pool.closed(s);
  pool.closed(other);
  CHECK(permits.taken() == 0);
  pool.invariants();
}

TEST_CASE("pool: no more openings than waiters, no more servers than permits") {
  Permits permits(3, 0);
  Rig rig({&permits});
  TestWaiter w[5];
  int opens = 0;
  for (auto& waiter : w) {
    if (rig.pool.acquire(waiter, 0, at(0)).kind == Kind::kOpen) {
      rig.open(at(0));
      ++opens;
    }
  }
  CHECK(opens == 3);
  CHECK(rig.pool.opening_count() == 3);
  CHECK_FALSE(rig.pool.may_open(at(1)));
  CHECK(rig.pool.starving());
  // One fails: another may be tried.
  rig.pool.closed(*rig.servers[0]);
  CHECK(permits.taken() == 2);
  CHECK(rig.pool.may_open(at(2)));
  rig.open(at(2));
  // All leave while three open: what comes is idle.
  for (auto& waiter : w) rig.pool.cancel(waiter);
  CHECK_FALSE(rig.pool.starving());
  CHECK_FALSE(permits.starving());
  CHECK_FALSE(rig.pool.may_open(at(3)));
  for (std::size_t i = 1; i < 4; ++i) CHECK_FALSE(rig.release(*rig.servers[i], at(4)));
  CHECK(rig.pool.idle() == 3);
  rig.pool.invariants();
}

TEST_CASE("pool: a released server serves the waiter whose own is still opening") {
  Permits permits(2, 0);
  Rig rig({&permits});
  TestServer& first = rig.lease(at(0));
  TestWaiter w;
  CHECK(rig.pool.acquire(w, 0, at(1)).kind == Kind::kOpen);
  TestServer& second = rig.open(at(1));
  bool close_it = false;
  CHECK(rig.pool.ready(first, at(2), close_it).waiter == &w);
  CHECK(rig.pool.ready(second, at(3), close_it).waiter == nullptr);
  CHECK_FALSE(close_it);
  CHECK(rig.pool.idle() == 1);
}

TEST_CASE("pool: the reserve after a wait") {
  Permits permits(1, 2);
  SUBCASE("after the time") {
    Rig rig({&permits});
    TestServer& s = rig.lease(at(0));
    TestWaiter a, b;
    CHECK(rig.pool.acquire(a, 0, at(0)).kind == Kind::kWait);
    CHECK_FALSE(rig.pool.may_open(at(4999)));
    CHECK(rig.pool.may_open(at(5000)));
    TestServer& extra = rig.open(at(5000));
    CHECK(permits.taken() == 2);
    bool close_it = false;
    CHECK(rig.pool.ready(extra, at(5010), close_it).waiter == &a);
    // Clients wait: the reserve stays in use. Nobody waits: it is closed.
    CHECK(rig.pool.acquire(b, 0, at(5020)).kind == Kind::kWait);
    CHECK(rig.pool.ready(extra, at(5030), close_it).waiter == &b);
    CHECK(rig.release(extra, at(5040)));
    CHECK_FALSE(rig.release(s, at(5050)));
    CHECK(permits.taken() == 1);
  }
  SUBCASE("never") {
    Rig rig({&permits}, {}, milliseconds(0));
    rig.lease(at(0));
    TestWaiter a;
    CHECK(rig.pool.acquire(a, 0, at(0)).kind == Kind::kWait);
    CHECK_FALSE(rig.pool.may_open(at(1'000'000)));
    rig.pool.cancel(a);
  }
}

TEST_CASE("pool: every budget counts, and a failed attempt takes none") {
  Permits own(5, 0), database(2, 0), user(3, 0);
  Rig rig({&own, &database, &user});
  rig.lease(at(0));
  rig.lease(at(0));
  TestWaiter w;
  CHECK(rig.pool.acquire(w, 0, at(1)).kind == Kind::kWait);
  CHECK(own.taken() == 2);
  CHECK(user.taken() == 2);
  // Only what is lacking is asked of others.
  CHECK(database.starving());
  CHECK_FALSE(own.starving());
  CHECK_FALSE(user.starving());
  database.resize(3, 0);
  CHECK(rig.pool.may_open(at(2)));
  CHECK_FALSE(database.starving());
  rig.open(at(2));
  CHECK(own.taken() == 3);
  rig.pool.cancel(w);
}

TEST_CASE("pool: idle servers beyond min are closed after idle_max, oldest first") {
  Permits permits(0, 0);
  Rig rig({&permits}, {.size = 10, .min = 1, .reserve = 0});
  TestServer& a = rig.lease(at(0));
  TestServer& b = rig.lease(at(0));
  TestServer& c = rig.lease(at(0));
  rig.release(a, at(0));
  rig.release(b, at(10));
  rig.release(c, at(20));
  const milliseconds max(100);
  CHECK(rig.pool.surplus(at(99), max) == nullptr);
  CHECK(rig.pool.surplus(at(500), milliseconds(0)) == nullptr);
  CHECK(rig.pool.surplus(at(110), max) == &a);
  CHECK(a.pool_state() == State::kLeaving);
  CHECK(rig.pool.idle() == 2);
  CHECK(rig.pool.leaving() == 1);
  rig.pool.invariants();
  CHECK(rig.pool.surplus(at(110), max) == &b);
  CHECK(rig.pool.surplus(at(900), max) == nullptr);  // min, although two are not closed yet
  rig.pool.closed(a);
  rig.pool.closed(b);
  CHECK(rig.pool.surplus(at(900), max) == nullptr);
  rig.pool.resize({.size = 10, .min = 0, .reserve = 0});
  CHECK(rig.pool.surplus(at(900), max) == &c);
}

TEST_CASE("pool: min is opened once the pool was used, and counts all workers") {
  Permits permits(5, 0);
  Rig rig({&permits}, {.size = 5, .min = 2, .reserve = 0});
  Rig other({&permits}, {.size = 5, .min = 2, .reserve = 0});
  CHECK_FALSE(rig.pool.may_open_for_min());
  TestServer& s = rig.lease(at(0));
  CHECK(rig.pool.may_open_for_min());
  TestServer& extra = rig.open(at(0));
  CHECK_FALSE(rig.pool.may_open_for_min());
  CHECK_FALSE(rig.release(extra, at(1)));
  CHECK(rig.pool.idle() == 1);
  rig.pool.closed(extra);
  other.lease(at(2));
  CHECK_FALSE(rig.pool.may_open_for_min());
  rig.pool.closed(s);
  CHECK(rig.pool.may_open_for_min());
  rig.open(at(3));
}

TEST_CASE("pool: a smaller budget closes idle servers, and released ones too") {
  Permits permits(4, 1);
  Rig rig({&permits});
  TestServer* s[4];
  for (auto& server : s) server = &rig.lease(at(0));
  rig.release(*s[0], at(1));
  permits.resize(1, 1);
  CHECK(rig.pool.surplus(at(2), milliseconds(0)) == s[0]);
  CHECK(rig.pool.surplus(at(2), milliseconds(0)) == nullptr);
  rig.pool.closed(*s[0]);
  // Three are left of limit 1 and reserve 1. Beyond both even with clients waiting.
  TestWaiter w;
  CHECK(rig.pool.acquire(w, 0, at(3)).kind == Kind::kWait);
  bool close_it = false;
  CHECK(rig.pool.ready(*s[1], at(4), close_it).waiter == nullptr);
  CHECK(close_it);
  rig.pool.closed(*s[1]);
  CHECK(rig.pool.ready(*s[2], at(5), close_it).waiter == &w);
  CHECK_FALSE(close_it);
  CHECK(rig.release(*s[2], at(6)));
  CHECK_FALSE(rig.release(*s[3], at(7)));
  CHECK(permits.taken() == 1);
}

TEST_CASE("pool: waits that began before a deadline are handed out") {
  Permits permits(1, 0);
  Rig rig({&permits});
  rig.lease(at(0));
  TestWaiter w[3];
  for (int i = 0; i < 3; ++i) rig.pool.acquire(w[i], 0, at(i * 10));
  CHECK(rig.pool.expired(at(0)) == nullptr);
  CHECK(rig.pool.expired(at(15)) == &w[0]);
  CHECK_FALSE(w[0].waiting());
  CHECK(rig.pool.expired(at(15)) == &w[1]);
  CHECK(rig.pool.expired(at(15)) == nullptr);
  CHECK(rig.pool.waiting() == 1);
  REQUIRE(permits.claim());
  CHECK(permits.claim()->since == at(20));  // the longest that is left
  rig.pool.invariants();
  rig.pool.cancel(w[2]);
}

TEST_CASE("pool: a clock reading that is a little old does not jump the queue") {
  Permits permits(1, 0);
  Rig rig({&permits});
  rig.lease(at(0));
  TestWaiter a, b;
  rig.pool.acquire(a, 0, at(10));
  rig.pool.acquire(b, 0, at(9));
  CHECK(b.waiting_since() == at(10));
  rig.pool.invariants();
  rig.pool.cancel(a);
  rig.pool.cancel(b);
}

TEST_CASE("pool: servers may be lost in any state") {
  Permits permits(0, 0);
  Rig rig({&permits});
  TestServer& leased = rig.lease(at(0));
  TestServer& idle = rig.lease(at(0));
  rig.release(idle, at(1));
  TestServer& leaving = rig.lease(at(1));
  CHECK(&leaving == &idle);
  rig.release(leaving, at(2));
  CHECK(rig.pool.surplus(at(1000), milliseconds(1)) == &leaving);
  TestWaiter w;
  CHECK(rig.pool.acquire(w, 0, at(3)).kind == Kind::kOpen);
  TestServer& opening = rig.open(at(3));
  for (TestServer* s : {&leased, &leaving, &opening}) {
    rig.pool.closed(*s);
    CHECK(s->pool_state() == State::kClosed);
    rig.pool.invariants();
  }
  CHECK(permits.taken() == 0);
  CHECK(rig.pool.may_open(at(4)));  // for the one who still waits
  rig.open(at(4));
  rig.pool.cancel(w);
}

TEST_CASE("pool: what is kept for one client is not taken by another that has a choice") {
  Permits permits(3, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  TestServer& first = rig.lease(at(0));
  TestServer& second = rig.lease(at(0));
  first.kept = true;
  rig.release(second, at(1));
  rig.release(first, at(2));  // the latest used, but kept
  TestWaiter w;
  CHECK(pool.acquire(w, 0, at(3), Pool::Kept::kUnharmed).server == &second);
  rig.release(second, at(4));
  CHECK(pool.acquire(w, 0, at(5), Pool::Kept::kLost).server == &second);

  second.kept = true;
  rig.release(second, at(6));
  // Nothing is lost by a read: no new server for it.
  CHECK(pool.acquire(w, 0, at(7), Pool::Kept::kUnharmed).server == &second);
  rig.release(second, at(8));
  CHECK(pool.acquire(w, 0, at(9), Pool::Kept::kLost).kind == Kind::kOpen);
  TestServer& third = rig.open(at(9));
  pool.invariants();
  bool close_it = false;
  CHECK(pool.ready(third, at(10), close_it).waiter == &w);
  third.kept = true;
  rig.release(third, at(11));
  pool.invariants();

  // There is no room for a fourth: the one that nobody has used for longest.
  CHECK(pool.acquire(w, 0, at(12), Pool::Kept::kLost).server == &first);
  CHECK(permits.starving_count() == 0);
  CHECK(pool.lease(second, at(13), 0));
  pool.invariants();
}

TEST_CASE("pool: who had better get a new server makes do with a kept one when that fails") {
  Permits permits(2, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  TestServer& kept = rig.lease(at(0));
  kept.kept = true;
  rig.release(kept, at(1));
  TestWaiter w;
  CHECK(pool.acquire(w, 0, at(2), Pool::Kept::kLost).kind == Kind::kOpen);
  CHECK(pool.make_do(at(2)).waiter == nullptr);  // the new one is under way
  TestServer& fails = rig.open(at(2));
  CHECK(pool.make_do(at(3)).waiter == nullptr);
  pool.closed(fails);
  const Pool::Grant grant = pool.make_do(at(4));
  CHECK(grant.waiter == &w);
  CHECK(grant.server == &kept);
  CHECK(pool.make_do(at(4)).waiter == nullptr);
  pool.invariants();
}

TEST_CASE("pool: who gets a new server is not given one that comes back and is kept") {
  Permits permits(4, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  TestServer& idle = rig.lease(at(0));
  TestServer& busy = rig.lease(at(0));
  idle.kept = busy.kept = true;
  rig.release(idle, at(1));
  TestWaiter writer;
  CHECK(pool.acquire(writer, 0, at(2), Pool::Kept::kLost).kind == Kind::kOpen);
  rig.release(busy, at(3));
  pool.invariants();

  // Behind it waits somebody who does no harm.
  CHECK(pool.lease(busy, at(4), 0));
  CHECK(pool.lease(idle, at(4), 0));
  TestWaiter reader;
  CHECK(pool.acquire(reader, 0, at(4), Pool::Kept::kUnharmed).kind == Kind::kOpen);
  TestServer& opening = rig.open(at(4));
  bool close_it = false;
  CHECK(pool.ready(busy, at(5), close_it).waiter == &reader);
  CHECK(pool.ready(opening, at(6), close_it).waiter == &writer);
  pool.closed(rig.open(at(7)));  // the one for the reader

  // Nor where none was idle.
  CHECK(pool.acquire(writer, 0, at(7), Pool::Kept::kLost).kind == Kind::kOpen);
  rig.release(idle, at(7));
  pool.cancel(writer);
  pool.closed(rig.open(at(7)));

  // No new server is under way: what comes back will do.
  CHECK(pool.acquire(writer, 0, at(8), Pool::Kept::kLost).kind == Kind::kOpen);
  pool.closed(rig.open(at(8)));
  CHECK(pool.ready(busy, at(9), close_it).waiter == &writer);
  pool.invariants();
}

TEST_CASE("pool: a permit is given up by a kept server last") {
  Permits permits(3, 0);
  Rig rig({&permits});
  TestServer& oldest = rig.lease(at(0));
  TestServer& latest = rig.lease(at(0));
  oldest.kept = true;
  rig.release(oldest, at(1));
  rig.release(latest, at(2));
  permits.resize(1, 0);
  CHECK(rig.pool.surplus(at(3), milliseconds(0)) == &latest);
  rig.pool.closed(latest);
  CHECK(rig.pool.surplus(at(4), milliseconds(1)) == &oldest);
}

TEST_CASE("pool: a line has an end, in all workers together") {
  Permits permits(2, 0);
  const config::PoolSizes sizes{.size = 2, .waiting = 2};
  TestWaiter opens[2], waits[2], late, old;
  Rig one({&permits}, sizes), two({&permits}, sizes);
  // For these connections are being opened: they are not in line.
  CHECK(one.pool.acquire(opens[0], 0, at(0)).kind == Kind::kOpen);
  TestServer& first = one.open(at(0));
  CHECK(two.pool.acquire(opens[1], 0, at(0)).kind == Kind::kOpen);
  two.open(at(0));
  CHECK(one.pool.acquire(waits[0], 0, at(1)).kind == Kind::kWait);
  CHECK(two.pool.acquire(waits[1], 0, at(2)).kind == Kind::kWait);
  CHECK(permits.in_line() == 2);
  CHECK(one.pool.acquire(late, 0, at(3)).kind == Kind::kRefuse);
  CHECK_FALSE(late.waiting());
  CHECK(two.pool.acquire(late, 0, at(3)).kind == Kind::kRefuse);
  // Who stood in line elsewhere is not sent away.
  old.has_waited = true;
  CHECK(two.pool.acquire(old, 0, at(4)).kind == Kind::kWait);
  CHECK(permits.in_line() == 3);
  two.pool.cancel(old);
  // One place is free when one has left, or is served.
  two.pool.cancel(waits[1]);
  CHECK(one.pool.acquire(late, 0, at(5)).kind == Kind::kWait);
  bool close_it = false;
  CHECK(one.pool.ready(first, at(6), close_it).waiter == &opens[0]);
  CHECK(permits.in_line() == 2);
  CHECK(one.pool.ready(first, at(7), close_it).waiter == &waits[0]);
  CHECK(permits.in_line() == 1);
  one.pool.invariants();
  two.pool.invariants();
}
