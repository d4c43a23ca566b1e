#include "sql/hint.h"

#include <doctest/doctest.h>

#include "sql/analyzer.h"

namespace sql {
namespace {

TEST_CASE("hints are block comments") {
  CHECK(find_hint("/* weir: primary */ SELECT 1") == Hint::kPrimary);
  CHECK(find_hint("SELECT /*weir:replica*/ 1") == Hint::kReplica);
  CHECK(find_hint("SELECT 1 /*\n weir : replica\t*/") == Hint::kReplica);
  CHECK(find_hint("/* weir: replica */ /* x */ SELECT 1") == Hint::kReplica);
  CHECK(find_hint("/* weir: primary */ SELECT 1 /* weir: replica */") == Hint::kPrimary);
  CHECK(find_hint("/* weir: replica */ SELECT 1 /* weir: primary */") == Hint::kPrimary);
}

TEST_CASE("and nothing else is") {
  CHECK(find_hint("SELECT 1") == Hint::kNone);
  CHECK(find_hint("SELECT '/* weir: primary */'") == Hint::kNone);
  CHECK(find_hint("SELECT \"/* weir: primary */\"") == Hint::kNone);
  CHECK(find_hint("SELECT $$/* weir: primary */$$") == Hint::kNone);
  CHECK(find_hint("SELECT 1 -- /* weir: primary */") == Hint::kNone);
  CHECK(find_hint("/* x /* weir: primary */ */ SELECT 1") == Hint::kNone);
  CHECK(find_hint("/* weir: nowhere */ SELECT 1") == Hint::kNone);
  CHECK(find_hint("/* weird: primary */ SELECT 1") == Hint::kNone);
  CHECK(find_hint("SELECT 1 /* weir: primary") == Hint::kNone);
}

TEST_CASE("a hint does not hide behind a cached shape") {
  Analyzer analyzer({});
  CHECK(analyzer.analyze("SELECT 1", nullptr)->hint == Hint::kNone);
  CHECK(analyzer.analyze("SELECT /* weir: primary */ 2", nullptr)->hint == Hint::kPrimary);
  CHECK(analyzer.analyze("SELECT /* weir: replica */ 3", nullptr)->hint == Hint::kReplica);
  CHECK(analyzer.analyze("SELECT 4", nullptr)->hint == Hint::kNone);
  CHECK(analyzer.analyze("SELECT /* weir: primary */ 5", nullptr)->hint == Hint::kPrimary);
  CHECK(analyzer.stats().shape_hits == 2);
  CHECK(analyzer.analyze("SELECT 1", nullptr)->shape ==
        analyzer.analyze("/* weir: primary */ SELECT 1", nullptr)->shape);
}

}  // namespace
}  // namespace sql
