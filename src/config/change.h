// SET and RESET on the console: which setting is meant, and what is laid over the file for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "config/config.h"

namespace config {

// What a name behind SET or RESET means.
struct Meant {
  enum class What : std::uint8_t {
    kSession,  // no setting of ours: a parameter of a session, which has none here
    kSetting,
    kRestart,  // a setting that only a restart changes
    kUnknown,  // a slip, or a setting of PgBouncer's without an exact counterpart
  };
  What what = What::kSession;
  std::vector<std::string> path;  // kSetting, kRestart: {"databases", "app", "pool", "size"}
  bool in_seconds = false;        // a number counts seconds: the name is PgBouncer's
  std::string hint;               // kUnknown
};
// name: its parts between dots, as written.
Meant what_is_meant(const std::vector<std::string>& name);

// One change of a setting, which works as --set does.
struct Change {
  std::vector<std::string> path;
  std::string key;  // the same as SHOW CONFIG has it
  // For load_file(), to be tried in this order: whether a text is meant, or what it says, depends
  // on the setting. Empty: as the file and --set have it.
  std::vector<std::string> overrides;
};
// RESET.
Change reset_of(const Meant& meant);
// SET. quoted: it was a text in quotes.
Change change_of(const Meant& meant, std::string_view value, bool quoted);

// Whether its value may be seen by others: it is known, and no secret.
bool may_be_shown(const Change& change);

// NotFound when the configuration does not have the cluster, database or user that it changes: to
// name new ones is the file's.
absl::Status applies_to(const Change& change, const Config& config);

}  // namespace config
