#include "config/document.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>
#include <variant>

namespace config {
namespace {

constexpr std::size_t kOverrideBytesMax = 64u << 10;
// toml++ destroys nested tables by recursion and searches dotted keys one by one; it bounds
// neither. (Nested values it bounds itself.) Deepest key of ours: three dots.
constexpr int kDotsMax = 8;
constexpr int kDottedValuesMax = 10'000;

// Walks over the text's strings and comments as TOML has them, counting what must be bounded.
class Bounds {
 public:
  explicit Bounds(std::string_view text) : text_(text) {}

  // The line of the first excess; 0 = none.
  int first_excess() {
    for (at_ = 0; at_ < text_.size(); ++at_) {
      switch (text_[at_]) {
        case '#':
          skip_until("\n");
          break;
        case '"':
        case '\'':
          skip_string();
          break;
        case '.':
          ++dots_;
          break;
        case '=':
          dotted_values_ += dots_ > 0 ? 1 : 0;
          dots_ = 0;
          break;
        case ',':
        case '{':
          dots_ = 0;
          break;
        default:
          break;
      }
      if (dots_ > kDotsMax || dotted_values_ > kDottedValuesMax) return line();
      if (at_ < text_.size() && text_[at_] == '\n') dots_ = 0;
    }
    return 0;
  }

 private:
  int line() const {
    const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, text_.size()));
    return 1 + static_cast<int>(std::count(text_.begin(), end, '\n'));
  }
  void skip_until(std::string_view what) { at_ = std::min(text_.find(what, at_), text_.size()); }
  // Leaves at_ on the string's last byte (or at the end of the text, or of a broken line).
  void skip_string() {
    const char quote = text_[at_];
    const std::string triple(3, quote);
    const bool multiline = text_.substr(at_).starts_with(triple);
    at_ += multiline ? 3 : 1;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\' && quote == '"') {
        ++at_;
      } else if (multiline && text_.substr(at_).starts_with(triple)) {
        at_ += 2;
        while (at_ + 1 < text_.size() && text_[at_ + 1] == quote) ++at_;
        return;
      } else if (!multiline && (text_[at_] == quote || text_[at_] == '\n')) {
        return;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int dots_ = 0;
  int dotted_values_ = 0;
};

struct Failure {
  int line = 0;
  std::string message;
};
using Parsed = std::variant<toml::table, Failure>;

Parsed parse(std::string_view text, std::string_view source) {
  if (const int line = Bounds(text).first_excess(); line > 0) {
    return Failure{line, "expected at most " + std::to_string(kDotsMax) + " dots in a key and " +
                             std::to_string(kDottedValuesMax) + " dotted keys in a file"};
  }
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    return Failure{static_cast<int>(error.source().begin.line), std::string(error.description())};
  } catch (const std::exception& error) {
    return Failure{0, error.what()};
  }
}

void merge(toml::table& into, toml::table&& from) {
  for (auto&& [key, node] : from) {
    toml::node* existing = into.get(key.str());
    if (existing != nullptr && existing->is_table() && node.is_table()) {
      merge(*existing->as_table(), std::move(*node.as_table()));
      continue;
    }
    node.visit([&, &name = key](auto& value) { into.insert_or_assign(name, std::move(value)); });
  }
}

// The length of the key before "=", with "=" in quotes not counted; npos when there is none.
std::size_t key_length(std::string_view text) {
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == 0 && c == '=') return i;
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
  }
  return std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// databases.*.cluster, as a shell user writes it: what TOML wants in quotes gets them.
std::string toml_key(std::string_view key) {
  if (key.find_first_of("\"'") != std::string_view::npos) return std::string(key);
  std::string out;
  while (true) {
    const std::size_t dot = key.find('.');
    out += toml_string(trimmed(key.substr(0, dot)));
    if (dot == std::string_view::npos) return out;
    out += '.';
    key.remove_prefix(dot + 1);
  }
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
}

}  // namespace

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::optional<toml::table> parse_document(std::string_view text, Problems& problems) {
  if (text.size() > kFileBytesMax) {
    problems.add(0, "",
                 "expected at most " + std::to_string(kFileBytesMax) + " bytes, found " +
                     std::to_string(text.size()));
    return std::nullopt;
  }
  Parsed parsed = parse(text, problems.source_name());
  if (auto* root = std::get_if<toml::table>(&parsed)) return std::move(*root);
  auto& failure = std::get<Failure>(parsed);
  problems.add(failure.line, "", std::move(failure.message));
  return std::nullopt;
}

void apply_override(toml::table& root, std::string_view text, Problems& problems) {
  const auto refuse = [&](std::string message) {
    problems.add({std::string(kOverrideSource), 0, "", std::move(message)});
  };
  const std::size_t length = key_length(text);
  if (length == std::string_view::npos || trimmed(text.substr(0, length)).empty() ||
      text.size() > kOverrideBytesMax || has_control_characters(text)) {
    return refuse("expected section.key=value, found " + quoted(text));
  }
  const std::string key = toml_key(trimmed(text.substr(0, length)));
  const std::string_view value = trimmed(text.substr(length + 1));

  Parsed parsed = parse(key + " = " + std::string(value), kOverrideSource);
  const bool means_toml = !value.empty() && (value.front() == '"' || value.front() == '\'' ||
                                             value.back() == ']' || value.back() == '}');
  if (std::holds_alternative<Failure>(parsed) && !means_toml) {
    parsed = parse(key + " = " + toml_string(value), kOverrideSource);
  }
  if (const auto* failure = std::get_if<Failure>(&parsed)) {
    return refuse(quoted(text.substr(0, length)) + ": " + failure->message);
  }
  merge(root, std::move(std::get<toml::table>(parsed)));
}

void add_at(Problems& problems, const toml::source_region& source, std::string key,
            std::string message) {
  if (source.path && *source.path == kOverrideSource) {
    problems.add({std::string(kOverrideSource), 0, std::move(key), std::move(message)});
  } else {
    problems.add(static_cast<int>(source.begin.line), std::move(key), std::move(message));
  }
}

}  // namespace config
