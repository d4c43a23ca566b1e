// What a statement text is expected to be, for tables of many.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sql/analyzer.h"
#include "sql/catalog.h"

namespace sql::test {

struct Expected {
  std::string_view text;
  Access access;
  Verb verb;
  std::uint16_t residue = kNoResidue;
};

// Of a database that has nothing in it.
inline const Catalog& empty_catalog() {
  static const Catalog kCatalog(std::vector<CatalogObject>{});
  return kCatalog;
}

// Each text is one statement that the parser understands.
inline void check_all(std::span<const Expected> cases, const AnalyzerOptions& options = {},
                      const Catalog* by = &empty_catalog()) {
  for (const Expected& expected : cases) {
    CAPTURE(expected.text);
    const Analysis analysis = analyze_once(expected.text, options, by);
    CHECK(analysis.parsed);
    CHECK(static_cast<int>(analysis.access) == static_cast<int>(expected.access));
    CHECK(analysis.residue == expected.residue);
    CHECK(analysis.shape != 0);
    CHECK_FALSE(analysis.why.empty());
    REQUIRE(analysis.single() != nullptr);
    const Statement& statement = *analysis.single();
    CHECK(static_cast<int>(statement.verb) == static_cast<int>(expected.verb));
    CHECK(statement.access == analysis.access);
    CHECK(statement.residue == analysis.residue);
    const bool plain = (expected.verb == Verb::kSelect || expected.verb == Verb::kOther) &&
                       expected.residue == kNoResidue && statement.sets.empty();
    CHECK(analysis.plain == plain);
  }
}

}  // namespace sql::test
