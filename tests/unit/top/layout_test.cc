#include "top/layout.h"

#include <doctest/doctest.h>

using namespace top;

TEST_CASE("no byte reaches the terminal that it would obey") {
  CHECK(clean("plain text") == "plain text");
  CHECK(clean("\x1B[31mred\x1B[0m") == "?[31mred?[0m");
  CHECK(clean(std::string("a\0b\tc\nd\x7F", 8)) == "a?b?c?d?");
  CHECK(clean("caf\xC3\xA9 \xE2\x82\xAC") == "caf\xC3\xA9 \xE2\x82\xAC");
  CHECK(clean("\xC2\x9B"
              "31m") == "?31m");  // C1's CSI
  CHECK(clean("\xE2\x80\xAE"
              "abc") == "?abc");  // right to left
  CHECK(clean("\xEF\xBB\xBF"
              "x") == "?x");
  CHECK(clean("e\xCC\x81") == "e?");    // takes no cell
  CHECK(clean("\xE4\xB8\xAD") == "?");  // takes two
  CHECK(clean("\xF0\x9F\x98\x80") == "?");
  CHECK(clean("\xC3") == "?");                 // cut short
  CHECK(clean("\xC0\x9B\xFF\x80") == "????");  // no UTF-8
}

TEST_CASE("a cell is as wide as it should be") {
  CHECK(width_of("caf\xC3\xA9") == 4);
  CHECK(fitted("caf\xC3\xA9", 6) == "caf\xC3\xA9  ");
  CHECK(fitted("caf\xC3\xA9s", 4) == "caf\xC3\xA9");
  CHECK(fitted("", 2) == "  ");
  CHECK(fitted("abc", 0).empty());
}

TEST_CASE("rows are sorted by numbers, or by text") {
  Table table{{"n", "t"}, {{"10", "b"}, {"9", "a"}, {"", "c"}, {"9.5", "d"}}};
  sort_rows(table, 0, true);
  CHECK(table.rows ==
        std::vector<std::vector<std::string>>{{"10", "b"}, {"9.5", "d"}, {"9", "a"}, {"", "c"}});
  sort_rows(table, 1, false);
  CHECK(table.rows[0][1] == "a");
  CHECK(table.rows[3][1] == "d");
  Table equal{{"n", "t"}, {{"1", "x"}, {"1", "y"}, {"1", "z"}}};
  for (const bool descending : {false, true}) {
    sort_rows(equal, 0, descending);
    CHECK(equal.rows[0][1] == "x");
    CHECK(equal.rows[2][1] == "z");
  }
  sort_rows(equal, 7, true);  // no such column
  CHECK(equal.rows.size() == 3);
}

TEST_CASE("a table fits into any terminal") {
  const Table table{{"name", "ms"}, {{"a long name", "5"}, {"b", "1234"}, {"c", ""}}};
  CHECK(lines_of(table, 0, 20, 10, 1) ==
        std::vector<std::string>{"name          ms*   ", "a long name     5   ",
                                 "b            1234   ", "c                   "});
  CHECK(lines_of(table, 1, 20, 10, 9).at(1) == "b            1234   ");
  for (std::size_t width = 0; width < 30; ++width) {
    for (std::size_t height = 0; height < 6; ++height) {
      const auto lines = lines_of(table, 0, width, height, 0);
      CHECK(lines.size() <= height);
      for (const auto& line : lines) CHECK(width_of(line) == width);
    }
  }
  CHECK(lines_of(table, 99, 20, 10, 0).size() == 1);
  CHECK(lines_of({}, 0, 5, 3, 0) == std::vector<std::string>{"     "});
}
