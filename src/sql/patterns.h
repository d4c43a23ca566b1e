// Which of some patterns a statement matches: what it names, its shape, its text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"

namespace sql {

// All that is given must hold; of a list, one element.
struct Pattern {
  // "schema.name" is only what the statement writes with that schema, "name" is of any.
  std::vector<std::string> relations, functions;
  std::vector<std::uint64_t> shapes;
  std::string regex;  // RE2's, valid; "" = none
  std::int64_t regex_bytes_max = 1 << 20;

  bool operator==(const Pattern&) const = default;
};

// At most kMax; bit i of a set of them is the i-th.
class Patterns {
 public:
  static constexpr std::size_t kMax = 64;
  // What a regex sees of a text: it costs its length times the text's at worst, and the text is
  // a client's.
  static constexpr std::size_t kRegexTextMax = 16u << 10;

  explicit Patterns(std::vector<Pattern> patterns);
  ~Patterns();

  // Equal for equal patterns in every process; 0 = there are none.
  std::uint64_t id() const { return id_; }

  // Those whose regex the text matches, or that have none.
  std::uint64_t by_text(std::string_view text) const;
  // Those of `candidates`, from by_text, whose other conditions hold, too.
  std::uint64_t match(const Analysis& analysis, std::uint64_t candidates) const;
  // Texts that differ in literals only may differ in these.
  std::uint64_t with_regex() const { return with_regex_; }

 private:
  struct Regex;
  std::vector<Pattern> patterns_;
  std::vector<std::unique_ptr<Regex>> regexes_;  // index likewise; null = none
  std::uint64_t all_ = 0, with_regex_ = 0, id_ = 0;
};

}  // namespace sql
