#include "sql/words.h"

#include <algorithm>
#include <array>
#include <string>

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

}  // namespace

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

}  // namespace sql
