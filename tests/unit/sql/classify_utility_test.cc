// Statements that change catalogs or storage. Which of them refuse to run in a transaction block is
// said on each one's page in PostgreSQL's documentation, part VI.
#include "expect.h"

namespace sql {
namespace {

using test::check_all;
using test::Expected;
constexpr Access W = Access::kWrite;
constexpr Verb O = Verb::kOther;
constexpr Verb D = Verb::kDdl;
constexpr Verb V = Verb::kVacuumLike;
constexpr Verb T = Verb::kCreateTemp;

TEST_CASE("definitions") {
  check_all(std::initializer_list<Expected>{
      {"CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT my_function(), CHECK (f(a) > 0))", W, D},
      {"CREATE TABLE IF NOT EXISTS t (id serial, x int DEFAULT nextval('s'))", W, D},
      {"CREATE UNLOGGED TABLE t ()", W, D},
      {"CREATE TABLE t PARTITION OF p FOR VALUES IN (1, 2)", W, D},
      {"CREATE TABLE t (LIKE u INCLUDING ALL)", W, D},
      {"CREATE TABLE t AS SELECT 1", W, D},
      {"CREATE TABLE t AS SELECT nextval('s')", W, D, kSequenceState},
      {"CREATE TABLE t AS SELECT f()", W, D, kOpaque},
      {"CREATE TABLE t AS EXECUTE p", W, D},
      {"CREATE MATERIALIZED VIEW m AS SELECT 1", W, D},
      {"CREATE VIEW v AS SELECT f()", W, D},
      {"CREATE OR REPLACE VIEW v AS SELECT 1 WITH CHECK OPTION", W, D},
      {"CREATE RECURSIVE VIEW v (n) AS SELECT 1", W, D},
      {"CREATE INDEX ON t (lower(a))", W, D},
      {"CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a) WHERE b", W, D},
      {"CREATE SEQUENCE s", W, D},
      {"CREATE SCHEMA s", W, D},
      {"CREATE SCHEMA s CREATE TABLE t () CREATE VIEW v AS SELECT 1", W, D},
      {"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", W, D},
      {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", W, D},
      {"CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN END $$", W, D},
      {"CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", W, D},
      {"CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()", W, D},
      {"CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING", W, D},
      {"CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM u; DELETE FROM v)", W, D},
      {"CREATE TYPE c AS (a int)", W, D},
      {"CREATE TYPE e AS ENUM ('a', 'b')", W, D},
      {"CREATE TYPE r AS RANGE (subtype = float8)", W, D},
      {"CREATE DOMAIN d AS int CHECK (value > 0)", W, D},
      {"CREATE AGGREGATE a (int) (sfunc = int4pl, stype = int)", W, D},
      {"CREATE OPERATOR + (leftarg = a, rightarg = b, function = f)", W, D},
      {"CREATE OPERATOR CLASS c FOR TYPE int USING btree AS OPERATOR 1 <", W, D},
      {"CREATE CAST (a AS b) WITH FUNCTION f(a)", W, D},
      {"CREATE COLLATION c (locale = 'C')", W, D},
      {"CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM f", W, D},
      {"CREATE TEXT SEARCH CONFIGURATION c (parser = p)", W, D},
      {"CREATE EXTENSION IF NOT EXISTS hstore", W, D},
      {"CREATE ROLE r LOGIN PASSWORD 'x'", W, D},
      {"CREATE USER u", W, D},
      {"CREATE POLICY p ON t USING (f(a))", W, D},
      {"CREATE PUBLICATION p FOR ALL TABLES", W, D},
      {"CREATE STATISTICS s ON a, b FROM t", W, D},
      {"CREATE SERVER s FOREIGN DATA WRAPPER w", W, D},
      {"CREATE FOREIGN TABLE t (a int) SERVER s", W, D},
      {"CREATE USER MAPPING FOR u SERVER s", W, D},
      {"CREATE LANGUAGE l HANDLER h", W, D},
      {"CREATE ACCESS METHOD a TYPE INDEX HANDLER h", W, D},
      {"CREATE TRANSFORM FOR int LANGUAGE l (FROM SQL WITH FUNCTION f(internal))", W, D},
  });
}

TEST_CASE("changes, removals, rights") {
  check_all(std::initializer_list<Expected>{
      {"ALTER TABLE t ADD COLUMN a int DEFAULT 1, DROP COLUMN b", W, D},
      {"ALTER TABLE t ALTER a TYPE bigint USING f(a)", W, D},
      {"ALTER TABLE t RENAME TO u", W, D},
      {"ALTER TABLE t SET SCHEMA s", W, D},
      {"ALTER TABLE t OWNER TO u", W, D},
      {"ALTER TABLE t DETACH PARTITION p", W, D},
      {"ALTER SEQUENCE s RESTART", W, D},
      {"ALTER FUNCTION f() STABLE", W, D},
      {"ALTER TYPE e ADD VALUE 'c'", W, D},
      {"ALTER DOMAIN d SET NOT NULL", W, D},
      {"ALTER ROLE r SET search_path = a", W, D},
      {"ALTER DATABASE d SET work_mem = '1MB'", W, D},
      {"ALTER DATABASE d CONNECTION LIMIT 5", W, D},
      {"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r", W, D},
      {"ALTER EXTENSION e UPDATE", W, D},
      {"ALTER VIEW v SET (security_barrier)", W, D},
      {"ALTER INDEX i RENAME TO j", W, D},
      {"DROP TABLE IF EXISTS t CASCADE", W, D},
      {"DROP TABLE pg_temp.t", W, D},
      {"DROP INDEX i", W, D},
      {"DROP FUNCTION f(int)", W, D},
      {"DROP SCHEMA s", W, D},
      {"DROP ROLE r", W, D},
      {"DROP OWNED BY r", W, D},
      {"REASSIGN OWNED BY a TO b", W, D},
      {"GRANT SELECT ON t TO r", W, D},
      {"REVOKE ALL ON t FROM r", W, D},
      {"GRANT a TO b", W, D},
      {"COMMENT ON TABLE t IS 'x'", W, D},
      {"SECURITY LABEL ON TABLE t IS 'x'", W, D},
      {"IMPORT FOREIGN SCHEMA s FROM SERVER v INTO w", W, D},
  });
}

TEST_CASE("what sets defaults of sessions") {
  for (const char* text : {"ALTER ROLE r SET a = 1", "ALTER USER r IN DATABASE d RESET ALL",
                           "ALTER ROLE ALL SET a TO DEFAULT", "ALTER DATABASE d SET a FROM CURRENT",
                           "ALTER DATABASE d RESET a"}) {
    CAPTURE(text);
    CHECK(analyze_once(text, {}).statements.at(0).sets_defaults);
  }
  for (const char* text : {"ALTER ROLE r CONNECTION LIMIT 5", "ALTER DATABASE d CONNECTION LIMIT 5",
                           "ALTER FUNCTION f() SET a = 1", "SET a = 1"}) {
    CAPTURE(text);
    CHECK_FALSE(analyze_once(text, {}).statements.at(0).sets_defaults);
  }
}

TEST_CASE("temporary objects") {
  check_all(std::initializer_list<Expected>{
      {"CREATE TEMP TABLE t (a int)", W, T, kTempObject},
      {"CREATE TEMPORARY TABLE IF NOT EXISTS t () ON COMMIT DELETE ROWS", W, T, kTempObject},
      {"CREATE LOCAL TEMP TABLE t ()", W, T, kTempObject},
      {"CREATE GLOBAL TEMPORARY TABLE t ()", W, T, kTempObject},
      {"CREATE TABLE pg_temp.t ()", W, T, kTempObject},
      {"CREATE TABLE \"pg_temp\".t ()", W, T, kTempObject},
      {"CREATE TEMP TABLE t AS SELECT 1", W, T, kTempObject},
      {"CREATE TABLE pg_temp.t AS SELECT f()", W, T, kTempObject | kOpaque},
      {"CREATE TEMP VIEW v AS SELECT 1", W, T, kTempObject},
      {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", W, T, kTempObject},
      {"CREATE TEMP SEQUENCE s", W, T, kTempObject},
      {"CREATE VIEW v AS SELECT * FROM pg_temp.t", W, T, kTempObject},
      {"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", W, T, kTempObject},
      {"CREATE TYPE pg_temp.c AS (a int)", W, T, kTempObject},
      {"CREATE DOMAIN pg_temp.d AS int", W, T, kTempObject},
      {"CREATE TYPE pg_temp.e AS ENUM ('a')", W, T, kTempObject},
  });
}

TEST_CASE("maintenance, and what runs in no transaction block") {
  check_all(std::initializer_list<Expected>{
      {"TRUNCATE t, u RESTART IDENTITY", W, O},
      {"ANALYZE", W, O},
      {"ANALYZE VERBOSE t (a)", W, O},
      {"CHECKPOINT", W, O},
      {"REFRESH MATERIALIZED VIEW m", W, O},
      {"REFRESH MATERIALIZED VIEW CONCURRENTLY m", W, O},
      {"REINDEX TABLE t", W, O},
      {"CLUSTER t USING i", W, O},
      {"VACUUM", W, V},
      {"VACUUM (FULL, ANALYZE) t", W, V},
      {"CLUSTER", W, V},
      {"REINDEX DATABASE d", W, V},
      {"REINDEX SYSTEM d", W, V},
      {"REINDEX SCHEMA s", W, V},
      {"REINDEX INDEX CONCURRENTLY i", W, V},
      {"REINDEX (CONCURRENTLY) TABLE t", W, V},
      {"CREATE INDEX CONCURRENTLY i ON t (a)", W, V},
      {"DROP INDEX CONCURRENTLY i", W, V},
      {"ALTER TABLE t DETACH PARTITION p CONCURRENTLY", W, V},
      {"CREATE DATABASE d", W, V},
      {"DROP DATABASE d", W, V},
      {"ALTER DATABASE d SET TABLESPACE s", W, V},
      {"CREATE TABLESPACE s LOCATION '/x'", W, V},
      {"DROP TABLESPACE s", W, V},
      {"ALTER SYSTEM SET work_mem = '1MB'", W, V},
      {"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", W, V},
      {"DROP SUBSCRIPTION s", W, V},
  });
}

}  // namespace
}  // namespace sql
