// One pass over a text: its shape, and a shorter text for the parser.
//
// The shape has literals and parameters blanked, lists of constants and equal rows of VALUES
// collapsed, white space and comments normalised, and unquoted words in lower case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "sql/analysis.h"
#include "sql/lexer.h"
#include "sql/words.h"

namespace sql {

struct Shape {
  // Tokens separated by one space, "$" for each constant. "" when longer than kKeyMax: then only
  // the hash tells.
  static constexpr std::size_t kKeyMax = 32u << 10;
  std::string text;
  std::uint64_t hash = 1;  // never 0; the same in every process

  // The text without the elements and rows that were collapsed; "" when there were none. Parses
  // to the same tree but for those.
  std::string reduced;
  Hints hints;
  bool valid = true;            // false: not even tokens, and so nothing for the parser
  bool mentions_state = false;  // only when asked for
  bool complete = true;         // false: work ended before the text did
};

struct ShapeOptions {
  bool state_words = false;
  // Gives up after so many bytes looked at one by one (the insides of strings cost nothing), or
  // so many tokens (constants in a list cost a third), so that no text stalls a worker.
  std::size_t work_max = 16u << 20;
  std::size_t tokens_max = 400'000;
};

// Makes shapes, one after the other; keeps its memory between them.
class Shaper {
 public:
  // The result is valid until the next call.
  const Shape& shape(std::string_view text, ShapeOptions options);

 private:
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

  // The rows behind VALUES: each is compared with the one before.
  struct Rows {
    bool active = false;
    bool row_open = false;
    std::size_t depth = 0;       // of brackets, around the rows
    std::size_t begin = 0;       // of the row in the shape
    std::size_t reduced = 0;     // out_.reduced.size() and
    std::size_t copied = 0;      // copied_ before the row
    std::size_t last_begin = 0;  // of the row before, in the shape ...
    std::size_t last_end = kNowhere;
    std::size_t last_text_end = 0;  // ... and its end in the text
  };

  void step(const Token& token);
  void bracket(const Token& token, const Token& before);
  void row_closed(const Token& token);
  void values_state(const Token& token);
  bool constants_follow(Lexer& ahead, std::size_t& first_end);
  bool out_of_time(const Lexer& lexer) const {
    return lexer.work() > options_.work_max || effort_ / 3 > options_.tokens_max;
  }
  void drop(std::size_t from, std::size_t to);
  // Makes room for so many bytes and a space behind what is written.
  char* room(std::size_t bytes);
  void write(char c);
  void write_token(const Token& token);
  void fold();
  std::string_view written() const { return std::string_view(out_.text).substr(0, written_); }
  bool folds_sign(const Token& token) const;
  void hash_in(std::string_view bytes);

  std::string_view text_;
  Lexer lexer_{{}};
  Shape out_;
  StateWords words_;
  ShapeOptions options_;
  Token last_;  // what was written last
  Rows rows_;
  std::size_t written_ = 0;  // of out_.text, which is longer until the end
  std::size_t depth_ = 0;    // of brackets
  std::size_t effort_ = 0;   // three for a token, one for a constant in a list
  std::size_t copied_ = 0;   // of text_, into out_.reduced
  bool folded_ = false;      // out_.text has been hashed and cleared at least once
};

}  // namespace sql
