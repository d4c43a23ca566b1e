// PostgreSQL's tokens: where each begins and ends, and of which kind it is.
//
// Follows src/backend/parser/scan.l of PostgreSQL 15 with standard_conforming_strings on, and
// https://www.postgresql.org/docs/current/sql-syntax-lexical.html. Allocates nothing, copies
// nothing, never fails: what scan.l calls an error is a token of kind kInvalid. Copying a Lexer is
// cheap, which is how callers look ahead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sql {

enum class TokenKind : std::uint8_t {
  kEnd,
  kWord,        // identifier or keyword without quotes
  kQuotedName,  // "name", U&"name"
  kString,      // 'x' (continued ones as a whole), E'x', B'x', X'x', U&'x', $tag$x$tag$
  kNumber,
  kParameter,  // $1
  kOperator,   // anything out of +-*/<>=~!@#%^&|`? and also :: := ..
  kSelf,       // one of , ( ) [ ] . ; :
  kInvalid,    // unterminated string, name or comment; a byte that begins no token
};

// Fits in two registers: a text of PostgreSQL's is shorter than 1 GiB.
struct Token {
  TokenKind kind = TokenKind::kEnd;
  char self = '\0';  // the character of a kSelf
  std::uint32_t begin = 0;
  std::uint32_t end = 0;

  std::size_t size() const { return end - begin; }
};

class Lexer {
 public:
  // `text` must outlive the lexer; of one longer than 4 GiB the rest is ignored.
  explicit Lexer(std::string_view text) : text_(text.substr(0, UINT32_MAX)) {}

  // The next token; white space and comments are skipped. kEnd at the end, again and again.
  Token next();

  // The character that comes next but for white space: a token's first, or a comment's.
  char peek() const;

  std::string_view text(const Token& token) const {
    return text_.substr(token.begin, token.size());
  }
  // True if `token` is the word, which must be given in lower case.
  bool is(const Token& token, std::string_view word) const {
    return token.kind == TokenKind::kWord && token.size() == word.size() && spells(token, word);
  }
  bool is(const Token& token, char self) const { return token.self == self; }

  // From now on, the insides of skipped block comments are appended to `comments`.
  void collect_comments(std::vector<std::string_view>* comments) { comments_ = comments; }
  // Bytes looked at one by one, that is, everything but the insides of strings. Where a token was
  // cut because it would take too long, at least 16 MiB.
  std::size_t work() const { return work_; }

 private:
  bool spells(const Token& token, std::string_view word) const;
  // Where characters of these classes end.
  std::size_t run_end(std::size_t begin, std::uint8_t classes) const;
  bool skip_space();  // false: a comment that does not end
  bool skip_block_comment();
  Token lex(std::size_t begin);
  Token lex_letter(std::size_t begin);
  Token lex_number(std::size_t begin);
  Token lex_dollar(std::size_t begin);
  Token lex_operator(std::size_t begin);
  // `open` is the position of the opening quote.
  Token quoted(TokenKind kind, std::size_t begin, std::size_t open);
  enum class Style : std::uint8_t {
    kPlain,    // '' is a quote
    kEscapes,  // and so is \'
    kBits,     // neither: B'' and X''
  };
  Token string(std::size_t begin, std::size_t open, Style style);
  // The position of the quote that closes the string at `open`, or npos.
  std::size_t close_of(std::size_t open, Style style);
  // Behind a closing quote: the position of a quote that continues the string, or npos.
  std::size_t continuation(std::size_t after) const;

  char at(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  Token token(TokenKind kind, std::size_t begin, std::size_t end);

  std::string_view text_;
  std::vector<std::string_view>* comments_ = nullptr;
  std::size_t at_ = 0;
  std::size_t work_ = 0;
};

// 'text' with quotes doubled; E'text' when there are backslashes, so that it means the same
// whatever standard_conforming_strings says.
std::string quote_literal(std::string_view text);

std::string quote_identifier(std::string_view name);  // always in quotes

// The text of a PREPARE, EXECUTE, EXPLAIN EXECUTE, CREATE ... AS EXECUTE or DEALLOCATE with another
// statement's name, which needs no quotes; nullopt = the text is none of them, or names none.
std::optional<std::string> rename_prepared(std::string_view text, std::string_view name);

// Of EXPLAIN ROUTE <text>, which PostgreSQL does not know: the text; nullopt = it is something
// else.
std::optional<std::string_view> route_explained(std::string_view text);

}  // namespace sql
