#include "sql/catalog.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "sql/analyzer.h"

namespace sql {
namespace {

using Kind = CatalogObject::Kind;
using Trait = CatalogObject::Trait;

// Object identifiers as pg_proc of PostgreSQL 15 has them.
constexpr std::uint32_t kNextval = 1574, kRandom = 1598;

const std::vector<CatalogObject> kObjects = {
    {.kind = Kind::kFunction,
     .oid = kNextval,
     .schema = "pg_catalog",
     .name = "nextval",
     .trait = Trait::kVolatile,
     .args_min = 1,
     .args_max = 1},
    {.kind = Kind::kFunction,
     .oid = kRandom,
     .schema = "pg_catalog",
     .name = "random",
     .trait = Trait::kVolatile},
    {.kind = Kind::kFunction,
     .oid = 20001,
     .schema = "app",
     .name = "total",
     .args_min = 1,
     .args_max = 2,
     .body = "SELECT sum(x) FROM items WHERE y = upper($1)"},
    {.kind = Kind::kFunction,
     .oid = 20002,
     .schema = "app",
     .name = "touch",
     .trait = Trait::kVolatile,
     .body = "UPDATE items SET x = 1"},
    {.kind = Kind::kFunction,
     .oid = 20003,
     .schema = "app",
     .name = "liar",
     .body = "SELECT Nextval('s')"},
    {.kind = Kind::kFunction,
     .oid = 20004,
     .schema = "app",
     .name = "second_hand",
     .body = "BEGIN PERFORM app . touch (); END"},
    {.kind = Kind::kFunction,
     .oid = 20005,
     .schema = "app",
     .name = "dynamic",
     .body = "BEGIN EXECUTE 'SELECT set_config(''a'', ''b'', false)'; END"},
    {.kind = Kind::kFunction,
     .oid = 20006,
     .schema = "other",
     .name = "total",
     .trait = Trait::kVolatile,
     .args_min = 2,
     .args_max = 2,
     .body = "x"},
    {.kind = Kind::kFunction,
     .oid = 20007,
     .schema = "app",
     .name = "lower",
     .trait = Trait::kVolatile,
     .args_min = 2,
     .args_max = 2,
     .body = "x"},
    {.kind = Kind::kFunction,
     .oid = 20008,
     .schema = "app",
     .name = "many",
     .args_min = 1,
     .args_max = -1},
    {.kind = Kind::kFunction,
     .oid = 20009,
     .schema = "app",
     .name = "sums",
     .functions = {20002}},  // an aggregate
    {.kind = Kind::kFunction,
     .oid = 20010,
     .schema = "app",
     .name = "reads_view",
     .body = "SELECT * FROM numbered"},
    {.kind = Kind::kRelation,
     .oid = 30001,
     .schema = "app",
     .name = "scratch",
     .trait = Trait::kUnlogged},
    {.kind = Kind::kRelation,
     .oid = 30002,
     .schema = "app",
     .name = "numbered",
     .functions = {kNextval}},
    {.kind = Kind::kRelation,
     .oid = 30003,
     .schema = "app",
     .name = "over_numbered",
     .relations = {30002}},
    {.kind = Kind::kRelation,
     .oid = 30004,
     .schema = "app",
     .name = "shuffled",
     .functions = {kRandom}},
    {.kind = Kind::kRelation,
     .oid = 30005,
     .schema = "app",
     .name = "parent",
     .trait = Trait::kParent,
     .relations = {30001, 30004}},
    {.kind = Kind::kRelation,
     .oid = 30006,
     .schema = "app",
     .name = "elsewhere",
     .trait = Trait::kForeign},
    {.kind = Kind::kRelation, .oid = 12001, .schema = "pg_catalog", .name = "pg_stat_activity"},
    {.kind = Kind::kRelation, .oid = 30007, .schema = "app", .name = "who", .relations = {12001}},
    {.kind = Kind::kOperator, .oid = 40001, .schema = "app", .name = "@@@", .functions = {20002}},
    {.kind = Kind::kOperator, .oid = 40002, .schema = "app", .name = "~~~", .functions = {20001}},
    {.kind = Kind::kType, .oid = 50001, .schema = "app", .name = "ticket", .functions = {kNextval}},
    {.kind = Kind::kType, .oid = 50002, .schema = "app", .name = "cast_to", .casts = {20002}},
    {.kind = Kind::kType, .oid = 50003, .schema = "app", .name = "cast_from", .casts = {20011}},
    {.kind = Kind::kType, .oid = 50004, .schema = "app", .name = "domain", .types = {50002}},
    {.kind = Kind::kFunction,
     .oid = 20011,
     .schema = "app",
     .name = "of_cast_to",
     .args_min = 1,
     .args_max = 1,
     .types = {50002}},
    {.kind = Kind::kFunction,
     .oid = 20012,
     .schema = "app",
     .name = "initcap",
     .trait = Trait::kVolatile,
     .hidden = true,
     .args_min = 1,
     .args_max = 1},
    {.kind = Kind::kRelation,
     .oid = 30008,
     .schema = "app",
     .name = "grandparent",
     .trait = Trait::kParent,
     .relations = {30005}},
    {.kind = Kind::kRelation,
     .oid = 30009,
     .schema = "app",
     .name = "guarded",
     .trait = Trait::kParent,
     .functions = {kNextval},
     .relations = {30001}},
    {.kind = Kind::kRelation,
     .oid = 30010,
     .schema = "app",
     .name = "over_parent",
     .relations = {30005}},
};

const Catalog& catalog() {
  static const Catalog kCatalog(kObjects);
  return kCatalog;
}

Analysis analysis_of(std::string_view text) { return analyze_once(text, {}, &catalog()); }
Access access_of(std::string_view text) { return analysis_of(text).access; }

TEST_CASE("functions go by their volatility and by what they call") {
  CHECK(access_of("SELECT total(1), app.total(1, 2)") == Access::kRead);
  CHECK(analysis_of("SELECT app.total(1)").plain);
  CHECK(access_of("SELECT touch()") == Access::kWrite);
  CHECK(access_of("SELECT liar()") == Access::kWrite);
  CHECK(access_of("SELECT second_hand()") == Access::kWrite);
  CHECK((analysis_of("SELECT dynamic()").residue & kOpaque) != 0);
  CHECK(access_of("SELECT sums(x) FROM items") == Access::kWrite);
  CHECK(access_of("SELECT reads_view()") == Access::kWrite);
  CHECK(access_of("SELECT nextval('s')") == Access::kWrite);
  CHECK(access_of("SELECT random()") == Access::kRead);
}

TEST_CASE("of overloads the most demanding one with as many arguments counts") {
  CHECK(access_of("SELECT total(1)") == Access::kRead);
  CHECK(access_of("SELECT total(1, 2)") == Access::kWrite);
  CHECK(access_of("SELECT other.total(1, 2)") == Access::kWrite);
  CHECK(access_of("SELECT lower('X')") == Access::kRead);
  CHECK(access_of("SELECT lower('X', 'Y')") == Access::kWrite);
  CHECK(access_of("SELECT pg_catalog.lower('X', 'Y')") == Access::kRead);
  CHECK(access_of("SELECT many(1), many(1, 2, 3, 4)") == Access::kRead);
}

TEST_CASE("what is in neither list is a write, and said to be unknown") {
  for (const char* text :
       {"SELECT many()", "SELECT nobody(1)", "SELECT total(1, 2, 3)", "SELECT nowhere.total(1)"}) {
    CAPTURE(text);
    CHECK(access_of(text) == Access::kWrite);
    CHECK(analysis_of(text).unknown_function);
  }
  CHECK_FALSE(analysis_of("SELECT touch(), lower('X'), total(1)").unknown_function);
}

TEST_CASE("relations that a replica must not read, and what reads them") {
  CHECK(access_of("SELECT * FROM items, shuffled") == Access::kRead);
  for (const char* relation :
       {"scratch", "app.scratch", "numbered", "over_numbered", "parent", "elsewhere", "who"}) {
    CAPTURE(relation);
    CHECK(access_of("SELECT 1 FROM x JOIN " + std::string(relation) + " USING (y)") ==
          Access::kWrite);
    CHECK(access_of("COPY " + std::string(relation) + " TO STDOUT") == Access::kWrite);
    CHECK(access_of("EXPLAIN SELECT * FROM " + std::string(relation)) == Access::kWrite);
  }
  CHECK(access_of("SELECT * FROM public.scratch") == Access::kRead);
  CHECK(analysis_of("SELECT * FROM scratch").why == "table scratch is unlogged");
  CHECK(analysis_of("SELECT * FROM over_numbered").why ==
        "relation over_numbered: relation numbered: function nextval may write");
}

TEST_CASE("operators and types whose functions write") {
  CHECK(access_of("SELECT 1 @@@ 2") == Access::kWrite);
  CHECK(access_of("SELECT 1 OPERATOR(app.@@@) 2") == Access::kWrite);
  CHECK(access_of("SELECT 1 OPERATOR(app.~~~) 2") == Access::kRead);
  CHECK(access_of("SELECT 1 ~~~ 2") == Access::kRead);
  CHECK(access_of("SELECT '1'::ticket") == Access::kWrite);
  CHECK(access_of("SELECT CAST(x AS app.ticket) FROM items") == Access::kWrite);
}

TEST_CASE("ONLY is without a table's children, and with its own policies") {
  for (const char* relation : {"parent", "app.grandparent"}) {
    CAPTURE(relation);
    CHECK(access_of("SELECT * FROM " + std::string(relation)) == Access::kWrite);
    CHECK(access_of("SELECT * FROM ONLY " + std::string(relation)) == Access::kRead);
    CHECK(access_of("SELECT 1 FROM ONLY parent, " + std::string(relation)) == Access::kWrite);
  }
  for (const char* relation : {"guarded", "over_parent", "scratch", "numbered"}) {
    CAPTURE(relation);
    CHECK(access_of("SELECT * FROM ONLY " + std::string(relation)) == Access::kWrite);
  }
}

TEST_CASE("a cast runs what casts to its type, but not of a row") {
  CHECK(access_of("SELECT x::cast_to FROM items") == Access::kWrite);
  CHECK(access_of("SELECT x::domain FROM items") == Access::kWrite);
  CHECK(access_of("SELECT ROW(1)::cast_to, (1, 2)::domain") == Access::kRead);
  CHECK(access_of("SELECT ROW(1)::cast_to, x::cast_to FROM items") == Access::kWrite);
  CHECK(access_of("SELECT x::cast_to, ROW(1)::cast_to FROM items") == Access::kWrite);
  CHECK(access_of("SELECT ROW(x::cast_to)::cast_to FROM items") == Access::kWrite);
  CHECK(access_of("SELECT ROW(1)::ticket") == Access::kWrite);
  // What casts is given just what it takes; a call may have to cast first.
  CHECK(access_of("SELECT ROW(1)::cast_to::cast_from") == Access::kRead);
  CHECK(access_of("SELECT of_cast_to(ROW(1)::cast_to)") == Access::kWrite);
}

TEST_CASE("what pg_catalog has, too, is found only by its schema, or where that comes later") {
  const auto access = [](std::string_view text, Names names) {
    return analyze_once(text, {}, &catalog(), names).access;
  };
  for (const Names names : {Names::kDefaultPath, Names::kAnywhere}) {
    CHECK(access("SELECT initcap('x')", names) == Access::kRead);
    CHECK(access("SELECT app.initcap('x')", names) == Access::kWrite);
  }
  CHECK(access("SELECT initcap('x')", Names::kEverything) == Access::kWrite);
  CHECK(access("SELECT initcap('x')", Names::kAnywhere) == Access::kRead);
  CHECK(access("SET search_path = app, pg_catalog; SELECT initcap('x')", Names::kDefaultPath) ==
        Access::kWrite);
  const Catalog elsewhere(kObjects, {.default_path = false});
  CHECK(analyze_once("SELECT initcap('x')", {}, &elsewhere, Names::kDefaultPath).access ==
        Access::kWrite);
}

TEST_CASE("what was not read of a catalog that is too large counts as a write") {
  const auto access = [](std::string_view text, std::size_t unread) {
    const Catalog part(kObjects, {.unread = unread});
    return analyze_once(text, {}, &part).access;
  };
  struct Case {
    const char* text;
    std::size_t unread;  // so many kinds, and it is a write
  };
  // total has a source, of which no word is known for certain; items is a plain table, or may be.
  for (const auto& [text, unread] : {Case{"SELECT app.total(1)", 1}, Case{"SELECT * FROM items", 2},
                                     Case{"SELECT 1 + 2", 3}, Case{"SELECT 'x'::text", 4}}) {
    CAPTURE(text);
    for (std::size_t n = 0; n <= 4; ++n) {
      CAPTURE(n);
      CHECK(access(text, n) == (n < unread ? Access::kRead : Access::kWrite));
    }
  }
  CHECK(access("SELECT lower('x'), many(1), random() FROM items", 1) == Access::kRead);
  CHECK(access("SELECT nobody(1)", 1) == Access::kWrite);
  CHECK(access("SELECT * FROM pg_catalog.pg_class", 4) == Access::kRead);
  const Catalog view({{.kind = Kind::kRelation,
                       .oid = 30001,
                       .schema = "app",
                       .name = "calls",
                       .functions = {20001}}},
                     {.unread = 1});
  CHECK(analyze_once("SELECT * FROM calls", {}, &view).access == Access::kWrite);
}

TEST_CASE("analyses by several catalogs are kept apart") {
  Analyzer analyzer({});
  const Catalog other({});
  const std::string text = "SELECT total(1)";
  CHECK(analyzer.analyze(text, nullptr, Names::kAnywhere)->access == Access::kWrite);
  CHECK(analyzer.analyze(text, &catalog(), Names::kAnywhere)->access == Access::kRead);
  CHECK(analyzer.analyze(text, &other, Names::kAnywhere)->access == Access::kWrite);
  CHECK(analyzer.analyze(text, &catalog(), Names::kAnywhere)->catalog ==
        catalog().key(Names::kAnywhere));
  CHECK(analyzer.analyze(text, nullptr, Names::kAnywhere)->catalog == 0);
  CHECK(analyzer.stats().misses == 3);
  CHECK(analyzer.stats().shape_hits == 2);
  CHECK(analyzer.analyze(text, &other, Names::kAnywhere)->access == Access::kWrite);
  CHECK(analyzer.analyze(text, &other, Names::kAnywhere)->catalog == other.key(Names::kAnywhere));
  CHECK(analyzer.analyze(text, &catalog(), Names::kAnywhere)->access == Access::kRead);
  CHECK(analyzer.stats().text_hits == 2);
}

}  // namespace
}  // namespace sql
