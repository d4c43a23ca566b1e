// What a write leaves by functions that the table calls unseen.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sql/analyzer.h"
#include "sql/catalog.h"

namespace sql {
namespace {

using Kind = CatalogObject::Kind;
using Trait = CatalogObject::Trait;

// Object identifiers as pg_proc of PostgreSQL 15 has them.
constexpr std::uint32_t kNextval = 1574, kSetseed = 1599, kSetConfig = 2078;

CatalogObject system(std::uint32_t oid, const char* name) {
  return {.oid = oid, .schema = "pg_catalog", .name = name, .trait = Trait::kVolatile};
}

CatalogObject function(std::uint32_t oid, const char* name, const char* body,
                       Trait trait = Trait::kNone) {
  return {.oid = oid, .schema = "app", .name = name, .trait = trait, .body = body};
}

CatalogObject native(std::uint32_t oid, const char* name, Trait trait) {
  CatalogObject result = function(oid, name, "", trait);
  result.is_opaque = true;
  return result;
}

CatalogObject table(std::uint32_t oid, const char* name, CatalogObject::Uses written) {
  return {.kind = Kind::kRelation,
          .oid = oid,
          .schema = "app",
          .name = name,
          .written = std::move(written)};
}

const std::vector<CatalogObject> kObjects = {
    system(kNextval, "nextval"),
    system(kSetseed, "setseed"),
    system(kSetConfig, "set_config"),
    function(20001, "sets", "BEGIN SET work_mem TO '1MB'; RETURN NEW; END", Trait::kTrigger),
    function(20002, "calls_locks", "BEGIN PERFORM app.locks(); END", Trait::kTrigger),
    function(20003, "locks", "SELECT pg_advisory_lock(1)"),
    function(20004, "stamps", "BEGIN NEW.at := now(); RETURN NEW; END", Trait::kTrigger),
    native(20005, "opening", Trait::kTrigger),
    native(20011, "moddatetime", Trait::kTrigger),
    native(20006, "citextin", Trait::kNone),
    native(20007, "uuid_generate_v4", Trait::kVolatile),
    native(20008, "opens", Trait::kVolatile),
    function(20009, "logs", "BEGIN INSERT INTO by_trigger (a) VALUES (1); END", Trait::kTrigger),
    function(20010, "sets_locally", "SELECT set_config('a.b', 'c', true)", Trait::kVolatile),
    table(30001, "by_trigger", {.functions = {20001}}),
    table(30002, "by_call", {.functions = {20002}}),
    table(30003, "stamped", {.functions = {kNextval, 20004}}),
    table(30004, "by_native", {.functions = {20005}}),
    table(30005, "texts", {.types = {50001}}),
    table(30006, "uuids", {.functions = {20007}}),
    table(30007, "by_default", {.functions = {kSetConfig}}),
    table(30008, "cascades", {.relations = {30001}}),
    table(30009, "by_cascades", {.relations = {30003, 30008}}),
    table(30010, "logged", {.functions = {20009}}),
    table(30011, "seeds", {.functions = {kSetseed}}),
    table(30012, "by_domain", {.types = {50003}}),
    table(30013, "local", {.functions = {20010}}),
    {.kind = Kind::kRelation,
     .oid = 30014,
     .schema = "app",
     .name = "parent",
     .trait = Trait::kParent,
     .relations = {30001}},
    {.kind = Kind::kRelation, .oid = 30015, .schema = "app", .name = "view", .relations = {30008}},
    {.kind = Kind::kRelation,
     .oid = 30016,
     .schema = "other",
     .name = "stamped",
     .written = {.functions = {20001}}},
    table(30017, "opened", {.functions = {20008}}),
    table(30018, "dated", {.functions = {20011}}),
    {.kind = Kind::kType, .oid = 50001, .schema = "app", .name = "citext", .functions = {20006}},
    {.kind = Kind::kType, .oid = 50002, .schema = "app", .name = "checked", .functions = {20003}},
    {.kind = Kind::kType, .oid = 50003, .schema = "app", .name = "domain", .types = {50002}},
};

const Catalog& catalog() {
  static const Catalog kCatalog(kObjects);
  return kCatalog;
}

std::uint16_t left_by(std::string_view text, const Catalog* by = &catalog(),
                      Names names = Names::kAnywhere) {
  const Analysis analysis = analyze_once(text, {}, by, names);
  CHECK(analysis.parsed);
  CHECK(analysis.access == Access::kWrite);
  return analysis.residue;
}

std::uint16_t left_in(std::string_view table, const Catalog* by = &catalog()) {
  return left_by("INSERT INTO " + std::string(table) + " VALUES (1)", by);
}

TEST_CASE("what a write calls unseen may leave something") {
  for (const std::string_view table :
       {"by_trigger", "app.by_trigger", "by_call", "by_native", "by_default", "cascades",
        "by_cascades", "logged", "by_domain", "parent", "view", "opened"}) {
    CAPTURE(table);
    CHECK(left_in(table) == kOpaque);
  }
  // Nothing shows afterwards that it was called.
  CHECK(left_in("seeds") == (kOpaque | kRandomSeed));
}

TEST_CASE("most writes leave nothing") {
  for (const std::string_view table :
       {"other_table", "app.stamped", "texts", "uuids", "dated", "local", "nowhere.by_trigger"}) {
    CAPTURE(table);
    CHECK(left_in(table) == kNoResidue);
  }
  const auto plain = [](const char* text) {
    return analyze_once(text, {}, &catalog(), Names::kAnywhere).plain;
  };
  CHECK(plain("INSERT INTO app.stamped VALUES (1)"));
  CHECK(plain("SELECT * FROM by_trigger"));
}

TEST_CASE("all that writes is asked, and whatever the name may mean") {
  for (const std::string_view text :
       {"UPDATE by_trigger SET a = 1", "DELETE FROM by_trigger", "DELETE FROM ONLY by_trigger",
        "MERGE INTO by_trigger t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
        "WITH x AS (INSERT INTO by_trigger VALUES (1) RETURNING *) SELECT * FROM x",
        "COPY by_trigger FROM STDIN", "TRUNCATE harmless, by_trigger",
        "EXPLAIN ANALYZE DELETE FROM by_trigger", "UPDATE pg_settings SET setting = '1MB'",
        "UPDATE pg_catalog.pg_settings SET setting = '1MB'"}) {
    CAPTURE(text);
    CHECK(left_by(text) == kOpaque);
  }
  CHECK(left_in("stamped") == kOpaque);  // other.stamped
  CHECK(left_by("DELETE FROM by_trigger", &catalog(), Names::kDefaultPath) == kNoResidue);
  CHECK(left_by("DELETE FROM app.by_call", &catalog(), Names::kDefaultPath) == kOpaque);
}

TEST_CASE("what is not known may leave anything") {
  CHECK(left_in("app.stamped", nullptr) == kOpaque);
  const Catalog no_relations(kObjects, {.unread = 2});
  CHECK(left_in("other_table", &no_relations) == kOpaque);
  CHECK(left_in("pg_catalog.pg_class", &no_relations) == kNoResidue);
  const Catalog no_functions({table(30001, "calls", {.functions = {29999}})}, {.unread = 1});
  CHECK(left_in("calls", &no_functions) == kOpaque);
  CHECK(left_in("other_table", &no_functions) == kNoResidue);
}

TEST_CASE("functions that are said to be harmless leave nothing") {
  const Catalog said(kObjects, {.harmless = {"opening", "app.locks"}});
  CHECK(left_in("by_native", &said) == kNoResidue);
  CHECK(left_in("by_call", &said) == kNoResidue);
  CHECK(left_in("by_trigger", &said) == kOpaque);
}

TEST_CASE("a text that is not read leaves something if anything does") {
  const std::string text = "INSERT INTO t VALUES ('" + std::string(200, 'x') + "')";
  const AnalyzerOptions options{.analyze_bytes = 100};
  const Catalog harmless({function(20004, "stamps", "BEGIN END", Trait::kTrigger)});
  CHECK(analyze_once(text, options, &catalog()).residue == kUnreadable);
  CHECK(analyze_once(text, options, &harmless).residue == kNoResidue);
}

TEST_CASE("what only triggers call is no function of a statement's") {
  const Analysis call = analyze_once("SELECT sets()", {}, &catalog(), Names::kAnywhere);
  CHECK(call.unknown_function);
}

}  // namespace
}  // namespace sql
