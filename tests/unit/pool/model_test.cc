// Random calls, answer by answer against a model that is as plain as it can be.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <random>

#include "fixture.h"

using namespace pool;
using Kind = Pool::Kind;
using State = Server::State;

namespace {

constexpr milliseconds kReserveAfter(200);

struct Model {
  std::uint32_t limit = 0, reserve = 0, min = 0;
  std::deque<Server*> idle;  // latest first
  std::vector<Server*> leased, opening, leaving;
  std::deque<std::pair<Waiter*, base::Time>> waiting;

  std::size_t open() const { return idle.size() + leased.size() + opening.size() + leaving.size(); }
  std::size_t staying() const { return open() - leaving.size(); }
  bool may_open(base::Time now) const {
    if (waiting.size() <= opening.size()) return false;
    const bool long_wait = now - waiting.front().second >= kReserveAfter;
    return limit == 0 || open() < limit + (long_wait ? reserve : 0);
  }
  Server* best(std::uint64_t hash) const {
    const auto look = std::min<std::size_t>(idle.size(), Pool::kHashLook);
    const auto end = idle.begin() + static_cast<std::ptrdiff_t>(look);
    const auto equal =
        std::find_if(idle.begin(), end, [&](Server* s) { return s->settings_hash == hash; });
    return equal == end ? idle.front() : *equal;
  }
  bool closes() const {
    if (limit == 0) return false;
    return staying() > limit + (waiting.empty() ? 0 : reserve);
  }
};

class ModelTest {
 public:
  explicit ModelTest(std::uint64_t seed) : rng_(seed), waiters_(12) {
    model_.limit = static_cast<std::uint32_t>(below(6));  // 0 = unlimited
    model_.reserve = static_cast<std::uint32_t>(below(3));
    model_.min = static_cast<std::uint32_t>(below(3));
    permits_.resize(model_.limit, model_.reserve);
    rig_.pool.resize(sizes());
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      now_ += milliseconds(below(20));
      step();
      compare();
    }
  }

 private:
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(rng_() % n); }
  config::PoolSizes sizes() const { return {model_.limit, model_.min, model_.reserve}; }
  static void take(std::vector<Server*>& from, Server* s) {
    from.erase(std::find(from.begin(), from.end(), s));
  }
  void open() { model_.opening.push_back(&rig_.open(now_)); }

  void step() {
    switch (below(10)) {
      case 0:
      case 1:
      case 2:
        return acquire();
      case 3:
      case 4:
        return ready(model_.leased);
      case 5:
        return ready(model_.opening);
      case 6:
        return lose();
      case 7:
        return leave();
      case 8:
        return sweep();
      case 9:
        if (below(10) == 0) reload();
        return;
    }
  }

  void acquire() {
    TestWaiter& w = waiters_[below(waiters_.size())];
    if (w.waiting()) return;
    const std::uint64_t hash = below(4);
    if (!model_.idle.empty()) {
      Server* expected = model_.best(hash);
      const auto a = rig_.pool.acquire(w, hash, now_);
      CHECK(a.kind == Kind::kLease);
      REQUIRE(a.server == expected);
      CHECK_FALSE(w.waiting());
      model_.idle.erase(std::find(model_.idle.begin(), model_.idle.end(), expected));
      model_.leased.push_back(expected);
      return;
    }
    model_.waiting.emplace_back(&w, now_);
    const bool expected = model_.may_open(now_);
    const auto a = rig_.pool.acquire(w, hash, now_);
    REQUIRE(a.kind == (expected ? Kind::kOpen : Kind::kWait));
    CHECK(w.waiting());
    if (expected) open();
  }

  void ready(std::vector<Server*>& from) {
    if (from.empty()) return;
    Server* s = from[below(from.size())];
    const bool expected = model_.closes();
    bool close_it = !expected;
    const auto grant = rig_.pool.ready(*s, now_, close_it);
    CHECK(close_it == expected);
    take(from, s);
    if (expected) {
      model_.leaving.push_back(s);
      CHECK(grant.waiter == nullptr);
    } else if (model_.waiting.empty()) {
      model_.idle.push_front(s);
      s->settings_hash = below(4);
      CHECK(grant.waiter == nullptr);
    } else {
      CHECK(grant.waiter == model_.waiting.front().first);
      CHECK(grant.server == s);
      model_.waiting.pop_front();
      model_.leased.push_back(s);
    }
  }

  void lose() {
    if (!model_.leaving.empty()) {
      rig_.pool.closed(*model_.leaving.front());
      model_.leaving.erase(model_.leaving.begin());
      return;
    }
    if (below(4) != 0) return;
    auto& from = below(2) == 0 ? model_.leased : model_.opening;
    if (!from.empty()) {
      Server* s = from[below(from.size())];
      rig_.pool.closed(*s);
      take(from, s);
    } else if (!model_.idle.empty()) {
      REQUIRE(rig_.pool.any_idle() == model_.idle.back());
      rig_.pool.closed(*model_.idle.back());
      model_.idle.pop_back();
    }
  }

  void leave() {
    if (model_.waiting.empty()) return;
    if (below(2) == 0) {
      const base::Time deadline = now_ - milliseconds(below(300));
      while (Waiter* w = rig_.pool.expired(deadline)) {
        REQUIRE(!model_.waiting.empty());
        CHECK(model_.waiting.front().first == w);
        CHECK(model_.waiting.front().second < deadline);
        model_.waiting.pop_front();
      }
      if (!model_.waiting.empty()) CHECK(model_.waiting.front().second >= deadline);
      return;
    }
    const auto w =
        model_.waiting.begin() + static_cast<std::ptrdiff_t>(below(model_.waiting.size()));
    rig_.pool.cancel(*w->first);
    model_.waiting.erase(w);
  }

  void sweep() {
    const milliseconds idle_max(below(3) * 50);
    for (;;) {
      Server* expected = nullptr;
      if (!model_.idle.empty()) {
        Server* oldest = model_.idle.back();
        const bool idled = idle_max.count() != 0 && now_ - oldest->idle_since() >= idle_max &&
                           model_.staying() > model_.min;
        if (idled || (model_.limit != 0 && model_.staying() > model_.limit)) expected = oldest;
      }
      REQUIRE(rig_.pool.surplus(now_, idle_max) == expected);
      if (expected == nullptr) break;
      model_.idle.pop_back();
      model_.leaving.push_back(expected);
    }
    for (;;) {
      const bool expected = model_.may_open(now_);
      REQUIRE(rig_.pool.may_open(now_) == expected);
      if (!expected) break;
      open();
    }
  }

  void reload() {
    model_.limit = static_cast<std::uint32_t>(below(6));
    model_.reserve = static_cast<std::uint32_t>(below(3));
    permits_.resize(model_.limit, model_.reserve);
    rig_.pool.resize(sizes());
  }

  void compare() {
    rig_.pool.invariants();
    CHECK(rig_.pool.idle() == model_.idle.size());
    CHECK(rig_.pool.leased() == model_.leased.size());
    CHECK(rig_.pool.opening_count() == model_.opening.size());
    CHECK(rig_.pool.leaving() == model_.leaving.size());
    CHECK(rig_.pool.waiting() == model_.waiting.size());
    CHECK(permits_.taken() == model_.open());
    CHECK(rig_.pool.unused() == (model_.open() == 0 && model_.waiting.empty()));
    CHECK(rig_.pool.first_waiter() ==
          (model_.waiting.empty() ? nullptr : model_.waiting.front().first));
    for (Server* s : model_.leased) CHECK(s->pool_state() == State::kLeased);
    for (Server* s : model_.idle) CHECK(s->pool_state() == State::kIdle);
  }

  std::mt19937_64 rng_;
  Model model_;
  Permits permits_{0, 0};
  std::deque<TestWaiter> waiters_;
  Rig rig_{{&permits_}, {}, kReserveAfter};
  base::Time now_ = at(0);
};

}  // namespace

TEST_CASE("pool: as the model does") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    ModelTest(seed).run(2000);
  }
}
