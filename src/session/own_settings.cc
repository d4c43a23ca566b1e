#include "session/own_settings.h"

#include <algorithm>
#include <array>
#include <string>

#include "config/words.h"

namespace session {
namespace {

struct Known {
  std::string_view name, unset, values;
};

constexpr std::array<Known, 5> kKnown = {{
    {"weir.route", "default", "Available values: default, primary, replica."},
    {kConsistencySetting, "default", "Available values: default, eventual, session, strong."},
    {"weir.min_lsn", "default", "A position in the WAL as SHOW weir.lsn gives it, like 0/16B3748."},
    {"weir.explain", "off", "Available values: on, off."},
    {"weir.report_lsn", "off", "Available values: on, off."},
}};

template <typename Enum>
std::optional<Enum> from_word(std::string_view value) {
  const auto words = config::words(Enum{});
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == value) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

bool OwnSettings::set(std::string_view name, std::string_view value) {
  const bool none = value.empty() || value == "default";
  if (name == "weir.route") {
    if (!none && value != "primary" && value != "replica") return false;
    route = none                 ? sql::Hint::kNone
            : value == "primary" ? sql::Hint::kPrimary
                                 : sql::Hint::kReplica;
  } else if (name == kConsistencySetting) {
    const auto word = from_word<config::Consistency>(value);
    if (!none && !word) return false;
    consistency = word;
  } else if (name == "weir.min_lsn") {
    const auto lsn = protocol::parse_lsn(value);
    if (!none && !lsn) return false;
    min_lsn = lsn.value_or(0);
  } else if (name == "weir.explain" || name == "weir.report_lsn") {
    const bool on = value == "on" || value == "true" || value == "yes" || value == "1";
    const bool off = value == "off" || value == "false" || value == "no" || value == "0";
    if (!none && !on && !off) return false;
    (name == "weir.explain" ? explain : report_lsn) = on;
  }
  return true;
}

OwnSettings own_settings(const Settings& settings) {
  OwnSettings own;
  for (const Known& known : kKnown) {
    if (const auto* value = settings.find(known.name)) own.set(known.name, plain_value(*value));
  }
  return own;
}

std::optional<std::string> own_query(std::string_view name) {
  const auto known = std::ranges::find(kKnown, name, &Known::name);
  if (known == kKnown.end()) return std::nullopt;
  const std::string shown(name);
  return "SELECT COALESCE(NULLIF(pg_catalog.current_setting('" + shown + "', true), ''), '" +
         std::string(known->unset) + "') AS \"" + shown + "\"";
}

std::string_view own_values(std::string_view name) {
  for (const Known& known : kKnown) {
    if (known.name == name) return known.values;
  }
  return {};
}

}  // namespace session
