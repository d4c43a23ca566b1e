#include "config/reader.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "config/concat.h"
#include "config/document.h"
#include "config/files.h"
#include "config/suggest.h"
#include "config/units.h"

namespace config {
namespace {

constexpr std::size_t kNameBytesMax = 63;  // PostgreSQL: NAMEDATALEN - 1
constexpr std::size_t kSqlBytesMax = 8u << 10;
constexpr std::size_t kPathBytesMax = 4096;
constexpr std::size_t kSecretBytesMax = 1024;
constexpr std::size_t kFunctionsMax = 10'000;

std::string found(const toml::node& node) {
  if (const auto* text = node.as_string()) return quoted(text->get());
  if (const auto* whole = node.as_integer()) return concat(whole->get());
  if (const auto* number = node.as_floating_point()) return concat(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (node.is_table()) return "a table";
  if (node.is_array()) return "a list";
  return "a date or time";
}

bool has_control_characters(std::string_view text, std::string_view allowed) {
  return std::any_of(text.begin(), text.end(), [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 || byte == 0x7f) && allowed.find(c) == std::string_view::npos;
  });
}

}  // namespace

const toml::node* Reader::take(std::string_view key) {
  asked_.emplace_back(key);
  return table_.get(key);
}

void Reader::expected(const toml::node& node, const std::string& path, std::string_view what) {
  add_at(problems_, node.source(), path, concat("expected ", what, ", found ", found(node)));
}

std::optional<std::uint64_t> Reader::read_whole(std::string_view key, WholeRange range) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::nullopt;
  const auto* whole = node->as_integer();
  if (whole != nullptr && whole->get() >= 0) {
    const auto number = static_cast<std::uint64_t>(whole->get());
    if (number >= range.min && number <= range.max) return number;
  }
  expected(*node, below(key), concat("a whole number from ", range.min, " to ", range.max));
  return std::nullopt;
}

std::optional<std::uint64_t> Reader::read_size(std::string_view key, SizeRange range) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::nullopt;
  std::optional<std::uint64_t> size;
  if (const auto* whole = node->as_integer(); whole != nullptr && whole->get() >= 0) {
    size = static_cast<std::uint64_t>(whole->get());
  } else if (const auto* text = node->as_string()) {
    size = parse_size(text->get());
  }
  if (size && *size >= range.min && *size <= range.max) return size;
  expected(*node, below(key),
           concat("a number of bytes or a size such as \"64MB\", from ", format_size(range.min),
                  " to ", format_size(range.max)));
  return std::nullopt;
}

std::optional<std::size_t> Reader::read_word(std::string_view key, WordList choices) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::nullopt;
  std::string suggestion;
  if (const auto* text = node->as_string()) {
    const auto chosen = std::find(choices.begin(), choices.end(), text->get());
    if (chosen != choices.end()) return static_cast<std::size_t>(chosen - choices.begin());
    const std::vector<std::string> candidates(choices.begin(), choices.end());
    suggestion = did_you_mean(nearest(text->get(), candidates));
  }
  std::string list;
  for (const std::string_view choice : choices) {
    append(list, list.empty() ? "one of " : ", ", quoted(choice));
  }
  add_at(problems_, node->source(), below(key),
         concat("expected ", list, ", found ", found(*node), suggestion));
  return std::nullopt;
}

void Reader::duration(std::string_view key, milliseconds& value, DurationRange range) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  std::optional<milliseconds> duration;
  if (const auto* whole = node->as_integer()) {
    duration = milliseconds(whole->get());
  } else if (const auto* text = node->as_string()) {
    duration = parse_duration(text->get());
  }
  if (duration && *duration >= range.min && *duration <= range.max) {
    value = *duration;
    return;
  }
  expected(*node, below(key),
           concat("a duration such as \"1500ms\", \"10s\" or \"5min\", from ",
                  format_duration(range.min), " to ", format_duration(range.max)));
}

void Reader::ratio(std::string_view key, double& value, RatioRange range) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const auto number = node->value<double>();
  const bool zero_allowed = range.zero == Zero::kAllowed;
  if (number && std::isfinite(*number) && *number <= range.max &&
      (*number > 0 || (zero_allowed && *number == 0))) {
    value = *number;
    return;
  }
  expected(
      *node, below(key),
      concat("a number ", zero_allowed ? "from 0" : "greater than 0 and up", " to ", range.max));
}

void Reader::flag(std::string_view key, bool& value) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  if (const auto* flag = node->as_boolean()) {
    value = flag->get();
  } else {
    expected(*node, below(key), "true or false");
  }
}

void Reader::text(std::string_view key, std::string& value, TextKind kind) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const std::size_t bytes_max = kind == TextKind::kName ? kNameBytesMax : kSqlBytesMax;
  const std::string_view allowed = kind == TextKind::kName ? "" : "\t\r\n";
  const auto* text = node->as_string();
  if (text != nullptr && text->get().size() <= bytes_max &&
      !has_control_characters(text->get(), allowed)) {
    value = text->get();
    return;
  }
  expected(*node, below(key),
           concat("text of at most ", bytes_max, " bytes without control characters"));
}

void Reader::path(std::string_view key, std::string& value) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const auto* text = node->as_string();
  if (text != nullptr && text->get().size() <= kPathBytesMax &&
      !has_control_characters(text->get(), "")) {
    value = resolve(problems_.source_name(), text->get());
    return;
  }
  expected(*node, below(key), "the name of a file");
}

void Reader::secret(std::string_view key, std::string& value) {
  const std::string file_key = concat(key, "_file");
  const toml::node* node = take(key);
  const toml::node* file = take(file_key);
  if (node != nullptr && file != nullptr) {
    add_at(problems_, file->source(), below(file_key),
           concat("expected either ", key, " or ", file_key, ", found both"));
    return;
  }
  if (file != nullptr) return read_password_file(*file, below(file_key), value);
  if (node == nullptr) return;
  const auto* text = node->as_string();
  if (text != nullptr && text->get().size() <= kSecretBytesMax &&
      text->get().find('\0') == std::string::npos) {
    value = text->get();
    return;
  }
  // What was found may be the secret: not shown.
  add_at(problems_, node->source(), below(key),
         concat("expected text in quotes of at most ", kSecretBytesMax, " bytes"));
}

void Reader::read_password_file(const toml::node& node, const std::string& path,
                                std::string& value) {
  const auto* name = node.as_string();
  if (name == nullptr || name->get().empty() || name->get().size() > kPathBytesMax ||
      has_control_characters(name->get(), "")) {
    return expected(node, path, "the name of a file");
  }
  const std::string file = resolve(problems_.source_name(), name->get());
  const absl::Status status = readable(file);
  auto text = status.ok() ? read_file(file, kSecretBytesMax + 2) : status;
  if (!text.ok()) {
    return add_at(problems_, node.source(), path,
                  concat("expected a file with a password, found ", quoted(file), ": ",
                         text.status().message()));
  }
  // One line; its end is not part of the password.
  while (text->ends_with('\n') || text->ends_with('\r')) text->pop_back();
  if (text->empty() || text->size() > kSecretBytesMax || has_control_characters(*text, "\t")) {
    return add_at(problems_, node.source(), path,
                  concat("expected a file with one line, the password, found ", quoted(file),
                         ", which is empty or holds more than that"));
  }
  value = *std::move(text);
}

void Reader::functions(std::string_view key, std::vector<std::string>& value) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const toml::array* list = node->as_array();
  if (list == nullptr || list->size() > kFunctionsMax) {
    return expected(*node, below(key),
                    concat("a list of at most ", kFunctionsMax, " function names"));
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto* text = (*list)[i].as_string();
    const std::string_view name = text == nullptr ? "" : std::string_view(text->get());
    const bool lower =
        std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (name.empty() || name.size() > 2 * kNameBytesMax + 1 || !lower ||
        has_control_characters(name, "") || name.find_first_of("(), ") != std::string_view::npos) {
      expected((*list)[i], concat(below(key), "[", i, "]"),
               "a function's name in lower case, \"name\" or \"schema.name\"");
      continue;
    }
    names.emplace_back(name);
  }
  value = std::move(names);
}

const toml::table* Reader::read_table(std::string_view key) {
  const toml::node* node = take(key);
  if (node == nullptr) return nullptr;
  if (!node->is_table()) expected(*node, below(key), concat("a table, [", below(key), "]"));
  return node->as_table();
}

std::vector<Reader::NamedTable> Reader::read_names(const toml::table& tables,
                                                   const std::string& path, std::size_t count_max) {
  if (tables.size() > count_max) {
    add_at(problems_, tables.source(), path,
           concat("expected at most ", count_max, " names, found ", tables.size()));
  }
  struct Found {
    bool overridden;
    toml::source_position at;
    NamedTable named;
  };
  std::vector<Found> all;
  for (const auto& [key, node] : tables) {
    const std::string_view name = key.str();
    const std::string key_path = key_below(path, name);
    if (name.empty() || name.size() > kNameBytesMax || has_control_characters(name, "")) {
      add_at(problems_, key.source(), key_path,
             concat("expected a name of 1 to ", kNameBytesMax,
                    " bytes without control characters, found ", quoted(name)));
    } else if (!node.is_table()) {
      expected(node, key_path, concat("a table, [", key_path, "]"));
    } else if (all.size() < count_max) {
      const auto& source = key.source();
      all.push_back({source.path && *source.path == kOverrideSource, source.begin,
                     NamedTable(name, node.as_table())});
    }
  }
  const auto rank = [](const Found& one) {
    return std::tuple(one.overridden, one.at.line, one.at.column,
                      std::string_view(one.named.first));
  };
  std::sort(all.begin(), all.end(),
            [&](const Found& a, const Found& b) { return rank(a) < rank(b); });
  std::vector<NamedTable> sorted;
  for (Found& one : all) sorted.push_back(std::move(one.named));
  return sorted;
}

void Reader::finish() {
  for (const auto& [key, node] : table_) {
    const std::string_view name = key.str();
    if (problems_.full()) return;
    if (std::find(asked_.begin(), asked_.end(), name) != asked_.end()) continue;
    std::string suggestion = nearest(name, asked_);
    if (suggestion.empty()) {
      // The right word in the wrong table?
      for (const std::string& known : known_keys()) {
        if (known.ends_with(concat(".", name))) suggestion = known;
      }
    }
    if (suggestion.empty()) suggestion = for_pgbouncer_key(name);
    add_at(problems_, node.source(), key_below(path_, name),
           concat("unknown key ", quoted(name), did_you_mean(suggestion)));
  }
}

}  // namespace config
