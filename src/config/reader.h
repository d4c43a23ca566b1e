// The visitor (see settings.h) that fills settings from a TOML table and reports what is wrong.
// Internal to config/.
#pragma once

#include <toml++/toml.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/problems.h"
#include "config/settings.h"
#include "config/words.h"

namespace config {

// One table. Visit its settings, then call finish(), which reports the keys that nobody asked for.
// A value that is wrong leaves its setting as it was. The table and `problems` outlive the Reader.
class Reader {
 public:
  // path: the table's full key, "" for the whole file.
  Reader(const toml::table& table, std::string path, Problems& problems)
      : table_(table), path_(std::move(path)), problems_(problems) {}

  template <std::unsigned_integral Integer>
  void whole(std::string_view key, Integer& value, WholeRange range) {
    if (const auto found = read_whole(key, range)) value = static_cast<Integer>(*found);
  }
  template <std::unsigned_integral Integer>
  void size(std::string_view key, Integer& value, SizeRange range) {
    if (const auto found = read_size(key, range)) value = static_cast<Integer>(*found);
  }
  template <class Enum>
  void word(std::string_view key, Enum& value) {
    if (const auto found = read_word(key, words(Enum{}))) value = static_cast<Enum>(*found);
  }
  template <class Enum>
  void word(std::string_view key, std::optional<Enum>& value) {
    if (const auto found = read_word(key, words(Enum{}))) value = static_cast<Enum>(*found);
  }
  void duration(std::string_view key, milliseconds& value, DurationRange range);
  void ratio(std::string_view key, double& value, RatioRange range);
  void flag(std::string_view key, bool& value);
  void text(std::string_view key, std::string& value, TextKind kind);
  void path(std::string_view key, std::string& value);
  void secret(std::string_view key, std::string& value);
  void functions(std::string_view key, std::vector<std::string>& value);
  void list(std::string_view key, std::vector<std::string>& value, ListKind kind);
  void listeners(std::string_view key, std::vector<Listener>& value);
  void http(std::string_view key, Admin& value);
  void host(std::string_view key, Host& value);
  void hosts(std::string_view key, std::vector<Host>& value);

  template <class Visit>
  void section(std::string_view key, const Visit& visit) {
    if (const toml::table* inner = read_table(key)) read_inner(*inner, below(key), visit);
  }
  void pool(std::string_view key, std::optional<PoolSizes>& value, const PoolSizes& base) {
    section(key, [&](Reader& inner) {
      value = base;
      visit_pool(inner, *value);
    });
  }
  // In the file's order; those that only an override names come last.
  template <class T, class Visit>
  void named(std::string_view key, std::vector<T>& value, const T& prototype, std::size_t count_max,
             const Visit& visit) {
    const toml::table* tables = read_table(key);
    if (tables == nullptr) return;
    const std::string path = below(key);
    for (const auto& [name, table] : read_names(*tables, path, count_max)) {
      T element = prototype;
      element.name = name;
      read_inner(*table, key_below(path, name), [&](Reader& inner) { visit(inner, element); });
      value.push_back(std::move(element));
    }
  }

  template <class T, class Visit>
  void listed(std::string_view key, std::vector<T>& value, std::size_t count_max,
              const Visit& visit) {
    for (const auto& [path, table] : read_tables(key, count_max)) {
      T element;
      read_inner(*table, path, [&](Reader& inner) { visit(inner, element); });
      value.push_back(std::move(element));
    }
  }

  void finish();

 private:
  using NamedTable = std::pair<std::string, const toml::table*>;

  template <class Visit>
  void read_inner(const toml::table& table, std::string path, const Visit& visit) {
    Reader inner(table, std::move(path), problems_);
    visit(inner);
    inner.finish();
  }

  // The node, or null; from then on the key is a known one.
  const toml::node* take(std::string_view key);
  std::optional<std::uint64_t> read_whole(std::string_view key, WholeRange range);
  std::optional<std::uint64_t> read_size(std::string_view key, SizeRange range);
  std::optional<std::size_t> read_word(std::string_view key, WordList choices);
  const toml::table* read_table(std::string_view key);
  std::vector<NamedTable> read_names(const toml::table& tables, const std::string& path,
                                     std::size_t count_max);
  std::vector<NamedTable> read_tables(std::string_view key, std::size_t count_max);
  std::optional<Host> read_host(const toml::node& node, const std::string& path);
  void read_password_file(const toml::node& node, const std::string& path, std::string& value);

  std::string below(std::string_view key) const { return key_below(path_, key); }
  void expected(const toml::node& node, const std::string& path, std::string_view what);

  const toml::table& table_;
  std::string path_;
  Problems& problems_;
  std::vector<std::string> asked_;  // keys that exist
};

}  // namespace config
