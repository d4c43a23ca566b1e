// The settings that are the proxy's own: weir.route and its like. To a server they are customized
// options without a meaning; SET, RESET, SHOW and start-up options treat them as they do all
// others.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "protocol/lsn.h"
#include "session/settings.h"
#include "sql/analysis.h"

namespace session {

struct OwnSettings {
  sql::Hint route = sql::Hint::kNone;              // weir.route
  std::optional<config::Consistency> consistency;  // weir.consistency
  protocol::Lsn min_lsn = 0;                       // weir.min_lsn: 0 = none
  bool explain = false;                            // weir.explain: a NOTICE for each decision
  bool report_lsn = false;  // weir.report_lsn: kLsnSetting is told after each commit

  // Takes the value of one of them. False: it is none that the setting can have, and nothing
  // changes; true also for a setting that is not the proxy's own.
  bool set(std::string_view name, std::string_view value);
};

inline constexpr std::string_view kConsistencySetting = "weir.consistency";

// A position at which all is visible that the session has committed or seen: SHOW gives it.
inline constexpr std::string_view kLsnSetting = "weir.lsn";

inline bool is_own(std::string_view name) { return name.starts_with("weir."); }

// As they are among a session's settings.
OwnSettings own_settings(const Settings& settings);

// In place of SHOW, which fails while nothing has set the setting; nullopt: none of the proxy's.
std::optional<std::string> own_query(std::string_view name);

// What one of them can be, for the hint of an error.
std::string_view own_values(std::string_view name);

}  // namespace session
