#include "cluster/snapshot.h"

#include <doctest/doctest.h>

#include "fixture.h"

using namespace cluster;

TEST_CASE("snapshot: the first position not asked for before a commit") {
  Snapshot s;
  CHECK(s.position_after(at(0)) == 0);
  s.primary_history = {{at(0), 10}, {at(100), 20}, {at(200), 20}, {at(300), 30}};
  CHECK(s.position_after(at(-1)) == 10);
  CHECK(s.position_after(at(0)) == 10);
  CHECK(s.position_after(at(1)) == 20);
  CHECK(s.position_after(at(150)) == 20);
  CHECK(s.position_after(at(201)) == 30);
  CHECK(s.position_after(at(300)) == 30);
  CHECK(s.position_after(at(301)) == 0);
}

TEST_CASE("snapshot: an idle primary still answers for the latest commit") {
  const auto config = make_config(1);
  Tracker tracker(config);
  SnapshotPtr s;
  for (int ms = 0; ms <= 1000; ms += 100) {
    tracker.on_sample(0, primary(ms, 500));
    s = tracker.publish(at(ms + 2));
  }
  CHECK(s->position_after(at(950)) == 500);
  CHECK(s->position_after(at(1000)) == 500);
  CHECK(s->position_after(at(1001)) == 0);
}

TEST_CASE("snapshot: the published history is bounded and reaches back") {
  const auto config = make_config(1);
  Tracker tracker(config);
  SnapshotPtr s;
  for (int i = 0; i < 1000; ++i) {
    tracker.on_sample(0, primary(i * 100, static_cast<Lsn>(i + 1)));
    s = tracker.publish(at(i * 100 + 2));
  }
  REQUIRE(s->primary_history.size() == Snapshot::kHistoryShown);
  CHECK(s->primary_history.back().lsn == 1000);
  CHECK(s->primary_history.back().asked - s->primary_history.front().asked >= base::seconds(10));
  // A commit of eight seconds ago asks for no more than a position of about that age.
  CHECK(s->position_after(at(91'900)) >= 920);
  CHECK(s->position_after(at(91'900)) < 930);
}
