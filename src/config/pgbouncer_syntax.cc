#include "config/pgbouncer_syntax.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"
#include "config/concat.h"

namespace config {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_key_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-' || c == '*';
}

// Where a sequence of bytes that is no UTF-8 begins; TOML, in which all of it ends up, is UTF-8.
std::optional<std::size_t> first_bad_byte(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = base::utf8_length(text.substr(i));
    if (length == 0 || text[i] == '\0') return i;
    i += length;
  }
  return std::nullopt;
}

class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  bool done() const { return at_ == text_.size(); }
  char now() const { return done() ? '\0' : text_[at_]; }
  char next() const { return at_ + 1 < text_.size() ? text_[at_ + 1] : '\0'; }
  void step(std::size_t count = 1) { at_ = std::min(at_ + count, text_.size()); }
  bool starts_with(std::string_view word) const { return text_.substr(at_).starts_with(word); }
  template <class Holds>
  std::string_view take_while(Holds holds) {
    const std::size_t from = at_;
    while (!done() && holds(text_[at_])) ++at_;
    return text_.substr(from, at_ - from);
  }
  std::string_view rest_of_line() {
    return take_while([](char c) { return c != '\n'; });
  }
  int line() const {
    return 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + at_difference(), '\n'));
  }
  absl::Status error(std::string_view what) const {
    return absl::InvalidArgumentError(concat(line(), ": ", what));
  }

  // Behind an opening quote: the text up to the closing one, doubled ones made single.
  std::optional<std::string> quoted(char quote) {
    std::string value;
    for (; !done(); step()) {
      if (now() != quote) {
        value += now();
      } else if (next() == quote) {
        value += quote;
        step();
      } else {
        step();
        return value;
      }
    }
    return std::nullopt;
  }

 private:
  std::ptrdiff_t at_difference() const { return static_cast<std::ptrdiff_t>(at_); }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string without_space_behind(std::string_view text) {
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

absl::Status check_bytes(std::string_view text) {
  const auto bad = first_bad_byte(text);
  if (!bad) return absl::OkStatus();
  Cursor cursor(text);
  cursor.step(*bad);
  return cursor.error("expected text in UTF-8, found something else");
}

absl::StatusOr<IniItem> key_and_value(Cursor& cursor) {
  IniItem item{.kind = IniItem::Kind::kValue, .line = cursor.line()};
  if (cursor.now() == '"') {
    cursor.step();
    auto name = cursor.quoted('"');
    if (!name || name->find('\n') != std::string::npos) {
      return absl::InvalidArgumentError(concat(item.line, ": expected a closing quote"));
    }
    item.name = *std::move(name);
  } else {
    item.name = std::string(cursor.take_while(is_key_char));
  }
  cursor.take_while(is_blank);
  if (cursor.now() != '=') return cursor.error("expected key = value, or a [section]");
  cursor.step();
  if (item.name.empty()) return cursor.error("expected a key in front of \"=\"");
  cursor.take_while(is_blank);
  item.value = without_space_behind(cursor.rest_of_line());
  return item;
}

}  // namespace

absl::StatusOr<std::vector<IniItem>> parse_ini(std::string_view text) {
  if (auto status = check_bytes(text); !status.ok()) return status;
  std::vector<IniItem> items;
  Cursor cursor(text);
  for (;;) {
    cursor.take_while(is_space);
    if (cursor.done()) return items;
    if (cursor.now() == '#' || cursor.now() == ';') {
      cursor.rest_of_line();
      continue;
    }
    constexpr std::string_view kInclude = "%include";
    if (cursor.starts_with("%include ") || cursor.starts_with("%include\t")) {
      const int line = cursor.line();
      cursor.step(kInclude.size());
      cursor.take_while(is_blank);
      items.push_back({.kind = IniItem::Kind::kInclude,
                       .value = without_space_behind(cursor.rest_of_line()),
                       .line = line});
      continue;
    }
    if (cursor.now() == '[') {
      const int line = cursor.line();
      cursor.step();
      const auto name = cursor.take_while([](char c) { return c != ']' && c != '\n'; });
      if (cursor.now() != ']') return cursor.error("expected \"]\" behind the section's name");
      cursor.step();
      items.push_back({.kind = IniItem::Kind::kSection, .name = std::string(name), .line = line});
      continue;
    }
    auto item = key_and_value(cursor);
    if (!item.ok()) return item.status();
    items.push_back(*std::move(item));
  }
}

absl::StatusOr<std::vector<Pair>> parse_pairs(std::string_view text) {
  const auto is_separator = [](char c) { return c == ' '; };
  std::vector<Pair> pairs;
  Cursor cursor(text);
  for (;;) {
    cursor.take_while(is_separator);
    if (cursor.done()) return pairs;
    Pair pair;
    pair.key = std::string(cursor.take_while([](char c) { return c != '=' && c != ' '; }));
    cursor.take_while(is_separator);
    if (cursor.now() != '=' || pair.key.empty()) {
      return absl::InvalidArgumentError("expected key=value pairs, with blanks between them");
    }
    cursor.step();
    cursor.take_while(is_separator);
    if (cursor.now() == '\'') {
      cursor.step();
      auto value = cursor.quoted('\'');
      if (!value) {
        return absl::InvalidArgumentError(concat("expected a closing quote behind ", pair.key));
      }
      pair.value = *std::move(value);
      cursor.step();  // PgBouncer cuts what it finds there off
    } else {
      pair.value = std::string(cursor.take_while([](char c) { return c != ' '; }));
    }
    if (pair.value.empty()) {
      return absl::InvalidArgumentError(concat("expected a value for ", pair.key));
    }
    pairs.push_back(std::move(pair));
  }
}

absl::StatusOr<std::vector<Login>> parse_userlist(std::string_view text) {
  if (auto status = check_bytes(text); !status.ok()) return status;
  std::vector<Login> logins;
  Cursor cursor(text);
  for (;;) {
    cursor.take_while(is_space);
    if (cursor.done()) return logins;
    if (cursor.now() == ';') {
      cursor.rest_of_line();
      continue;
    }
    const int line = cursor.line();
    const auto broken = [&] {
      return absl::InvalidArgumentError(concat(line, ": expected \"user\" \"password\""));
    };
    if (cursor.now() != '"') return broken();
    cursor.step();
    auto user = cursor.quoted('"');
    if (!user) return broken();
    cursor.take_while([](char c) { return c != '"'; });
    if (cursor.done()) return broken();
    cursor.step();
    auto secret = cursor.quoted('"');
    if (!secret) return broken();
    logins.push_back({*std::move(user), *std::move(secret)});
    cursor.rest_of_line();
  }
}

}  // namespace config
