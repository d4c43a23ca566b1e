#include "cluster/tracker.h"

#include <doctest/doctest.h>

#include "fixture.h"

using namespace cluster;

TEST_CASE("tracker: roles by recovery, and versions grow") {
  const auto config = make_config(3);
  Tracker t(config);
  const auto first = t.publish(at(0));
  CHECK(first->primary == -1);
  REQUIRE(first->hosts.size() == 3);
  CHECK(first->hosts[0].state == HostState::kUnknown);
  CHECK(first->hosts[0].role == Role::kUnknown);
  CHECK(first->hosts[0].why == "not heard of yet");
  CHECK_FALSE(first->hosts[0].reads);
  CHECK(first->hosts[0].lag_ms == -1);

  t.on_sample(0, replica(0, 100));
  t.on_sample(1, primary(0, 100));
  t.on_sample(2, replica(0, 100));
  const auto s = t.publish(at(2));
  CHECK(s->version > first->version);
  CHECK(s->primary == 1);
  CHECK(s->hosts[1].name == "b");
  CHECK(s->hosts[1].role == Role::kPrimary);
  CHECK(s->hosts[1].state == HostState::kUp);
  CHECK(s->hosts[1].lag_ms == 0);
  CHECK(s->hosts[1].lag_bytes == 0);
  CHECK_FALSE(s->hosts[1].reads);
  CHECK(s->hosts[1].sampled == at(0));
  CHECK(s->hosts[1].timeline == 1);
  for (const int i : {0, 2}) {
    CHECK(s->hosts[static_cast<std::size_t>(i)].role == Role::kReplica);
    CHECK(s->hosts[static_cast<std::size_t>(i)].state == HostState::kUp);
    CHECK(s->hosts[static_cast<std::size_t>(i)].reads);
    CHECK(s->hosts[static_cast<std::size_t>(i)].lsn == 100);
    CHECK(s->hosts[static_cast<std::size_t>(i)].received_lsn == 101);
    CHECK(s->hosts[static_cast<std::size_t>(i)].why.empty());
  }
}

TEST_CASE("tracker: a failure is down at once, until a sample asked for after it") {
  const auto config = make_config(2);
  Tracker t(config);
  t.on_sample(0, primary(0, 100));
  t.on_sample(1, replica(0, 100));
  CHECK(t.publish(at(2))->hosts[1].reads);

  SUBCASE("of the replica, seen by a worker") {
    t.on_connect_failure(1, at(50), "connection refused");
    auto s = t.publish(at(51));
    CHECK(s->hosts[1].state == HostState::kDown);
    CHECK(s->hosts[1].why == "connection refused");
    CHECK_FALSE(s->hosts[1].reads);
    CHECK(s->hosts[1].lag_ms == -1);
    CHECK(s->primary == 0);
    t.on_sample(1, replica(40, 100));  // was asked before
    CHECK(t.publish(at(60))->hosts[1].state == HostState::kDown);
    t.on_sample(1, replica(100, 100));
    CHECK(t.publish(at(102))->hosts[1].reads);
  }
  SUBCASE("of the primary, seen by its monitor") {
    t.on_failure(0, at(50), "timeout");
    auto s = t.publish(at(51));
    CHECK(s->primary == -1);
    CHECK(s->hosts[0].state == HostState::kDown);
    CHECK(s->hosts[0].role == Role::kPrimary);  // what it last was
    CHECK(s->hosts[1].reads);
    CHECK_FALSE(s->primary_history.empty());
    t.on_sample(0, primary(100, 100));
    CHECK(t.publish(at(102))->primary == 0);
  }
}

TEST_CASE("tracker: silence is down") {
  const auto config = make_config(2);
  Tracker t(config);
  t.on_sample(0, primary(0, 100));
  t.on_sample(1, replica(0, 100));
  CHECK(t.publish(at(1001))->primary == 0);  // answered at 1, 1000 allowed
  const auto s = t.publish(at(1002));
  CHECK(s->primary == -1);
  CHECK(s->hosts[0].state == HostState::kDown);
  CHECK(s->hosts[0].why == "no answer for 1001 ms");
  CHECK(s->hosts[1].state == HostState::kDown);
}

TEST_CASE("tracker: an older sample of a host is ignored") {
  const auto config = make_config(1);
  Tracker t(config);
  t.on_sample(0, primary(100, 200));
  t.on_sample(0, primary(0, 100));
  CHECK(t.publish(at(101))->hosts[0].lsn == 200);
}

TEST_CASE("tracker: the first primary waits until all were heard of") {
  const auto config = make_config(3);
  Tracker t(config);
  t.publish(at(0));
  t.on_sample(0, primary(10, 100));  // an old primary may be the fastest to answer
  auto s = t.publish(at(12));
  CHECK(s->primary == -1);
  CHECK(s->hosts[0].state == HostState::kUnknown);
  CHECK_FALSE(s->hosts[0].why.empty());
  SUBCASE("the new one answers") {
    t.on_sample(1, primary(20, 90, {.timeline = 2}));
    t.on_failure(2, at(20), "refused");
    s = t.publish(at(22));
    CHECK(s->primary == 1);
    CHECK(s->hosts[0].state == HostState::kFenced);
    CHECK(s->hosts[0].why == "superseded by timeline 2 of b: this one is on 1");
  }
  SUBCASE("nobody else answers in time") {
    for (int ms = 110; ms < 1000; ms += 100) {
      t.on_sample(0, primary(ms, 100));
      CHECK(t.publish(at(ms + 2))->primary == -1);
    }
    t.on_sample(0, primary(999, 100));
    CHECK(t.publish(at(1000))->primary == 0);
  }
}

TEST_CASE("tracker: a promoted host wins over the old primary") {
  const auto config = make_config(3);
  Tracker t(config);
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, replica(0, 1000));
  t.on_sample(2, replica(0, 1000));
  CHECK(t.publish(at(2))->primary == 0);

  t.on_sample(1, primary(100, 1010, {.timeline = 2}));
  t.on_sample(0, primary(100, 1500));  // still there, and ahead
  t.on_sample(2, replica(100, 1400));  // and followed
  auto s = t.publish(at(102));
  CHECK(s->primary == 1);
  CHECK(s->hosts[0].state == HostState::kFenced);
  CHECK(s->hosts[0].why == "superseded by timeline 2 of b: this one is on 1");
  REQUIRE(s->primary_history.size() == 1);  // none of the old primary's
  CHECK(s->primary_history[0].lsn == 1010);
  // On the old branch 1400 is no position of the new one.
  CHECK(s->hosts[2].state == HostState::kRefused);
  CHECK(s->hosts[2].why == "still on timeline 1: the primary is on 2");
  CHECK_FALSE(s->hosts[2].reads);
  // Cut off from the old primary it cannot say where it is: still there.
  t.on_sample(2, replica(150, 1400, {.timeline = 0}));
  s = t.publish(at(152));
  CHECK(s->hosts[2].timeline == 1);
  CHECK_FALSE(s->hosts[2].reads);

  t.on_sample(2, replica(200, 1010, {.timeline = 2}));
  CHECK(t.publish(at(202))->hosts[2].reads);

  SUBCASE("the old one does not come back in while the new one is down") {
    t.on_failure(1, at(210), "refused");
    t.on_sample(0, primary(220, 1600));
    s = t.publish(at(222));
    CHECK(s->primary == -1);
    CHECK(s->hosts[0].state == HostState::kFenced);
    CHECK(s->hosts[2].reads);
  }
  SUBCASE("the old one comes back as a replica") {
    t.on_sample(0, replica(220, 1010, {.timeline = 2}));
    s = t.publish(at(222));
    CHECK(s->hosts[0].role == Role::kReplica);
    CHECK(s->hosts[0].reads);
  }
}

TEST_CASE("tracker: a replica on a newer timeline gives the old primary away") {
  const auto config = make_config(2);
  Tracker t(config);
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, replica(0, 900, {.timeline = 2}));
  auto s = t.publish(at(2));
  CHECK(s->primary == -1);
  CHECK(s->hosts[0].state == HostState::kFenced);
  CHECK(s->hosts[0].why == "superseded by timeline 2 of b: this one is on 1");
  // Rebuilt from the primary: the reason is gone.
  t.on_sample(1, replica(100, 1000));
  s = t.publish(at(102));
  CHECK(s->primary == 0);
}

TEST_CASE("tracker: two primaries on one timeline") {
  const auto config = make_config(3);
  Tracker t(config);
  SUBCASE("the one in use stays in use, also when the other is further") {
    t.on_sample(0, replica(0, 1000));
    t.on_sample(1, primary(0, 1000));
    t.on_sample(2, replica(0, 1000));
    CHECK(t.publish(at(2))->primary == 1);
    t.on_sample(0, primary(100, 2000));
    auto s = t.publish(at(102));
    CHECK(s->primary == 1);
    CHECK(s->hosts[0].state == HostState::kFenced);
    CHECK(s->hosts[0].why == "second primary on timeline 1: b is in use");
    // It stays out of use for as long as the other lives, and is then taken.
    t.on_failure(1, at(150), "refused");
    s = t.publish(at(151));
    CHECK(s->primary == 0);
    t.on_sample(1, primary(200, 1500));
    s = t.publish(at(202));
    CHECK(s->primary == 0);
    CHECK(s->hosts[1].state == HostState::kFenced);
  }
  SUBCASE("none was in use: none is") {
    t.on_sample(0, primary(0, 1000));
    t.on_sample(1, primary(0, 1000));
    t.on_sample(2, replica(0, 1000));
    auto s = t.publish(at(2));
    CHECK(s->primary == -1);
    CHECK(s->hosts[0].state == HostState::kFenced);
    CHECK(s->hosts[1].state == HostState::kFenced);
    CHECK(s->hosts[1].why == "one of several primaries on timeline 1, none of them known before");
    t.on_sample(1, replica(100, 1000));
    CHECK(t.publish(at(102))->primary == 0);
  }
}

TEST_CASE("tracker: fixed roles") {
  auto config = make_config(3);
  config.hosts[0].role = config::HostRole::kPrimary;
  config.hosts[1].role = config::HostRole::kReplica;
  Tracker t(config);
  t.on_sample(0, replica(0, 100));
  t.on_sample(1, primary(0, 100));
  t.on_sample(2, replica(0, 100));
  auto s = t.publish(at(2));
  CHECK(s->primary == -1);
  CHECK(s->hosts[0].state == HostState::kRefused);
  CHECK(s->hosts[0].why == "configured as primary, but in recovery");
  CHECK(s->hosts[1].state == HostState::kFenced);
  CHECK(s->hosts[1].why == "configured as replica, but not in recovery");
  CHECK_FALSE(s->hosts[0].reads);
  CHECK_FALSE(s->hosts[1].reads);

  t.on_sample(0, primary(100, 100));
  t.on_sample(1, replica(100, 100));
  s = t.publish(at(102));
  CHECK(s->primary == 0);
  CHECK(s->hosts[1].reads);
}

TEST_CASE("tracker: hosts of another cluster are refused") {
  const auto config = make_config(3);
  Tracker t(config);
  SUBCASE("most hosts say which cluster it is, whoever answers first") {
    t.publish(at(0));
    t.on_sample(2, primary(0, 9000, {.timeline = 5, .system_identifier = 99}));
    CHECK(t.publish(at(2))->primary == -1);
    t.on_sample(0, primary(3, 100));
    t.on_sample(1, replica(3, 100));
    const auto s = t.publish(at(5));
    CHECK(s->primary == 0);
    CHECK(s->hosts[1].reads);
    CHECK(s->hosts[2].state == HostState::kFenced);
    CHECK(s->hosts[2].why == "belongs to another cluster: system identifier 99, not 77");
  }
  SUBCASE("once known it stays, also against the majority") {
    t.on_sample(0, primary(0, 100));
    t.on_sample(1, replica(0, 100));
    t.on_sample(2, replica(0, 100));
    CHECK(t.publish(at(2))->primary == 0);
    t.on_sample(1, primary(100, 100, {.timeline = 3, .system_identifier = 99}));
    t.on_sample(2, replica(100, 100, {.timeline = 3, .system_identifier = 99}));
    auto s = t.publish(at(102));
    CHECK(s->primary == 0);
    CHECK(s->hosts[1].state == HostState::kFenced);
    CHECK(s->hosts[2].state == HostState::kFenced);
    // Also when the one that knew it is down ...
    t.on_failure(0, at(150), "refused");
    CHECK(t.publish(at(151))->primary == -1);
    // ... but not when all were made anew.
    t.on_sample(0, replica(200, 100, {.timeline = 3, .system_identifier = 99}));
    s = t.publish(at(202));
    CHECK(s->primary == 1);
    CHECK(s->hosts[0].reads);
  }
  SUBCASE("not known is not compared") {
    t.on_sample(0, primary(0, 100, {.timeline = 0, .system_identifier = 0}));
    t.on_sample(1, replica(0, 100));
    t.on_sample(2, replica(0, 100, {.timeline = 0, .system_identifier = 0}));
    // A timeline that is not known is behind one that is.
    CHECK(t.publish(at(2))->primary == -1);
    t.on_sample(0, primary(100, 100, {.timeline = 1, .system_identifier = 0}));
    const auto s = t.publish(at(102));
    CHECK(s->primary == 0);
    CHECK(s->hosts[1].reads);
    CHECK(s->hosts[2].reads);
  }
}

TEST_CASE("tracker: a primary that restarts keeps its history, one that lost WAL does not") {
  const auto config = make_config(1);
  Tracker t(config);
  t.on_sample(0, primary(0, 100));
  t.publish(at(2));
  t.on_sample(0, primary(100, 200));
  t.publish(at(102));
  t.on_failure(0, at(150), "refused");
  CHECK(t.publish(at(151))->primary_history.size() == 2);
  SUBCASE("restarted") {
    t.on_sample(0, primary(200, 300));
    CHECK(t.publish(at(202))->primary_history.size() == 3);
  }
  SUBCASE("lost WAL") {
    t.on_sample(0, primary(200, 150));
    CHECK(t.publish(at(202))->primary_history.size() == 1);
  }
  SUBCASE("another timeline") {
    t.on_sample(0, primary(200, 300, {.timeline = 2}));
    CHECK(t.publish(at(202))->primary_history.size() == 1);
  }
}

namespace {

// a was the primary; b was promoted, and a died.
Tracker promoted(const config::Cluster& config) {
  Tracker t(config);
  t.on_sample(0, primary(0, 100));
  t.on_sample(1, replica(0, 100));
  t.on_sample(2, replica(0, 100));
  t.publish(at(2));
  t.on_failure(0, at(10), "refused");
  t.on_sample(1, primary(100, 200, {.timeline = 2}));
  t.on_sample(2, replica(100, 200, {.timeline = 2}));
  t.publish(at(102));
  return t;
}

}  // namespace

TEST_CASE("tracker: a changed cluster goes on from what was known") {
  const auto config = make_config(3);
  const Tracker before = promoted(config);
  auto changed = config;
  changed.routing.lag_max = milliseconds(500);

  SUBCASE("the primary, its history, who serves reads, and versions that grow") {
    Tracker t(changed);
    t.adopt(before, at(150));
    const auto s = t.publish(at(151));
    CHECK(s->primary == 1);
    CHECK(s->version == 3);
    CHECK(s->primary_history.size() == 1);
    CHECK(s->hosts[0].state == HostState::kDown);
    CHECK(s->hosts[2].reads);
    CHECK(s->hosts[2].share == 1);
  }
  SUBCASE("an old primary that comes back first is not believed, though the new one is silent") {
    Tracker t(changed);
    t.adopt(before, at(150));
    t.on_failure(1, at(160), "refused");
    t.on_failure(2, at(160), "refused");
    t.on_sample(0, primary(170, 150));
    const auto s = t.publish(at(171));
    CHECK(s->primary == -1);
    CHECK(s->hosts[0].why == "superseded by timeline 2 of b: this one is on 1");
  }
  SUBCASE("nor is a host of another cluster") {
    Tracker t(changed);
    t.adopt(before, at(150));
    t.on_failure(1, at(160), "refused");
    t.on_failure(2, at(160), "refused");
    t.on_sample(0, primary(170, 150, {.timeline = 9, .system_identifier = 5}));
    CHECK(t.publish(at(171))->primary == -1);
  }
}

TEST_CASE("tracker: the hosts of a changed cluster are known by name or address") {
  const auto config = make_config(3);
  const Tracker before = promoted(config);
  auto changed = config;

  SUBCASE("hosts may stand in another order, with others among them") {
    changed.hosts = {config.hosts[2], {.name = "new", .host = "new"}, config.hosts[1]};
    Tracker t(changed);
    t.adopt(before, at(150));
    const auto s = t.publish(at(151));
    CHECK(s->primary == 2);
    CHECK(s->hosts[0].reads);
    CHECK(s->hosts[1].state == HostState::kUnknown);
  }
  SUBCASE("a renamed host is known by its address") {
    changed.hosts[1].name = "renamed";
    Tracker t(changed);
    t.adopt(before, at(150));
    CHECK(t.publish(at(151))->primary == 1);
  }
  SUBCASE("a host that moved is down until it answers, and its timeline counts") {
    changed.hosts[1].host = "elsewhere";
    Tracker t(changed);
    t.adopt(before, at(150));
    t.on_sample(0, primary(160, 150));
    auto s = t.publish(at(161));
    CHECK(s->primary == -1);
    CHECK(s->hosts[1].why == "not heard of yet at its new address");
    t.on_sample(1, primary(170, 300, {.timeline = 2}));
    s = t.publish(at(171));
    CHECK(s->primary == 1);
    CHECK(s->primary_history.size() == 2);
  }
  SUBCASE("without the primary another one is chosen when all that stay were heard of") {
    changed.hosts = {config.hosts[0], config.hosts[2], {.name = "new", .host = "new"}};
    Tracker t(changed);
    t.adopt(before, at(150));
    t.on_sample(2, primary(160, 300, {.timeline = 2}));
    CHECK(t.publish(at(161))->primary == 2);
  }
  SUBCASE("but not before") {
    changed.hosts = {config.hosts[0], {.name = "new", .host = "new"}};
    Tracker t(changed);
    t.adopt(before, at(150));
    t.on_sample(0, primary(160, 150));
    CHECK(t.publish(at(161))->primary == -1);
    t.on_failure(1, at(170), "refused");
    CHECK(t.publish(at(171))->primary == 0);  // the operator has taken the later timeline out
  }
}
