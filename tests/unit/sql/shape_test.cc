#include "sql/shape.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sql {
namespace {

std::string shape_of(std::string_view text) {
  Shaper shaper;
  return shaper.shape(text, {}).text;
}

std::uint64_t hash_of(std::string_view text) {
  Shaper shaper;
  return shaper.shape(text, {}).hash;
}

std::string reduced_of(std::string_view text) {
  Shaper shaper;
  return shaper.shape(text, {}).reduced;
}

TEST_CASE("literals, white space, comments and case do not count") {
  const std::string shape = "select a from t where b = $ and c = $ ";
  CHECK(shape_of("SELECT a FROM t WHERE b = 1 AND c = 'x'") == shape);
  CHECK(shape_of("select\ta/*x*/from t\nwhere b=$1 and c=E'\\''--end") == shape);
  CHECK(shape_of("select a from t where b = -1 and c = $$x$$") == shape);
  CHECK(shape_of("select a from t where b = +1.5e3 and c = B'1'") == shape);
  CHECK(hash_of("SELECT 1") == hash_of("select 'two'"));
}

TEST_CASE("everything else counts") {
  CHECK(shape_of("SELECT \"A\"") == "select \"A\" ");
  CHECK(shape_of("SELECT a") != shape_of("SELECT \"a\""));
  CHECK(shape_of("SELECT a - 1") == "select a - $ ");
  CHECK(shape_of("SELECT a, -b") == "select a , - b ");
  CHECK(shape_of("SELECT a ? 'b'") == "select a ? $ ");
  CHECK(shape_of("SELECT a 'b'") == "select a $ ");
  CHECK(shape_of("SELECT f(1)") != shape_of("SELECT f(1, 2)"));
  CHECK(shape_of("SELECT NULL") != shape_of("SELECT 1"));
  CHECK(hash_of("SELECT a FROM t") != hash_of("SELECT b FROM t"));
  CHECK(hash_of("") != 0);
  CHECK(hash_of("") == hash_of(" -- x"));
}

TEST_CASE("lists of constants collapse") {
  const std::string shape = "select x in ( $ ) ";
  CHECK(shape_of("SELECT x IN (1)") == shape);
  CHECK(shape_of("SELECT x IN (1, 2, 3)") == shape);
  CHECK(shape_of("SELECT x IN ($1,$2,  -3, NULL, 'x', true)") == shape);
  CHECK(shape_of("SELECT x IN (1::int, '2'::pg_catalog.varchar(10)[], 3::double precision)") ==
        shape);
  CHECK(shape_of("SELECT x NOT IN ('a', 'b')") == "select x not in ( $ ) ");
  CHECK(shape_of("SELECT ARRAY[1, 2, 3]") == "select array [ $ ] ");
  CHECK(shape_of("SELECT x IN (1, y, 3)") == "select x in ( $ , y , $ ) ");
  CHECK(shape_of("SELECT x IN (1, 2 + 3)") == "select x in ( $ , $ + $ ) ");
  CHECK(shape_of("SELECT x IN (1, f(2))") == "select x in ( $ , f ( $ ) ) ");
  // A call may hide behind what looks like a cast.
  CHECK(shape_of("SELECT x IN (1, 2::int AND f(3))") ==
        "select x in ( $ , $ :: int and f ( $ ) ) ");
  CHECK(shape_of("SELECT x IN (1, 2::int COLLATE f(3))") ==
        "select x in ( $ , $ :: int collate f ( $ ) ) ");
  CHECK(shape_of("SELECT x IN ()") == "select x in ( ) ");
}

TEST_CASE("rows of VALUES collapse") {
  const std::string shape = "insert into t values ( $ ) ";
  CHECK(shape_of("INSERT INTO t VALUES (1)") == shape);
  CHECK(shape_of("INSERT INTO t VALUES (1, 'a'), (2, NULL), (DEFAULT, $4)") == shape);
  CHECK(shape_of("INSERT INTO t VALUES ($1::INTEGER, $2::VARCHAR), ($3::INTEGER, $4::VARCHAR)") ==
        shape);
  CHECK(shape_of("INSERT INTO t VALUES (1, now()), (2, now()), (3, now()) RETURNING id") ==
        "insert into t values ( $ , now ( ) ) returning id ");
  CHECK(shape_of("INSERT INTO t VALUES (1, now()), (2, f())") ==
        "insert into t values ( $ , now ( ) ) , ( $ , f ( ) ) ");
  CHECK(shape_of("SELECT * FROM (VALUES (1), (2)) v(a), (VALUES (3)) w") ==
        "select * from ( values ( $ ) ) v ( a ) , ( values ( $ ) ) w ");
  CHECK(shape_of("VALUES ((SELECT 1 IN (VALUES (2), (3))))") ==
        "values ( ( select $ in ( values ( $ ) , ( $ ) ) ) ) ");
  CHECK(hash_of("INSERT INTO t VALUES (1),(2),(3)") == hash_of("INSERT INTO t VALUES (4)"));
}

TEST_CASE("the parser is given what is left") {
  CHECK(reduced_of("SELECT x IN (1)").empty());
  // What was shortened is not shortened further.
  CHECK(reduced_of("VALUES (1, 'i'::array[1, 2])") == "VALUES (1, 'i'::array[1])");
  CHECK(reduced_of("VALUES (1, 'i'::array[1])").empty());
  CHECK(reduced_of("SELECT x IN (1, 2, 3) AND y") == "SELECT x IN (1) AND y");
  CHECK(reduced_of("SELECT x IN (1::int , 2), y IN (3,4)") == "SELECT x IN (1::int ), y IN (3)");
  CHECK(reduced_of("INSERT INTO t VALUES (1, 2), (3, 4) , (5, 6) RETURNING a") ==
        "INSERT INTO t VALUES (1) RETURNING a");
  CHECK(reduced_of("INSERT INTO t VALUES (1, now()), (2, now()) ON CONFLICT DO NOTHING") ==
        "INSERT INTO t VALUES (1, now()) ON CONFLICT DO NOTHING");
  CHECK(reduced_of("VALUES (1), (f(2)), (f(3)), (g(4)), (5, 6)") ==
        "VALUES (1), (f(2)), (g(4)), (5)");
  CHECK(reduced_of("INSERT INTO t VALUES (ARRAY[1,2], f()), (ARRAY[3,4,5], f())") ==
        "INSERT INTO t VALUES (ARRAY[1], f())");
}

TEST_CASE("long shapes keep their hash only") {
  std::string text = "SELECT a";
  for (int i = 0; i < 20'000; ++i) text += ", a" + std::to_string(i);
  Shaper shaper;
  const std::uint64_t hash = shaper.shape(text, {}).hash;
  CHECK(shaper.shape(text, {}).text.empty());
  CHECK(shaper.shape(text + " -- x", {}).hash == hash);
  CHECK(shaper.shape(text + ", 1", {}).hash != hash);
  CHECK(shaper.shape(text + ", 1", {}).hash == shaper.shape(text + ",'2'", {}).hash);
}

TEST_CASE("work ends where it is told to") {
  Shaper shaper;
  std::string text = "SELECT 1";
  for (int i = 0; i < 1000; ++i) text += " + 1";
  const Shape& cut = shaper.shape(text, {.work_max = 1000});
  CHECK_FALSE(cut.complete);
  CHECK(shaper.shape(text, {}).complete);
  // The inside of a string is not work.
  const std::string literal = "SELECT '" + std::string(100'000, 'x') + "'";
  CHECK(shaper.shape(literal, {.work_max = 1000}).complete);
}

}  // namespace
}  // namespace sql
