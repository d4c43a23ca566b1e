#include "proxy/reading_pace.h"

#include <doctest/doctest.h>

namespace proxy {
namespace {

using namespace std::chrono_literals;
using Outcome = ReadingPace::Outcome;

const base::Time kStart = base::Time{} + 1h;

// A reading of so long that begins when it may, behind a change at `now`; when it ended.
base::Time read(ReadingPace& pace, base::Time now, base::Duration took, Outcome outcome) {
  const base::Time began = pace.after_change(now);
  pace.began(began);
  pace.ended(began + took, outcome);
  return began + took;
}

TEST_CASE("a change now and then is read behind at once") {
  ReadingPace pace;
  base::Time now = kStart;
  for (int i = 0; i < 100; ++i, now += 500ms) {
    REQUIRE(pace.after_change(now) == now);
    read(pace, now, 40ms, Outcome::kCurrent);
  }
}

TEST_CASE("a few changes in a row are each read behind at once") {
  ReadingPace pace;
  base::Time now = kStart;
  for (int i = 0; i < 10; ++i, now += 10ms) {
    REQUIRE(pace.after_change(now) == now);
    now = read(pace, now, 40ms, Outcome::kCurrent);
  }
}

TEST_CASE("no more than a tenth of the time is spent, but for what was saved") {
  ReadingPace pace;
  base::Time now = kStart;
  base::Duration spent{};
  while (now < kStart + 100s) {
    const base::Time ended = read(pace, now, 40ms, Outcome::kCurrent);
    spent += 40ms;
    now = ended + 1ms;
  }
  CHECK(spent >= 10s);
  CHECK(spent <= 11s + 40ms);
}

TEST_CASE("a migration is read now and then, and soon after its end") {
  ReadingPace pace;
  base::Time now = kStart, due = pace.after_change(now);
  int readings = 0;
  for (; now < kStart + 10s; now += 1ms) {  // a statement each
    if (due <= now) {
      ++readings;
      pace.began(now);
      now += 40ms;
      pace.ended(now, Outcome::kOutdated);
    }
    due = pace.after_change(now);
  }
  CHECK(readings >= 20);
  CHECK(readings <= 27);
  CHECK(due <= now + 40ms);
}

TEST_CASE("a large catalog is not read all the time") {
  ReadingPace pace;
  const base::Time ended = read(pace, kStart, 5s, Outcome::kCurrent);
  CHECK(pace.after_change(ended) == ended + 40s);
  CHECK(pace.allowed() == ended + 40s);
}

}  // namespace
}  // namespace proxy
