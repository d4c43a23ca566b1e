#include "sql/hint.h"

#include <doctest/doctest.h>

#include "sql/analyzer.h"

namespace sql {
namespace {

TEST_CASE("hints are block comments") {
  CHECK(find_hints("/* weir: primary */ SELECT 1").route == Hint::kPrimary);
  CHECK(find_hints("SELECT /*weir:replica*/ 1").route == Hint::kReplica);
  CHECK(find_hints("SELECT 1 /*\n weir : replica\t*/").route == Hint::kReplica);
  CHECK(find_hints("/* weir: replica */ /* x */ SELECT 1").route == Hint::kReplica);
  CHECK(find_hints("/* weir: primary */ SELECT 1 /* weir: replica */").route == Hint::kPrimary);
  CHECK(find_hints("/* weir: replica */ SELECT 1 /* weir: primary */").route == Hint::kPrimary);
}

TEST_CASE("and nothing else is") {
  CHECK(find_hints("SELECT 1").route == Hint::kNone);
  CHECK(find_hints("SELECT '/* weir: primary */'").route == Hint::kNone);
  CHECK(find_hints("SELECT \"/* weir: primary */\"").route == Hint::kNone);
  CHECK(find_hints("SELECT $$/* weir: primary */$$").route == Hint::kNone);
  CHECK(find_hints("SELECT 1 -- /* weir: primary */").route == Hint::kNone);
  CHECK(find_hints("/* x /* weir: primary */ */ SELECT 1").route == Hint::kNone);
  CHECK(find_hints("/* weir: nowhere */ SELECT 1").route == Hint::kNone);
  CHECK(find_hints("/* weird: primary */ SELECT 1").route == Hint::kNone);
  CHECK(find_hints("SELECT 1 /* weir: primary").route == Hint::kNone);
}

TEST_CASE("levels and positions, alone and with others") {
  CHECK(find_hints("/* weir: consistency=strong */ SELECT 1").level == Level::kStrong);
  CHECK(find_hints("/* weir: consistency = eventual */ SELECT 1").level == Level::kEventual);
  CHECK(find_hints("/*weir:min_lsn=16/B374D848*/ SELECT 1").min_lsn == 0x16B374D848u);
  CHECK(find_hints("/* weir: replica, consistency=session, min_lsn=0/a */ SELECT 1") ==
        Hints{Hint::kReplica, Level::kSession, 10});
  CHECK(find_hints("/* weir: consistency=strong */ /* weir: consistency=session */").level ==
        Level::kStrong);
  for (const char* nothing : {"/* weir: consistency=best */", "/* weir: consistency */",
                              "/* weir: min_lsn=0/xyz */", "/* weir: min_lsn=0/1FFFFFFFF */",
                              "/* weir: min_lsn=1 */", "/* weir: = */", "/* weir:,, */"}) {
    CAPTURE(nothing);
    CHECK(find_hints(nothing) == Hints{});
  }
  Analyzer analyzer({});
  CHECK(analyzer.analyze("/* weir: min_lsn=0/1 */ SELECT 1", nullptr, Names::kAnywhere)
            ->hints.min_lsn == 1);
  CHECK(analyzer.analyze("/* weir: min_lsn=0/2 */ SELECT 1", nullptr, Names::kAnywhere)
            ->hints.min_lsn == 2);
  CHECK(analyzer.analyze("SELECT 1", nullptr, Names::kAnywhere)->hints.min_lsn == 0);
}

TEST_CASE("a hint does not hide behind a cached shape") {
  Analyzer analyzer({});
  CHECK(analyzer.analyze("SELECT 1", nullptr, Names::kAnywhere)->hints.route == Hint::kNone);
  CHECK(analyzer.analyze("SELECT /* weir: primary */ 2", nullptr, Names::kAnywhere)->hints.route ==
        Hint::kPrimary);
  CHECK(analyzer.analyze("SELECT /* weir: replica */ 3", nullptr, Names::kAnywhere)->hints.route ==
        Hint::kReplica);
  CHECK(analyzer.analyze("SELECT 4", nullptr, Names::kAnywhere)->hints.route == Hint::kNone);
  CHECK(analyzer.analyze("SELECT /* weir: primary */ 5", nullptr, Names::kAnywhere)->hints.route ==
        Hint::kPrimary);
  CHECK(analyzer.stats().shape_hits == 2);
  CHECK(analyzer.analyze("SELECT 1", nullptr, Names::kAnywhere)->shape ==
        analyzer.analyze("/* weir: primary */ SELECT 1", nullptr, Names::kAnywhere)->shape);
}

}  // namespace
}  // namespace sql
