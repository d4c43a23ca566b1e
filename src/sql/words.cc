#include "sql/words.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace sql {
namespace {

// Not at the start of a statement: UPDATE t SET ... is no SET.
constexpr std::array<std::string_view, 24> kFirstWords = {
    "abort",   "begin",   "call",  "close",    "commit",    "copy",   "deallocate", "declare",
    "discard", "do",      "end",   "execute",  "explain",   "listen", "load",       "lock",
    "prepare", "release", "reset", "rollback", "savepoint", "set",    "start",      "unlisten"};
constexpr std::array<std::string_view, 8> kAnyWords = {
    "temp", "temporary", "set_config", "nextval", "setval", "setseed", "pg_temp", "currval"};
constexpr std::array<std::string_view, 4> kPrefixes = {
    "pg_temp_", "pg_advisory_lock", "pg_try_advisory_lock", "pg_replication_origin_session"};
constexpr std::size_t kLongest = 64;  // identifiers end there: NAMEDATALEN

bool mentions(std::string_view word) {
  return std::find(kAnyWords.begin(), kAnyWords.end(), word) != kAnyWords.end() ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return word.starts_with(prefix); });
}

// Reads the source of a function.
class BodyState {
 public:
  bool leaves(std::string_view text, int depth) {
    Lexer lexer(text);
    bool start = true, raises = false;  // of a statement; it is RAISE
    std::string last;                   // the word before
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      const bool first = std::exchange(start, lexer.is(token, ';'));
      if (first) raises = false;
      if (token.kind == TokenKind::kString) {
        const bool read = !raises && depth < kDepthMax;
        if (read && leaves(inside_quotes(lexer.text(token)), depth + 1)) return true;
      }
      std::string word = word_of(lexer, token);
      if (word.starts_with("U&")) return true;  // may spell any name
      if (first && is_one_of(kLeavingFirst, word) && leaves_at_start(lexer, word, depth)) {
        return true;
      }
      if (leaves_anywhere(lexer, word, last)) return true;
      raises = raises || (first && word == "raise");
      start = start || (token.kind == TokenKind::kWord && is_one_of(kBeforeStatements, word));
      last = std::move(word);
    }
    return false;
  }

 private:
  static constexpr int kDepthMax = 3;  // of SQL in strings
  static constexpr std::array<std::string_view, 8> kLeavingFirst = {
      "set", "reset", "listen", "unlisten", "load", "prepare", "deallocate", "discard"};
  static constexpr std::array<std::string_view, 5> kBeforeStatements = {"begin", "declare", "else",
                                                                        "loop", "then"};
  static constexpr std::array<std::string_view, 5> kBeforeTemp = {"create", "global", "into",
                                                                  "local", "replace"};

  template <typename Words>
  static bool is_one_of(const Words& words, std::string_view word) {
    return std::ranges::find(words, word) != words.end();
  }

  static std::string word_of(const Lexer& lexer, const Token& token) {
    std::string word(lexer.text(token));
    if (token.kind == TokenKind::kQuotedName) {
      return word[0] == '"' ? word.substr(1, word.size() - 2) : "U&";
    }
    if (token.kind != TokenKind::kWord) return {};
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return word;
  }

  // `lexer` stands behind the word. In a string one that stands alone is most likely data.
  static bool leaves_at_start(Lexer lexer, std::string_view word, int depth) {
    const Token next = lexer.next();
    if (next.kind == TokenKind::kEnd) return depth == 0;
    return word != "set" || !lexer.is(next, "local");
  }

  static bool leaves_anywhere(const Lexer& lexer, std::string_view word, std::string_view last) {
    if (word == "temp" || word == "temporary") return is_one_of(kBeforeTemp, last);
    if (word == "hold") return last == "with";
    if (word == "set_config") return !is_local_call(lexer);
    if (word == "execute") return !is_readable(lexer);
    // Its rule for UPDATE sets what it shows.
    return word == "pg_settings" || word == "pg_temp" || word.starts_with("pg_temp_");
  }

  // Whether what EXECUTE executes begins with a string that says which command it is, and that one
  // leaves nothing.
  static bool is_readable(Lexer lexer) {
    Token token = lexer.next();
    while (lexer.is(token, '(') || (token.kind == TokenKind::kWord && lexer.peek() == '(')) {
      token = lexer.next();
    }
    if (token.kind != TokenKind::kString) return false;
    const std::string_view sql = inside_quotes(lexer.text(token));
    Lexer inner(sql);
    const std::string word = word_of(inner, inner.next());
    if (!is_one_of(kLeavingFirst, word)) return !word.empty();
    return word == "set" && inner.is(inner.next(), "local");
  }
};

}  // namespace

std::string_view inside_quotes(std::string_view quoted) {
  if (quoted.starts_with('$')) {
    const auto tag = quoted.find('$', 1) + 1;
    return quoted.size() >= 2 * tag ? quoted.substr(tag, quoted.size() - 2 * tag) : quoted;
  }
  const auto open = quoted.find_first_of("'\"");
  if (open == std::string_view::npos || quoted.size() < open + 2) return quoted;
  return quoted.substr(open + 1, quoted.size() - open - 2);
}

void StateWords::see(const Lexer& lexer, const Token& token) {
  const bool first = statement_start_;
  statement_start_ = lexer.is(token, ';');
  if (found_) return;
  if (token.kind != TokenKind::kWord && token.kind != TokenKind::kQuotedName) return;
  if (token.size() > kLongest) return;
  const std::string_view raw = lexer.text(token);
  if (token.kind == TokenKind::kQuotedName) {
    // U&"..." may spell any name.
    found_ = raw[0] != '"' || mentions(raw.substr(1, raw.size() - 2));
    return;
  }
  if (first) {
    found_ = std::any_of(kFirstWords.begin(), kFirstWords.end(),
                         [&](std::string_view word) { return lexer.is(token, word); });
    if (found_) return;
  }
  // All of kAnyWords and kPrefixes begin with one of these.
  if (std::string_view("tTsSnNpPcC").find(raw[0]) == std::string_view::npos) return;
  std::array<char, kLongest> lower{};
  std::transform(raw.begin(), raw.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  found_ = mentions({lower.data(), raw.size()});
}

bool mentions_state(std::string_view text) {
  Lexer lexer(text);
  StateWords words;
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd && !words.found();
       token = lexer.next())
    words.see(lexer, token);
  return words.found();
}

bool may_leave(std::string_view body) { return BodyState().leaves(body, 0); }

bool is_local_call(Lexer lexer) {
  int depth = 0;
  bool comma = false, is_true = false;  // before the last token; it is true, behind a comma
  for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
    depth += lexer.is(token, '(') - lexer.is(token, ')');
    if (depth == 0) return is_true;
    is_true = comma && lexer.is(token, "true");
    comma = depth == 1 && lexer.is(token, ',');
  }
  return false;
}

}  // namespace sql
