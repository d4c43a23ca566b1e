#include "sql/cache.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>

namespace sql {
namespace {

using Key = AnalysisCache::Key;

AnalysisPtr analysis(std::uint64_t shape) {
  Analysis a;
  a.shape = shape;
  return std::make_shared<const Analysis>(std::move(a));
}

TEST_CASE("levels are apart") {
  AnalysisCache cache(1 << 20);
  cache.put(Key::kText, {0, "a"}, analysis(1));
  cache.put(Key::kShape, {0, "a"}, analysis(2));
  REQUIRE(cache.find(Key::kText, {0, "a"}) != nullptr);
  CHECK((*cache.find(Key::kText, {0, "a"}))->shape == 1);
  CHECK((*cache.find(Key::kShape, {0, "a"}))->shape == 2);
  CHECK(cache.find(Key::kText, {0, "b"}) == nullptr);
}

TEST_CASE("bytes are bounded, and what is used stays") {
  AnalysisCache cache(64 << 10);
  cache.put(Key::kText, {0, "hot"}, analysis(1));
  for (int i = 0; i < 10'000; ++i) {
    cache.put(i % 2 == 0 ? Key::kText : Key::kShape, {0, "key" + std::to_string(i)}, analysis(2));
    CHECK(cache.bytes() <= 64 << 10);
    REQUIRE(cache.find(Key::kText, {0, "hot"}) != nullptr);
  }
  CHECK(cache.bytes() > 48 << 10);
  CHECK(cache.find(Key::kText, {0, "key0"}) == nullptr);
  CHECK(cache.find(Key::kShape, {0, "key9999"}) != nullptr);
}

TEST_CASE("nothing large is kept") {
  AnalysisCache cache(64 << 10);
  cache.put(Key::kText, {0, std::string(10 << 10, 'x')}, analysis(1));
  CHECK(cache.bytes() == 0);
  Analysis large;
  large.why = std::string(10 << 10, 'y');
  cache.put(Key::kText, {0, "small"}, std::make_shared<const Analysis>(std::move(large)));
  CHECK(cache.bytes() == 0);
}

TEST_CASE("catalogs are apart") {
  AnalysisCache cache(1 << 20);
  cache.put(Key::kText, {1, "a"}, analysis(1));
  CHECK(cache.find(Key::kText, {2, "a"}) == nullptr);
  CHECK_FALSE(cache.seen_before({1, "a"}));
  CHECK_FALSE(cache.seen_before({2, "a"}));
  CHECK(cache.seen_before({1, "a"}));
}

TEST_CASE("what was seen is known again, unless much else was seen since") {
  AnalysisCache cache(16 << 20);  // remembers 16384
  const auto name = [](int i) { return "name " + std::to_string(i); };
  for (int i = 0; i < 10; ++i) CHECK_FALSE(cache.seen_before({0, name(i)}));
  int known = 0;
  for (int i = 0; i < 10; ++i) known += cache.seen_before({0, name(i)}) ? 1 : 0;
  CHECK(known >= 8);  // two of them may share a place
  known = 0;
  for (int i = 10; i < 200'000; ++i) known += cache.seen_before({0, name(i)}) ? 1 : 0;
  for (int i = 0; i < 10; ++i) known += cache.seen_before({0, name(i)}) ? 1 : 0;
  CHECK(known <= 1);  // hashes may agree
  CHECK(cache.bytes() == 0);
}

TEST_CASE("a cache of nothing") {
  AnalysisCache cache(0);
  cache.put(Key::kText, {0, "a"}, analysis(1));
  CHECK(cache.find(Key::kText, {0, "a"}) == nullptr);
  CHECK(cache.bytes() == 0);
  CHECK_FALSE(cache.seen_before({0, "a"}));
  CHECK_FALSE(cache.seen_before({0, "a"}));
}

}  // namespace
}  // namespace sql
