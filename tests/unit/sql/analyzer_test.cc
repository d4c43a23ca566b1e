#include "sql/analyzer.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "expect.h"

namespace sql {
namespace {

TEST_CASE("hits by text and by shape") {
  Analyzer analyzer({});
  const AnalysisPtr first =
      analyzer.analyze("SELECT * FROM t WHERE a = 1", nullptr, Names::kAnywhere);
  CHECK(analyzer.stats().misses == 1);
  const auto again = [&](std::string_view text) {
    CHECK(analyzer.analyze(text, nullptr, Names::kAnywhere) == first);
    return std::pair(analyzer.stats().shape_hits, analyzer.stats().text_hits);
  };
  // By text from the third time on: what comes once only is not worth its memory.
  CHECK(again("SELECT * FROM t WHERE a = 1") == std::pair(1ul, 0ul));
  CHECK(again("SELECT * FROM t WHERE a = 1") == std::pair(1ul, 1ul));
  CHECK(again("select * from t where a = 'x'") == std::pair(2ul, 1ul));
  CHECK(again("select * from t where a = 'x'") == std::pair(3ul, 1ul));
  CHECK(again("select * from t where a = 'x'") == std::pair(3ul, 2ul));
  CHECK(analyzer.analyze("SELECT * FROM u WHERE a = 1", nullptr, Names::kAnywhere) != first);
  CHECK(analyzer.stats().misses == 2);
  CHECK(analyzer.stats().bytes > 0);
}

TEST_CASE("literals that are new each time take no memory and push nothing out") {
  Analyzer analyzer({.cache_bytes = 256 << 10});
  const auto analyze = [&](const std::string& text) {
    analyzer.analyze(text, nullptr, Names::kAnywhere);
  };
  for (int i = 0; i < 3; ++i) analyze("SELECT hot");
  CHECK(analyzer.stats().text_hits == 1);
  analyze("SELECT * FROM t WHERE a = 0");
  const std::uint64_t bytes = analyzer.stats().bytes;
  for (int i = 1; i < 20'000; ++i) analyze("SELECT * FROM t WHERE a = " + std::to_string(i));
  CHECK(analyzer.stats().shape_hits == 1 + 19'999);
  CHECK(analyzer.stats().bytes <= bytes + 2048);  // hashes may agree, if rarely
  analyze("SELECT hot");
  CHECK(analyzer.stats().text_hits == 2);
}

TEST_CASE("what leaves a residue can be shown, without its literals") {
  const auto shown = [](std::string_view text) {
    std::string all;
    for (const Statement& statement : analyze_once(text, {}).statements) {
      all += "<" + statement.shown + ">";
    }
    return all;
  };
  CHECK(shown("CREATE TEMP TABLE Scratch (a text DEFAULT 'secret')") ==
        "<create temp table scratch ( a text default $ )>");
  CHECK(shown("SELECT 'secret';; LISTEN here; /* secret */ SELECT pg_advisory_lock(4711)") ==
        "<><listen here><select pg_advisory_lock ( $ )>");
  CHECK(shown("DO $$ BEGIN PERFORM 'secret'; END $$;") == "<do $>");
  CHECK(shown("SELECT 1") == "<>");
  CHECK(shown("SELECT FROM FROM set_config 'secret") == "<>");
  const std::string umlauts = shown("LISTEN \"Ã¤" + [] {
    std::string more;
    for (int i = 0; i < 100; ++i) more += "Ã¤";
    return more;
  }() + "\"");
  CHECK(umlauts.size() <= Statement::kShownMax + 2);
  CHECK(umlauts.ends_with("Ã¤>"));
}

TEST_CASE("where literals matter, a shape's analysis is not used again") {
  Analyzer analyzer({});
  CHECK(analyzer.analyze("SET x = 'a'", nullptr, Names::kAnywhere)
            ->statements.at(0)
            .sets.at(0)
            .value == "a");
  CHECK(analyzer.analyze("SET x = 'b'", nullptr, Names::kAnywhere)
            ->statements.at(0)
            .sets.at(0)
            .value == "b");
  CHECK(analyzer.analyze("SELECT set_config('x.y', 'a', false)", nullptr, Names::kAnywhere)
            ->statements[0]
            .sets[0]
            .value == "a");
  CHECK(analyzer.analyze("SELECT set_config('x.y', 'b', false)", nullptr, Names::kAnywhere)
            ->statements[0]
            .sets[0]
            .value == "b");
  CHECK(analyzer.analyze("EXPLAIN (ANALYZE 0) DELETE FROM t", nullptr, Names::kAnywhere)->access ==
        Access::kRead);
  CHECK(analyzer.analyze("EXPLAIN (ANALYZE 1) DELETE FROM t", nullptr, Names::kAnywhere)->access ==
        Access::kWrite);
  CHECK(
      analyzer.analyze("PREPARE TRANSACTION 'a'", nullptr, Names::kAnywhere)->statements[0].name ==
      "a");
  CHECK(
      analyzer.analyze("PREPARE TRANSACTION 'b'", nullptr, Names::kAnywhere)->statements[0].name ==
      "b");
  // Parsed or not may depend on a literal as well.
  CHECK_FALSE(analyzer.analyze("SELECT U&'\\00'", nullptr, Names::kAnywhere)->parsed);
  CHECK(analyzer.analyze("SELECT U&'\\0041'", nullptr, Names::kAnywhere)->parsed);
  CHECK(analyzer.stats().shape_hits == 0);
  // But not between SELECTs in one text.
  CHECK(analyzer.analyze("SELECT 1; SELECT 'a'", nullptr, Names::kAnywhere)->statements.size() ==
        2);
  CHECK(analyzer.analyze("SELECT 2; SELECT 'b'", nullptr, Names::kAnywhere)->statements.size() ==
        2);
  CHECK(analyzer.stats().shape_hits == 1);
}

TEST_CASE("the cache keeps to its bytes") {
  Analyzer analyzer({.cache_bytes = 256 << 10});
  for (int i = 0; i < 20'000; ++i) {
    analyzer.analyze("SELECT a" + std::to_string(i) + " FROM t WHERE b = " + std::to_string(i),
                     nullptr, Names::kAnywhere);
    CHECK(analyzer.stats().bytes <= 256 << 10);
  }
  // Long texts are known by their shape only: one-offs don't push others out.
  Analyzer other({});
  const std::string literal(8192, 'x');
  other.analyze("SELECT '" + literal + "'", nullptr, Names::kAnywhere);
  const auto bytes = other.stats().bytes;
  CHECK(bytes < 4096);
  other.analyze("SELECT '" + literal + "y'", nullptr, Names::kAnywhere);
  CHECK(other.stats().bytes == bytes);
  CHECK(other.stats().shape_hits == 1);
}

TEST_CASE("texts beyond analyze_bytes are scanned") {
  const AnalyzerOptions options{.analyze_bytes = 100};
  Analyzer analyzer(options);
  const std::string filler = " /* " + std::string(100, 'x') + " */";
  const Catalog* empty = &test::empty_catalog();
  const AnalysisPtr read = analyzer.analyze("SELECT 1" + filler, empty, Names::kAnywhere);
  CHECK_FALSE(read->parsed);
  CHECK(read->access == Access::kWrite);
  CHECK(read->residue == kNoResidue);
  CHECK_FALSE(read->plain);
  CHECK(read->shape == analyze_once("SELECT 2", {}).shape);
  CHECK(analyzer.analyze("SET a.b = 1" + filler, empty, Names::kAnywhere)->residue == kUnreadable);
  const std::string update = "UPDATE t SET a = 1" + filler;
  CHECK(analyzer.analyze(update, empty, Names::kAnywhere)->residue == kNoResidue);
  CHECK(analyzer.analyze(update, nullptr, Names::kAnywhere)->residue == kUnreadable);
  CHECK(analyzer.stats().too_large == 4);
  CHECK(analyzer.stats().bytes == 0);
  CHECK(analyze_once("SELECT 1" + filler, options).parsed == false);
}

TEST_CASE("lists longer than the parser could bear are shortened for it") {
  std::string text = "SELECT * FROM t WHERE a IN (1";
  for (int i = 0; i < 20'000; ++i) text += ",1";
  const Analysis list = analyze_once(text + ")", {});
  CHECK(list.parsed);
  CHECK(list.access == Access::kRead);
  text = "INSERT INTO t VALUES (1, now())";
  for (int i = 0; i < 3000; ++i) text += ", (2, now())";
  const Analysis rows = analyze_once(text + " RETURNING nextval('s')", {}, &test::empty_catalog());
  CHECK(rows.parsed);
  CHECK(rows.residue == kSequenceState);
}

TEST_CASE("an analysis outlives its cache entry and its analyzer") {
  AnalysisPtr kept;
  {
    Analyzer analyzer({.cache_bytes = 16 << 10});
    kept = analyzer.analyze("SELECT my_function(1)", nullptr, Names::kAnywhere);
    for (int i = 0; i < 1000; ++i)
      analyzer.analyze("SELECT a" + std::to_string(i), nullptr, Names::kAnywhere);
  }
  CHECK(kept->why == "function my_function may write");
}

TEST_CASE("several threads, each with its own analyzer") {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&wrong, t] {
      Analyzer analyzer({.cache_bytes = 64 << 10});
      for (int i = 0; i < 300; ++i) {
        const std::string id = std::to_string(t) + "_" + std::to_string(i);
        if (analyzer.analyze("SELECT * FROM t" + id, nullptr, Names::kAnywhere)->access !=
            Access::kRead)
          ++wrong;
        if (analyzer.analyze("DELETE FROM t" + id, nullptr, Names::kAnywhere)->access !=
            Access::kWrite)
          ++wrong;
        if (analyzer.analyze("SELEC " + id, nullptr, Names::kAnywhere)->parsed) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace sql
