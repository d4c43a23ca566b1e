// Reading a statement of the console word by word.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/text.h"

namespace admin {

inline bool is_comment(std::string_view text, std::size_t at) {
  return text.substr(at, 2) == "--" || text.substr(at, 2) == "/*";
}

// Offset behind the quoted text or comment that starts at `at`, or `at` when none does there.
// SQLite's rules, which are standard SQL's: doubled quotes, comments that do not nest.
inline std::size_t skip_quoted(std::string_view text, std::size_t at) {
  const char c = text[at];
  std::size_t end = at;
  if (c == '\'' || c == '"' || c == '`') {
    end = text.find(c, at + 1);
  } else if (c == '[') {
    end = text.find(']', at + 1);
  } else if (text.substr(at, 2) == "--") {
    end = text.find('\n', at + 2);
  } else if (text.substr(at, 2) == "/*") {
    end = text.find("*/", at + 2);
    if (end != std::string_view::npos) ++end;
  } else {
    return at;
  }
  return end == std::string_view::npos ? text.size() : end + 1;
}

struct Word {
  std::string text;
  bool quoted = false;  // a name, whatever it looks like
};

// Reads words from the front of a statement.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) { skip_blank(); }

  bool done() const { return text_.empty(); }
  std::string_view rest() const { return text_; }

  // The next word or quoted name, as written; "" at the end or before anything else.
  std::string next() {
    std::string word;
    if (!done() && (text_[0] == '"' || text_[0] == '\'')) {
      word = quoted();
    } else {
      std::size_t size = 0;
      while (size < text_.size() && is_word(text_[size])) ++size;
      word = text_.substr(0, size);
      text_.remove_prefix(size);
    }
    skip_blank();
    return word;
  }
  // All up to the next blank, or a quoted name: as a host's address may be written.
  Word next_plain() {
    const bool quotes = text_.starts_with('"') || text_.starts_with('\'');
    if (quotes) return {.text = next(), .quoted = true};
    std::size_t size = 0;
    while (size < text_.size() && !is_space(text_[size]) && !is_comment(text_, size)) ++size;
    Word word{.text = std::string(text_.substr(0, size)), .quoted = false};
    text_.remove_prefix(size);
    skip_blank();
    return word;
  }
  // Takes the next word when it is `keyword` (upper case), in any case.
  bool take(std::string_view keyword) {
    Words ahead = *this;
    if (done() || !is_word(text_[0]) || !equal_any_case(ahead.next(), keyword)) {
      return false;
    }
    *this = ahead;
    return true;
  }
  bool take(char symbol) {
    if (done() || text_[0] != symbol) return false;
    text_.remove_prefix(1);
    skip_blank();
    return true;
  }
  // The parts of a name with dots, each a word, "*" or in quotes; empty when there is none.
  std::vector<std::string> next_path() {
    std::vector<std::string> path;
    do {
      if (!path.empty()) text_.remove_prefix(1);
      if (!done() && (text_[0] == '"' || text_[0] == '\'')) {
        path.push_back(quoted());
        continue;
      }
      std::size_t size = 0;
      while (size < text_.size() && text_[size] != '.' &&
             (is_word(text_[size]) || text_[size] == '*')) {
        ++size;
      }
      if (size == 0) return {};
      path.emplace_back(text_.substr(0, size));
      text_.remove_prefix(size);
    } while (!done() && text_[0] == '.');
    skip_blank();
    return path;
  }
  // Text in single quotes, if it is the next.
  std::optional<std::string> next_literal() {
    if (done() || text_[0] != '\'') return std::nullopt;
    std::string text = quoted();
    skip_blank();
    return text;
  }

 private:
  static bool is_word(char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || (c & 0x80) != 0 ||
           c == '_' || c == '.' || c == '-' || c == '$';
  }
  std::string quoted() {
    const char quote = text_[0];
    std::string word;
    std::size_t at = 1;
    for (; at < text_.size(); ++at) {
      if (text_[at] == quote) {
        if (at + 1 >= text_.size() || text_[at + 1] != quote) break;
        ++at;
      }
      word += text_[at];
    }
    text_.remove_prefix(std::min(at + 1, text_.size()));
    return word;
  }
  void skip_blank() {
    while (!text_.empty()) {
      if (is_space(text_[0])) {
        text_.remove_prefix(1);
      } else if (is_comment(text_, 0)) {
        text_.remove_prefix(skip_quoted(text_, 0));
      } else {
        return;
      }
    }
  }
  std::string_view text_;
};

}  // namespace admin
