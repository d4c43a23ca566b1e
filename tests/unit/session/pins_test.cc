#include "session/pins.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace session {
namespace {

const base::Time kNow{base::seconds(100)};

TEST_CASE("one pin for each reason, from when it first held") {
  Pins pins;
  CHECK(pins.empty());
  CHECK(pins.reasons() == sql::kNoResidue);
  pins.add(sql::kNoResidue, kNow, "SELECT 1");
  CHECK(pins.empty());
  pins.add(sql::kTempObject | sql::kListening, kNow, "a");
  pins.add(sql::kTempObject | sql::kAdvisoryLock, kNow + base::seconds(1), "b");
  REQUIRE(pins.list().size() == 3);
  CHECK(pins.reasons() == (sql::kTempObject | sql::kListening | sql::kAdvisoryLock));
  CHECK(pins.list()[0].reason == sql::kTempObject);
  CHECK(pins.list()[0].since == kNow);
  CHECK(pins.list()[0].statement == "a");
  CHECK(pins.list()[2].reason == sql::kAdvisoryLock);
  CHECK(pins.list()[2].statement == "b");
  pins.remove(sql::kTempObject | sql::kSqlPrepared);
  CHECK(pins.reasons() == (sql::kListening | sql::kAdvisoryLock));
  pins.clear();
  CHECK(pins.empty());
}

TEST_CASE("a statement is cut between characters") {
  Pins pins;
  pins.add(sql::kOpaque, kNow, std::string(199, 'x') + "\xc3\xa9 and so on");
  CHECK(pins.list()[0].statement == std::string(199, 'x'));
  pins.clear();
  pins.add(sql::kOpaque, kNow, std::string(198, 'x') + "\xc3\xa9 and so on");
  CHECK(pins.list()[0].statement == std::string(198, 'x') + "\xc3\xa9");
  pins.clear();
  pins.add(sql::kOpaque, kNow, std::string(300, '\x80'));  // no UTF-8 at all
  CHECK(pins.list()[0].statement.size() <= 200);
}

TEST_CASE("every reason has a name of its own and an end") {
  std::set<std::string> names;
  for (const sql::Residue reason :
       {sql::kTempObject, sql::kAdvisoryLock, sql::kHoldCursor, sql::kListening, sql::kSqlPrepared,
        sql::kSequenceState, sql::kRandomSeed, sql::kLoadedLibrary, sql::kOpaque, sql::kUnreadable,
        sql::kBackendPid, sql::kUnnamedSetting}) {
    names.insert(reason_name(reason));
    CHECK(std::string(reason_ends(reason)).find("DISCARD ALL") != std::string::npos);
  }
  CHECK(names.size() == 12);
  CHECK(names.count("unknown") == 0);
}

TEST_CASE("what takes which residue away") {
  const auto removed = [](sql::Verb verb, std::string name = {}, std::string_view tag = {}) {
    return residue_removed_by({.verb = verb, .name = std::move(name)}, tag);
  };
  Pins all;
  all.add(0xFFFF, kNow, "");
  all.remove(removed(sql::Verb::kDiscardAll));
  CHECK(all.empty());
  CHECK(removed(sql::Verb::kUnlistenAll) == sql::kListening);
  CHECK(removed(sql::Verb::kDeallocateAll) == sql::kSqlPrepared);
  CHECK(removed(sql::Verb::kCloseAllCursors) == sql::kHoldCursor);
  CHECK(removed(sql::Verb::kDiscardOther, "", "DISCARD TEMP") == sql::kTempObject);
  CHECK(removed(sql::Verb::kDiscardOther, "temp") == sql::kTempObject);
  CHECK(removed(sql::Verb::kDiscardOther, "", "DISCARD SEQUENCES") == sql::kSequenceState);
  CHECK(removed(sql::Verb::kDiscardOther, "", "DISCARD PLANS") == sql::kNoResidue);
  CHECK(removed(sql::Verb::kUnlisten, "x") == sql::kNoResidue);  // others may be left
  CHECK(removed(sql::Verb::kCloseCursor, "x") == sql::kNoResidue);
  CHECK(removed(sql::Verb::kDeallocate, "x") == sql::kNoResidue);
  CHECK(removed(sql::Verb::kSelect) == sql::kNoResidue);
}

}  // namespace
}  // namespace session
