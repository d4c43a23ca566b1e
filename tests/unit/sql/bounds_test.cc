#include "sql/bounds.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace sql {
namespace {

bool accepted(std::string_view text) { return beyond_bounds(text) == nullptr; }

std::string repeat(std::string_view piece, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += piece;
  return out;
}

TEST_CASE("what people write is accepted") {
  CHECK(accepted("SELECT 1"));
  CHECK(accepted("SELECT a" + repeat(" + a", 200)));
  CHECK(accepted("SELECT " + repeat("(", 60) + "1" + repeat(")", 60)));
  CHECK(accepted("SELECT * FROM a" + repeat(" JOIN a ON a.x = b.x AND a.y = 1", 40)));
  CHECK(accepted("SELECT 1 WHERE a = 1" + repeat(" OR (a = 1 AND b = 2)", 300)));
  CHECK(accepted("SELECT 1 WHERE a = 1" + repeat(" AND b <> 2", 1000)));
  CHECK(accepted("SELECT a" + repeat(", a || 'x' || b", 500)));
  CHECK(accepted("SELECT a" + repeat(", CASE WHEN a = 1 THEN b ELSE c END", 200)));
  CHECK(accepted("SELECT 1" + repeat(" UNION ALL SELECT 1", 300)));
  CHECK(accepted(repeat("INSERT INTO t VALUES (1 + 2 - 3);", 300)));
  CHECK(accepted("SELECT f(" + repeat("jsonb_build_object('a', ", 60) + "1" + repeat(")", 61)));
}

TEST_CASE("depth is refused, however it is made") {
  CHECK_FALSE(accepted("SELECT a" + repeat("+a", 600)));
  CHECK_FALSE(accepted("SELECT " + repeat("(", 200) + "1" + repeat(")", 200)));
  CHECK_FALSE(accepted("SELECT " + repeat("(", 200)));
  CHECK_FALSE(accepted("SELECT " + repeat("NOT ", 600) + "a"));
  CHECK_FALSE(accepted("SELECT 1" + repeat(" UNION SELECT 1, 2", 600)));
  CHECK_FALSE(accepted("SELECT 1 FROM a" + repeat(" JOIN a ON a OR b", 600)));
  CHECK_FALSE(
      accepted("SELECT " + repeat("CASE WHEN a OR b THEN ", 200) + "1" + repeat(" END", 200)));
  // Chains of chains: 100 operators on each of 10 levels.
  const std::string chain = repeat("1+", 100);
  CHECK_FALSE(accepted("SELECT " + repeat("(" + chain, 10) + "1" + repeat(")", 10)));
  const std::string tail = repeat("+1", 100);
  CHECK_FALSE(accepted("SELECT " + repeat("(", 10) + "1" + repeat(tail + ")", 10)));
}

TEST_CASE("what looks like a separator, and is none") {
  // BETWEEN's AND does not make a flat chain.
  CHECK_FALSE(accepted("SELECT a" + repeat(" BETWEEN 1 AND 2 IS TRUE", 300)));
  // END as a name does not close a CASE.
  CHECK_FALSE(
      accepted("SELECT " + repeat("CASE WHEN a.end THEN ", 200) + "1" + repeat(" END", 200)));
  CHECK_FALSE(accepted("SELECT " + repeat("CASE WHEN x AS end THEN ", 200)));
  // A bracket that closes nothing, or something else.
  CHECK_FALSE(accepted("SELECT )" + repeat("(", 200)));
  CHECK_FALSE(
      accepted("SELECT " + repeat("CASE (", 100) + "1" + repeat(") END", 100) + repeat("+1", 600)));
  // Words in other shapes than lower case.
  CHECK_FALSE(accepted("SELECT " + repeat("nOt ", 600) + "a"));
  CHECK_FALSE(accepted("SELECT a" + repeat(" CoLLaTe x", 600)));
}

TEST_CASE("length is refused") {
  CHECK(accepted("SELECT a" + repeat(", a", 2000)));
  CHECK_FALSE(accepted("SELECT a" + repeat(", a", 2100)));
}

}  // namespace
}  // namespace sql
