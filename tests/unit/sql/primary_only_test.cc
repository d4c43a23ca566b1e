// What only the primary can answer, also in a READ ONLY transaction: what a hot standby refuses
// (PostgreSQL's documentation, 27.4.1) or answers otherwise.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "expect.h"

namespace sql {
namespace {

using Kind = CatalogObject::Kind;
using Trait = CatalogObject::Trait;

CatalogObject system_view(std::uint32_t oid, std::string name) {
  return {.kind = Kind::kRelation, .oid = oid, .schema = "pg_catalog", .name = std::move(name)};
}

CatalogObject relation(std::uint32_t oid, std::string name, Trait trait,
                       std::vector<std::uint32_t> relations = {}) {
  return {.kind = Kind::kRelation,
          .oid = oid,
          .schema = "public",
          .name = std::move(name),
          .trait = trait,
          .on_default_path = true,
          .relations = std::move(relations)};
}

CatalogObject function(std::uint32_t oid, std::string name, Trait trait, std::string body) {
  return {.kind = Kind::kFunction,
          .oid = oid,
          .schema = "public",
          .name = std::move(name),
          .trait = trait,
          .on_default_path = true,
          .body = std::move(body)};
}

const Catalog& catalog() {
  static const std::vector<CatalogObject> kObjects = {
      system_view(12000, "pg_locks"),
      system_view(12001, "pg_stat_replication"),
      system_view(12002, "pg_sequences"),
      relation(20001, "scratch", Trait::kUnlogged),
      relation(20002, "elsewhere", Trait::kForeign),
      function(20003, "reads_scratch", Trait::kNone, "SELECT count(*) FROM scratch"),
      function(20004, "volatile_one", Trait::kVolatile, "SELECT 1"),
      function(20005, "volatile_scratch", Trait::kVolatile, "SELECT count(*) FROM scratch"),
      relation(20006, "scratch_view", Trait::kNone, {20001}),
      relation(20007, "counter", Trait::kSequence),
      relation(20008, "counter_view", Trait::kNone, {20007}),
  };
  static const Catalog kCatalog(kObjects);
  return kCatalog;
}

bool primary_only(const std::string& text) {
  CAPTURE(text);
  const Analysis analysis = analyze_once(text, {}, &catalog(), Names::kDefaultPath);
  CHECK(analysis.parsed);
  return analysis.primary_only;
}

TEST_CASE("what only the primary can answer") {
  for (const std::string text :
       {"SELECT pg_is_in_recovery()",
        "SELECT * FROM pg_stat_replication",
        "SELECT count(*) FROM pg_locks",
        "SELECT pg_export_snapshot()",
        "SELECT nextval('s')",
        "SELECT pg_current_wal_lsn()",
        "SELECT pg_walfile_name('0/1')",
        "SELECT pg_advisory_lock(1)",
        "SELECT txid_current()",
        "SHOW in_hot_standby",
        "SHOW ALL",
        "LISTEN c",
        "NOTIFY c",
        "UNLISTEN *",
        "CREATE TEMP TABLE t (a int)",
        "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
        "SELECT 1 INTO TEMP t",
        "PREPARE p AS SELECT 1",
        "SET TRANSACTION SNAPSHOT '1-1'",
        "ANALYZE items",
        "VACUUM items",
        "REINDEX TABLE items",
        "CLUSTER items",
        "LOCK TABLE items",
        "LOCK TABLE items IN SHARE MODE",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "SET TRANSACTION READ WRITE",
        "SET transaction_read_only = off",
        "SET LOCAL transaction_read_only TO 'FALSE'",
        "RESET transaction_read_only",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
        "SET transaction_isolation = 'Serializable'",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT * FROM scratch",
        "SELECT * FROM scratch_view",
        "SELECT last_value FROM counter",
        "TABLE counter_view",
        "SELECT last_value FROM pg_sequences",
        "SELECT reads_scratch()",
        "SELECT volatile_scratch()",
        "COPY scratch TO STDOUT",
        "EXPLAIN SELECT * FROM scratch",
        "DECLARE c CURSOR FOR SELECT * FROM scratch",
        "SELECT 1; SELECT * FROM scratch"}) {
    CAPTURE(text);
    CHECK(primary_only(text));
  }
}

TEST_CASE("what a READ ONLY transaction may ask of a replica") {
  for (const std::string text : {"SELECT 1",
                                 "SELECT * FROM items",
                                 "SELECT * FROM elsewhere",
                                 "SELECT volatile_one()",
                                 "SELECT not_known()",
                                 "SELECT set_config('a.b', 'c', true)",
                                 "SELECT setseed(0.5)",
                                 "SELECT random(), clock_timestamp(), pg_sleep(1)",
                                 "SET work_mem = '1MB'",
                                 "SHOW work_mem",
                                 "BEGIN READ ONLY",
                                 "COMMIT",
                                 "SAVEPOINT a",
                                 "DO 'BEGIN END'",
                                 "INSERT INTO items VALUES (1)",
                                 "DECLARE c CURSOR FOR SELECT 1",
                                 "FETCH c",
                                 "COPY items TO STDOUT",
                                 "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                                 "LOCK TABLE items IN ROW EXCLUSIVE MODE",
                                 "SET TRANSACTION READ ONLY",
                                 "SET transaction_read_only = on",
                                 "SET transaction_isolation = 'read committed'",
                                 "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
                                 "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL "
                                 "SERIALIZABLE",
                                 "WITH scratch AS (SELECT 1) SELECT * FROM scratch"}) {
    CAPTURE(text);
    CHECK_FALSE(primary_only(text));
  }
}

}  // namespace
}  // namespace sql
