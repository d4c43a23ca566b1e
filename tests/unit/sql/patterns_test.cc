#include "sql/patterns.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "sql/analyzer.h"

namespace sql {
namespace {

Analyzer with(std::vector<Pattern> patterns) { return Analyzer({.patterns = std::move(patterns)}); }

bool matches(Pattern pattern, std::string_view text) {
  Analyzer analyzer = with({std::move(pattern)});
  return analyzer.analyze(text, nullptr, Names::kAnywhere)->patterns == 1;
}

TEST_CASE("patterns: none") {
  Analyzer analyzer = with({});
  CHECK(analyzer.patterns_id() == 0);
  const AnalysisPtr analysis = analyzer.analyze("SELECT 1", nullptr, Names::kAnywhere);
  CHECK(analysis->patterns == 0);
  CHECK(analysis->patterns_of == 0);
}

TEST_CASE("patterns: tables, in any schema or in one") {
  CHECK(matches({.relations = {"orders"}}, "SELECT * FROM orders"));
  CHECK(matches({.relations = {"orders"}}, "SELECT * FROM ORDERS o JOIN x ON true"));
  CHECK(matches({.relations = {"orders"}}, "SELECT * FROM app.orders"));
  CHECK(matches({.relations = {"x", "orders"}}, "SELECT (SELECT count(*) FROM orders)"));
  CHECK_FALSE(matches({.relations = {"orders"}}, "SELECT * FROM my_orders"));
  CHECK_FALSE(matches({.relations = {"orders"}}, "SELECT * FROM \"Orders\""));
  CHECK_FALSE(matches({.relations = {"orders"}}, "SELECT * FROM orders.lines"));
  CHECK(matches({.relations = {"app.orders"}}, "SELECT * FROM app.orders"));
  CHECK_FALSE(matches({.relations = {"app.orders"}}, "SELECT * FROM orders"));
  CHECK_FALSE(matches({.relations = {"app.orders"}}, "SELECT * FROM old_app.orders"));
  CHECK(matches({.relations = {"orders"}}, "SELECT 1; INSERT INTO orders VALUES (1)"));
}

TEST_CASE("patterns: functions, shapes") {
  CHECK(matches({.functions = {"total"}}, "SELECT app.total(1)"));
  CHECK(matches({.functions = {"app.total"}}, "SELECT app.total(1)"));
  CHECK_FALSE(matches({.functions = {"total"}}, "SELECT total FROM t"));
  const auto shape = analyze_once("SELECT a FROM t WHERE b = 1", {}).shape;
  CHECK(matches({.shapes = {7, shape}}, "select a  from t where b = 2 -- x"));
  CHECK_FALSE(matches({.shapes = {shape}}, "SELECT a FROM t WHERE c = 1"));
}

TEST_CASE("patterns: all conditions must hold") {
  const Pattern both{.relations = {"t"}, .functions = {"f"}, .regex = "report"};
  CHECK(matches(both, "SELECT f() FROM t -- report"));
  CHECK_FALSE(matches(both, "SELECT f() FROM t"));
  CHECK_FALSE(matches(both, "SELECT f() FROM u -- report"));
  CHECK_FALSE(matches(both, "SELECT 1 FROM t -- report"));
}

TEST_CASE("patterns: a regex sees the text itself, whatever the cache knows") {
  Analyzer analyzer = with({{.regex = "= 7$"}, {.relations = {"t"}}, {.regex = "(?i)^select"}});
  const auto patterns = [&](const char* text) {
    return analyzer.analyze(text, nullptr, Names::kAnywhere)->patterns;
  };
  for (int times = 0; times < 3; ++times) {
    CHECK(patterns("SELECT * FROM t WHERE a = 6") == 0b110);
    CHECK(patterns("SELECT * FROM t WHERE a = 7") == 0b111);
    CHECK(patterns("SELECT * FROM t WHERE a = 8") == 0b110);
    CHECK(patterns("/* x */ SELECT * FROM t WHERE a = 7") == 0b011);
  }
  CHECK(analyzer.stats().misses == 3);  // one of each: their shape is the same
  CHECK(analyzer.stats().shape_hits == 1 + 4);
  CHECK(analyzer.stats().text_hits == 4);
}

TEST_CASE("patterns: what cannot be parsed has a text and a shape, what is too long has nothing") {
  CHECK(matches({.regex = "nonsense"}, "this is nonsense"));
  CHECK_FALSE(matches({.relations = {"t"}}, "SELEKT * FROM t"));
  const std::string text = "SELECT 'report" + std::string(100'000, 'x') + "'";
  Analyzer analyzer = with({{.regex = "report"}});
  const AnalysisPtr analysis = analyzer.analyze(text, nullptr, Names::kAnywhere);
  CHECK(analysis->patterns == 0);
  CHECK(analysis->patterns_of == analyzer.patterns_id());
}

TEST_CASE("patterns: a regex sees the first 16 kB") {
  const std::string filler(Patterns::kRegexTextMax - 20, ' ');
  CHECK(matches({.regex = "report"}, "SELECT 1" + filler + "-- report"));
  CHECK_FALSE(matches({.regex = "report"}, "SELECT 1" + filler + "      -- report"));
}

TEST_CASE("patterns: their id tells equal ones from others") {
  const auto id = [](std::vector<Pattern> patterns) { return Patterns(std::move(patterns)).id(); };
  CHECK(id({{.relations = {"a"}}}) == id({{.relations = {"a"}}}));
  CHECK(id({{.relations = {"a"}}}) != id({{.functions = {"a"}}}));
  CHECK(id({{.relations = {"a", "b"}}}) != id({{.relations = {"ab"}}}));
  CHECK(id({{.relations = {"a"}}, {.regex = "b"}}) != id({{.regex = "b"}, {.relations = {"a"}}}));
  CHECK(id({{.shapes = {1}}}) != id({{.shapes = {2}}}));
}

}  // namespace
}  // namespace sql
