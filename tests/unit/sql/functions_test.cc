// pg_proc's volatility is in src/sql/builtin_functions.inc; here is what was decided by hand.
#include "sql/functions.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace sql {
namespace {

const std::vector<std::string> kNone;

Access access_of(std::string_view schema, std::string_view name) {
  return function_effect(schema, name, 0, {kNone}).access;
}

TEST_CASE("built-in functions") {
  for (const std::string_view name : {"lower", "abs", "zeroblob_no_such", "xmlagg", "count"}) {
    CAPTURE(name);
    CHECK((access_of("", name) == Access::kRead) == (name != "zeroblob_no_such"));
    CHECK(access_of("pg_catalog", name) == access_of("", name));
    CHECK(access_of("public", name) == Access::kWrite);
  }
  CHECK(access_of("", "random") == Access::kRead);
  CHECK(access_of("", "pg_total_relation_size") == Access::kRead);
  CHECK(access_of("", "bernoulli") == Access::kWrite);
  CHECK(access_of("", "txid_current") == Access::kWrite);
  CHECK(access_of("", "pg_current_xact_id") == Access::kWrite);
  CHECK(access_of("information_schema", "_pg_expandarray") == Access::kRead);
  CHECK(access_of("information_schema", "other") == Access::kWrite);
  CHECK(access_of("", "Lower") == Access::kWrite);  // quoted, and so another name
}

TEST_CASE("what they leave behind") {
  const auto residue = [](std::string_view name) {
    return function_effect("", name, 0, {kNone}).residue;
  };
  CHECK(residue("nextval") == kSequenceState);
  CHECK(residue("pg_advisory_lock") == kAdvisoryLock);
  CHECK(residue("pg_try_advisory_lock_shared") == kAdvisoryLock);
  CHECK(residue("pg_advisory_xact_lock") == kNoResidue);
  CHECK(residue("pg_advisory_unlock") == kNoResidue);
  CHECK(residue("setseed") == kRandomSeed);
  CHECK(residue("ts_stat") == kOpaque);
  CHECK(residue("pg_notify") == kNoResidue);
  CHECK(residue("txid_current") == kNoResidue);
  CHECK(residue("no_such_function") == kOpaque);
  CHECK(function_effect("", "set_config", 3, {kNone}).sets_setting);
  CHECK(function_effect("pg_catalog", "set_config", 3, {kNone}).sets_setting);
  CHECK_FALSE(function_effect("public", "set_config", 3, {kNone}).sets_setting);
}

TEST_CASE("the configured ones") {
  const std::vector<std::string> harmless = {"f", "s.g", "nextval"};
  CHECK(function_effect("", "f", 0, {harmless}).access == Access::kRead);
  CHECK(function_effect("s", "g", 0, {harmless}).access == Access::kRead);
  CHECK(function_effect("s", "f", 0, {harmless}).access == Access::kWrite);
  CHECK(function_effect("", "g", 0, {harmless}).access == Access::kWrite);
  // What PostgreSQL itself says about its own functions stands.
  CHECK(function_effect("", "nextval", 0, {harmless}).access == Access::kWrite);
}

}  // namespace
}  // namespace sql
