// What an operator says: a chosen primary, bans, weights.
#include <doctest/doctest.h>

#include "fixture.h"

using namespace cluster;

namespace {

// a and b both write on timeline 1, c follows one of them; none was known before.
Tracker split(const config::Cluster& config) {
  Tracker t(config);
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, primary(0, 900));
  t.on_sample(2, replica(0, 900));
  t.publish(at(2));
  return t;
}

}  // namespace

TEST_CASE("orders: of two primaries on one timeline the chosen one is it") {
  const auto config = make_config(3);
  Tracker t = split(config);
  CHECK(t.publish(at(3))->primary == -1);
  CHECK(t.publish(at(3))->chosen == -1);
  REQUIRE(t.choose_primary(1, "ann", at(4)).empty());
  auto s = t.publish(at(4));
  CHECK(s->primary == 1);
  CHECK(s->chosen == 1);
  CHECK(s->hosts[1].state == HostState::kUp);
  CHECK(s->hosts[1].why == "chosen by ann");
  CHECK(s->hosts[0].state == HostState::kFenced);
  CHECK(s->hosts[0].why == "second primary on timeline 1: b was chosen by ann");

  SUBCASE("another word counts from then on, and positions of the first one do not") {
    REQUIRE(t.choose_primary(0, "bob", at(5)).empty());
    s = t.publish(at(5));
    CHECK(s->primary == 0);
    CHECK(s->hosts[1].state == HostState::kFenced);
    REQUIRE(s->primary_history.size() == 1);
    CHECK(s->primary_history[0].lsn == 1000);
  }
  SUBCASE("while it is down the other one, which lacks what it has, is not taken") {
    t.on_failure(1, at(50), "refused");
    s = t.publish(at(51));
    CHECK(s->primary == -1);
    CHECK(s->chosen == 1);
    CHECK(s->hosts[0].state == HostState::kFenced);
    CHECK(s->hosts[1].why == "chosen by ann; refused");
    t.on_sample(1, primary(100, 950));
    CHECK(t.publish(at(102))->primary == 1);
  }
  SUBCASE("unless the word is taken back") {
    t.on_failure(1, at(50), "refused");
    CHECK(t.choose_by_rules());
    s = t.publish(at(51));
    CHECK(s->primary == 0);
    CHECK(s->chosen == -1);
    CHECK_FALSE(t.choose_by_rules());
  }
  SUBCASE("taken back while it lives it stays the primary, as any that was") {
    CHECK(t.choose_by_rules());
    s = t.publish(at(51));
    CHECK(s->primary == 1);
    CHECK(s->hosts[1].why.empty());
    CHECK(s->hosts[0].why == "second primary on timeline 1: b is in use");
  }
}

TEST_CASE("orders: a choice ends when its reason does") {
  const auto config = make_config(3);
  Tracker t = split(config);
  REQUIRE(t.choose_primary(1, "ann", at(4)).empty());
  auto s = t.publish(at(4));
  SUBCASE("a promotion needs nobody's word, and the old one is over for good") {
    t.on_sample(2, primary(100, 950, {.timeline = 2}));
    s = t.publish(at(102));
    CHECK(s->primary == 2);
    CHECK(s->chosen == -1);
    CHECK(s->hosts[1].why == "superseded by timeline 2 of c: this one is on 1");
  }
  SUBCASE("the chosen one is a replica") {
    t.on_sample(1, replica(100, 950));
    s = t.publish(at(102));
    CHECK(s->chosen == -1);
    CHECK(s->primary == 0);
  }
}

TEST_CASE("orders: a choice outlives a reload") {
  const auto config = make_config(3);
  Tracker t = split(config);
  REQUIRE(t.choose_primary(1, "ann", at(4)).empty());
  auto s = t.publish(at(4));
  SUBCASE("wherever the host then stands") {
    auto changed = config;
    changed.routing.lag_max = milliseconds(500);
    std::swap(changed.hosts[0], changed.hosts[1]);
    Tracker after(changed);
    after.adopt(t, at(10));
    s = after.publish(at(11));
    CHECK(s->primary == 0);
    CHECK(s->chosen == 0);
    CHECK(s->hosts[1].why == "second primary on timeline 1: b was chosen by ann");
    after.on_failure(0, at(20), "refused");
    CHECK(after.publish(at(21))->primary == -1);
  }
  SUBCASE("but not the configuration's word") {
    auto changed = config;
    SUBCASE("that its host is none") { changed.hosts.erase(changed.hosts.begin() + 1); }
    SUBCASE("that it is a replica") { changed.hosts[1].role = config::HostRole::kReplica; }
    Tracker after(changed);
    after.adopt(t, at(10));
    s = after.publish(at(11));
    CHECK(s->chosen == -1);
    CHECK(s->primary == 0);
  }
}

TEST_CASE("orders: the one in use gives way to the chosen one") {
  Tracker t(make_config(2));
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, replica(0, 1000));
  CHECK(t.publish(at(2))->primary == 0);
  t.on_sample(1, primary(100, 1000));
  CHECK(t.publish(at(102))->primary == 0);
  REQUIRE(t.choose_primary(1, "ann", at(103)).empty());
  CHECK(t.publish(at(103))->primary == 1);
}

TEST_CASE("orders: what cannot be the primary is not chosen") {
  auto config = make_config(4);
  config.hosts[3].role = config::HostRole::kReplica;
  Tracker t(config);
  CHECK(t.choose_primary(0, "ann", at(0)) == "it is down: not heard of yet");
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, primary(0, 1100, {.timeline = 2}));
  t.on_sample(2, replica(0, 1100, {.timeline = 2}));
  t.on_sample(3, primary(0, 1100, {.timeline = 2}));
  CHECK(t.publish(at(2))->primary == 1);
  // Also when it was not published yet.
  CHECK(t.choose_primary(0, "ann", at(3)) ==
        "it is superseded by timeline 2 of b: this one is on 1");
  CHECK(t.choose_primary(2, "ann", at(3)) == "it is in recovery");
  CHECK(t.choose_primary(3, "ann", at(3)) == "it is configured as replica");
  t.on_sample(2, primary(100, 1100, {.timeline = 2, .system_identifier = 5}));
  CHECK(t.choose_primary(2, "ann", at(102)) ==
        "it belongs to another cluster: system identifier 5, not 77");
  t.on_failure(1, at(150), "connection refused");
  CHECK(t.choose_primary(1, "ann", at(151)) == "it is down: connection refused");
  // The later timeline still counts.
  CHECK(t.choose_primary(0, "ann", at(151)) ==
        "it is superseded by timeline 2 of b: this one is on 1");
  t.on_sample(1, primary(200, 1100, {.timeline = 2}));
  CHECK(t.choose_primary(1, "ann", at(1202)) == "it is down: no answer for 1001 ms");
  CHECK(t.publish(at(210))->chosen == -1);
}

TEST_CASE("orders: the chosen one, too, waits until all were heard of") {
  Tracker t(make_config(3));
  t.publish(at(0));
  t.on_sample(0, primary(10, 1000));
  t.on_sample(1, primary(10, 1000));
  REQUIRE(t.choose_primary(0, "ann", at(12)).empty());
  CHECK(t.publish(at(12))->primary == -1);
  SUBCASE("the last one knows better") {
    t.on_sample(2, primary(20, 1000, {.timeline = 2}));
    CHECK(t.publish(at(22))->primary == 2);
  }
  SUBCASE("or not") {
    t.on_sample(2, replica(20, 1000));
    CHECK(t.publish(at(22))->primary == 0);
  }
}

TEST_CASE("orders: a banned replica serves no reads, and is what it is") {
  const auto config = make_config(3);
  Tracker t(config);
  const auto samples = [&](std::int64_t ms) {
    t.on_sample(0, primary(ms, 1000));
    t.on_sample(1, replica(ms, 1000));
    t.on_sample(2, replica(ms, 1000));
  };
  samples(0);
  CHECK(t.publish(at(2))->hosts[1].reads);
  SUBCASE("until it is told otherwise") {
    t.ban(1, {.by = "ann", .until = std::nullopt});
    auto s = t.publish(at(3));
    CHECK_FALSE(s->hosts[1].reads);
    CHECK(s->hosts[1].banned);
    CHECK_FALSE(s->hosts[1].banned_until);
    CHECK(s->hosts[1].state == HostState::kUp);
    CHECK(s->hosts[1].why == "banned by ann");
    CHECK(s->hosts[2].reads);
    CHECK_FALSE(s->hosts[2].banned);
    t.on_failure(1, at(50), "refused");
    s = t.publish(at(51));
    CHECK(s->hosts[1].state == HostState::kDown);
    CHECK(s->hosts[1].why == "banned by ann; refused");
    samples(100);
    CHECK_FALSE(t.publish(at(102))->hosts[1].reads);
    CHECK(t.unban(1));
    CHECK_FALSE(t.unban(1));
    s = t.publish(at(150));
    CHECK(s->hosts[1].reads);
    CHECK_FALSE(s->hosts[1].banned);
    CHECK(s->hosts[1].why.empty());
    CHECK(s->hosts[1].share < 1);  // it returns, as after any absence
  }
  SUBCASE("until its time is over") {
    t.ban(1, {.by = "ann", .until = at(500)});
    samples(400);
    CHECK(t.publish(at(499))->hosts[1].banned_until == at(500));
    CHECK_FALSE(t.publish(at(499))->hosts[1].reads);
    CHECK(t.publish(at(500))->hosts[1].reads);
    CHECK_FALSE(t.unban(1));
  }
  SUBCASE("the later word counts") {
    t.ban(1, {.by = "ann", .until = at(100)});
    t.ban(1, {.by = "bob", .until = std::nullopt});
    samples(100);
    CHECK(t.publish(at(102))->hosts[1].why == "banned by bob");
  }
  SUBCASE("a reload changes nothing") {
    t.ban(1, {.by = "ann", .until = at(500)});
    auto changed = config;
    std::swap(changed.hosts[1], changed.hosts[2]);
    Tracker after(changed);
    after.adopt(t, at(10));
    const auto s = after.publish(at(11));
    CHECK(s->hosts[1].reads);
    CHECK_FALSE(s->hosts[2].reads);
    CHECK(s->hosts[2].banned_until == at(500));
    CHECK(after.publish(at(500))->hosts[2].reads);
  }
  SUBCASE("a lagging one has two reasons") {
    t.on_sample(0, primary(1500, 5000));
    t.on_sample(1, replica(1500, 900));
    t.ban(1, {.by = "ann", .until = std::nullopt});
    const auto s = t.publish(at(1502));
    CHECK(s->hosts[1].state == HostState::kLagging);
    CHECK(s->hosts[1].why.starts_with("banned by ann; lag "));
  }
}

TEST_CASE("orders: a banned primary stays the primary") {
  Tracker t(make_config(2));
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, replica(0, 1000));
  t.publish(at(2));
  t.ban(0, {.by = "ann", .until = std::nullopt});
  auto s = t.publish(at(3));
  CHECK(s->primary == 0);
  CHECK(s->hosts[0].state == HostState::kUp);
  CHECK(s->hosts[0].banned);
  CHECK(s->hosts[0].why == "banned by ann");
  REQUIRE(t.choose_primary(0, "bob", at(4)).empty());
  s = t.publish(at(4));
  CHECK(s->primary == 0);
  CHECK(s->hosts[0].why == "banned by ann; chosen by bob");
}

TEST_CASE("orders: a weight counts until it is forgotten") {
  const auto config = make_config(2);
  Tracker t(config);
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, replica(0, 1000));
  CHECK(t.publish(at(2))->hosts[1].weight == 0);
  t.set_weight(1, 2.5);
  auto s = t.publish(at(3));
  CHECK(s->hosts[0].weight == 0);
  CHECK(s->hosts[1].weight == 2.5);
  CHECK(s->hosts[1].share == 1);
  SUBCASE("or it is taken back") {
    t.set_weight(1, 0);
    CHECK(t.publish(at(4))->hosts[1].weight == 0);
    CHECK_FALSE(t.forget_weights());
  }
  SUBCASE("all of them at once") {
    CHECK(t.forget_weights());
    CHECK(t.publish(at(4))->hosts[1].weight == 0);
  }
  SUBCASE("not with a change of its cluster") {
    Tracker after(config);
    after.adopt(t, at(10));
    CHECK(after.publish(at(11))->hosts[1].weight == 2.5);
  }
}

TEST_CASE("orders: a paused host takes no reads, and stays the primary that it is") {
  const auto config = make_config(3);
  Tracker t(config);
  t.on_sample(0, primary(0, 1000));
  t.on_sample(1, replica(0, 1000));
  t.on_sample(2, replica(0, 1000));
  REQUIRE(t.publish(at(2))->primary == 0);
  CHECK(t.pause(0, "ann"));
  CHECK(t.pause(1, "bob"));
  CHECK_FALSE(t.pause(1, "eve"));
  auto s = t.publish(at(3));
  CHECK(s->primary == 0);
  CHECK(s->hosts[0].paused);
  CHECK(s->hosts[0].state == HostState::kUp);
  CHECK_FALSE(s->hosts[1].reads);
  CHECK(s->hosts[1].why == "paused by bob");
  CHECK(s->hosts[2].reads);
  // A reload keeps it, and so does a failover.
  Tracker next(config);
  next.adopt(t, at(4));
  next.on_failure(0, at(10), "refused");
  next.on_sample(1, primary(20, 1001, {.timeline = 2}));
  next.on_sample(2, replica(20, 1001, {.timeline = 2}));
  s = next.publish(at(22));
  CHECK(s->primary == 1);
  CHECK(s->hosts[1].paused);
  CHECK(next.resume(1));
  CHECK_FALSE(next.resume(1));
  CHECK_FALSE(next.publish(at(23))->hosts[1].paused);
  CHECK(next.publish(at(23))->hosts[0].paused);
}
