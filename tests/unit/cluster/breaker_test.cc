#include "cluster/breaker.h"

#include <doctest/doctest.h>

#include "fixture.h"

using namespace cluster;
using State = Breaker::State;

namespace {

// One with its counts; random numbers are as the test says.
struct Fed {
  Breaker breaker;
  Traffic total{};
  config::Routing limits{};
  double random = 1;

  State good(std::uint64_t n, std::int64_t ms) {
    total.answered += n;
    if (n != 0) total.failed_in_row = 0;
    return tick(ms);
  }
  State bad(std::uint32_t n, std::int64_t ms) {
    total.failed += n;
    total.failed_in_row += n;
    return tick(ms);
  }
  State tick(std::int64_t ms) {
    breaker.on_traffic(total, at(ms), random, limits);
    return breaker.state();
  }
  State refused(std::int64_t ms) {
    breaker.on_refusal(at(ms), random, limits);
    return breaker.state();
  }
};

}  // namespace

TEST_CASE("breaker: failures in a row, and an answer in between") {
  Fed fed;
  CHECK(fed.bad(4, 0) == State::kClosed);
  CHECK(fed.good(1, 100) == State::kClosed);
  CHECK(fed.bad(4, 200) == State::kClosed);
  CHECK(fed.bad(1, 300) == State::kOpen);
  CHECK(fed.breaker.why(at(400)) == "breaker open for 400 ms: 5 requests in a row failed");
  SUBCASE("unless that is off") {
    Fed off;
    off.limits.breaker_failures = 0;
    off.limits.breaker_error_rate = 0;
    CHECK(off.bad(1000, 0) == State::kClosed);
  }
}

TEST_CASE("breaker: the share of failures, of enough requests, of late") {
  Fed fed;
  fed.limits.breaker_failures = 0;
  for (int i = 0; i < 9; ++i) {
    fed.good(1, i);
    CHECK(fed.bad(1, i) == State::kClosed);  // half of 18: too few to tell
  }
  fed.good(1, 50);
  CHECK(fed.bad(1, 60) == State::kOpen);
  CHECK(fed.breaker.why(at(60)) == "breaker open for 500 ms: 10 of 20 requests failed");
  SUBCASE("below it stays closed") {
    Fed less;
    less.limits.breaker_failures = 0;
    less.good(1000, 0);
    CHECK(less.bad(900, 100) == State::kClosed);
    CHECK(less.bad(100, 200) == State::kOpen);
  }
  SUBCASE("what is longer ago does not count, for better or worse") {
    Fed old;
    old.limits.breaker_failures = 0;
    old.good(1000, 0);
    CHECK(old.bad(19, 9'000) == State::kClosed);
    old.tick(10'500);
    CHECK(old.bad(1, 12'000) == State::kOpen);
    Fed worse;
    worse.limits.breaker_failures = 0;
    worse.bad(19, 0);
    CHECK(worse.bad(1, 30'000) == State::kClosed);
  }
}

TEST_CASE("breaker: half-open, a failure opens it again, three answers close it") {
  Fed fed;
  CHECK(fed.bad(5, 0) == State::kOpen);
  // What was begun before and ends now says nothing.
  CHECK(fed.bad(3, 100) == State::kOpen);
  CHECK(fed.good(100, 499) == State::kOpen);
  CHECK(fed.tick(500) == State::kHalfOpen);
  CHECK(fed.tick(60'000) == State::kHalfOpen);  // nobody asked
  SUBCASE("a failure") {
    CHECK(fed.bad(1, 60'100) == State::kOpen);
    CHECK(fed.breaker.why(at(60'100)) == "breaker open for 1000 ms: the probe failed");
  }
  SUBCASE("answers") {
    CHECK(fed.good(2, 60'100) == State::kHalfOpen);
    CHECK(fed.good(1, 60'200) == State::kClosed);
    CHECK(fed.breaker.why(at(60'200)).empty());
    CHECK(fed.bad(4, 60'300) == State::kClosed);
    // It closed: the pause is the first one again.
    CHECK(fed.bad(1, 60'400) == State::kOpen);
    CHECK(fed.tick(60'900) == State::kHalfOpen);
  }
}

TEST_CASE("breaker: the bound of its pause doubles, and the pause is random below it") {
  Fed fed;
  std::int64_t now = 0;
  for (const std::int64_t bound : {500, 1000, 2000, 4000, 8000, 16'000, 30'000, 30'000}) {
    CAPTURE(bound);
    fed.bad(5, now);
    REQUIRE(fed.breaker.state() == State::kOpen);
    CHECK(fed.tick(now + bound - 1) == State::kOpen);
    REQUIRE(fed.tick(now + bound) == State::kHalfOpen);
    now += bound;
  }
  fed.random = 0.5;
  fed.bad(1, now);
  CHECK(fed.tick(now + 14'999) == State::kOpen);
  CHECK(fed.tick(now + 15'000) == State::kHalfOpen);
  fed.random = 0;
  fed.bad(1, now + 15'000);
  CHECK(fed.tick(now + 15'099) == State::kOpen);  // no busy loop
  CHECK(fed.tick(now + 15'100) == State::kHalfOpen);
}

TEST_CASE("breaker: connections that are refused again") {
  Fed fed;
  CHECK(fed.refused(0) == State::kClosed);
  CHECK(fed.refused(6'000) == State::kClosed);
  fed.good(1, 7'000);  // an answer: it was nothing
  CHECK(fed.refused(8'000) == State::kClosed);
  CHECK(fed.refused(9'000) == State::kOpen);
  CHECK(fed.breaker.why(at(9'000)) == "breaker open for 500 ms: it could not be connected to");
  // All clients find out.
  for (int i = 0; i < 50; ++i) fed.refused(9'010);
  CHECK(fed.tick(9'500) == State::kHalfOpen);
  CHECK(fed.refused(20'000) == State::kOpen);
  CHECK(fed.tick(20'999) == State::kOpen);
  CHECK(fed.tick(21'000) == State::kHalfOpen);
  SUBCASE("unless that is off") {
    Fed off;
    off.limits.breaker_failures = 0;
    off.refused(0);
    CHECK(off.refused(10) == State::kClosed);
  }
}

TEST_CASE("breaker: counts that begin anew") {
  Fed fed;
  fed.good(1000, 0);
  fed.total = {};
  CHECK(fed.bad(4, 100) == State::kClosed);
  CHECK(fed.bad(1, 200) == State::kOpen);
}

TEST_CASE("breaker: of a replica it takes the reads, and lets a probe through") {
  const auto config = make_config(2);
  Tracker t(config);
  const auto sampled = [&](std::int64_t ms) {
    t.on_sample(0, primary(ms, 1000));
    t.on_sample(1, replica(ms, 1000));
    return t.publish(at(ms + 2));
  };
  REQUIRE(sampled(0)->hosts[1].reads);
  const Traffic bad{.answered = 10, .failed = 5, .failed_in_row = 5};
  t.on_traffic(1, bad, at(10));
  auto s = sampled(20);
  CHECK_FALSE(s->hosts[1].reads);
  CHECK(s->hosts[1].state == HostState::kUp);
  CHECK(s->hosts[1].breaker == State::kOpen);
  t.on_traffic(1, bad, at(600));  // at most 500 ms later
  s = sampled(610);
  CHECK(s->hosts[1].reads);
  CHECK(s->hosts[1].breaker == State::kHalfOpen);
  Traffic good = bad;
  good.answered += 3;
  t.on_traffic(1, good, at(700));
  CHECK(sampled(710)->hosts[1].breaker == State::kClosed);
  // The primary has nobody to stand in for it.
  t.on_traffic(0, bad, at(720));
  s = sampled(730);
  CHECK(s->primary == 0);
  CHECK(s->hosts[0].state == HostState::kUp);
}

TEST_CASE("breaker: what workers meet, and what a reload takes over") {
  const auto config = make_config(2);
  Tracker t(config);
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, replica(0, 1000));
  const auto met = [&](std::int64_t ms, Tracker::Met what) {
    // All its clients find out; then it answers its monitor.
    for (int i = 0; i < 20; ++i) t.on_connect_failure(1, at(ms), "refused", what);
    CHECK(t.publish(at(ms))->hosts[1].state == HostState::kDown);
    t.on_sample(0, primary(ms + 10, 1000));
    t.on_sample(1, replica(ms + 10, 1000));
    return t.publish(at(ms + 12))->hosts[1];
  };
  // An administrator who ends backends has said nothing about the host.
  for (int i = 0; i < 5; ++i) CHECK(met(100 + i * 20, Tracker::Met::kEnded).reads);
  CHECK(met(300, Tracker::Met::kRefused).reads);
  const Host host = met(400, Tracker::Met::kRefused);
  CHECK(host.breaker == State::kOpen);
  CHECK_FALSE(host.reads);
  Tracker next(config);
  next.adopt(t, at(450));
  CHECK_FALSE(next.publish(at(451))->hosts[1].reads);
}
