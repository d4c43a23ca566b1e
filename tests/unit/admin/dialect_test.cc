#include "admin/dialect.h"

#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <string>

#include "admin/database.h"
#include "fake_control.h"

namespace {

using admin::to_sqlite;

TEST_CASE("what SQLite understands stays as it is") {
  for (const char* sql :
       {"SELECT * FROM pools WHERE user = 'a::b ~ pg_catalog.c' -- x::y\n AND 1 < 2",
        "WITH a AS (SELECT 1 AS n) SELECT \"n::int\", [odd name] FROM a /* pg_catalog.x */",
        "SELECT 'it''s', a.b, a || b, a <> b, -1.5e3, $1 FROM a COLLATE NOCASE", "", "   ",
        "SELECT any(x), array, operator FROM t"}) {
    CAPTURE(sql);
    CHECK(to_sqlite(sql) == sql);
  }
}

TEST_CASE("nested as deep as a text can be") {
  for (const std::string open :
       {"trim(both from ", "substring(a from ", "x = any(", "x = any(array[", "x = any(array(",
        "generate_series(1, ", "unnest(", "operator(", "'a'::x[", "(", "a.b["}) {
    CAPTURE(open);
    std::string sql;
    while (sql.size() + open.size() < (256 << 10)) sql += open;
    CHECK(to_sqlite(sql).size() < 8 * sql.size());
  }
}

TEST_CASE("texts that are compared with flags") {
  CHECK(to_sqlite("paused = 'true' AND p.paused<>'F' OR Paused != 'off'") ==
        "paused = 1 AND p.paused<>0 OR Paused != 0");
  for (const char* sql : {"paused = 'maybe'", "name = 'true'", "paused || 'true'", "= 'true'",
                          "'true' = paused", "paused = \"true\"", "paused = '"}) {
    CAPTURE(sql);
    CHECK(to_sqlite(sql) == sql);
  }
}

TEST_CASE("PostgreSQL's words in SQLite's") {
  CHECK(to_sqlite("trim(BOTH '\"' FROM pg_catalog.f(a, (b)))") == "trim( f(a, (b)), '\"')");
  CHECK(to_sqlite("trim(leading from a || 'x')") == "ltrim( a || 'x')");
  CHECK(to_sqlite("substring(f(a) from 0 for 6) = 'TABLE'") == "substr(f(a) , 0 , 6) = 'TABLE'");
  CHECK(to_sqlite("substring(a, 1)") == "substr(a, 1)");
  CHECK(to_sqlite("(pg_catalog.current_schemas(true))[1]") == "(current_schemas(true))");
  CHECK(to_sqlite("(information_schema._pg_expandarray(i.indkey)).n AS n") ==
        "(_pg_expandarray(i.indkey)) AS n");
  CHECK(to_sqlite("oid = ANY($1) OR x") ==
        "oid   IN (SELECT value FROM json_each(array_json($1))) OR x");
  CHECK(to_sqlite("w <> ALL ('{a}'::text[])") ==
        "w   NOT IN (SELECT value FROM json_each(array_json('{a}')))");
  CHECK(to_sqlite("x = any(ARRAY(SELECT (y) FROM z)) + 1") == "x   IN (SELECT (y) FROM z) + 1");
  CHECK(to_sqlite("x = any(SELECT (y) FROM z)") == "x   IN (SELECT (y) FROM z)");
  CHECK(to_sqlite("x = any (ARRAY[1, 2])") == "x   IN (1, 2)");
  CHECK(to_sqlite("current_user, session_user, t.current_user, current_user()") ==
        "current_user(), session_user(), t.current_user, current_user()");
  CHECK(to_sqlite("FROM pg_catalog.pg_show_all_settings() s") == "FROM pg_settings s");
  CHECK(to_sqlite("FROM information_schema.tables") == "FROM \"information_schema.tables\"");
}

TEST_CASE("columns are called as PostgreSQL calls them") {
  using admin::postgres_name;
  CHECK(postgres_name("database", "SELECT database") == "database");
  CHECK(postgres_name("version()", "SELECT version()") == "version");
  CHECK(postgres_name("COUNT (*)", "") == "count");
  CHECK(postgres_name("max(f(')', a))", "") == "max");
  CHECK(postgres_name("sum(x) OVER (ORDER BY y)", "") == "sum");
  CHECK(postgres_name("count(*) FILTER (WHERE x)", "") == "count");
  CHECK(postgres_name("CASE WHEN a THEN 1 END", "") == "case");
  CHECK(postgres_name("EXISTS(SELECT 1)", "") == "exists");
  for (const char* other :
       {"1", "'x'", "a + b", "count(*) * 2", "(SELECT 1)", "f(", "a.b = 1", "", "$1", "f('"}) {
    CAPTURE(other);
    CHECK(postgres_name(other, "") == (*other == 0 ? "" : "?column?"));
  }
  CHECK(postgres_name("p95 (ms)", "SELECT 1 AS \"p95 (ms)\"") == "p95 (ms)");
  CHECK(postgres_name("1", "SELECT 2 AS [1]") == "1");
}

TEST_CASE("hostile texts end soon, and are SQLite's to refuse") {
  const std::string parts[] = {"generate_series(",
                               "1,",
                               ")",
                               "ANY (ARRAY[",
                               "= ANY (ARRAY[",
                               "]",
                               "OPERATOR(",
                               "::",
                               "E'\\",
                               "'",
                               "\"",
                               "/*",
                               "--",
                               "pg_catalog.",
                               "information_schema.",
                               "x[",
                               "(",
                               "array(",
                               "unnest(",
                               "trim(both 'x' from ",
                               "substring(",
                               " from ",
                               ").n",
                               "s(r)",
                               "= any(",
                               "<> all(",
                               "array_json('{a,",
                               "current_user",
                               " COLLATE ",
                               "regclass",
                               "~",
                               "select ",
                               "\n",
                               "double precision",
                               "timestamp with"};
  std::mt19937 random(4711);
  proxy::Inspection inspection = admin_test::sample_inspection();
  const auto config = admin_test::sample_config();
  const admin::Averages averages;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 3000; ++i) {
    std::string sql = "SELECT ";
    for (auto n = random() % 30; n > 0; --n) sql += parts[random() % std::size(parts)];
    const std::string translated = to_sqlite(sql);
    CHECK(translated.size() < 1000 + 20 * sql.size());
    if (i % 10 == 0) admin::run({.sql = translated}, {inspection, *config, averages});
  }
  for (const std::string& part : parts) {
    std::string sql = "SELECT = ";
    while (sql.size() < 200'000) sql += part;
    CHECK(to_sqlite(sql).size() < 100 * sql.size());
  }
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
}

}  // namespace
