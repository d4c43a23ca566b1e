// Text in, Analysis out, through a cache bounded in bytes. One per worker: not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"
#include "sql/catalog.h"
#include "sql/patterns.h"

namespace sql {

struct AnalyzerOptions {
  std::size_t cache_bytes = 16u << 20;          // all memory of the cache, keys and analyses
  std::size_t analyze_bytes = 64u << 10;        // longer texts are scanned for words, not parsed
  std::vector<std::string> harmless_functions;  // user functions that a replica may run
  std::vector<Pattern> patterns;                // texts beyond analyze_bytes match none
};

class Analyzer {
 public:
  explicit Analyzer(AnalyzerOptions options);
  ~Analyzer();

  // Never fails: what cannot be parsed (syntax error, too long, too deep) is Access::kWrite with
  // parsed == false. Hit by text, from the third time on: a hash and a compare. Hit by shape:
  // literals are blanked and the shape's analysis is used again, unless literals matter to it
  // (SET, set_config, hints).
  // Never touches more than O(text) memory, never recurses deeper than a fixed bound.
  // `catalog` is the database's; null = not known. Analyses of several are kept beside each other.
  AnalysisPtr analyze(std::string_view text, const Catalog* catalog, Names names);

  std::uint64_t patterns_id() const { return patterns_.id(); }

  struct Stats {
    std::uint64_t text_hits = 0, shape_hits = 0, misses = 0, too_large = 0, bytes = 0;
  };
  const Stats& stats() const { return stats_; }

  // For people: the beginning of its shape, "$" for literals.
  std::string shown(std::string_view text);

 private:
  struct Cache;
  std::unique_ptr<Cache> cache_;
  AnalyzerOptions options_;
  Patterns patterns_;
  Stats stats_;
};

// One pass without any cache. Exposed for tests and fuzzing.
Analysis analyze_once(std::string_view text, const AnalyzerOptions& options,
                      const Catalog* catalog = nullptr, Names names = Names::kEverything);

}  // namespace sql
