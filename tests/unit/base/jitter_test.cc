#include "base/jitter.h"

#include <doctest/doctest.h>

#include <array>

using namespace base;

TEST_CASE("jitter takes off up to the share, evenly") {
  const Duration whole = seconds(10);
  std::array<int, 10> tenths{};
  for (std::uint64_t id = 1; id <= 1000; ++id) {
    const Duration left = jittered(whole, 0.5, id);
    CHECK(left <= whole);
    REQUIRE(left >= whole / 2);
    ++tenths[static_cast<std::size_t>((whole - left) * 20 / whole) % 10];
  }
  for (const int count : tenths) {
    CHECK(count > 80);
    CHECK(count < 120);
  }
  CHECK(jittered(whole, 0, 7) == whole);
  CHECK(jittered(Duration{}, 1, 7) == Duration{});
}
