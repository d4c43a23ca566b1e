#include "sql/custom_settings.h"

#include <algorithm>

namespace sql {
namespace {

constexpr std::size_t kLongest = 63 * 2 + 1;  // two identifiers

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool begins_word(char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_'; }

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

}  // namespace

void add_custom_settings(std::string_view text, NamedIn in, std::size_t most,
                         std::set<std::string, std::less<>>& into) {
  std::string name, last;
  for (std::size_t at = 0; at < text.size() && into.size() < most;) {
    if (!begins_word(text[at])) {
      ++at;
      continue;
    }
    const std::size_t from = at;
    while (at < text.size() && (is_of_word(text[at]) || text[at] == '.')) ++at;
    name.assign(text.substr(from, at - from));
    std::ranges::transform(name, name.begin(), lower);
    const bool quoted = from > 0 && text[from - 1] == '\'';
    const bool set = last == "set" || last == "local" || last == "session";
    if ((in == NamedIn::kValues || quoted || set) && is_custom_name(name)) into.insert(name);
    last.swap(name);
  }
}

}  // namespace sql
