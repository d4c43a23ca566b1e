// Texts made to crash or to stall: each kind of nesting, as deep as Bounds lets through, is parsed
// on a quarter of a worker's stack; beyond that it is refused; and nothing takes long.
#include <doctest/doctest.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "expect.h"
#include "sql/analyzer.h"
#include "sql/bounds.h"
#include "sql/shape.h"

namespace sql {
namespace {

std::string repeat(std::string_view piece, int count) {
  std::string out;
  out.reserve(piece.size() * static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) out += piece;
  return out;
}

// before, n times open, middle, n times close, after.
struct Nesting {
  std::string_view before, open, middle, close, after;

  std::string text(int n) const {
    return std::string(before) + repeat(open, n) + std::string(middle) + repeat(close, n) +
           std::string(after);
  }
};

constexpr Nesting kNestings[] = {
    {"SELECT 1", "+1", "", "", ""},
    {"SELECT a", "||a", "", "", ""},
    {"SELECT a", "^a", "", "", ""},
    {"SELECT a", " AND a", "", "", ""},
    {"SELECT a", " OR a", "", "", ""},
    {"SELECT a", " AND a OR a", "", "", ""},
    {"SELECT a", " OR NOT a AND a", "", "", ""},
    {"SELECT a", " OPERATOR(x.+) a", "", "", ""},
    {"SELECT a", "::int", "", "", ""},
    {"SELECT a", "::numeric(1,2)[]", "", "", ""},
    {"SELECT a", " COLLATE x", "", "", ""},
    {"SELECT a", " AT TIME ZONE a", "", "", ""},
    {"SELECT a", " IS NULL", "", "", ""},
    {"SELECT a", " ISNULL", "", "", ""},
    {"SELECT a", " NOTNULL", "", "", ""},
    {"SELECT a", " IS NOT TRUE", "", "", ""},
    {"SELECT a", " IS DISTINCT FROM a", "", "", ""},
    {"SELECT a", " IS DOCUMENT", "", "", ""},
    {"SELECT a", " IS NFC NORMALIZED", "", "", ""},
    {"SELECT a", " IS TRUE BETWEEN 1 AND 2", "", "", ""},
    {"SELECT a", " IS TRUE NOT BETWEEN SYMMETRIC 1 AND 2", "", "", ""},
    {"SELECT a", " IS TRUE IN (1)", "", "", ""},
    {"SELECT a", " IS TRUE LIKE a ESCAPE a", "", "", ""},
    {"SELECT a", " IS TRUE SIMILAR TO a", "", "", ""},
    {"SELECT a", " = ANY (b)", "", "", ""},
    {"SELECT a", "[1]", "", "", ""},
    {"SELECT (a)", ".b", "", "", ""},
    {"SELECT a::int", "[]", "", "", ""},
    {"SELECT ", "NOT ", "a", "", ""},
    {"SELECT ", "- ", "a", "", ""},
    {"SELECT ", "@ ", "a", "", ""},
    {"SELECT ", "@-", "a", "", ""},
    {"SELECT ", "(", "1", ")", ""},
    {"SELECT ", "(1,", "1", ")", ""},
    {"SELECT ", "(1+", "1", ")", ""},
    {"SELECT ", "(a AND (b OR ", "1", "))", ""},
    {"SELECT ", "(NOT ", "1", ")", ""},
    {"SELECT ", "(-", "a", ")", ""},
    {"SELECT ", "(", "a", ")[1].b", ""},
    {"SELECT ", "ROW(", "1", ")", ""},
    {"SELECT ", "f(", "1", ")", ""},
    {"SELECT ", "f(x => ", "1", ")", ""},
    {"SELECT ", "f(VARIADIC ", "1", ")", ""},
    {"SELECT ", "f(a ORDER BY ", "a", ")", ""},
    {"SELECT ", "f() OVER (ORDER BY ", "a", ")", ""},
    {"SELECT ", "f() FILTER (WHERE ", "a", ")", ""},
    {"SELECT ", "f() WITHIN GROUP (ORDER BY ", "a", ")", ""},
    {"SELECT ", "coalesce(", "a", ", 1)", ""},
    {"SELECT ", "xmlconcat(", "a", ")", ""},
    {"SELECT ", "xmlelement(name x, ", "a", ")", ""},
    {"SELECT ", "extract(year FROM ", "a", ")", ""},
    {"SELECT ", "CAST(", "1", " AS int)", ""},
    {"SELECT ", "CASE WHEN a THEN ", "1", " END", ""},
    {"SELECT ", "CASE WHEN ", "1", " THEN a END", ""},
    {"SELECT ", "CASE ", "1", " WHEN a THEN b END", ""},
    {"SELECT ", "CASE WHEN a THEN 1 ELSE ", "1", " END", ""},
    {"SELECT ", "CASE WHEN a OR b THEN a+", "1", " END", ""},
    {"SELECT ", "a[", "1", "]", ""},
    {"SELECT ", "a[1:", "1", "]", ""},
    {"SELECT ", "ARRAY[", "1", "]", ""},
    {"SELECT ", "ARRAY(SELECT ", "1", ")", ""},
    {"SELECT ", "EXISTS(SELECT ", "1", ")", ""},
    {"SELECT ", "(SELECT ", "1", ")", ""},
    {"SELECT ", "a IN (SELECT ", "1", ")", ""},
    {"SELECT ", "a IN (", "1", ")", ""},
    {"SELECT ", "a = ANY (SELECT ", "1", ")", ""},
    {"SELECT * FROM ", "(SELECT * FROM ", "a", ") x", ""},
    {"SELECT * FROM ", "LATERAL (SELECT * FROM ", "a", ") x", ""},
    {"SELECT * FROM ", "(a JOIN ", "a", " ON a)", ""},
    {"SELECT * FROM ", "(", "a CROSS JOIN a", " CROSS JOIN a)", ""},
    {"SELECT * FROM a", " JOIN a ON a OR b", "", "", ""},
    {"SELECT * FROM a", " NATURAL JOIN a", "", "", ""},
    {"SELECT * FROM ", "a JOIN ", "a", " ON true", ""},
    {"SELECT * FROM ROWS FROM (", "f(", "1", ")", ")"},
    {"SELECT 1", " UNION SELECT 1", "", "", ""},
    {"SELECT 1", " EXCEPT ALL SELECT 1, 2", "", "", ""},
    {"SELECT 1", " INTERSECT VALUES (1)", "", "", ""},
    {"", "(SELECT 1 UNION ", "SELECT 1", ")", ""},
    {"", "(", "SELECT 1", ")", ""},
    {"", "(", "SELECT 1", " LIMIT 1)", ""},
    {"", "WITH a AS (", "SELECT 1", ") SELECT 1", ""},
    {"", "WITH a AS (INSERT INTO t ", "SELECT 1", ") SELECT 1", ""},
    {"SELECT 1 GROUP BY ", "ROLLUP(", "1", ")", ""},
    {"SELECT 1 GROUP BY ", "GROUPING SETS(", "1", ")", ""},
    {"CREATE RULE r AS ON INSERT TO t DO ALSO (", "SELECT 1;", "", "", "SELECT 1)"},
    {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC ", "SELECT 1;", "", "", "END"},
    {"CREATE TABLE t (a int DEFAULT ", "(1+", "1", ")", ")"},
    {"CREATE TABLE t (a int", " CHECK (a > 1)", "", "", ")"},
    {"CREATE SCHEMA s", " CREATE TABLE t ()", "", "", ""},
    {"SELECT 1", ", 1", "", "", ""},
    {"SELECT 1", ", f(1)", "", "", ""},
    {"SELECT a", ".a", "", "", ""},
    {"", "SELECT 1;", "", "", ""},
    {"", "BEGIN;", "", "", ""},
    {"SELECT 1 IN (1", ", a", "", "", ")"},
    {"INSERT INTO t VALUES (1)", ", (a)", "", "", ""},
    {"INSERT INTO t VALUES (1)", ", (f(1)), (g(2))", "", "", ""},
    {"UPDATE t SET a = 1", ", a = 1", "", "", ""},
    {"SELECT 1", " FOR UPDATE", "", "", ""},
    {"SET search_path = a", ", a", "", "", ""},
};

bool parser_sees(std::string_view text) {
  if (text.size() > AnalyzerOptions{}.analyze_bytes) return false;
  Shaper shaper;
  const Shape& shape = shaper.shape(text, {});
  return shape.valid && beyond_bounds(shape.reduced.empty() ? text : shape.reduced) == nullptr;
}

// The largest n whose text is accepted.
int deepest(const Nesting& nesting) {
  int low = 1, high = 20'000;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (parser_sees(nesting.text(middle)))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// Runs on a thread with so much stack.
void run_on_stack(std::size_t bytes, std::function<void()> work) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, bytes) == 0);
  pthread_t thread{};
  const auto start = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, start, &work) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

double milliseconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

TEST_CASE("the deepest texts that are parsed need a quarter of a worker's stack at most") {
  double slowest = 0;
  std::string slowest_text;
  for (const Nesting& nesting : kNestings) {
    const int n = deepest(nesting);
    const std::string text = nesting.text(n);
    CAPTURE(nesting.open);
    CAPTURE(n);
    REQUIRE(parser_sees(text));
    CHECK(n >= 40);  // and people may nest
    double best = 1e9;
    run_on_stack(2 << 20, [&] {
      for (int i = 0; i < 3; ++i)
        best = std::min(best, milliseconds_of([&] { analyze_once(text, {}); }));
    });
    if (best > slowest) {
      slowest = best;
      slowest_text = text.substr(0, 60);
    }
  }
  MESSAGE("slowest accepted text: " << slowest << " ms: " << slowest_text);
  CHECK(slowest < 100);  // 10 in a release build on a quiet machine
}

TEST_CASE("a long literal below deep nesting is not copied without end") {
  for (const Nesting& nesting : kNestings) {
    Nesting with_literal = nesting;
    const int n = std::min(deepest(nesting), 500);
    const std::string literal = "'" + std::string(40'000, 'x') + "'";
    if (nesting.middle.empty()) continue;
    with_literal.middle = literal;
    const std::string text = with_literal.text(n);
    CAPTURE(nesting.open);
    run_on_stack(2 << 20, [&] {
      const double ms = milliseconds_of([&] { analyze_once(text, {}); });
      CHECK(ms < 200);
    });
  }
}

TEST_CASE("far more than is accepted is survived, and soon over") {
  for (const Nesting& nesting : kNestings) {
    // Of the longer ones less, to keep the test short.
    const std::string text = nesting.text(nesting.open.size() <= 3 ? 100'000 : 10'000);
    CAPTURE(nesting.open);
    // With the limit on the text's length as high as the configuration lets it be, and beyond.
    const double ms = milliseconds_of([&] { analyze_once(text, {.analyze_bytes = 4u << 20}); });
    CHECK(ms < 1500);
  }
}

TEST_CASE("very long texts") {
  const auto analyzed = [](const std::string& text) {
    Analyzer analyzer({});
    AnalysisPtr analysis;
    const double ms = milliseconds_of(
        [&] { analysis = analyzer.analyze(text, &test::empty_catalog(), Names::kAnywhere); });
    CHECK(ms < 2000);
    CHECK_FALSE(analysis->parsed);
    CHECK(analysis->access == Access::kWrite);
    CHECK(analysis->shape != 0);
    CHECK(analyzer.stats().too_large == 1);
    CHECK(analyzer.stats().bytes == 0);
    return analysis;
  };
  const AnalysisPtr list = analyzed("SELECT a IN (1" + repeat(",1234567", 100'000) + ")");
  CHECK(list->residue == kNoResidue);
  CHECK(list->shape == analyze_once("SELECT a IN (1)", {}).shape);
  CHECK(analyzed("SELECT '" + std::string(200u << 20, 'x') + "'")->residue == kNoResidue);
  CHECK(analyzed("SELECT '" + std::string(500'000, 'x'))->residue == kNoResidue);
  CHECK(analyzed("SELECT a IN (1" + repeat(",1234567", 1'000'000) + ")")->residue == kUnreadable);
  // More work than a worker has time for: what was not seen may be anything.
  CHECK(analyzed(repeat("SELECT 1;", 4'000'000))->residue == kUnreadable);
  CHECK(analyzed(std::string(40u << 20, '('))->residue == kUnreadable);
  CHECK(analyzed("/*" + std::string(40u << 20, '*'))->residue == kUnreadable);
}

}  // namespace
}  // namespace sql
