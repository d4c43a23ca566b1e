// The whole analysis: what it says must not depend on the caches, nor on the lists left out.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "sql/analyzer.h"
#include "sql/bounds.h"
#include "sql/classify.h"
#include "sql/parse_tree.h"
#include "sql/shape.h"

namespace {

void check_sane(const sql::Analysis& a) {
  CHECK(a.shape != 0);
  CHECK(a.parsed || a.access == sql::Access::kWrite);
  CHECK(a.residue == sql::kNoResidue || a.access == sql::Access::kWrite);
  CHECK(!a.plain || (a.parsed && a.residue == sql::kNoResidue));
  sql::Access access = sql::Access::kNone;
  std::uint16_t residue = 0;
  const std::vector<std::string> harmless;
  for (const sql::Statement& s : a.statements) {
    access = std::max(access, s.access);
    residue |= s.residue;
    CHECK(s.residue == sql::kNoResidue || s.access == sql::Access::kWrite);
    for (const sql::SetStatement& set : s.sets) {
      CHECK(set.reset == set.value_sql.empty());
      CHECK(!set.reset || !set.value.has_value());
    }
  }
  CHECK(access == a.access);
  CHECK(residue == a.residue);
}

// The text behind "SET name" must set the same again.
void check_replay(const sql::Analysis& a) {
  for (const sql::Statement& s : a.statements)
    for (const sql::SetStatement& set : s.sets) {
      if (set.reset) continue;
      const std::string text = "SET x " + set.value_sql;
      const sql::Analysis again = sql::analyze_once(text, {.analyze_bytes = text.size()});
      if (!again.parsed) {
        CHECK(text.size() > 1000);  // a list too long
        continue;
      }
      CHECK(again.single() != nullptr);
      CHECK(again.single()->sets.size() == 1);
      CHECK(again.single()->sets[0].value_sql == set.value_sql);
    }
}

// The lists and rows that the parser is not shown must not matter.
void check_reduction(const std::string& text, const sql::Analysis& a) {
  sql::Shaper shaper;
  const sql::Shape shape = shaper.shape(text, {});
  if (shape.reduced.empty() || !a.parsed) return;
  if (sql::beyond_bounds(text) != nullptr) return;
  const sql::ParseTree tree = sql::parse(text);
  if (tree == nullptr) return;  // an error in what was left out
  sql::Access access = sql::Access::kNone;
  std::uint16_t residue = 0;
  const std::vector<std::string> harmless;
  for (std::size_t i = 0; i < tree->n_stmts; ++i) {
    const sql::Classified each = sql::classify(*tree->stmts[i], text, {harmless});
    access = std::max(access, each.statement.access);
    residue |= each.statement.residue;
  }
  CHECK(access == a.access);
  CHECK(residue == a.residue);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static sql::Analyzer analyzer({.cache_bytes = 1u << 20});
  const std::string text(reinterpret_cast<const char*>(data), size);
  const sql::Analysis once = sql::analyze_once(text, {});
  check_sane(once);
  check_replay(once);
  check_reduction(text, once);
  const sql::AnalysisPtr cached = analyzer.analyze(text, nullptr, sql::Names::kAnywhere);
  CHECK(analyzer.stats().bytes <= 1u << 20);
  CHECK(cached->shape == once.shape);
  CHECK(cached->hints == once.hints);
  // A shape known from another text may stand for one whose literals are wrong.
  if (once.parsed) {
    CHECK(cached->parsed);
    CHECK(cached->access == once.access);
    CHECK(cached->residue == once.residue);
    CHECK(cached->plain == once.plain);
    CHECK(cached->statements.size() == once.statements.size());
  }
  CHECK(analyzer.analyze(text, nullptr, sql::Names::kAnywhere)->access == cached->access);
  return 0;
}
