// What the tests of config/ share: loading a text, and the text of what is wrong with it.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"

namespace config_testing {

// Enough for a valid file; tests put their lines in front of it or after it.
inline constexpr std::string_view kMinimal =
    "[clusters.main]\nhosts = [\"10.0.0.1\"]\n[users.app]\npassword = \"secret\"\n";

inline config::LoadResult load(std::string_view text, std::vector<std::string> overrides = {}) {
  return config::load_text(text, "weir.toml", overrides);
}

// The problems, one a line.
inline std::string problems(std::string_view text, std::vector<std::string> overrides = {}) {
  const config::LoadResult result = load(text, std::move(overrides));
  CHECK((result.config == nullptr) == !result.problems.empty());
  return config::to_string(result.problems);
}

// A text that must load.
inline config::Config loaded(std::string_view text, std::vector<std::string> overrides = {}) {
  const config::LoadResult result = load(text, std::move(overrides));
  REQUIRE_MESSAGE(result.config != nullptr, config::to_string(result.problems));
  return *result.config;
}

// A directory that goes away with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-config-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  std::string write(const std::string& name, std::string_view text) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file) << text;
    return file;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace config_testing
