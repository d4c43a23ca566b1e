#include "sql/hint.h"

#include <cstddef>
#include <vector>

#include "sql/lexer.h"

namespace sql {
namespace {

constexpr std::size_t kLookedAt = 1u << 20;

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\n\r\f");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n\r\f") - begin + 1);
}

Hint hint_in(std::string_view comment) {
  comment = trim(comment);
  const auto colon = comment.find(':');
  if (colon == std::string_view::npos || trim(comment.substr(0, colon)) != "weir")
    return Hint::kNone;
  const std::string_view word = trim(comment.substr(colon + 1));
  if (word == "primary") return Hint::kPrimary;
  return word == "replica" ? Hint::kReplica : Hint::kNone;
}

}  // namespace

Hint find_hint(std::string_view text) {
  text = text.substr(0, kLookedAt);
  if (text.find("weir") == std::string_view::npos) return Hint::kNone;  // almost always
  std::vector<std::string_view> comments;
  Lexer lexer(text);
  lexer.collect_comments(&comments);
  while (lexer.next().kind != TokenKind::kEnd) continue;
  Hint found = Hint::kNone;
  for (const auto comment : comments) {
    const Hint hint = hint_in(comment);
    if (found != Hint::kPrimary && hint != Hint::kNone) found = hint;
  }
  return found;
}

}  // namespace sql
