#include "route/latency.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace route;
using base::milliseconds;

namespace {

// `count` replies of `sample` us each, `gap` apart.
Latency replies(Latency latency, int count, double sample, base::Duration gap) {
  for (int i = 0; i < count; ++i) latency = after_reply(latency, sample, gap);
  return latency;
}

constexpr base::Duration kShort = base::microseconds(100);

}  // namespace

TEST_CASE("latency: the first reply is all that is known") {
  const Latency first = after_reply({}, 300, base::seconds(1000));
  CHECK(first.peak == 300);
  CHECK(first.typical == 300);
  CHECK(after_reply({}, 0, {}).typical > 0);  // measured, though in no time
}

TEST_CASE("latency: a peak counts at once, and is forgotten by time alone") {
  const Latency fast = replies({}, 100, 300, kShort);
  const Latency peak = after_reply(fast, 20'000, kShort);
  CHECK(peak.peak == 20'000);
  // As many replies as you like: what counts is when they come.
  for (const int count : {1, 10, 1000}) {
    const Latency later = replies(peak, count, 300, kLatencyMemory / count);
    CHECK(later.peak == doctest::Approx(300 + 19'700 / std::exp(1)).epsilon(0.001));
  }
}

TEST_CASE("latency: the peak stays between the newest reply and the highest") {
  Latency latency;
  double highest = 0;
  for (int i = 1; i < 1000; ++i) {
    const double sample = 1 + i * 7919 % 1000;
    highest = std::max(highest, sample);
    latency = after_reply(latency, sample, milliseconds(i % 50));
    CHECK(latency.peak >= sample);
    CHECK(latency.peak <= highest);
    CHECK(latency.typical > 0);
    CHECK(latency.typical <= highest);
  }
}

TEST_CASE("latency: workers' clocks may be a little apart") {
  const Latency latency = after_reply({1000, 1000}, 500, -milliseconds(1));
  CHECK(latency.peak == 1000);
  CHECK(latency.typical < 1000);
  CHECK(latency.typical > 500);
}

TEST_CASE("latency: a first reply that was slow is not typical") {
  const Latency begun = after_reply({}, 50'000, {});
  CHECK(begun.peak == 50'000);
  CHECK(begun.typical == kFirstMostUs);
  Latency slow = begun, fast = begun;
  for (int n = 0; n < 20; ++n) {
    slow = after_reply(slow, 20'000, base::milliseconds(1));
    fast = after_reply(fast, 300, base::milliseconds(1));
  }
  CHECK(slow.typical > 300 * 4 + 2000);  // it is soon seen to be
  CHECK(fast.typical < 1000);
}

TEST_CASE("latency: few long queries are not typical") {
  Latency latency = replies({}, 10, 300, kShort);
  for (int i = 0; i < 50; ++i) {
    latency = after_reply(latency, 5e6, kShort);
    latency = replies(latency, 49, 300, kShort);
    CHECK(latency.typical < 300 * 2);
  }
}

TEST_CASE("latency: slow replies are, after some dozens, whenever they come") {
  for (const base::Duration gap : {kShort, base::Duration(base::seconds(5))}) {
    const Latency fast = replies({}, 100, 300, gap);
    CHECK(replies(fast, 3, 20'000, gap).typical < 300 * 2);
    CHECK(replies(fast, 60, 20'000, gap).typical > 300 * 4 + 2000);
    CHECK(replies(fast, 1000, 20'000, gap).typical == doctest::Approx(20'000).epsilon(0.01));
  }
}

TEST_CASE("latency: a slow host that answers seldom is believed soon when it is fast") {
  CHECK(replies({20'000, 20'000}, 3, 300, base::seconds(2)).typical < 300 * 4 + 2000);
}

TEST_CASE("latency: what nothing confirms fades") {
  CHECK(faded(1000, {}) == 1000);
  CHECK(faded(1000, -milliseconds(1)) == 1000);
  CHECK(faded(1000, kLatencyMemory) == doctest::Approx(1000 / std::exp(1)));
  CHECK(faded(1000, base::seconds(1'000'000)) == 0);
  CHECK(faded(0, milliseconds(1)) == 0);
}
