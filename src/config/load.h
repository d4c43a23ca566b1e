// TOML in, one validated Config out, or everything that is wrong with it, at once.
//
// What the loader adds to what the file says:
// - a cluster's tls and routing start from [tls.server] and [routing], a database's and a user's
//   pool from [pool];
// - without [databases] there is one, "*", in the only cluster;
// - a cluster's monitor without a user logs in as the first of: a database of that cluster with
//   user and password; a user with a plain password; [auth] user with its password; any of them
//   without a password. It is an error if there is none.
// Relative file names are relative to the folder of the configuration file.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace config {

struct Problem {
  std::string file;     // as the caller named it; "--set" for an override
  int line = 0;         // from 1; 0 = none (overrides, or a key that is missing)
  std::string key;      // "pool.size"; "" when the file is not TOML
  std::string message;  // what was expected, and what was found
};
// "weir.toml:12: pool.size: expected a whole number from 0 to 100000, found \"many\""
std::string to_string(const Problem& problem);
std::string to_string(std::span<const Problem> problems);  // one a line

using TextPtr = std::shared_ptr<const std::string>;

struct LoadResult {
  ConfigPtr config;               // null when there are problems
  std::vector<Problem> problems;  // in the file's order, overrides last; at most kProblemsMax
  TextPtr text;                   // of load_file(): what it has read; null = nothing
};
inline constexpr std::size_t kProblemsMax = 100;
inline constexpr std::size_t kFileBytesMax = 4u << 20;

// source_name: what problems call it, and its folder is where relative file names start.
// overrides: "section.key=value", the value as in TOML; bare words are taken as strings.
// Reads the files that the configuration names (password files; TLS files are only looked at).
LoadResult load_text(std::string_view toml, std::string source_name,
                     const std::vector<std::string>& overrides);
LoadResult load_file(const std::string& path, const std::vector<std::string>& overrides);

// Every key of the file, in the order of the documentation, with NAME for what the operator
// names: "listen", "pool.size", "clusters.NAME.hosts", "clusters.NAME.hosts.port", ...
const std::vector<std::string>& known_keys();
// Of those: what nobody may see, and the files with it.
const std::vector<std::string>& secret_keys();

}  // namespace config
