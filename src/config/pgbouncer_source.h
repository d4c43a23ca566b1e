// What a PgBouncer is configured to: its ini with all that it includes, and its list of users, read
// and checked as PgBouncer would. Internal to the import.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/pgbouncer_settings.h"
#include "config/pgbouncer_syntax.h"

namespace config {

struct PgBouncerSource {
  struct Value {
    std::string text, where;  // where: "pgbouncer.ini:12"
  };
  struct Entry {  // of [databases], [users], [peers]; the last one of a name
    std::string name, where;
    std::map<std::string, std::string> parameters;  // what "-1" leaves unset is not here
  };
  std::map<std::string, Value, std::less<>> settings;  // those that are said
  std::vector<Entry> databases, users, peers;          // in the file's order
  std::vector<Login> logins;                           // the last one of a name
  std::string auth_file;                               // as it was opened; "" = none

  bool says(std::string_view setting) const { return settings.contains(setting); }
  // Of a setting that is not said: PgBouncer's default.
  std::string text(std::string_view setting) const;
  long whole(std::string_view setting) const;
  double seconds(std::string_view setting) const;
  std::string word(std::string_view setting) const;  // in lower case
  const std::string* secret(std::string_view user) const;
};

// An error is "FILE:LINE: what was expected". userlist: "" = the ini's auth_file.
absl::StatusOr<PgBouncerSource> read_pgbouncer(const std::string& ini, const std::string& userlist);

// As PgBouncer reads them: strtol(3) with any base, strtod(3) not below 0, and nothing behind.
bool parse_whole(const std::string& text, long& value);
bool parse_seconds(const std::string& text, double& value);

}  // namespace config
