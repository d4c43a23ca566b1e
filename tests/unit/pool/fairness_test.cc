// Permits between the pools of several workers: who gives, who gets, and nobody waits for ever.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "fixture.h"

using namespace pool;
using Kind = Pool::Kind;

TEST_CASE("fairness: a worker with an idle server gives its permit to one that waits") {
  Permits permits(2, 0);
  Rig a({&permits}), b({&permits});
  TestServer& s1 = a.lease(at(0));
  TestServer& s2 = a.lease(at(0));
  a.release(s1, at(5));
  TestWaiter w;
  CHECK(b.pool.acquire(w, 0, at(10)).kind == Kind::kWait);
  CHECK(b.pool.starving());
  CHECK(a.pool.others_starve());
  CHECK_FALSE(b.pool.others_starve());
  // What was used just now is used again soon.
  CHECK(a.pool.surplus(at(14), milliseconds(0)) == nullptr);
  CHECK(a.pool.surplus(at(15), milliseconds(0)) == &s1);
  // One is enough, also before it is closed, and before the other worker has noticed.
  CHECK_FALSE(a.release(s2, at(21)));
  CHECK(a.pool.surplus(at(21), milliseconds(0)) == nullptr);
  a.pool.closed(s1);
  CHECK(a.pool.surplus(at(22), milliseconds(0)) == nullptr);

  CHECK(b.pool.may_open(at(23)));
  CHECK_FALSE(b.pool.starving());
  CHECK_FALSE(permits.starving());
  TestServer& s3 = b.open(at(23));
  bool close_it = false;
  CHECK(b.pool.ready(s3, at(24), close_it).waiter == &w);
  a.pool.invariants();
  b.pool.invariants();
}

TEST_CASE("fairness: the last server, in use, goes only when the others have none and wait long") {
  Permits permits(1, 0);
  Rig a({&permits}), b({&permits});
  TestServer& s = a.lease(at(0));
  TestWaiter w;
  CHECK(b.pool.acquire(w, 0, at(10)).kind == Kind::kWait);
  for (const int now : {30, 110}) {
    CHECK_FALSE(a.release(s, at(now)));
    CHECK(a.pool.surplus(at(now), milliseconds(0)) == nullptr);
    TestWaiter again;
    CHECK(a.pool.acquire(again, 0, at(now)).server == &s);
  }
  CHECK(a.release(s, at(111)));
  // What is free now is not taken by a younger wait.
  TestWaiter late;
  CHECK(a.pool.acquire(late, 0, at(112)).kind == Kind::kWait);
  CHECK(b.pool.may_open(at(113)));
  b.open(at(113));
  CHECK_FALSE(a.pool.may_open(at(114)));
  a.pool.cancel(late);
  b.pool.cancel(w);
}

TEST_CASE("fairness: a server that was idle for a while goes at once to who has none") {
  Permits permits(1, 0);
  Rig a({&permits}), b({&permits});
  a.release(a.lease(at(0)), at(1));
  TestWaiter w;
  CHECK(b.pool.acquire(w, 0, at(250)).kind == Kind::kWait);
  Server* s = a.pool.surplus(at(250), milliseconds(0));
  REQUIRE(s != nullptr);
  a.pool.closed(*s);
  CHECK(b.pool.may_open(at(261)));
  b.open(at(261));
  b.pool.cancel(w);
}

TEST_CASE("fairness: servers for clients: evened out, not turned over") {
  Permits permits(4, 0);
  Rig a({&permits}), b({&permits});
  TestServer* s[4];
  for (auto& server : s) server = &a.lease(at(0));
  TestWaiter in_a[4], in_b[8];
  for (auto& w : in_a) a.pool.acquire(w, 0, at(0));  // 8 clients, 4 servers
  for (auto& w : in_b) b.pool.acquire(w, 0, at(0) - milliseconds(1));
  const auto give = [&](TestServer& from, base::Time now) {
    bool close_it = false;
    const auto grant = a.pool.ready(from, now, close_it);
    if (grant.waiter != nullptr) {
      // As busy as before.
      a.pool.acquire(static_cast<TestWaiter&>(*grant.waiter), 0, now);
      return false;
    }
    CHECK(close_it);
    a.pool.closed(from);
    CHECK(b.pool.may_open(now));
    bool also_close = false;
    auto& opened = b.open(now);
    const auto got = b.pool.ready(opened, now, also_close);
    CHECK_FALSE(also_close);
    CHECK(got.waiter != nullptr);
    CHECK_FALSE(b.pool.may_open(now));
    return true;
  };
  CHECK(give(*s[0], at(20)));        // 3/8 > 0/8
  CHECK(give(*s[1], at(40)));        // 2/7 > 1/8
  CHECK_FALSE(give(*s[2], at(60)));  // 1/6 < 2/8
  while (a.pool.first_waiter() != nullptr) a.pool.cancel(*a.pool.first_waiter());
  while (b.pool.first_waiter() != nullptr) b.pool.cancel(*b.pool.first_waiter());
}

TEST_CASE("fairness: with enough permits free an older claim keeps nobody waiting") {
  Permits permits(1, 0);
  Rig a({&permits}), b({&permits});
  a.lease(at(0));
  TestWaiter w, late;
  CHECK(b.pool.acquire(w, 0, at(10)).kind == Kind::kWait);
  permits.resize(3, 0);
  CHECK(a.pool.acquire(late, 0, at(11)).kind == Kind::kOpen);  // one is left for b
  a.open(at(11));
  CHECK(b.pool.may_open(at(12)));
  b.open(at(12));
  a.pool.cancel(late);
  b.pool.cancel(w);
}

TEST_CASE("fairness: a worker whose own clients wait gives when others wait far longer") {
  Permits permits(1, 0);
  Rig a({&permits}), b({&permits});
  TestServer& s = a.lease(at(0));
  TestWaiter other, mine[3];
  CHECK(b.pool.acquire(other, 0, at(0)).kind == Kind::kWait);
  CHECK(a.pool.acquire(mine[0], 0, at(10)).kind == Kind::kWait);
  bool close_it = false;
  CHECK(a.pool.ready(s, at(80), close_it).waiter == &mine[0]);  // 80 against 70
  CHECK(a.pool.acquire(mine[1], 0, at(200)).kind == Kind::kWait);
  CHECK(a.pool.acquire(mine[2], 0, at(201)).kind == Kind::kWait);
  CHECK(a.pool.ready(s, at(230), close_it).waiter == nullptr);  // 230 against 30
  CHECK(close_it);
  a.pool.closed(s);
  CHECK_FALSE(a.pool.may_open(at(231)));  // does not take back what it gave
  CHECK(a.pool.starving());
  CHECK(b.pool.may_open(at(232)));
  TestServer& s2 = b.open(at(232));
  CHECK(b.pool.ready(s2, at(240), close_it).waiter == &other);
  // And back, in its turn.
  CHECK_FALSE(a.pool.may_open(at(241)));
  CHECK(b.release(s2, at(301)));
  CHECK(a.pool.may_open(at(302)));
  a.open(at(302));
  a.pool.cancel(mine[1]);
  a.pool.cancel(mine[2]);
}

TEST_CASE("fairness: pools that need several budgets do not block each other") {
  Permits p1(1, 0), p2(1, 0);
  Rig x({&p1, &p2}), y({&p2, &p1}), hold1({&p1}), hold2({&p2});
  TestServer& h1 = hold1.lease(at(0));
  TestServer& h2 = hold2.lease(at(0));
  TestWaiter wx, wy;
  CHECK(x.pool.acquire(wx, 0, at(1)).kind == Kind::kWait);
  CHECK(y.pool.acquire(wy, 0, at(2)).kind == Kind::kWait);
  hold1.pool.closed(h1);
  CHECK_FALSE(y.pool.may_open(at(3)));
  CHECK_FALSE(x.pool.may_open(at(3)));
  hold2.pool.closed(h2);
  CHECK_FALSE(y.pool.may_open(at(4)));
  CHECK(x.pool.may_open(at(4)));
  x.open(at(4));
  x.pool.cancel(wx);
  y.pool.cancel(wy);
}

namespace {

// One worker with `clients` that each want a server again 1 ms after they gave it back.
struct Worker {
  struct Client : Waiter {
    base::Time wants{};
    base::Time done{};
    Server* server = nullptr;
    int served = 0;
    base::Duration longest{};
  };
  Rig rig;
  std::deque<Client> clients;
  std::deque<std::pair<base::Time, TestServer*>> logging_in;
  int opened = 0;

  Worker(std::vector<Permits*> permits, std::size_t n) : rig(std::move(permits)), clients(n) {}

  void serve(Client& c, Server* s, base::Time now, base::Time asked) {
    c.server = s;
    c.done = now + milliseconds(2);
    c.longest = std::max(c.longest, now - asked);
    ++c.served;
  }
  void open(base::Time now) {
    ++opened;
    logging_in.emplace_back(now + milliseconds(5), &rig.open(now));
  }
  void became_ready(Server& s, base::Time now) {
    bool close_it = false;
    const auto grant = rig.pool.ready(s, now, close_it);
    if (close_it) rig.pool.closed(s);
    if (grant.waiter == nullptr) return;
    auto& c = static_cast<Client&>(*grant.waiter);
    serve(c, grant.server, now, c.waiting_since());
  }
  void step(base::Time now, bool sweep) {
    while (!logging_in.empty() && logging_in.front().first <= now) {
      TestServer* s = logging_in.front().second;
      logging_in.pop_front();
      became_ready(*s, now);
    }
    for (Client& c : clients) {
      if (c.server != nullptr && c.done <= now) {
        Server* s = c.server;
        c.server = nullptr;
        c.wants = now + milliseconds(1);
        became_ready(*s, now);
      }
      if (c.server == nullptr && !c.waiting() && c.wants <= now) {
        const auto a = rig.pool.acquire(c, 0, now);
        if (a.kind == Kind::kLease) serve(c, a.server, now, now);
        if (a.kind == Kind::kOpen) open(now);
      }
    }
    if (sweep) {
      while (Server* s = rig.pool.surplus(now, milliseconds(0))) rig.pool.closed(*s);
      while (rig.pool.may_open(now)) open(now);
    }
    rig.pool.invariants();
  }
};

}  // namespace

TEST_CASE("fairness: saturated workers share, whoever came first") {
  struct {
    std::uint32_t limit;
    std::size_t clients[3];
    bool wake;             // the others are told that a permit was given back
    std::int64_t wait_ms;  // nobody may wait longer
    int moves;             // connections opened in the time
    double share;          // of what one worker could serve
  } const cases[] = {
      {1, {20, 20, 20}, true, 700, 350, 0.8},   {1, {20, 20, 20}, false, 900, 350, 0.4},
      {4, {50, 50, 50}, true, 700, 60, 0.9},    {4, {50, 50, 50}, false, 700, 60, 0.9},
      {10, {100, 100, 10}, true, 500, 60, 0.9}, {9, {60, 20, 20}, true, 500, 60, 0.9},
  };
  for (const auto& c : cases) {
    CAPTURE(c.limit);
    Permits permits(c.limit, 0);
    std::deque<Worker> workers;
    int served = 0, opened = 0;
    {
      for (const std::size_t n : c.clients) workers.emplace_back(std::vector{&permits}, n);
      const std::int64_t end = 20'000;
      bool wake = false;
      for (std::int64_t ms = 0; ms < end; ++ms) {
        const bool sweep = ms % 50 == 0 || wake;
        const std::uint32_t before = permits.taken();
        // The first worker has a second for itself, and all permits.
        for (auto& w : workers) {
          if (&w == &workers[0] || ms >= 1000) w.step(at(ms), sweep);
        }
        wake = c.wake && permits.taken() < before;
        CHECK(permits.taken() <= c.limit);
      }
      base::Duration longest{};
      for (auto& w : workers) {
        opened += w.opened;
        for (auto& client : w.clients) {
          served += client.served;
          longest = std::max(longest, client.longest);
          CHECK(client.served > 10);
        }
      }
      CHECK(base::to_ms(longest) < c.wait_ms);
      CHECK(opened < c.moves);
      // A lease lasts 2 ms.
      CHECK(served > static_cast<double>(end) * c.limit / 2 * c.share);
      MESSAGE("limit ", c.limit, ": served ", served, ", opened ", opened, ", longest wait ",
              base::to_ms(longest), " ms");
    }
    for (auto& w : workers) {
      while (w.rig.pool.first_waiter() != nullptr) w.rig.pool.cancel(*w.rig.pool.first_waiter());
    }
  }
}

TEST_CASE("fairness: random use of shared budgets keeps every count, and ends") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 rng(seed);
    const auto below = [&](std::uint64_t n) { return static_cast<std::size_t>(rng() % n); };
    Permits own_a(static_cast<std::uint32_t>(1 + below(4)), 1), own_b(3, 0);
    Permits database(static_cast<std::uint32_t>(1 + below(5)), 0);
    std::deque<Worker> workers;
    // Two workers, two pools each.
    for (int i = 0; i < 2; ++i) {
      workers.emplace_back(std::vector{&own_a, &database}, 1 + below(8));
      workers.emplace_back(std::vector{&own_b, &database}, 1 + below(8));
    }
    for (std::int64_t ms = 0; ms < 3000; ++ms) {
      for (auto& w : workers) {
        if (below(3) != 0) w.step(at(ms), below(20) == 0);
        // Clients leave, servers break, both while they are used.
        auto& c = w.clients[below(w.clients.size())];
        if (below(50) == 0 && c.waiting()) {
          w.rig.pool.cancel(c);
          c.wants = at(ms + 5);
        }
        if (below(50) == 0 && c.server != nullptr) {
          w.rig.pool.closed(*c.server);
          c.server = nullptr;
          c.wants = at(ms);
        }
        if (below(80) == 0 && w.rig.pool.any_idle() != nullptr) {
          w.rig.pool.closed(*w.rig.pool.any_idle());
        }
      }
      if (below(500) == 0) database.resize(static_cast<std::uint32_t>(1 + below(6)), 0);
      std::uint32_t open = 0;
      for (auto& w : workers) {
        w.rig.pool.invariants();
        open += w.rig.pool.idle() + w.rig.pool.leased() + w.rig.pool.opening_count();
      }
      CHECK(database.taken() == open);
      CHECK(own_a.taken() + own_b.taken() == open);
    }
    for (auto& w : workers) {
      for (auto& c : w.clients) CHECK(c.served > 3);
      while (w.rig.pool.first_waiter() != nullptr) w.rig.pool.cancel(*w.rig.pool.first_waiter());
    }
    workers.clear();
    CHECK(database.taken() + own_a.taken() + own_b.taken() == 0);
    CHECK_FALSE(database.starving());
    CHECK_FALSE(database.claim());
  }
}

TEST_CASE("fairness: what comes free goes to the group that has the fewest servers") {
  Permits permits(4, 0);
  Rig rig({&permits});
  Pool& pool = rig.pool;
  TestServer* held[4];
  for (TestServer*& each : held) each = &rig.lease(at(0));  // all of group 0
  TestWaiter many[6], few[2], one;
  for (TestWaiter& each : many) CHECK(pool.acquire(each, 0, at(10)).kind == Kind::kWait);
  for (TestWaiter& each : few) {
    each.group = 2;
    CHECK(pool.acquire(each, 0, at(20)).kind == Kind::kWait);
  }
  one.group = 5;
  CHECK(pool.acquire(one, 0, at(30)).kind == Kind::kWait);
  pool.invariants();
  bool close_it = false;
  const auto next = [&](TestServer* server) {
    const Waiter* waiter = pool.ready(*server, at(40), close_it).waiter;
    pool.invariants();
    return waiter;
  };
  // What the groups have once it is released, and of those with the fewest the longest wait.
  CHECK(next(held[0]) == &few[0]);   // 3, 0, 0
  CHECK(next(held[1]) == &one);      // 2, 1, 0
  CHECK(next(held[2]) == &many[0]);  // 1, 1, 1
  CHECK(next(held[3]) == &many[1]);  // 1, 1, 1
  CHECK(next(held[1]) == &few[1]);   // 2, 1, 0, of which nobody waits
  pool.cancel(many[4]);              // in the middle, and at the end
  pool.cancel(many[5]);
  pool.invariants();
  CHECK(next(held[0]) == &many[2]);
  CHECK(next(held[2]) == &many[3]);
  CHECK(next(held[3]) == nullptr);
}

namespace {

// An owner's applications, each with so many clients.
using Crowd = std::vector<int>;

struct Sharer {
  TestWaiter waiter;
  Rig* rig = nullptr;
  Server* server = nullptr;
  std::int64_t until = 0;
  double* had = nullptr;  // of its application
};

// Owners of pools that share a budget, whose clients hold a server for a while and come back at
// once. Answers what each application had in use, on average of the second half. Clients are dealt
// out evenly, or, if `apart`, those of each owner's last application have a worker of their own.
std::vector<std::vector<double>> shares(const std::vector<Crowd>& owners, std::uint32_t limit,
                                        int workers, bool apart = false) {
  Permits shared(limit, 0);
  std::deque<Permits> own;
  std::deque<Rig> rigs;
  std::deque<Sharer> all;
  std::vector<std::vector<double>> had;
  for (const Crowd& owner : owners) had.emplace_back(owner.size());
  for (std::size_t o = 0; o < owners.size(); ++o) {
    own.emplace_back(0, 0);
    const std::size_t first = rigs.size();
    for (int i = 0; i < workers; ++i)
      rigs.emplace_back(std::vector<Permits*>{&own.back(), &shared});
    for (std::size_t group = 0; group < owners[o].size(); ++group) {
      const bool is_last = group + 1 == owners[o].size();
      for (int i = 0; i < owners[o][group]; ++i) {
        const int worker = !apart ? i % workers : is_last ? workers - 1 : i % (workers - 1);
        all.emplace_back();
        all.back().rig = &rigs[first + static_cast<std::size_t>(worker)];
        all.back().waiter.group = static_cast<std::uint16_t>(group);
        all.back().had = &had[o][group];
      }
    }
  }
  std::mt19937 random(7);
  constexpr std::int64_t kMs = 20'000;
  for (std::int64_t ms = 0; ms < kMs; ++ms) {
    const auto give = [&](const Pool::Grant& grant) {
      if (grant.waiter == nullptr) return;
      const auto got = std::find_if(all.begin(), all.end(), [&](const Sharer& client) {
        return &client.waiter == grant.waiter;
      });
      got->server = grant.server;
      got->until = ms + 2 + static_cast<std::int64_t>(random() % 6);
    };
    const auto ready = [&](Rig& rig, Server& server) {
      bool close_it = false;
      give(rig.pool.ready(server, at(ms), close_it));
      if (close_it) rig.pool.closed(server);
    };
    const auto open_all = [&](Rig& rig) {
      while (rig.pool.may_open(at(ms))) ready(rig, rig.open(at(ms)));
    };
    for (Sharer& client : all) {
      if (client.server != nullptr && client.until <= ms) {
        ready(*client.rig, *std::exchange(client.server, nullptr));
      }
      if (client.server != nullptr || client.waiter.waiting()) continue;
      const auto answer = client.rig->pool.acquire(client.waiter, 0, at(ms));
      if (answer.kind == Kind::kLease) {
        client.server = answer.server;
        client.until = ms + 2 + static_cast<std::int64_t>(random() % 6);
      }
      if (answer.kind == Kind::kOpen) ready(*client.rig, client.rig->open(at(ms)));
    }
    for (Rig& rig : rigs) {
      while (Server* surplus = rig.pool.surplus(at(ms), milliseconds(0))) rig.pool.closed(*surplus);
      open_all(rig);
      rig.pool.invariants();
    }
    CHECK(shared.taken() <= limit);
    if (ms < kMs / 2) continue;
    for (const Sharer& client : all) *client.had += client.server != nullptr ? 2.0 / kMs : 0;
  }
  for (Sharer& client : all) {
    if (client.waiter.waiting()) client.rig->pool.cancel(client.waiter);
  }
  return had;
}

}  // namespace

TEST_CASE("fairness: owners that share a budget have the same, or all they want") {
  for (const int workers : {1, 2, 4}) {
    CAPTURE(workers);
    const auto two = shares({{200}, {20}}, 10, workers);
    CHECK(two[0][0] > 4);
    CHECK(two[0][0] < 6.5);
    CHECK(two[1][0] > 3.5);
    const auto wants_less = shares({{200}, {1}}, 10, workers);
    CHECK(wants_less[1][0] > 0.5);
    CHECK(wants_less[1][0] < 1.5);
    CHECK(wants_less[0][0] > 8);
    const auto three = shares({{300}, {40}, {40}}, 12, workers);
    for (const auto& each : three) {
      CHECK(each[0] > 2.5);
      CHECK(each[0] < 6);
    }
    const auto turns = shares({{50}, {50}, {50}}, 2, workers);  // fewer than owners
    for (const auto& each : turns) CHECK(each[0] > 0.25);
  }
}

TEST_CASE("fairness: groups have the same wherever their clients are") {
  for (const int workers : {2, 4}) {
    CAPTURE(workers);
    const auto even = shares({{24, 8}}, 8, workers, true);
    CHECK(even[0][1] > 2.9);  // 2 by clients
    CHECK(even[0][1] < 4.6);
    CHECK(even[0][0] > 3.4);
    const auto wants_less = shares({{40, 40, 3}}, 16, workers, true);
    CHECK(wants_less[0][2] > 1.6);  // who waits for less than kLendAfter gets no more
    CHECK(wants_less[0][0] + wants_less[0][1] > 12);
    CHECK(std::abs(wants_less[0][0] - wants_less[0][1]) < 2);
  }
}

TEST_CASE("fairness: an owner's groups share what the owner has") {
  for (const int workers : {1, 2}) {
    CAPTURE(workers);
    // More names do not get more, and the same one with another owner does not count.
    const auto had = shares({{100, 20, 20, 20}, {40}}, 16, workers);
    for (const double each : had[0]) {
      CHECK(each > 1.2);
      CHECK(each < 3.5);  // whole servers of each worker
    }
    CHECK(had[1][0] > 6);
    CHECK(had[1][0] < 10);
  }
}
