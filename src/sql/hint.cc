#include "sql/hint.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "protocol/lsn.h"
#include "sql/lexer.h"

namespace sql {
namespace {

constexpr std::size_t kLookedAt = 1u << 20;

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\n\r\f");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n\r\f") - begin + 1);
}

Hints hint_of(std::string_view word) {
  if (word == "primary") return {.route = Hint::kPrimary};
  if (word == "replica") return {.route = Hint::kReplica};
  const auto equals = word.find('=');
  if (equals == std::string_view::npos) return {};
  const std::string_view name = trim(word.substr(0, equals)), value = trim(word.substr(equals + 1));
  if (name == "min_lsn") return {.min_lsn = protocol::parse_lsn(value).value_or(0)};
  if (name != "consistency") return {};
  if (value == "eventual") return {.level = Level::kEventual};
  if (value == "session") return {.level = Level::kSession};
  return {.level = value == "strong" ? Level::kStrong : Level::kNone};
}

Hints hints_in(std::string_view comment) {
  comment = trim(comment);
  const auto colon = comment.find(':');
  if (colon == std::string_view::npos || trim(comment.substr(0, colon)) != "weir") return {};
  Hints found;
  for (std::string_view rest = comment.substr(colon + 1); !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    found.join(hint_of(trim(rest.substr(0, comma))));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return found;
}

}  // namespace

void Hints::join(const Hints& other) {
  if (route != Hint::kPrimary && other.route != Hint::kNone) route = other.route;
  level = std::max(level, other.level);
  min_lsn = std::max(min_lsn, other.min_lsn);
}

Hints find_hints(std::string_view text) {
  text = text.substr(0, kLookedAt);
  if (text.find("weir") == std::string_view::npos) return {};  // almost always
  std::vector<std::string_view> comments;
  Lexer lexer(text);
  lexer.collect_comments(&comments);
  while (lexer.next().kind != TokenKind::kEnd) continue;
  Hints found;
  for (const auto comment : comments) found.join(hints_in(comment));
  return found;
}

}  // namespace sql
