#include <doctest/doctest.h>

#include <set>
#include <string>

#include "proxy/shared.h"

using proxy::ApplicationBook;

TEST_CASE(
    "application book: each name has its number, also when there are more names than numbers") {
  ApplicationBook book;
  constexpr auto kNumbers = pool::Permits::kGroupsMax - 1;
  std::set<std::uint16_t> given;
  for (std::size_t i = 0; i < kNumbers; ++i)
    given.insert(book.number("d/u", "n" + std::to_string(i)));
  CHECK(given.size() == kNumbers);
  CHECK(*given.begin() == 1);
  CHECK(*given.rbegin() == kNumbers);
  std::set<std::uint16_t> shared;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "m" + std::to_string(i);
    const auto number = book.number("d/u", name);
    CHECK(number >= 1);
    CHECK(number <= kNumbers);
    CHECK(book.number("d/u", name) == number);
    shared.insert(number);
  }
  CHECK(shared.size() > kNumbers / 2);  // not all one's
  CHECK(book.number("d/u", "n7") == 8);
  CHECK(book.number("d/other", "m1") == 1);  // of another owner
}
