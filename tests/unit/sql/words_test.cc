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

TEST_CASE("what a function's source leaves") {
  for (const std::string_view text : {
           "BEGIN PERFORM set_config('a.b', 'c', false); RETURN NEW; END",
           "SELECT pg_catalog.\"set_config\"('a.b', 'c', NOT true)",
           "SELECT set_config('a.b', f('x', true), $1)",
           "SET work_mem TO '1MB'",
           "DECLARE x int; BEGIN SET work_mem TO '1MB'; END",
           "BEGIN IF a THEN RESET ALL; END IF; END",
           "BEGIN IF a THEN NULL; ELSE SET SESSION a.b = 1; END IF; END",
           "BEGIN LOOP LISTEN x; END LOOP; END",
           "BEGIN EXECUTE 'SET work_mem TO ''1MB'''; END",
           "BEGIN EXECUTE 'SET ' || x; END",
           "BEGIN EXECUTE format('RESET %I', x); END",
           "BEGIN EXECUTE format('%s', x); END",
           "BEGIN FOR r IN EXECUTE x LOOP NULL; END LOOP; END",
           "BEGIN x := 'SET work_mem TO 1'; END",
           "BEGIN EXECUTE $x$DO $$BEGIN LOAD 'plperl'; END$$$x$; END",
           "BEGIN CREATE TEMP TABLE x (); END",
           "SELECT 1 INTO TEMPORARY x",
           "CREATE LOCAL TEMPORARY SEQUENCE s",
           "INSERT INTO pg_temp.x VALUES (1)",
           "EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'",
           "UPDATE pg_settings SET setting = '1MB' WHERE name = 'work_mem'",
           "SELECT U&\"x\"()",
       }) {
    CAPTURE(text);
    CHECK(may_leave(text));
  }
  for (const std::string_view text : {
           "",
           "BEGIN NEW.changed := now(); RETURN NEW; END",
           "BEGIN NEW.id := nextval('s'); INSERT INTO log (temp, hold) VALUES (NEW.temp, 1); END",
           "BEGIN UPDATE t SET a = 1; END",
           "BEGIN INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1; END",
           "BEGIN PERFORM set_config('a.b', 'set', TRUE); END",
           "BEGIN PERFORM set_config('a.b', f(1, 2), true); SET LOCAL a.b = 1; END",
           "BEGIN PERFORM pg_advisory_xact_lock(1); END",
           "BEGIN EXECUTE 'INSERT INTO ' || quote_ident(x) || ' VALUES (1)'; END",
           "BEGIN EXECUTE format('UPDATE %I SET a = 1', x) USING NEW; END",
           "BEGIN EXECUTE 'SET LOCAL work_mem TO 1'; END",
           "BEGIN RAISE EXCEPTION 'Set the value of % first', x; END",
           "BEGIN NEW.state := 'load'; END",
           "-- SET a = 1",
       }) {
    CAPTURE(text);
    CHECK_FALSE(may_leave(text));
  }
}

}  // namespace
}  // namespace sql
