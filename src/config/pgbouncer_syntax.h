// The forms of PgBouncer's files: its ini, the connection strings in it, and the list of users.
// As its own parsers take them (usual/cfparser.c, loader.c), with the line of what they refuse.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace config {

struct IniItem {
  enum class Kind : std::uint8_t { kSection, kValue, kInclude };
  Kind kind = Kind::kValue;
  std::string name;   // of the section or the key
  std::string value;  // or the file to include
  int line = 0;       // from 1
};
// Errors are "LINE: what was expected". A '#' or ';' begins a comment at the start of a line only.
absl::StatusOr<std::vector<IniItem>> parse_ini(std::string_view text);

struct Pair {
  std::string key, value;
};
// "host=10.0.0.1 password='it''s'": blanks separate, a value in quotes may hold them. An error says
// what is wrong, without a place.
absl::StatusOr<std::vector<Pair>> parse_pairs(std::string_view text);

struct Login {
  std::string user, secret;
};
// Lines `"user" "secret" ...`; a quote within quotes is doubled. Errors as parse_ini's.
absl::StatusOr<std::vector<Login>> parse_userlist(std::string_view text);

}  // namespace config
