// Transactions, SET and SHOW, prepared statements, cursors, LISTEN, DISCARD.
#include "expect.h"

namespace sql {
namespace {

using test::check_all;
using test::Expected;
constexpr Access N = Access::kNone;
constexpr Access R = Access::kRead;
constexpr Access W = Access::kWrite;
constexpr Verb O = Verb::kOther;

TEST_CASE("transaction commands") {
  check_all(std::initializer_list<Expected>{
      {"BEGIN", N, Verb::kBegin},
      {"BEGIN WORK", N, Verb::kBegin},
      {"BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", N, Verb::kBegin},
      {"START TRANSACTION READ WRITE", N, Verb::kBegin},
      {"COMMIT", N, Verb::kCommit},
      {"END", N, Verb::kCommit},
      {"COMMIT AND CHAIN", N, Verb::kCommit},
      {"ROLLBACK", N, Verb::kRollback},
      {"ABORT", N, Verb::kRollback},
      {"ROLLBACK AND CHAIN", N, Verb::kRollback},
      {"SAVEPOINT a", N, Verb::kSavepoint},
      {"RELEASE SAVEPOINT a", N, Verb::kRelease},
      {"RELEASE a", N, Verb::kRelease},
      {"ROLLBACK TO SAVEPOINT a", N, Verb::kRollbackTo},
      {"ROLLBACK TO a", N, Verb::kRollbackTo},
      {"PREPARE TRANSACTION 'x'", W, Verb::kPrepareTransaction},
      {"COMMIT PREPARED 'x'", W, Verb::kVacuumLike},
      {"ROLLBACK PREPARED 'x'", W, Verb::kVacuumLike},
      {"SET TRANSACTION READ ONLY", N, Verb::kSetTransaction},
      {"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", N, Verb::kSetTransaction},
      {"SET TRANSACTION SNAPSHOT '1'", W, Verb::kSetTransaction},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", N, Verb::kSetTransaction},
      {"SET CONSTRAINTS ALL DEFERRED", W, O},
      {"LOCK TABLE t IN SHARE MODE", W, O},
  });
}

TEST_CASE("what transaction commands say") {
  const auto one = [](std::string_view text) {
    const Analysis analysis = analyze_once(text, {});
    REQUIRE(analysis.single() != nullptr);
    CHECK_FALSE(analysis.plain);
    return *analysis.single();
  };
  const Statement begin = one("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY NOT DEFERRABLE");
  CHECK(begin.isolation == "repeatable read");
  CHECK(begin.read_only == true);
  CHECK(begin.deferrable == false);
  const Statement nothing = one("BEGIN");
  CHECK_FALSE(nothing.isolation.has_value());
  CHECK_FALSE(nothing.read_only.has_value());
  CHECK_FALSE(nothing.deferrable.has_value());
  CHECK_FALSE(nothing.chain);
  CHECK(one("START TRANSACTION READ WRITE, DEFERRABLE").read_only == false);
  CHECK(one("START TRANSACTION READ WRITE, DEFERRABLE").deferrable == true);
  CHECK(one("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").isolation == "serializable");
  CHECK(one("SET TRANSACTION READ ONLY").read_only == true);
  CHECK(one("COMMIT AND CHAIN").chain);
  CHECK_FALSE(one("COMMIT AND NO CHAIN").chain);
  CHECK(one("ROLLBACK AND CHAIN").chain);
  CHECK(one("SAVEPOINT \"A b\"").name == "A b");
  CHECK(one("ROLLBACK TO Point1").name == "point1");
  CHECK(one("RELEASE p").name == "p");
  CHECK(one("PREPARE TRANSACTION 'gid'").name == "gid");
}

TEST_CASE("settings") {
  check_all(std::initializer_list<Expected>{
      {"SET work_mem TO '4MB'", N, Verb::kSet},
      {"SET work_mem = 4096", N, Verb::kSet},
      {"SET LOCAL statement_timeout = 0", N, Verb::kSet},
      {"SET SESSION search_path = a, b", N, Verb::kSet},
      {"SET search_path TO DEFAULT", N, Verb::kSet},
      {"SET TIME ZONE 'UTC'", N, Verb::kSet},
      {"SET TIME ZONE LOCAL", N, Verb::kSet},
      {"SET NAMES 'utf8'", N, Verb::kSet},
      {"SET ROLE x", N, Verb::kSet},
      {"SET SESSION AUTHORIZATION x", N, Verb::kSet},
      {"SET weir.route = 'primary'", N, Verb::kSet},
      {"SET search_path FROM CURRENT", W, Verb::kSet, kOpaque},
      {"RESET search_path", N, Verb::kReset},
      {"RESET SESSION AUTHORIZATION", N, Verb::kReset},
      {"RESET ALL", N, Verb::kResetAll},
      {"SHOW search_path", N, Verb::kShow},
      {"SHOW TRANSACTION ISOLATION LEVEL", N, Verb::kShow},
      {"SHOW weir.lsn", N, Verb::kShow},
      {"DISCARD ALL", N, Verb::kDiscardAll},
      {"DISCARD PLANS", N, Verb::kDiscardOther},
      {"DISCARD SEQUENCES", N, Verb::kDiscardOther},
      {"DISCARD TEMP", N, Verb::kDiscardOther},
      {"LOAD 'auto_explain'", W, Verb::kLoad, kLoadedLibrary},
  });
}

TEST_CASE("prepared statements, cursors, notifications") {
  check_all(std::initializer_list<Expected>{
      {"PREPARE p AS SELECT 1", W, Verb::kPrepare, kSqlPrepared},
      {"PREPARE p (int) AS DELETE FROM t WHERE a = $1", W, Verb::kPrepare, kSqlPrepared},
      // EXECUTE will do it, where it can no longer be seen.
      {"PREPARE p AS SELECT pg_advisory_lock(1)", W, Verb::kPrepare, kSqlPrepared | kAdvisoryLock},
      {"PREPARE p AS SELECT set_config('a.b', 'c', false)", W, Verb::kPrepare,
       kSqlPrepared | kOpaque},
      {"EXECUTE p", W, Verb::kExecute},
      {"EXECUTE p (1, 'a')", W, Verb::kExecute},
      {"DEALLOCATE p", N, Verb::kDeallocate},
      {"DEALLOCATE PREPARE p", N, Verb::kDeallocate},
      {"DEALLOCATE ALL", N, Verb::kDeallocateAll},
      {"DECLARE c CURSOR FOR SELECT 1", R, O},
      {"DECLARE c BINARY INSENSITIVE SCROLL CURSOR WITHOUT HOLD FOR SELECT 1", R, O},
      {"DECLARE c ASENSITIVE NO SCROLL CURSOR FOR SELECT 1", R, O},
      {"DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE", W, O},
      {"DECLARE c CURSOR FOR SELECT f()", W, O, kOpaque},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", W, Verb::kDeclareHold, kHoldCursor},
      {"DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT f()", W, Verb::kDeclareHold,
       kHoldCursor | kOpaque},
      {"FETCH NEXT FROM c", R, O},
      {"FETCH ALL c", R, O},
      {"MOVE 5 IN c", R, O},
      {"CLOSE c", N, Verb::kCloseCursor},
      {"CLOSE ALL", N, Verb::kCloseAllCursors},
      {"LISTEN c", W, Verb::kListen, kListening},
      {"UNLISTEN c", N, Verb::kUnlisten},
      {"UNLISTEN *", N, Verb::kUnlistenAll},
      {"NOTIFY c", W, Verb::kNotify},
      {"NOTIFY c, 'payload'", W, Verb::kNotify},
      {"CALL p(1)", W, Verb::kCall, kOpaque},
      {"DO $$ BEGIN PERFORM 1; END $$", W, Verb::kCall, kOpaque},
      {"DO LANGUAGE plpgsql 'BEGIN END'", W, Verb::kCall, kOpaque},
  });
}

TEST_CASE("names") {
  const auto name = [](std::string_view text) {
    const Analysis analysis = analyze_once(text, {});
    REQUIRE(analysis.single() != nullptr);
    return analysis.single()->name;
  };
  CHECK(name("PREPARE \"P\" AS SELECT 1") == "P");
  CHECK(name("EXECUTE Foo") == "foo");
  CHECK(name("DEALLOCATE p") == "p");
  CHECK(name("DEALLOCATE ALL").empty());
  CHECK(name("DECLARE c CURSOR FOR SELECT 1") == "c");
  CHECK(name("DECLARE c CURSOR WITH HOLD FOR SELECT 1") == "c");
  CHECK(name("CLOSE c") == "c");
  CHECK(name("LISTEN chan") == "chan");
  CHECK(name("UNLISTEN chan") == "chan");
  CHECK(name("NOTIFY chan") == "chan");
  CHECK(name("SHOW weir.lsn") == "weir.lsn");
  CHECK(name("SHOW TIME ZONE") == "timezone");
  CHECK(name("DISCARD SEQUENCES") == "sequences");
}

TEST_CASE("several statements are joined") {
  const Analysis both = analyze_once("SELECT 1; DELETE FROM t;", {}, &test::empty_catalog());
  CHECK(both.parsed);
  CHECK(both.access == W);
  CHECK(both.plain);
  CHECK(both.single() == nullptr);
  REQUIRE(both.statements.size() == 2);
  CHECK(both.statements[0].access == R);
  CHECK(both.statements[1].access == W);

  const Analysis block = analyze_once("BEGIN; SET LOCAL a.b = 1; SELECT nextval('s'); COMMIT", {});
  REQUIRE(block.statements.size() == 4);
  CHECK(block.access == W);
  CHECK(block.residue == kSequenceState);
  CHECK_FALSE(block.plain);
  CHECK(block.statements[0].verb == Verb::kBegin);
  CHECK(block.statements[1].sets.size() == 1);
  CHECK(block.statements[3].verb == Verb::kCommit);

  CHECK(analyze_once("SET a.b = 1; SHOW a.b", {}).access == N);
  CHECK(analyze_once("SELECT 1; SELECT 2", {}).plain);
  CHECK(analyze_once("SELECT 1;; ;", {}).statements.size() == 1);
}

TEST_CASE("empty texts") {
  for (const std::string_view text : {"", ";", " ; ;; ", "-- nothing", "/* a /* b */ c */ ;"}) {
    CAPTURE(text);
    const Analysis analysis = analyze_once(text, {});
    CHECK(analysis.parsed);
    CHECK(analysis.access == N);
    CHECK(analysis.statements.empty());
    CHECK(analysis.plain);
    CHECK(analysis.shape != 0);
  }
}

TEST_CASE("what is not SQL is a write") {
  for (const std::string_view text :
       {"SELEC 1", "SELECT FROM WHERE", "SELECT 'x", "SELECT \"x", "SELECT /* x", "SELECT (1",
        "SELECT $$x", "\\d", "SELECT 1 FRM t WHERE (", "{", "DELETE FROM"}) {
    CAPTURE(text);
    const Analysis analysis = analyze_once(text, {}, &test::empty_catalog());
    CHECK_FALSE(analysis.parsed);
    CHECK_FALSE(analysis.plain);
    CHECK(analysis.access == W);
    CHECK(analysis.residue == kNoResidue);
    CHECK(analysis.statements.size() == 1);
  }
  CHECK(analyze_once(std::string_view("SELECT 1\0 ; DELETE", 19), {}).parsed == false);
  CHECK(analyze_once("SET x y z", {}).residue == kUnreadable);
  CHECK(analyze_once("SELECT nextval('s') FRM t WHERE (", {}).residue == kUnreadable);
}

}  // namespace
}  // namespace sql
