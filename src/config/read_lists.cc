// The parts of Reader that deal with lists: of names, of shapes, of tables.
#include <algorithm>

#include "config/concat.h"
#include "config/document.h"
#include "config/reader.h"
#include "config/url.h"

namespace config {
namespace {

constexpr std::size_t kElementsMax = 1000;
constexpr std::size_t kNameBytesMax = 63;  // PostgreSQL: NAMEDATALEN - 1

bool is_name(std::string_view text, std::size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max && std::ranges::none_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

bool fits(std::string_view text, ListKind kind) {
  switch (kind) {
    case ListKind::kNames:
    case ListKind::kUsers:
      return is_name(text, kNameBytesMax);
    case ListKind::kQualified:
      return is_name(text, 2 * kNameBytesMax + 1) &&
             text.find_first_of("()\", ") == std::string_view::npos;
    case ListKind::kUrls:
      return parse_http_url(text).has_value();
    case ListKind::kShapes:
      return text.size() == 16 &&
             text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  }
  return false;
}

std::string_view form(ListKind kind) {
  switch (kind) {
    case ListKind::kNames:
    case ListKind::kUsers:
      return "a name of 1 to 63 bytes, or a list of them";
    case ListKind::kQualified:
      return "\"name\" or \"schema.name\", as in the catalog, or a list of them";
    case ListKind::kUrls:
      return "http://HOST:PORT, or a list of them";
    case ListKind::kShapes:
      return "a shape, 16 hexadecimal digits in lower case, or a list of them";
  }
  return "";
}

}  // namespace

void Reader::list(std::string_view key, std::vector<std::string>& value, ListKind kind) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const toml::array* list = node->as_array();
  const std::size_t count = list == nullptr ? 1 : list->size();
  const int least = kind == ListKind::kUsers ? 0 : 1;
  if ((count == 0 && least == 1) || count > kElementsMax) {
    return expected(*node, below(key), concat(least, " to ", kElementsMax, " elements"));
  }
  std::vector<std::string> found;
  for (std::size_t i = 0; i < count; ++i) {
    const toml::node& element = list == nullptr ? *node : (*list)[i];
    const auto* text = element.as_string();
    if (text == nullptr || !fits(text->get(), kind)) {
      const std::string path = list == nullptr ? below(key) : concat(below(key), "[", i, "]");
      expected(element, path, form(kind));
      continue;
    }
    found.push_back(text->get());
  }
  value = std::move(found);
}

std::vector<Reader::NamedTable> Reader::read_tables(std::string_view key, std::size_t count_max) {
  const toml::node* node = take(key);
  if (node == nullptr) return {};
  const toml::array* list = node->as_array();
  if (list == nullptr || list->size() > count_max) {
    expected(*node, below(key),
             concat("at most ", count_max, " tables, each [[", below(key), "]]"));
    return {};
  }
  std::vector<NamedTable> tables;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string path = concat(below(key), "[", i, "]");
    const toml::node& element = (*list)[i];
    if (element.is_table()) {
      tables.emplace_back(path, element.as_table());
    } else {
      expected(element, path, concat("a table, [[", below(key), "]]"));
    }
  }
  return tables;
}

}  // namespace config
