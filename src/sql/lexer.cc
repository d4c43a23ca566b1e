#include "sql/lexer.h"

#include <algorithm>
#include <array>

namespace sql {
namespace {

constexpr std::size_t kNone = std::string_view::npos;
// White space, comments, words and numbers are cut there, so that no token takes long. Texts with
// such tokens are far beyond what is parsed; work() tells.
constexpr std::size_t kRunMax = (16u << 20) + 1;
constexpr std::size_t kEscapesMax = 4u << 20;  // in one string; likewise

enum Class : std::uint8_t {
  kSpace = 1,
  kStart = 2,
  kDigit = 4,
  kOp = 8,
  kSelfChar = 16,
  kDollar = 32
};

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> t{};
  for (const char c : std::string_view(" \t\n\r\f")) t[static_cast<unsigned char>(c)] |= kSpace;
  for (int c = 'a'; c <= 'z'; ++c) t[static_cast<std::size_t>(c)] |= kStart;
  for (int c = 'A'; c <= 'Z'; ++c) t[static_cast<std::size_t>(c)] |= kStart;
  for (std::size_t c = 0x80; c < 256; ++c) t[c] |= kStart;
  t['_'] |= kStart;
  t['$'] |= kDollar;
  for (int c = '0'; c <= '9'; ++c) t[static_cast<std::size_t>(c)] |= kDigit;
  for (const char c : std::string_view("~!@#^&|`?+-*/%<>="))
    t[static_cast<unsigned char>(c)] |= kOp;
  for (const char c : std::string_view(",()[].;:")) t[static_cast<unsigned char>(c)] |= kSelfChar;
  return t;
}
constexpr auto kClasses = make_classes();

bool has(char c, int classes) { return (kClasses[static_cast<unsigned char>(c)] & classes) != 0; }
bool is_newline(char c) { return c == '\n' || c == '\r'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

char Lexer::peek() const { return at(run_end(at_, kSpace)); }

bool Lexer::spells(const Token& token, std::string_view word) const {
  for (std::size_t i = 0; i < word.size(); ++i)
    if (lower(text_[token.begin + i]) != word[i]) return false;
  return true;
}

Token Lexer::token(TokenKind kind, std::size_t begin, std::size_t end) {
  at_ = end;
  return {.kind = kind,
          .begin = static_cast<std::uint32_t>(begin),
          .end = static_cast<std::uint32_t>(end)};
}

Token Lexer::next() {
  const std::size_t before = at_;
  if (!skip_space()) {
    work_ += text_.size() - before;
    return token(TokenKind::kInvalid, at_, text_.size());
  }
  work_ += at_ - before;
  if (at_ >= text_.size()) return token(TokenKind::kEnd, text_.size(), text_.size());
  const Token result = lex(at_);
  work_ += result.kind == TokenKind::kString ? 1 : result.size();
  return result;
}

std::size_t Lexer::run_end(std::size_t begin, std::uint8_t classes) const {
  const std::size_t limit = std::min(text_.size(), begin + kRunMax);
  std::size_t i = begin;
  while (i < limit && has(text_[i], classes)) ++i;
  return i;
}

bool Lexer::skip_space() {
  for (;;) {
    at_ = run_end(at_, kSpace);
    if (at(at_) == '-' && at(at_ + 1) == '-') {
      const std::string_view rest = text_.substr(at_, kRunMax);
      at_ += std::min(rest.find_first_of("\n\r"), rest.size());
    } else if (at(at_) == '/' && at(at_ + 1) == '*') {
      if (!skip_block_comment()) return false;
    } else {
      return true;
    }
  }
}

bool Lexer::skip_block_comment() {
  const std::size_t limit = std::min(text_.size(), at_ + kRunMax);
  std::size_t i = at_ + 2;
  for (std::size_t depth = 1; i + 1 < limit;) {
    if (text_[i] == '/' && text_[i + 1] == '*') {
      ++depth;
      i += 2;
    } else if (text_[i] == '*' && text_[i + 1] == '/') {
      i += 2;
      if (--depth > 0) continue;
      if (comments_ != nullptr) comments_->push_back(text_.substr(at_ + 2, i - at_ - 4));
      at_ = i;
      return true;
    } else {
      ++i;
    }
  }
  return false;
}

Token Lexer::lex(std::size_t begin) {
  const char c = text_[begin];
  if (has(c, kStart)) return lex_letter(begin);
  if (has(c, kDigit)) return lex_number(begin);
  if (c == '\'') return string(begin, begin, Style::kPlain);
  if (c == '"') return quoted(TokenKind::kQuotedName, begin, begin);
  if (c == '$') return lex_dollar(begin);
  if (has(c, kOp)) return lex_operator(begin);
  if (c == '.' && has(at(begin + 1), kDigit)) return lex_number(begin);
  if (c == '.' && at(begin + 1) == '.') return token(TokenKind::kOperator, begin, begin + 2);
  if (c == ':' && (at(begin + 1) == ':' || at(begin + 1) == '='))
    return token(TokenKind::kOperator, begin, begin + 2);
  if (has(c, kSelfChar)) {
    Token self = token(TokenKind::kSelf, begin, begin + 1);
    self.self = c;
    return self;
  }
  return token(TokenKind::kInvalid, begin, begin + 1);
}

Token Lexer::lex_letter(std::size_t begin) {
  const char c = lower(text_[begin]);
  const char second = at(begin + 1);
  if (second == '\'') {
    if (c == 'e') return string(begin, begin + 1, Style::kEscapes);
    if (c == 'b' || c == 'x') return string(begin, begin + 1, Style::kBits);
    // N'x' is the keyword NCHAR and an ordinary string: the general path below does just that.
  }
  if (c == 'u' && second == '&') {
    if (at(begin + 2) == '\'') return string(begin, begin + 2, Style::kPlain);
    if (at(begin + 2) == '"') return quoted(TokenKind::kQuotedName, begin, begin + 2);
  }
  return token(TokenKind::kWord, begin, run_end(begin, kStart | kDigit | kDollar));
}

Token Lexer::lex_number(std::size_t begin) {
  std::size_t i = run_end(begin, kDigit);
  if (at(i) == '.' && at(i + 1) != '.') i = run_end(i + 1, kDigit);  // 1..2 is 1 .. 2
  if (at(i) == 'e' || at(i) == 'E') {
    std::size_t exponent = i + 1;
    if (at(exponent) == '+' || at(exponent) == '-') ++exponent;
    if (has(at(exponent), kDigit)) i = run_end(exponent, kDigit);
  }
  return token(TokenKind::kNumber, begin, i);
}

Token Lexer::lex_dollar(std::size_t begin) {
  std::size_t i = begin + 1;
  if (has(at(i), kDigit)) return token(TokenKind::kParameter, begin, run_end(i, kDigit));
  if (has(at(i), kStart)) i = run_end(i, kStart | kDigit);
  if (at(i) != '$') return token(TokenKind::kInvalid, begin, begin + 1);
  const std::string_view tag = text_.substr(begin, i + 1 - begin);
  const std::size_t close = text_.find(tag, i + 1);
  if (close == kNone) return token(TokenKind::kInvalid, begin, text_.size());
  return token(TokenKind::kString, begin, close + tag.size());
}

// The rule {operator} of scan.l: an operator ends where a comment begins, and one of several
// characters may end in + or - only if it holds a character that SQL's operators do not have.
Token Lexer::lex_operator(std::size_t begin) {
  std::size_t end = begin;
  bool unusual = false;  // in what would precede a trailing + or -
  while (end < text_.size() && has(text_[end], kOp)) {
    const char c = text_[end];
    const char following = at(end + 1);
    if ((c == '/' && following == '*') || (c == '-' && following == '-')) break;
    unusual = unusual || std::string_view("~!@#^&|`?%").find(c) != kNone;
    ++end;
  }
  if (!unusual)
    while (end - begin > 1 && (text_[end - 1] == '+' || text_[end - 1] == '-')) --end;
  return token(TokenKind::kOperator, begin, end);
}

Token Lexer::quoted(TokenKind kind, std::size_t begin, std::size_t open) {
  const char quote = text_[open];
  std::size_t i = open + 1;
  for (;;) {
    i = text_.find(quote, i);
    if (i == kNone) return token(TokenKind::kInvalid, begin, text_.size());
    if (at(i + 1) != quote) return token(kind, begin, i + 1);
    i += 2;
  }
}

std::size_t Lexer::close_of(std::size_t open, Style style) {
  std::size_t i = open + 1;
  for (std::size_t escapes = 0; escapes < kEscapesMax; ++escapes) {
    i = style == Style::kEscapes ? text_.find_first_of("'\\", i) : text_.find('\'', i);
    if (i == kNone) return kNone;
    const bool doubled = style != Style::kBits && at(i + 1) == '\'';
    if (text_[i] != '\\' && !doubled) return i;
    i += 2;
    if (i >= text_.size()) return kNone;
  }
  work_ += text_.size() - open;
  return kNone;
}

Token Lexer::string(std::size_t begin, std::size_t open, Style style) {
  for (;;) {
    const std::size_t close = close_of(open, style);
    if (close == kNone) return token(TokenKind::kInvalid, begin, text_.size());
    open = continuation(close + 1);
    if (open == kNone) return token(TokenKind::kString, begin, close + 1);
  }
}

// quotecontinue of scan.l: white space with at least one newline in it, where "--" comments count
// as white space, and then a quote.
std::size_t Lexer::continuation(std::size_t after) const {
  bool newline = false;
  for (std::size_t i = after; i < text_.size();) {
    const char c = text_[i];
    if (has(c, kSpace)) {
      newline = newline || is_newline(c);
      ++i;
    } else if (c == '-' && at(i + 1) == '-') {
      while (i < text_.size() && !is_newline(text_[i])) ++i;
      if (i >= text_.size()) return kNone;
    } else {
      return c == '\'' && newline ? i : kNone;
    }
  }
  return kNone;
}

std::string quote_identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += c;
    out += c;
  }
  return out + '"';
}

std::string quote_literal(std::string_view text) {
  const bool backslash = text.find('\\') != std::string_view::npos;
  std::string result(backslash ? "E'" : "'");
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += c;
    result += c;
  }
  result += '\'';
  return result;
}

std::optional<std::string> rename_prepared(std::string_view text, std::string_view name) {
  Lexer lexer(text);
  Token verb = lexer.next();
  if (lexer.is(verb, "explain")) {
    while (verb.kind != TokenKind::kEnd && !lexer.is(verb, "execute")) verb = lexer.next();
  } else if (lexer.is(verb, "create")) {  // a table, perhaps itself called execute
    for (bool as = false; verb.kind != TokenKind::kEnd && !(as && lexer.is(verb, "execute"));) {
      as = lexer.is(verb, "as");
      verb = lexer.next();
    }
  }
  if (!lexer.is(verb, "execute") && !lexer.is(verb, "prepare") && !lexer.is(verb, "deallocate")) {
    return std::nullopt;
  }
  const auto is_name = [](const Token& token) {
    return token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedName;
  };
  Token old = lexer.next();
  if (lexer.is(verb, "deallocate") && lexer.is(old, "prepare")) {  // which may also be the name
    const Token next = lexer.next();
    if (is_name(next)) old = next;
  }
  if (!is_name(old)) return std::nullopt;
  std::string result(text.substr(0, old.begin));
  result.append(name).append(text.substr(old.end));
  return result;
}

std::optional<std::string_view> route_explained(std::string_view text) {
  Lexer lexer(text);
  if (!lexer.is(lexer.next(), "explain")) return std::nullopt;
  const Token route = lexer.next();
  if (!lexer.is(route, "route")) return std::nullopt;
  return text.substr(route.end);
}

}  // namespace sql
