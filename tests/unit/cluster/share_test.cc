// The share of its weight that a replica gets: lag, and slow start after its return.
#include <doctest/doctest.h>

#include "fixture.h"

using namespace cluster;

namespace {

// A primary that writes a byte a millisecond, a replica beside it, sampled every 100 ms.
struct Replica {
  Tracker tracker;
  std::int64_t now_ms = 0;

  explicit Replica(std::int64_t slow_start_ms) : tracker(make(slow_start_ms)) {}
  static config::Cluster make(std::int64_t slow_start_ms) {
    auto config = make_config(2);
    config.routing.slow_start = milliseconds(slow_start_ms);
    return config;
  }

  // Time passes; the replica answers, `behind` ms of writes behind.
  Host run(std::int64_t ms, Lsn behind = 0) { return step(ms, behind, true); }
  Host run_dead(std::int64_t ms) { return step(ms, 0, false); }
  Host step(std::int64_t ms, Lsn behind, bool answers) {
    Host host;
    for (const auto end = now_ms + ms; now_ms < end;) {
      now_ms += 100;
      const Lsn lsn = 100'000 + static_cast<Lsn>(now_ms);
      tracker.on_sample(0, primary(now_ms, lsn));
      if (answers) tracker.on_sample(1, replica(now_ms, lsn - behind));
      if (!answers) tracker.on_failure(1, at(now_ms), "connection refused");
      host = tracker.publish(at(now_ms))->hosts[1];
    }
    return host;
  }
};

}  // namespace

TEST_CASE("share: falls evenly with lag, to a tenth at the limit") {
  Replica r(0);
  r.run(5000);
  CHECK(r.run(100).share == 1);
  double before = 1;
  for (const Lsn behind : {100u, 200u, 500u, 900u, 1000u}) {
    const Host host = r.run(1000, behind);
    CHECK(host.reads);
    CHECK(host.lag_ms == static_cast<std::int64_t>(behind));
    CHECK(host.share == doctest::Approx(1 - 0.9 * static_cast<double>(behind) / 1000));
    CHECK(host.share < before);
    before = host.share;
  }
  CHECK(r.run(1000).share == 1);
}

TEST_CASE("share: without a limit lag does not count") {
  config::Cluster config = make_config(2);
  config.routing.lag_max = {};
  Tracker tracker(config);
  Host host;
  for (int ms = 0; ms < 20'000; ms += 100) {
    tracker.on_sample(0, primary(ms, static_cast<Lsn>(100'000 + ms)));
    tracker.on_sample(1, replica(ms, static_cast<Lsn>(95'000 + ms)));
    host = tracker.publish(at(ms))->hosts[1];
  }
  CHECK(host.reads);
  CHECK(host.lag_ms > 4000);
  CHECK(host.share == 1);
}

TEST_CASE("share: rises evenly from a tenth after a return") {
  Replica r(10'000);
  CHECK(r.run(100).share == 1);  // the process has just begun
  CHECK(r.run(20'000).share == 1);
  CHECK_FALSE(r.run_dead(1000).reads);
  Host host = r.run(100);
  CHECK(host.reads);
  CHECK(host.share == doctest::Approx(0.1));
  CHECK(r.run(5000).share == doctest::Approx(0.55));
  CHECK(r.run(4900).share == doctest::Approx(0.991));
  CHECK(r.run(100).share == 1);
  CHECK(r.run(5000).share == 1);
  SUBCASE("again, each time") {
    r.run_dead(1000);
    CHECK(r.run(100).share == doctest::Approx(0.1));
  }
  SUBCASE("also when it was only too far behind") {
    CHECK_FALSE(r.run(2000, 1500).reads);
    host = r.run(100, 400);
    CHECK(host.reads);
    CHECK(host.share == doctest::Approx(0.1 * (1 - 0.9 * 0.4)));
  }
}

TEST_CASE("share: an absence of no more than one sample is none") {
  Replica r(10'000);
  r.run(20'000);
  const auto blip = [&] {
    r.tracker.on_connect_failure(1, at(r.now_ms + 10), "connection reset");
    CHECK_FALSE(r.tracker.publish(at(r.now_ms + 10))->hosts[1].reads);
    return r.run(100);
  };
  CHECK(blip().share == 1);
  // It does not end a slow start either, nor begin it anew.
  r.run_dead(1000);
  CHECK(r.run(5100).share == doctest::Approx(0.55));
  CHECK(blip().share == doctest::Approx(0.559));
}

TEST_CASE("share: a host that was not there at the start returns when it comes") {
  SUBCASE("soon") {
    Replica r(10'000);
    r.run_dead(9000);
    CHECK(r.run(100).share == 1);
  }
  SUBCASE("late") {
    Replica r(10'000);
    r.run_dead(11'000);
    CHECK(r.run(100).share == doctest::Approx(0.1));
  }
}

TEST_CASE("share: slow start can be off") {
  Replica r(0);
  r.run(20'000);
  r.run_dead(1000);
  CHECK(r.run(100).share == 1);
}
