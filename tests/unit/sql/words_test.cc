#include "sql/words.h"

#include <doctest/doctest.h>

#include <string_view>

namespace sql {
namespace {

TEST_CASE("words that hint at session state") {
  for (const std::string_view text :
       {"SET a = 1", "INSERT INTO t VALUES (1); set a = 1", "CREATE TEMP TABLE t ()",
        "select SET_CONFIG('a', 'b', false)", "SELECT nextval('s')", "SELECT \"nextval\"('s')",
        "LISTEN x", "do $$ $$", "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)", "INSERT INTO pg_temp.t VALUES (1)",
        "INSERT INTO pg_temp_3.t VALUES (1)", ";; BEGIN", "SELECT U&\"x\"", "PREPARE p AS SELECT 1",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1"}) {
    CAPTURE(text);
    CHECK(mentions_state(text));
  }
}

TEST_CASE("words that do not") {
  for (const std::string_view text :
       {"", "SELECT 1", "UPDATE t SET a = 1", "INSERT INTO t VALUES ('SET x', 'nextval')",
        "SELECT 1 -- ; SET a = 1", "SELECT 1 /* temp */", "SELECT \"a; SET x\"",
        "SELECT pg_advisory_xact_lock(1)", "SELECT $$ nextval $$",
        "INSERT INTO template VALUES (1)", "SELECT CASE WHEN a THEN b END"}) {
    CAPTURE(text);
    CHECK_FALSE(mentions_state(text));
  }
}

}  // namespace
}  // namespace sql
