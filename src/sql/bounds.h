// Whether a text may be given to libpg_query, whose parser and serialiser recurse and die with a
// full stack on texts that any client may send.
//
// Fed with the tokens of a text, it bounds the depth of the parse tree from above, without a tree:
// a bracket, or CASE ... END, is a level; in a level the tree is at most as deep as there are
// operators (and words that act as such) between two commas, since commas separate siblings. So do
// AND and OR, whose chains PostgreSQL's grammar makes flat. Set operations and joins chain across
// commas, and count until the statement ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sql/lexer.h"

namespace sql {

class Bounds {
 public:
  // Measured with libpg_query 15-4.0.0 (tests/unit/sql/hostile_test.cc does it again): an operator
  // takes up to 2 KiB of stack, a bracket up to 8 KiB; a token takes up to 2 microseconds.
  static constexpr std::uint32_t kDepthMax = 512;
  static constexpr std::uint32_t kBracketDepth = 4;
  static constexpr std::uint32_t kTokensMax = 4096;

  void reset();
  void see(const Lexer& lexer, const Token& token);

  // nullptr, or what was exceeded, for people. Ask after the last token.
  const char* exceeded();
  // To take back tokens that the parser will not be given.
  std::uint32_t tokens() const { return tokens_; }
  void set_tokens(std::uint32_t tokens) { tokens_ = tokens; }

 private:
  enum class Kind : std::uint8_t { kBracket, kCase };
  struct Level {
    Kind kind = Kind::kBracket;
    bool between = false;         // BETWEEN in this segment: its AND separates nothing
    std::uint32_t chain = 0;      // operators in this segment
    std::uint32_t inner = 0;      // the deepest level closed in this segment
    std::uint32_t deepest = 0;    // of the segments before
    std::uint32_t statement = 0;  // set operations and joins
  };

  void see_word(const Lexer& lexer, const Token& token);
  void open(Kind kind);
  void close_case();
  void close_bracket();
  void close_level();
  void end_segment();

  std::vector<Level> levels_{1};
  std::uint32_t tokens_ = 0;
  bool label_next_ = false;  // behind AS or a dot, CASE and END are names
  bool too_deep_ = false;
};

}  // namespace sql
