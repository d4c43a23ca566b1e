#include "sql/bounds.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "sql/lexer.h"

namespace sql {
namespace {

// Words that put a node above what stands before or behind them: the productions of a_expr and
// b_expr in gram.y.
constexpr std::array<std::string_view, 14> kOperatorWords = {
    "not",     "is", "isnull",  "notnull", "like",     "ilike",    "similar",
    "between", "in", "collate", "at",      "overlaps", "operator", "unique"};
constexpr std::array<std::string_view, 4> kStatementWords = {"union", "intersect", "except",
                                                             "join"};

class Bounds {
 public:
  // Measured with libpg_query 15-4.0.0 (tests/unit/sql/hostile_test.cc does it again): an operator
  // takes up to 2 KiB of stack, a bracket up to 8 KiB; a token takes up to 2 microseconds.
  static constexpr std::uint32_t kDepthMax = 512;
  static constexpr std::uint32_t kBracketDepth = 4;
  static constexpr std::uint32_t kTokensMax = 4096;
  static constexpr std::size_t kLevelsMax = kDepthMax / kBracketDepth;

  void see(const Lexer& lexer, const Token& token);

  bool too_long() const { return tokens_ > kTokensMax; }
  bool too_deep() const { return too_deep_; }
  void finish();

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

void Bounds::see(const Lexer& lexer, const Token& token) {
  ++tokens_;
  if (too_deep_) return;
  const bool label = label_next_;
  label_next_ = false;
  switch (token.kind) {
    case TokenKind::kWord:
      // A label behind AS may open a level for nothing, which errs on the safe side; it must
      // not close one.
      if (label && lexer.is(token, "end")) return;
      return see_word(lexer, token);
    case TokenKind::kOperator:
      ++levels_.back().chain;
      return;
    case TokenKind::kSelf:
      if (lexer.is(token, '(') || lexer.is(token, '[')) return open(Kind::kBracket);
      if (lexer.is(token, ')') || lexer.is(token, ']')) return close_bracket();
      if (lexer.is(token, '.')) label_next_ = true;
      if (lexer.is(token, ',') || lexer.is(token, ';')) end_segment();
      // Inside brackets (rules, function bodies) a semicolon ends no statement of its own text:
      // counting on is safe.
      if (lexer.is(token, ';') && levels_.size() == 1) {
        levels_[0].deepest += levels_[0].statement;
        too_deep_ = too_deep_ || levels_[0].deepest > kDepthMax;
        levels_[0].deepest = 0;
        levels_[0].statement = 0;
      }
      return;
    case TokenKind::kEnd:
    case TokenKind::kQuotedName:
    case TokenKind::kString:
    case TokenKind::kNumber:
    case TokenKind::kParameter:
    case TokenKind::kInvalid:
      return;
  }
}

void Bounds::see_word(const Lexer& lexer, const Token& token) {
  if (token.size() < 2 || token.size() > 9) return;
  if (lexer.is(token, "as")) {
    label_next_ = true;
  } else if (lexer.is(token, "or")) {
    end_segment();
  } else if (lexer.is(token, "and")) {
    if (!levels_.back().between) end_segment();
  } else if (lexer.is(token, "case")) {
    open(Kind::kCase);
  } else if (lexer.is(token, "end")) {
    close_case();
  } else {
    const auto is = [&](std::string_view word) { return lexer.is(token, word); };
    if (std::any_of(kOperatorWords.begin(), kOperatorWords.end(), is)) {
      ++levels_.back().chain;
      if (is("between")) levels_.back().between = true;
    } else if (std::any_of(kStatementWords.begin(), kStatementWords.end(), is)) {
      ++levels_.back().statement;
    }
  }
}

void Bounds::open(Kind kind) {
  if (levels_.size() > kLevelsMax) {
    too_deep_ = true;
    return;
  }
  levels_.push_back({.kind = kind});
}

void Bounds::close_case() {
  if (levels_.back().kind == Kind::kCase) close_level();
}

void Bounds::close_bracket() {
  while (levels_.size() > 1 && levels_.back().kind == Kind::kCase) close_level();
  close_level();
}

void Bounds::close_level() {
  if (levels_.size() == 1) return;  // a closing bracket too many: the parser will say so
  end_segment();
  const std::uint32_t depth = levels_.back().deepest + levels_.back().statement + kBracketDepth;
  levels_.pop_back();
  levels_.back().inner = std::max(levels_.back().inner, depth);
}

void Bounds::end_segment() {
  Level& level = levels_.back();
  level.deepest = std::max(level.deepest, level.chain + level.inner);
  level.chain = 0;
  level.inner = 0;
  level.between = false;
  if (level.deepest > kDepthMax) too_deep_ = true;
}

void Bounds::finish() {
  while (levels_.size() > 1) close_level();
  end_segment();
  if (levels_[0].deepest + levels_[0].statement > kDepthMax) too_deep_ = true;
}

}  // namespace

const char* beyond_bounds(std::string_view text) {
  Lexer lexer(text);
  Bounds bounds;
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    bounds.see(lexer, token);
    if (bounds.too_long()) return "too long to be analysed";
    if (bounds.too_deep()) break;
  }
  bounds.finish();
  return bounds.too_deep() ? "nested too deeply to be analysed" : nullptr;
}

}  // namespace sql
