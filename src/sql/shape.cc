#include "sql/shape.h"

#include <algorithm>
#include <cstring>

#include "sql/hint.h"

namespace sql {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool is_constant_word(const Lexer& lexer, const Token& token) {
  return lexer.is(token, "null") || lexer.is(token, "true") || lexer.is(token, "false") ||
         lexer.is(token, "default");
}

bool is_operator(const Lexer& lexer, const Token& token, std::string_view op) {
  return token.kind == TokenKind::kOperator && lexer.text(token) == op;
}

bool is_sign(const Lexer& lexer, const Token& token) {
  return is_operator(lexer, token, "-") || is_operator(lexer, token, "+");
}

// Behind a type's name: DOUBLE PRECISION, CHARACTER VARYING, TIMESTAMP WITH TIME ZONE.
bool continues_type(const Lexer& lexer, const Token& token) {
  for (const std::string_view word : {"precision", "varying", "with", "without", "time", "zone"})
    if (lexer.is(token, word)) return true;
  return false;
}

// What is behind these is shortened: it cannot be both that and part of a type.
bool begins_list(const Lexer& lexer, const Token& token) {
  return lexer.is(token, "in") || lexer.is(token, "array") || lexer.is(token, "values");
}

// (12), (10, 2): a type's modifiers; `lexer` stands behind the opening parenthesis.
bool skip_modifiers(Lexer& lexer) {
  for (;;) {
    if (lexer.next().kind != TokenKind::kNumber) return false;
    const Token token = lexer.next();
    if (lexer.is(token, ')')) return true;
    if (!lexer.is(token, ',')) return false;
  }
}

// ::name, ::schema.name(12)[] ... any number of them. Nothing that could be a function call.
void skip_casts(Lexer& lexer) {
  while (lexer.peek() == ':' || lexer.peek() == '/' || lexer.peek() == '-') {  // or a comment
    Lexer ahead = lexer;
    if (!is_operator(ahead, ahead.next(), "::")) return;
    Token name;
    do {
      name = ahead.next();
      if (name.kind != TokenKind::kWord && name.kind != TokenKind::kQuotedName) return;
      if (begins_list(ahead, name)) return;
      lexer = ahead;
      name = ahead.next();
    } while (lexer.is(name, '.'));
    for (;;) {
      if (continues_type(lexer, name)) {
        lexer = ahead;
      } else if (lexer.is(name, '(')) {
        if (!skip_modifiers(ahead)) return;
        lexer = ahead;
      } else if (lexer.is(name, '[')) {
        Token bound = ahead.next();
        if (bound.kind == TokenKind::kNumber) bound = ahead.next();
        if (!lexer.is(bound, ']')) return;
        lexer = ahead;
      } else {
        break;
      }
      name = ahead.next();
    }
  }
}

bool skip_constant(Lexer& lexer) {
  Token token = lexer.next();
  if (is_sign(lexer, token)) {
    token = lexer.next();
    if (token.kind != TokenKind::kNumber) return false;
  }
  if (token.kind != TokenKind::kString && token.kind != TokenKind::kNumber &&
      token.kind != TokenKind::kParameter && !is_constant_word(lexer, token))
    return false;
  skip_casts(lexer);
  return true;
}

}  // namespace

const Shape& Shaper::shape(std::string_view text, ShapeOptions options) {
  text_ = text;
  lexer_ = Lexer(text);
  options_ = options;
  // Room for a space behind each character, which is more than nearly all texts take.
  out_.text.resize(std::min(2 * text.size(), Shape::kKeyMax));
  written_ = 0;
  out_.reduced.clear();
  out_.hash = 0;
  out_.valid = true;
  out_.complete = true;
  words_ = {};
  last_ = {};
  rows_ = {};
  depth_ = 0;
  effort_ = 0;
  copied_ = 0;
  folded_ = false;

  for (Token token = lexer_.next(); token.kind != TokenKind::kEnd; token = lexer_.next()) {
    step(token);
    effort_ += 3;
    if (out_of_time(lexer_)) {
      out_.complete = false;
      break;
    }
  }
  if (copied_ > 0) out_.reduced += text_.substr(copied_);
  out_.hints = find_hints(text_);
  out_.mentions_state = words_.found();
  hash_in(written());
  out_.text.resize(folded_ ? 0 : written_);
  if (out_.hash == 0) out_.hash = 1;
  return out_;
}

void Shaper::step(const Token& token) {
  if (token.kind == TokenKind::kInvalid) out_.valid = false;
  if (options_.state_words) words_.see(lexer_, token);
  if (rows_.active || lexer_.is(token, "values")) values_state(token);
  const Token before = last_;
  if (!folds_sign(token)) write_token(token);
  if (token.kind == TokenKind::kSelf) bracket(token, before);
  if (written_ > Shape::kKeyMax && !rows_.active) fold();
}

void Shaper::fold() {
  hash_in(written());
  written_ = 0;
  folded_ = true;
}

// Before `token` is written: may it begin or end rows of VALUES?
void Shaper::values_state(const Token& token) {
  const bool opens = lexer_.is(token, '(');
  if (rows_.active && !rows_.row_open && depth_ == rows_.depth) {
    // VALUES ( and ) , ( go on; anything else ends the rows.
    const bool starts = last_.kind == TokenKind::kWord || lexer_.is(last_, ',');
    if (opens && starts) {
      rows_.row_open = true;
      rows_.begin = written_;
      rows_.reduced = out_.reduced.size();
      rows_.copied = copied_;
      return;
    }
    if (lexer_.is(token, ',') && lexer_.is(last_, ')')) return;
    rows_.active = false;
  }
  if (!rows_.active && lexer_.is(token, "values")) {
    rows_ = {};
    rows_.active = true;
    rows_.depth = depth_;
  }
}

// Behind the writing of a bracket (or another kSelf).
void Shaper::bracket(const Token& token, const Token& before) {
  if (lexer_.is(token, ')') || lexer_.is(token, ']')) {
    if (depth_ > 0) --depth_;
    if (rows_.active && rows_.row_open && depth_ == rows_.depth) row_closed(token);
    return;
  }
  if (!lexer_.is(token, '(') && !lexer_.is(token, '[')) return;
  const bool row = rows_.active && rows_.row_open && depth_ == rows_.depth;
  ++depth_;
  const bool list = lexer_.is(token, '(') ? lexer_.is(before, "in") : lexer_.is(before, "array");
  if (!row && !list) return;
  Lexer ahead = lexer_;
  std::size_t first_end = 0;
  if (!constants_follow(ahead, first_end)) return;
  write('$');
  lexer_ = ahead;
  drop(first_end, ahead.next().begin);
}

// Whether only constants, with commas between, follow up to a closing bracket. Then `ahead`
// stands before that bracket, and `first_end` is where the first constant ends.
bool Shaper::constants_follow(Lexer& ahead, std::size_t& first_end) {
  for (bool first = true;; first = false) {
    Lexer item = ahead;
    if (!skip_constant(item)) return false;
    ahead = item;
    const Token separator = item.next();
    // White space behind the element belongs to it; that is as good.
    if (first) first_end = separator.begin;
    if (lexer_.is(separator, ')') || lexer_.is(separator, ']')) return true;
    if (!lexer_.is(separator, ',')) return false;
    ahead = item;
    ++effort_;
    if (out_of_time(ahead)) return false;
  }
}

void Shaper::row_closed(const Token& token) {
  rows_.row_open = false;
  const bool again = rows_.last_end != kNowhere &&
                     written().substr(rows_.begin) ==
                         written().substr(rows_.last_begin, rows_.last_end - rows_.last_begin);
  if (again) {
    written_ = rows_.last_end;
    out_.reduced.resize(rows_.reduced);
    copied_ = rows_.copied;
    drop(rows_.last_text_end, token.end);
  } else {
    rows_.last_begin = rows_.begin;
    rows_.last_end = written_;
  }
  rows_.last_text_end = token.end;
}

void Shaper::drop(std::size_t from, std::size_t to) {
  if (to <= from) return;
  out_.reduced += text_.substr(copied_, from - copied_);
  copied_ = to;
}

bool Shaper::folds_sign(const Token& token) const {
  if (!is_sign(lexer_, token)) return false;
  const bool prefix = last_.kind == TokenKind::kOperator || lexer_.is(last_, '(') ||
                      lexer_.is(last_, ',') || lexer_.is(last_, '[');
  if (!prefix) return false;
  Lexer ahead = lexer_;
  return ahead.next().kind == TokenKind::kNumber;
}

char* Shaper::room(std::size_t bytes) {
  if (out_.text.size() - written_ < bytes + 1) out_.text.resize(2 * out_.text.size() + bytes + 1);
  char* const begin = out_.text.data() + written_;
  begin[bytes] = ' ';
  written_ += bytes + 1;
  return begin;
}

void Shaper::write(char c) { *room(1) = c; }

void Shaper::write_token(const Token& token) {
  last_ = token;
  switch (token.kind) {
    case TokenKind::kWord: {
      const std::string_view word = lexer_.text(token);
      std::ranges::transform(word, room(word.size()), lower);
      return;
    }
    case TokenKind::kSelf:
      return write(token.self);
    case TokenKind::kString:
    case TokenKind::kNumber:
    case TokenKind::kParameter:
      return write('$');  // which alone is no token of PostgreSQL's
    case TokenKind::kQuotedName:
    case TokenKind::kOperator: {
      const std::string_view text = lexer_.text(token);
      std::ranges::copy(text, room(text.size()));
      return;
    }
    case TokenKind::kInvalid:
      return write('\\');  // its text may be a literal that lacks its end
    case TokenKind::kEnd:
      return;
  }
}

// Multiply and fold, eight bytes at a time, after wyhash (public domain).
void Shaper::hash_in(std::string_view bytes) {
  __extension__ using Wide = unsigned __int128;
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15u;
  std::uint64_t h = out_.hash + bytes.size() + 1;
  const auto mix = [&](std::uint64_t word) {
    const auto wide = static_cast<Wide>(h ^ word ^ 0xA0761D6478BD642Fu) * kFactor;
    h = static_cast<std::uint64_t>(wide) ^ static_cast<std::uint64_t>(wide >> 64) ^ (h << 1);
  };
  while (bytes.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    mix(word);
    bytes.remove_prefix(8);
  }
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data(), bytes.size());
  mix(word);
  mix(0);
  out_.hash = h;
}

}  // namespace sql
