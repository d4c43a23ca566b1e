#include "sql/custom_settings.h"

#include <algorithm>
#include <array>

#include "sql/lexer.h"
#include "sql/settings.h"
#include "sql/words.h"

namespace sql {
namespace {

constexpr std::size_t kLongest = 63 * 2 + 1;  // two identifiers

bool begins_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_of_word(char c) { return begins_word(c) || (c >= '0' && c <= '9') || c == '$'; }

// Words with single points between them.
bool is_custom_name(std::string_view name) {
  if (name.find('.') == std::string_view::npos || name.size() > kLongest) return false;
  char before = '.';
  for (const char c : name) {
    if (before == '.' ? !begins_word(c) : c != '.' && !is_of_word(c)) return false;
    before = c;
  }
  return before != '.';
}

bool is_behind_set(std::string_view text) {
  std::size_t to = text.size();
  while (to > 0 && !is_of_word(text[to - 1])) --to;
  std::size_t from = to;
  while (from > 0 && is_of_word(text[from - 1])) --from;
  const std::string word = lower(text.substr(from, to - from));
  return word == "set" || word == "local" || word == "session";
}

class UnnamedSettings {
 public:
  bool in(std::string_view body) {
    read(body, 0);
    return unnamed_ || (runs_others_ && !has_commands_);
  }

 private:
  static constexpr int kDepthMax = 3;  // of SQL in strings
  static constexpr std::array<std::string_view, 24> kCommands = {
      "alter",   "analyze", "call",    "cluster", "comment",  "copy",   "create", "delete",
      "do",      "drop",    "explain", "grant",   "insert",   "lock",   "merge",  "notify",
      "refresh", "reindex", "revoke",  "select",  "truncate", "update", "vacuum", "with"};
  // What follows SET and is no name, or one without a point.
  static constexpr std::array<std::string_view, 7> kNotCustom = {
      "characteristics", "constraints", "local", "names", "role", "time", "transaction"};

  template <typename Words>
  static bool is_one_of(const Words& words, const Lexer& lexer, const Token& token) {
    return std::ranges::any_of(words, [&](std::string_view w) { return lexer.is(token, w); });
  }
  static bool is_name(const Token& token) {
    return token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedName;
  }

  void read(std::string_view text, int depth) {
    Lexer lexer(text);
    Token before;
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      if (token.kind == TokenKind::kString && depth < kDepthMax) {
        const bool goes_on = before.kind != TokenKind::kEnd && lexer.text(before) == "||";
        const std::string_view inside = inside_quotes(lexer.text(token));
        read_start(inside, goes_on);
        read(inside, depth + 1);
      }
      if (lexer.is(token, "set_config") && !is_local_call(lexer) && !names_it(lexer)) {
        unnamed_ = true;
      }
      if (lexer.is(token, "execute") && !runs_string(lexer)) runs_others_ = true;
      before = token;
    }
  }

  // Of a string that may be a command; one that goes on with another's text is none by itself.
  void read_start(std::string_view text, bool goes_on) {
    Lexer lexer(text);
    Token token = lexer.next();
    has_commands_ = has_commands_ || is_one_of(kCommands, lexer, token);
    if (goes_on || !lexer.is(token, "set")) return;
    token = lexer.next();
    if (lexer.is(token, "session")) token = lexer.next();
    const bool ends_open = text.back() == ' ' || text.back() == '.';
    if (token.kind == TokenKind::kEnd) {  // a word alone is most likely data
      unnamed_ = unnamed_ || ends_open;
      return;
    }
    if (is_one_of(kNotCustom, lexer, token)) return;
    while (is_name(token) && lexer.peek() == '.') {
      lexer.next();
      token = lexer.next();
    }
    const bool named = is_name(token);
    token = lexer.next();
    const bool complete = lexer.is(token, "to") || lexer.text(token) == "=" ||
                          (token.kind == TokenKind::kEnd && text.back() == ' ');
    unnamed_ = unnamed_ || !named || !complete;
  }

  // Behind set_config: its first argument is a string and nothing else.
  static bool names_it(Lexer lexer) {
    if (!lexer.is(lexer.next(), '(') || lexer.next().kind != TokenKind::kString) return false;
    Token token = lexer.next();
    if (lexer.text(token) == "::") {
      lexer.next();
      token = lexer.next();
    }
    return lexer.is(token, ',');
  }

  // Behind EXECUTE: it begins with a string, which is looked at by itself.
  static bool runs_string(Lexer lexer) {
    Token token = lexer.next();
    if (lexer.is(token, "function") || lexer.is(token, "procedure")) return true;  // of a trigger
    while (lexer.is(token, '(') || (token.kind == TokenKind::kWord && lexer.peek() == '(')) {
      token = lexer.next();
    }
    return token.kind == TokenKind::kString;
  }

  bool unnamed_ = false;
  bool runs_others_ = false;   // EXECUTE of a variable
  bool has_commands_ = false;  // in strings, of which that variable is made most likely
};

}  // namespace

// From point to point: most text has few.
void add_custom_settings(std::string_view text, NamedIn in, std::size_t most,
                         std::set<std::string, std::less<>>& into) {
  const auto is_of_name = [&](std::size_t i) { return is_of_word(text[i]) || text[i] == '.'; };
  std::size_t to = 0;
  for (std::size_t point = text.find('.'); point != text.npos && into.size() < most;
       point = text.find('.', to)) {
    std::size_t from = point;
    while (from > to && is_of_name(from - 1)) --from;
    for (to = point + 1; to < text.size() && is_of_name(to);) ++to;
    while (from < to && !begins_word(text[from])) ++from;
    const std::string name = lower(text.substr(from, to - from));
    if (!is_custom_name(name)) continue;
    const bool counts = in == NamedIn::kValues ||
                        (from > 0 && (text[from - 1] == '\'' || text[from - 1] == '"')) ||
                        is_behind_set(text.substr(0, from));
    if (counts) into.insert(name);
  }
}

bool sets_unnamed(std::string_view body) { return UnnamedSettings().in(body); }

}  // namespace sql
