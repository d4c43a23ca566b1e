// Collects what is wrong with a configuration, up to a bound, for one load. Internal to config/.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/load.h"

namespace config {

// The source of overrides, in problems and as toml++'s source path.
inline constexpr std::string_view kOverrideSource = "--set";

class Problems {
 public:
  explicit Problems(std::string source_name) : source_name_(std::move(source_name)) {}

  const std::string& source_name() const { return source_name_; }
  void add(Problem problem);
  void add(int line, std::string key, std::string message) {
    add({source_name_, line, std::move(key), std::move(message)});
  }
  bool full() const { return problems_.size() >= kProblemsMax; }
  // Whether something is already known to be wrong with the key or with a part of it.
  bool touches(std::string_view key) const;
  // Sorted: the file's first, by line; those of the overrides last.
  std::vector<Problem> take();

 private:
  std::string source_name_;
  // By (is an override, line); equal ones in the order they were found.
  std::multimap<std::pair<bool, int>, Problem> problems_;
};

// "pool" and "size" make "pool.size"; segments that TOML would quote are quoted.
std::string key_below(std::string_view prefix, std::string_view segment);

bool is_bare_key(std::string_view segment);  // TOML takes it without quotes

std::string lower(std::string_view text);  // ASCII only

// The text in quotes, shortened to some 60 bytes, control characters replaced.
std::string quoted(std::string_view text);

}  // namespace config
