#include "cluster/history.h"

#include <doctest/doctest.h>

#include <limits>

#include "fixture.h"

using namespace cluster;

namespace {
constexpr auto kCover = base::seconds(10);
}

TEST_CASE("history: empty knows nothing") {
  const History h(kCover);
  CHECK(h.empty());
  CHECK_FALSE(h.reached(100));
  CHECK(h.position_at(at(0)) == 0);
  CHECK(h.excerpt(32).empty());
}

TEST_CASE("history: when a position was reached") {
  History h(kCover);
  h.add({at(0), 1000});
  h.add({at(100), 2000});
  h.add({at(200), 6000});
  CHECK_FALSE(h.reached(999));
  CHECK(h.reached(1000) == at(0));
  CHECK(h.reached(2000) == at(100));
  CHECK(h.reached(3000) == at(125));  // a quarter of the way from 2000 to 6000
  CHECK(h.reached(6000) == at(200));
  CHECK(h.reached(9999) == at(200));
}

TEST_CASE("history: position at a time") {
  History h(kCover);
  h.add({at(0), 1000});
  h.add({at(100), 2000});
  h.add({at(200), 6000});
  CHECK(h.position_at(at(-50)) == 1000);
  CHECK(h.position_at(at(0)) == 1000);
  CHECK(h.position_at(at(50)) == 1500);
  CHECK(h.position_at(at(100)) == 2000);
  CHECK(h.position_at(at(175)) == 5000);
  CHECK(h.position_at(at(900)) == 6000);
}

TEST_CASE("history: an idle primary takes two samples, and its last idle moment counts") {
  History h(kCover);
  for (int i = 0; i <= 50; ++i) h.add({at(i * 100), 1000});
  CHECK(h.size() == 2);
  h.add({at(5100), 2000});
  CHECK(h.reached(1000) == at(5000));
  CHECK(h.position_at(at(2500)) == 1000);
  CHECK(h.reached(1500) == at(5050));
}

TEST_CASE("history: repeated, older and lower samples") {
  History h(kCover);
  h.add({at(0), 1000});
  h.add({at(100), 2000});
  h.add({at(100), 3000});
  h.add({at(50), 3000});
  CHECK(h.size() == 2);
  CHECK(h.newest().lsn == 2000);
  h.add({at(200), 1999});  // WAL was lost
  CHECK(h.size() == 1);
  CHECK(h.oldest().asked == at(200));
  CHECK_FALSE(h.reached(1998));
}

TEST_CASE("history: bounded in number and in time, and covers what it must") {
  for (const int interval_ms : {20, 100, 1000}) {
    for (const int cover_s : {10, 60, 3600}) {
      CAPTURE(interval_ms);
      CAPTURE(cover_s);
      const auto cover = base::seconds(cover_s);
      History h(cover);
      const int n = 2 * cover_s * 1000 / interval_ms + 7;
      for (int i = 0; i < n; ++i) {
        h.add({at(std::int64_t{i} * interval_ms), static_cast<Lsn>(i + 1) * 1000});
      }
      CHECK(h.size() <= History::kSamplesMax);
      CHECK(h.newest().asked - h.oldest().asked >= cover);
      // The newest are all there, and what was thinned is right by interpolation.
      for (const int back : {0, 1, 2, 10}) {
        const auto i = static_cast<std::int64_t>(n - 1 - back);
        CHECK(h.reached(static_cast<Lsn>(i + 1) * 1000) == at(i * interval_ms));
      }
      const std::int64_t old = n - 1 - cover_s * 1000 / interval_ms;
      const auto reached = h.reached(static_cast<Lsn>(old + 1) * 1000);
      REQUIRE(reached);
      CHECK(std::abs(base::to_ms(*reached - at(old * interval_ms))) <= 1);
    }
  }
}

TEST_CASE("history: positions at the end of the range") {
  constexpr Lsn kMax = std::numeric_limits<Lsn>::max();
  History h(kCover);
  h.add({at(0), 1});
  h.add({at(100), kMax});
  CHECK(h.reached(kMax) == at(100));
  const auto middle = h.reached(kMax / 2);
  REQUIRE(middle);
  CHECK(std::abs(base::to_ms(*middle - at(50))) <= 1);
  CHECK(h.reached(kMax - 1) <= at(100));
  CHECK(h.position_at(at(50)) >= kMax / 2 - (kMax >> 40));
  CHECK(h.position_at(at(50)) <= kMax / 2 + (kMax >> 40));
  CHECK(h.position_at(at(100) - Duration(1)) <= kMax);
}

TEST_CASE("history: an excerpt has the newest as they are and reaches back to the oldest") {
  History h(kCover);
  for (int i = 0; i < 100; ++i) h.add({at(i * 100), static_cast<Lsn>(i + 1)});
  CHECK(h.excerpt(200).size() == 100);
  for (const std::size_t count : {2u, 3u, 31u, 32u, 99u}) {
    const auto e = h.excerpt(count);
    CAPTURE(count);
    REQUIRE(e.size() == count);
    CHECK(e.front().asked == h.oldest().asked);
    for (std::size_t i = 1; i < e.size(); ++i) CHECK(e[i - 1].asked < e[i].asked);
    for (std::size_t i = 0; i < (count + 1) / 2; ++i) CHECK(e[count - 1 - i].lsn == 100 - i);
  }
}
