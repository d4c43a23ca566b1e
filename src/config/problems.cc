#include "config/problems.h"

#include <algorithm>
#include <utility>

namespace config {
namespace {

bool is_bare_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

}  // namespace

void Problems::add(Problem problem) {
  if (full()) return;
  const std::pair rank(problem.file == kOverrideSource, problem.line);
  problems_.emplace(rank, std::move(problem));
}

bool Problems::touches(std::string_view key) const {
  return std::any_of(problems_.begin(), problems_.end(), [&](const auto& entry) {
    const std::string_view other = entry.second.key;
    return other.starts_with(key) &&
           (other.size() == key.size() || other[key.size()] == '.' || other[key.size()] == '[');
  });
}

std::vector<Problem> Problems::take() {
  std::vector<Problem> sorted;
  for (auto& [rank, problem] : problems_) sorted.push_back(std::move(problem));
  problems_.clear();
  return sorted;
}

std::string key_below(std::string_view prefix, std::string_view segment) {
  std::string key(prefix);
  if (!key.empty()) key += '.';
  return key + (is_bare_key(segment) ? std::string(segment) : quoted(segment));
}

bool is_bare_key(std::string_view segment) {
  return !segment.empty() && std::all_of(segment.begin(), segment.end(), is_bare_char);
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 60;
  std::string shown = "\"";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  if (text.size() > kShown) {
    // No half of a UTF-8 character at the cut.
    while (shown.size() > 1 &&
           (static_cast<unsigned char>(text[shown.size() - 1]) & 0xc0) == 0x80) {
      shown.pop_back();
    }
    shown += "...";
  }
  return shown + "\"";
}

std::string to_string(const Problem& problem) {
  std::string text = problem.file;
  if (problem.line > 0) text += ":" + std::to_string(problem.line);
  if (!text.empty()) text += ": ";
  if (!problem.key.empty()) text += problem.key + ": ";
  return text + problem.message;
}

std::string to_string(std::span<const Problem> problems) {
  std::string text;
  for (const Problem& problem : problems) text += to_string(problem) + "\n";
  return text;
}

}  // namespace config
