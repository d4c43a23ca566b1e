// SET and its relatives: what replays the same setting on another connection.
#include "sql/settings.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "sql/analyzer.h"
#include "sql/lexer.h"

namespace sql {
namespace {

Statement one(std::string_view text) {
  CAPTURE(text);
  const Analysis analysis = analyze_once(text, {});
  CHECK(analysis.parsed);
  CHECK_FALSE(analysis.plain);
  REQUIRE(analysis.single() != nullptr);
  return *analysis.single();
}

SetStatement only(std::string_view text) {
  CAPTURE(text);
  const Statement statement = one(text);
  CHECK(statement.residue == kNoResidue);
  REQUIRE(statement.sets.size() == 1);
  return statement.sets[0];
}

TEST_CASE("SET: name, value and what replays it") {
  struct Case {
    std::string_view text, name, value_sql;
    const char* value;  // nullptr: not one constant
  };
  const Case cases[] = {
      {"SET work_mem TO '4MB'", "work_mem", "TO '4MB'", "4MB"},
      {"SET Work_Mem = '4MB'", "work_mem", "TO '4MB'", "4MB"},
      {"SET \"Work_Mem\" = 1", "work_mem", "TO 1", "1"},
      {"SET a.b = -1.5", "a.b", "TO -1.5", "-1.5"},
      {"SET x = 9999999999999", "x", "TO 9999999999999", "9999999999999"},
      {"SET x = on", "x", "TO 'on'", "on"},
      {"SET x = true", "x", "TO 'true'", "true"},
      {"SET x = Serializable", "x", "TO 'serializable'", "serializable"},
      {"SET x = 'it''s'", "x", "TO 'it''s'", "it's"},
      {"SET x = E'a\\\\b\\n'", "x", "TO E'a\\\\b\n'", "a\\b\n"},
      {"SET x = $q$a'b$q$", "x", "TO 'a''b'", "a'b"},
      {"SET x = ''", "x", "TO ''", ""},
      {"SET search_path = a, \"B c\", 'd'", "search_path", "TO 'a', 'B c', 'd'", nullptr},
      {"SET search_path TO \"$user\", public", "search_path", "TO '$user', 'public'", nullptr},
      {"SET SCHEMA 'x'", "search_path", "TO 'x'", "x"},
      {"SET NAMES 'latin1'", "client_encoding", "TO 'latin1'", "latin1"},
      {"SET CLIENT_ENCODING TO utf8", "client_encoding", "TO 'utf8'", "utf8"},
      {"SET ROLE admin", "role", "TO 'admin'", "admin"},
      {"SET ROLE 'Admin'", "role", "TO 'Admin'", "Admin"},
      {"SET ROLE NONE", "role", "TO 'none'", "none"},
      {"SET SESSION AUTHORIZATION bob", "session_authorization", "TO 'bob'", "bob"},
      {"SET XML OPTION DOCUMENT", "xmloption", "TO 'DOCUMENT'", "DOCUMENT"},
      {"SET TIME ZONE 'Europe/Rome'", "timezone", "TO 'Europe/Rome'", "Europe/Rome"},
      {"SET TIME ZONE utc", "timezone", "TO 'utc'", "utc"},
      {"SET TIME ZONE -7", "timezone", "TO -7", "-7"},
      {"SET TIMEZONE = 'UTC'", "timezone", "TO 'UTC'", "UTC"},
      {"SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "timezone", "TO 'INTERVAL ''-08:00'''",
       nullptr},
      {"SET TIME ZONE INTERVAL '5' HOUR", "timezone", "TO 'INTERVAL ''5 hours'''", nullptr},
      {"SET datestyle = 'ISO, DMY'", "datestyle", "TO 'ISO, DMY'", "ISO, DMY"},
      {"SET datestyle = ISO, DMY", "datestyle", "TO 'iso', 'dmy'", nullptr},
      {"SET weir.route = replica", "weir.route", "TO 'replica'", "replica"},
      {"SET weir.min_lsn TO '0/3000148'", "weir.min_lsn", "TO '0/3000148'", "0/3000148"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const SetStatement set = only(c.text);
    CHECK(set.name == c.name);
    CHECK(set.value_sql == c.value_sql);
    CHECK_FALSE(set.local);
    CHECK_FALSE(set.reset);
    if (c.value == nullptr)
      CHECK_FALSE(set.value.has_value());
    else
      CHECK(set.value == c.value);
  }
}

TEST_CASE("LOCAL, DEFAULT, RESET") {
  CHECK(only("SET LOCAL x = 1").local);
  CHECK_FALSE(only("SET SESSION x = 1").local);
  CHECK(only("SET LOCAL x TO DEFAULT").local);
  for (const std::string_view text :
       {"SET x TO DEFAULT", "SET LOCAL x = DEFAULT", "RESET x", "RESET X"}) {
    CAPTURE(text);
    const SetStatement set = only(text);
    CHECK(set.name == "x");
    CHECK(set.reset);
    CHECK(set.value_sql.empty());
    CHECK_FALSE(set.value.has_value());
  }
  CHECK(only("SET TIME ZONE LOCAL").reset);
  CHECK(only("SET TIME ZONE DEFAULT").name == "timezone");
  CHECK(only("RESET TIME ZONE").name == "timezone");
  CHECK(only("RESET SESSION AUTHORIZATION").name == "session_authorization");
  CHECK(only("SET SESSION AUTHORIZATION DEFAULT").reset);
  CHECK(only("RESET ROLE").name == "role");
  CHECK(only("SET NAMES").reset);
  CHECK(one("RESET ALL").sets.empty());
}

TEST_CASE("SESSION CHARACTERISTICS set the defaults, not this transaction") {
  const Statement s =
      one("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, NOT "
          "DEFERRABLE");
  CHECK_FALSE(s.read_only.has_value());
  CHECK_FALSE(s.isolation.has_value());
  REQUIRE(s.sets.size() == 3);
  CHECK(s.sets[0].name == "default_transaction_isolation");
  CHECK(s.sets[0].value_sql == "TO 'serializable'");
  CHECK(s.sets[1].name == "default_transaction_read_only");
  CHECK(s.sets[1].value == "on");
  CHECK(s.sets[2].name == "default_transaction_deferrable");
  CHECK(s.sets[2].value == "off");
}

TEST_CASE("set_config with constants is a SET") {
  const SetStatement set = only("SELECT set_config('App.User', 'bob', false)");
  CHECK(set.name == "app.user");
  CHECK(set.value_sql == "TO 'bob'");
  CHECK(set.value == "bob");
  CHECK_FALSE(set.local);
  CHECK(only("SELECT pg_catalog.set_config('a.b', 'c', true)").local);
  CHECK(only("SELECT set_config('a.b'::text, 'c'::text, 'f')").name == "a.b");
  CHECK(only("SELECT set_config('a.b', NULL, false)").reset);
  CHECK_FALSE(only("SELECT set_config('a.b', 'c', NULL)").local);
  // These settings are lists of names, which SET takes one by one.
  CHECK(only("SELECT pg_catalog.set_config('search_path', '', false)").value_sql == "TO ''");
  CHECK(only("SELECT set_config('search_path', 'A, \"B\"\"c\" ,\"$user\"', false)").value_sql ==
        "TO 'a', 'B\"c', '$user'");
  const Statement two =
      one("SELECT set_config('a.b', 'x', false) AS p, set_config('a.c', 'y', true)");
  CHECK(two.residue == kNoResidue);
  REQUIRE(two.sets.size() == 2);
  CHECK(two.sets[1].name == "a.c");
}

TEST_CASE("set_config that cannot be replayed is opaque") {
  for (const std::string_view text :
       {"SELECT set_config('a.b', $1, false)", "SELECT set_config($1, 'x', false)",
        "SELECT set_config('a.b', 'x', $1)", "SELECT set_config('a.b', lower('X'), false)",
        "SELECT set_config('a.b', 'x', false) FROM t",
        "SELECT set_config('a.b', 'x', false) WHERE f",
        "SELECT set_config('a.b', 'x', false) LIMIT 0",
        "SELECT CASE WHEN x THEN set_config('a.b', 'x', false) END",
        "SELECT * FROM set_config('a.b', 'x', false)",
        "WITH x AS (SELECT set_config('a.b', 'x', false)) SELECT 1",
        "SELECT set_config(setting_name => 'a.b', new_value => 'x', is_local => false)",
        "SELECT set_config('search_path', '\"a', false)",
        "SELECT set_config('a.b', 'x', false), set_config('a.c', $1, false)",
        "SELECT set_config('a.b', 'x', false) UNION SELECT 'y'",
        "INSERT INTO t VALUES (set_config('a.b', 'x', false))",
        "VALUES (set_config('a.b', 'x', false))"}) {
    CAPTURE(text);
    const Analysis analysis = analyze_once(text, {});
    CHECK(analysis.parsed);
    CHECK(analysis.access == Access::kWrite);
    CHECK(analysis.residue == kOpaque);
  }
}

TEST_CASE("a local set_config leaves nothing behind, whatever it sets") {
  for (const std::string_view text :
       {"SELECT set_config('a.b', $1, true)", "SELECT set_config($1, $2, true) FROM t",
        "WITH x AS (SELECT set_config('a.b', 'x', true)) SELECT 1"}) {
    CAPTURE(text);
    const Analysis analysis = analyze_once(text, {});
    CHECK(analysis.access == Access::kWrite);
    CHECK(analysis.residue == kNoResidue);
  }
}

TEST_CASE("quote_literal") {
  CHECK(quote_literal("") == "''");
  CHECK(quote_literal("a'b") == "'a''b'");
  CHECK(quote_literal("a\\b'") == "E'a\\\\b'''");
}

}  // namespace
}  // namespace sql
