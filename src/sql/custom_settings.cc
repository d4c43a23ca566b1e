#include "sql/custom_settings.h"

#include "sql/settings.h"

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
    const bool counts = in == NamedIn::kValues || (from > 0 && text[from - 1] == '\'') ||
                        is_behind_set(text.substr(0, from));
    if (counts) into.insert(name);
  }
}

}  // namespace sql
