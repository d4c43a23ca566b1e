// SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE, EXPLAIN, COPY. What may run on a hot
// standby is listed in PostgreSQL's documentation, 27.4.1 "User's Overview" of Hot Standby.
#include "expect.h"

namespace sql {
namespace {

using test::check_all;
using test::Expected;
constexpr Access R = Access::kRead;
constexpr Access W = Access::kWrite;
constexpr Verb S = Verb::kSelect;
constexpr Verb O = Verb::kOther;

TEST_CASE("reads") {
  check_all(std::initializer_list<Expected>{
      {"SELECT 1", R, S},
      {"select", R, S},
      {"TABLE t", R, S},
      {"VALUES (1, 'a'), (2, 'b')", R, S},
      {"(SELECT 1)", R, S},
      {"SELECT abalance FROM pgbench_accounts WHERE aid = $1;", R, S},
      {"SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON c.x = a.x, d CROSS JOIN e", R, S},
      {"SELECT 1 UNION SELECT 2 INTERSECT SELECT 3 EXCEPT ALL SELECT 4", R, S},
      {"SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC NULLS LAST LIMIT 5 OFFSET 2", R, S},
      {"SELECT * FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES", R, S},
      {"WITH a AS (SELECT 1) SELECT * FROM a", R, S},
      {"WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) TABLE a", R, S},
      {"SELECT count(*), sum(x) FILTER (WHERE y) FROM t GROUP BY ROLLUP (a, b) HAVING max(z) > 1",
       R, S},
      {"SELECT row_number() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT "
       "ROW) FROM t",
       R, S},
      {"SELECT CASE WHEN a THEN 1 ELSE 2 END, coalesce(a, b), nullif(a, b), greatest(1, 2)", R, S},
      {"SELECT EXISTS (SELECT 1), ARRAY(SELECT 1), a IN (SELECT 2), b = ANY (SELECT 3)", R, S},
      {"SELECT now(), current_timestamp, statement_timestamp(), clock_timestamp(), timeofday()", R,
       S},
      {"SELECT random(), gen_random_uuid(), pg_sleep(0.1)", R, S},
      {"SELECT extract(epoch FROM now()), a AT TIME ZONE 'UTC', position('a' IN 'b')", R, S},
      {"SELECT substring(a FROM 1 FOR 2), trim(both ' ' from a), overlay(a placing 'x' from 1)", R,
       S},
      {"SELECT a LIKE 'x' ESCAPE '!', a SIMILAR TO 'x', a ~ 'x', a || 'x', a ->> 'k', a ? 'k'", R,
       S},
      {"SELECT jsonb_build_object('a', 1), to_jsonb(t), jsonb_path_query(a, '$.x') FROM t", R, S},
      {"SELECT * FROM generate_series(1, 10) WITH ORDINALITY AS g(a, n)", R, S},
      {"SELECT * FROM ROWS FROM (unnest(a), generate_series(1, 3)) AS x", R, S},
      {"SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.id = t.id) x", R, S},
      {"SELECT * FROM json_to_recordset('[]') AS x(a int, b text)", R, S},
      {"SELECT * FROM t TABLESAMPLE bernoulli (10) REPEATABLE (1)", R, S},
      {"SELECT * FROM t TABLESAMPLE pg_catalog.system (10)", R, S},
      {"SELECT xmlelement(name foo, xmlattributes('x' AS bar), 'content')", R, S},
      {"SELECT * FROM xmltable('/r' PASSING '<r/>' COLUMNS a int PATH '@a')", R, S},
      {"SELECT pg_catalog.lower('A'), PG_CATALOG.UPPER('a'), \"lower\"('x')", R, S},
      {"SELECT 'x'::regclass, CAST(1 AS myschema.mytype), int '1', interval '1' day", R, S},
      {"SELECT a COLLATE \"C\", (b).c, d[1], e[1:2], f[1].g", R, S},
      {"SELECT 1 OPERATOR(pg_catalog.+) 2", R, S},
      {"SELECT a FROM t ORDER BY a USING >", R, S},
      {"SELECT version(), current_database(), current_setting('x')", R, S},
      {"SELECT txid_current_if_assigned(), pg_wal_lsn_diff('0/2', '0/1')", R, S},
      {"SELECT pg_relation_size('t'), pg_size_pretty(pg_database_size('d'))", R, S},
      {"SELECT * FROM pg_stats, pg_statistic_ext, myschema.pg_stat_activity", R, S},
      {"SELECT (information_schema._pg_expandarray(i.indkey)).n FROM pg_index i", R, S},
      {"SELECT U&\"\\006cower\"('A')", R, S},  // the name is decoded before it is looked up
      {"SELECT $1::int + $2", R, S},
      {"SELECT NULL, TRUE, B'1', X'ff', E'\\n', $$nextval('x')$$, 'INSERT INTO t'", R, S},
      {"SELECT 1 /* nextval('x') */ -- DELETE FROM t", R, S},
      {"SELECT \"nextval\" FROM \"insert\"", R, S},
  });
}

TEST_CASE("what tells of the server itself is asked of the primary") {
  check_all(
      std::initializer_list<Expected>{
          {"SELECT pg_is_in_recovery()", W, S},
          {"SELECT pg_last_wal_replay_lsn()", W, S},
          {"SELECT * FROM pg_stat_activity", W, S},
          {"SELECT * FROM t, pg_catalog.pg_statio_user_tables", W, S},
          {"SELECT pg_stat_get_live_tuples(1)", W, S},
          {"SELECT * FROM pg_locks WHERE NOT granted", W, S},
          {"SELECT name FROM pg_settings", W, S},
          {"SELECT gid FROM pg_prepared_xacts", W, S},
          {"SELECT * FROM pg_stat_activity WHERE pid = pg_backend_pid()", W, S},
          {"SELECT * FROM pg_stat_activity WHERE pg_catalog.pg_backend_pid() <> pid", W, S},
          {"SHOW transaction_read_only", W, sql::Verb::kShow},
          {"SHOW in_hot_standby", W, sql::Verb::kShow},
          {"SHOW ALL", W, sql::Verb::kShow},
          {"SHOW timezone", sql::Access::kNone, sql::Verb::kShow},
      },
      {}, nullptr);
}

TEST_CASE("whoever is told the process id of its server keeps that server") {
  for (const char* text :
       {"SELECT pg_backend_pid()", "SELECT 'pid ' || f(pg_backend_pid())",
        "INSERT INTO t VALUES (pg_backend_pid())",
        "UPDATE t SET a = 1 WHERE b = pg_backend_pid() RETURNING pg_backend_pid()"}) {
    CAPTURE(text);
    CHECK((sql::analyze_once(text, {}).residue & sql::kBackendPid) != 0);
  }
  for (const char* text : {"SELECT 1 FROM pg_stat_activity WHERE pid = pg_backend_pid()",
                           "SELECT other.pg_backend_pid()"}) {
    CAPTURE(text);
    CHECK((sql::analyze_once(text, {}).residue & sql::kBackendPid) == 0);
  }
}

TEST_CASE("a hint does not pin a session to a replica") {
  const auto hint_of = [](const char* text) { return sql::analyze_once(text, {}).hints.route; };
  CHECK(hint_of("/* weir: replica */ SELECT f()") == sql::Hint::kReplica);
  CHECK(hint_of("/* weir: replica */ SELECT * FROM pg_locks") == sql::Hint::kReplica);
  CHECK(hint_of("/* weir: replica */ SELECT pg_advisory_lock(1)") == sql::Hint::kNone);
  CHECK(hint_of("/* weir: replica */ SELECT pg_backend_pid()") == sql::Hint::kNone);
}

TEST_CASE("locks and data-modifying WITH") {
  check_all(std::initializer_list<Expected>{
      {"SELECT * FROM t FOR UPDATE", W, S},
      {"SELECT * FROM t FOR NO KEY UPDATE NOWAIT", W, S},
      {"SELECT * FROM t FOR SHARE OF t SKIP LOCKED", W, S},
      {"SELECT * FROM t FOR KEY SHARE", W, S},
      {"SELECT * FROM (SELECT * FROM t FOR UPDATE) x", W, S},
      {"SELECT 1 WHERE EXISTS (SELECT 1 FROM t FOR SHARE)", W, S},
      {"WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x", W, S},
      {"WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT 1", W, S},
      {"WITH x AS (DELETE FROM t) SELECT 1", W, S},
      {"WITH x AS (SELECT 1), y AS (DELETE FROM t) SELECT * FROM x", W, S},
  });
}

TEST_CASE("a function that writes, wherever it stands") {
  check_all(std::initializer_list<Expected>{
      {"SELECT nextval('s')", W, S, kSequenceState},
      {"SELECT pg_catalog.nextval('s'::regclass)", W, S, kSequenceState},
      {"SELECT NextVal('s')", W, S, kSequenceState},
      {"SELECT \"nextval\"('s')", W, S, kSequenceState},
      {"SELECT U&\"n\\0065xtval\"('s')", W, S, kSequenceState},
      {"SELECT setval('s', 3)", W, S, kSequenceState},
      {"SELECT currval('s')", W, S, kSequenceAsk},
      {"SELECT lastval()", W, S, kSequenceAsk},
      {"SELECT coalesce((SELECT max(nextval('s')) FROM t), 1)", W, S, kSequenceState},
      {"SELECT 1 ORDER BY nextval('s')", W, S, kSequenceState},
      {"SELECT 1 LIMIT nextval('s')", W, S, kSequenceState},
      {"SELECT 1 GROUP BY nextval('s')", W, S, kSequenceState},
      {"SELECT sum(1) FILTER (WHERE nextval('s') > 0)", W, S, kSequenceState},
      {"SELECT sum(1) OVER (ORDER BY nextval('s'))", W, S, kSequenceState},
      {"SELECT sum(1) OVER w FROM t WINDOW w AS (ORDER BY nextval('s'))", W, S, kSequenceState},
      {"SELECT array_agg(a ORDER BY nextval('s')) FROM t", W, S, kSequenceState},
      {"SELECT CASE nextval('s') WHEN 1 THEN 2 END", W, S, kSequenceState},
      {"SELECT a[nextval('s')] FROM t", W, S, kSequenceState},
      {"SELECT ARRAY[nextval('s')]", W, S, kSequenceState},
      {"SELECT ROW(nextval('s'))", W, S, kSequenceState},
      {"SELECT * FROM nextval('s')", W, S, kSequenceState},
      {"SELECT * FROM t JOIN u ON nextval('s') = u.x", W, S, kSequenceState},
      {"SELECT nextval('s')::text", W, S, kSequenceState},
      {"SELECT nextval('s') IS NULL", W, S, kSequenceState},
      {"SELECT x COLLATE \"C\" FROM (VALUES (nextval('s'))) v(x)", W, S, kSequenceState},
      {"SELECT 1 UNION ALL SELECT nextval('s')", W, S, kSequenceState},
      {"VALUES (nextval('s'))", W, S, kSequenceState},
      {"SELECT * FROM t TABLESAMPLE system (nextval('s'))", W, S, kSequenceState},
      {"SELECT * FROM xmltable('/r' PASSING (SELECT f()) COLUMNS a int)", W, S, kOpaque},
  });
}

TEST_CASE("functions and operators that may write") {
  check_all(
      std::initializer_list<Expected>{
          {"SELECT my_function(1)", W, S, kOpaque},
          {"SELECT myschema.lower('A')", W, S, kOpaque},
          {"SELECT public.now()", W, S, kOpaque},
          {"SELECT * FROM t TABLESAMPLE tsm_system_rows (10)", W, S, kOpaque},
          {"SELECT 1 OPERATOR(public.+) 2", W, S, kOpaque},
          {"SELECT a FROM t ORDER BY a USING OPERATOR(public.<)", W, S, kOpaque},
          {"SELECT a OPERATOR(x.=) ANY (SELECT 1)", W, S, kOpaque},
          {"SELECT pg_advisory_lock(1)", W, S, kAdvisoryLock},
          {"SELECT pg_try_advisory_lock(1, 2)", W, S, kAdvisoryLock},
          {"SELECT pg_advisory_lock_shared(1)", W, S, kAdvisoryLock},
          {"SELECT pg_try_advisory_lock_shared(1)", W, S, kAdvisoryLock},
          {"SELECT pg_advisory_xact_lock(1)", W, S},
          {"SELECT pg_try_advisory_xact_lock_shared(1)", W, S},
          {"SELECT pg_advisory_unlock(1)", W, S},
          {"SELECT pg_advisory_unlock_all()", W, S},
          {"SELECT setseed(0.5)", W, S, kRandomSeed},
          {"SELECT setseed(0.5), nextval('s')", W, S, kRandomSeed | kSequenceState},
          {"SELECT pg_notify('c', 'x')", W, S},
          {"SELECT txid_current()", W, S},
          {"SELECT pg_current_xact_id()", W, S},
          {"SELECT lo_create(0)", W, S},
          {"SELECT lo_get(1)", R, S},
          {"SELECT pg_export_snapshot()", W, S},
          {"SELECT pg_current_wal_lsn()", W, S},
          {"SELECT pg_switch_wal()", W, S},
          {"SELECT pg_terminate_backend(1)", W, S},
          {"SELECT pg_reload_conf()", W, S},
          {"SELECT pg_stat_reset()", W, S},
          {"SELECT pg_create_restore_point('x')", W, S},
          {"SELECT pg_logical_emit_message(true, 'a', 'b')", W, S},
          {"SELECT query_to_xml('DELETE FROM t', true, true, '')", W, S, kOpaque},
          {"SELECT ts_rewrite('a'::tsquery, 'SELECT f()')", W, S, kOpaque},
      },
      {}, nullptr);
}

TEST_CASE("SELECT INTO, INSERT, UPDATE, DELETE, MERGE") {
  check_all(std::initializer_list<Expected>{
      {"SELECT * INTO n FROM t", W, Verb::kDdl},
      {"SELECT * INTO TEMP n FROM t", W, Verb::kCreateTemp, kTempObject},
      {"SELECT * INTO TEMPORARY TABLE n FROM t", W, Verb::kCreateTemp, kTempObject},
      {"SELECT * INTO pg_temp.n FROM t", W, Verb::kCreateTemp, kTempObject},
      {"SELECT 1 INTO n UNION SELECT 2", W, Verb::kDdl},
      {"INSERT INTO t VALUES (1)", W, O},
      {"INSERT INTO t (a, b) SELECT 1, 2 ON CONFLICT (a) DO UPDATE SET b = excluded.b", W, O},
      {"INSERT INTO t DEFAULT VALUES RETURNING id", W, O},
      {"INSERT INTO t VALUES (nextval('s'))", W, O, kSequenceState},
      {"INSERT INTO t VALUES (my_function())", W, O, kOpaque},
      {"INSERT INTO t VALUES (1) RETURNING f(a)", W, O, kOpaque},
      {"INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = f()", W, O, kOpaque},
      {"WITH a AS (SELECT 1) INSERT INTO t TABLE a", W, O},
      {"UPDATE t SET a = 1 WHERE b", W, O},
      {"UPDATE t SET (a, b) = (SELECT 1, f())", W, O, kOpaque},
      {"DELETE FROM t USING u WHERE t.id = u.id", W, O},
      {"DELETE FROM t WHERE CURRENT OF c", W, O},
      {"MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT "
       "VALUES (1)",
       W, O},
      {"MERGE INTO t USING u ON f(t.id) WHEN MATCHED THEN DO NOTHING", W, O, kOpaque},
  });
}

TEST_CASE("EXPLAIN runs a statement only with ANALYZE") {
  check_all(std::initializer_list<Expected>{
      {"EXPLAIN SELECT 1", R, O},
      {"EXPLAIN DELETE FROM t", R, O},
      {"EXPLAIN VERBOSE INSERT INTO t SELECT nextval('s')", R, O},
      {"EXPLAIN (FORMAT json, COSTS off) UPDATE t SET a = 1", R, O},
      {"EXPLAIN SELECT f()", R, O},
      {"EXPLAIN CREATE TABLE n AS SELECT 1", R, O},
      {"EXPLAIN EXECUTE p(1)", W, Verb::kExecute},
      {"EXPLAIN ANALYZE SELECT 1", R, O},
      {"EXPLAIN ANALYZE VERBOSE DELETE FROM t", W, O},
      {"EXPLAIN (ANALYZE) DELETE FROM t", W, O},
      {"EXPLAIN (ANALYZE true) DELETE FROM t", W, O},
      {"EXPLAIN (ANALYZE 1) DELETE FROM t", W, O},
      {"EXPLAIN (ANALYZE on, BUFFERS) INSERT INTO t VALUES (1)", W, O},
      {"EXPLAIN (ANALYZE off) DELETE FROM t", R, O},
      {"EXPLAIN (ANALYZE false) DELETE FROM t", R, O},
      {"EXPLAIN (ANALYZE 0) DELETE FROM t", R, O},
      {"EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM t", W, O},
      {"EXPLAIN (BUFFERS, ANALYZE, FORMAT yaml) SELECT nextval('s')", W, O, kSequenceState},
      {"EXPLAIN ANALYZE SELECT f()", W, O, kOpaque},
      {"EXPLAIN ANALYZE CREATE TEMP TABLE n AS SELECT 1", W, O, kTempObject},
      {"EXPLAIN ANALYZE SELECT set_config('a.b', 'c', false)", W, O, kOpaque},
  });
}

TEST_CASE("COPY") {
  check_all(std::initializer_list<Expected>{
      {"COPY t TO STDOUT", R, Verb::kCopyOut},
      {"COPY t (a, b) TO STDOUT WITH (FORMAT csv, HEADER)", R, Verb::kCopyOut},
      {"COPY (SELECT * FROM t) TO STDOUT", R, Verb::kCopyOut},
      {"COPY (SELECT nextval('s')) TO STDOUT", W, Verb::kCopyOut, kSequenceState},
      {"COPY (SELECT f()) TO STDOUT", W, Verb::kCopyOut, kOpaque},
      {"COPY (DELETE FROM t RETURNING *) TO STDOUT", W, Verb::kCopyOut},
      {"COPY (SELECT * FROM t FOR UPDATE) TO STDOUT", W, Verb::kCopyOut},
      {"COPY t FROM STDIN", W, Verb::kCopyIn},
      {"COPY t FROM STDIN (FORMAT binary)", W, Verb::kCopyIn},
      {"COPY t FROM STDIN WHERE f(a)", W, Verb::kCopyIn, kOpaque},
      {"COPY t FROM '/tmp/x'", W, O},
      {"COPY t TO '/tmp/x'", W, O},
      {"COPY t TO PROGRAM 'cat'", W, O},
      {"COPY t FROM PROGRAM 'cat'", W, O},
      {"COPY (SELECT 1) TO PROGRAM 'cat'", W, O},
  });
}

TEST_CASE("functions that the options call harmless") {
  AnalyzerOptions options;
  options.harmless_functions = {"st_area", "app.total"};
  check_all(
      std::initializer_list<Expected>{
          {"SELECT st_area(g), ST_Area(h) FROM t", R, S},
          {"SELECT app.total(1)", R, S},
          {"SELECT total(1)", W, S, kOpaque},           // of some other schema
          {"SELECT public.st_area(g)", W, S, kOpaque},  // not what was listed
          {"SELECT \"ST_AREA\"(g)", W, S, kOpaque},
          {"SELECT st_area(nextval('s'))", W, S, kSequenceState},
      },
      options);
}

TEST_CASE("why names the reason") {
  const auto why = [](std::string_view text) { return analyze_once(text, {}).why; };
  CHECK(why("select 1") == "SELECT");
  CHECK(why("SELECT my_f(1)") == "function my_f may write");
  CHECK(why("WITH x AS (DELETE FROM t) SELECT 1") == "DELETE");
  CHECK(why("SELECT 1; vacuum") == "VACUUM");
  CHECK(why("SELECT 1 FOR UPDATE") == "FOR UPDATE or FOR SHARE");
  CHECK(why("create table t ()") == "CREATE");
}

TEST_CASE("what may make a sequence give something") {
  const auto may_advance = [](std::string_view text) {
    const Analysis analysis = analyze_once(text, {}, &test::empty_catalog());
    REQUIRE(analysis.single() != nullptr);
    if (analysis.access == Access::kWrite) {
      CHECK(analysis.may_advance == analysis.single()->may_advance);
    }
    return analysis.single()->may_advance;
  };
  CHECK(may_advance("INSERT INTO t VALUES (1)"));  // by a default
  CHECK(may_advance("UPDATE t SET a = 1"));        // by a trigger
  CHECK(may_advance("WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x"));
  CHECK(may_advance("SELECT nextval('s')"));
  CHECK(may_advance("SELECT unknown_function()"));
  CHECK(may_advance("COPY t FROM STDIN"));
  CHECK(may_advance("CALL p()"));
  CHECK(analyze_once("SELECT 1; DELETE FROM t", {}, nullptr).may_advance);
  CHECK_FALSE(analyze_once("SELECT 1; LOCK TABLE t", {}, nullptr).may_advance);
  CHECK_FALSE(analyze_once("SELECT 1", {}, nullptr).may_advance);
  CHECK(analyze_once("what is this?", {}, nullptr).may_advance);
  // Nothing may go in front of SET TRANSACTION that takes a snapshot.
  CHECK_FALSE(may_advance("SET TRANSACTION SNAPSHOT '1'"));
  CHECK_FALSE(may_advance("LOCK TABLE t"));
  CHECK_FALSE(may_advance("SET CONSTRAINTS ALL DEFERRED"));
  CHECK_FALSE(may_advance("NOTIFY a"));
  CHECK_FALSE(may_advance("SELECT 1 FOR UPDATE"));
  CHECK_FALSE(may_advance("SELECT pg_advisory_xact_lock(1)"));
  CHECK_FALSE(may_advance("SELECT pg_stat_force_next_flush()"));
}

TEST_CASE("what is to be known of the session itself") {
  const auto residue = [](std::string_view text) {
    return analyze_once(text, {}, nullptr).residue;
  };
  CHECK(residue("SELECT sessions FROM pg_stat_database") == kSessionsAsk);
  CHECK(residue("SELECT 1 + (SELECT sum(sessions) FROM pg_catalog.pg_stat_database)") ==
        kSessionsAsk);
  CHECK(residue("SELECT pg_stat_get_db_sessions(1)") == kSessionsAsk);
  CHECK(residue("SELECT * FROM my.pg_stat_database") == kNoResidue);
  CHECK(residue("SELECT * FROM pg_stat_activity") == kNoResidue);
}

}  // namespace
}  // namespace sql
