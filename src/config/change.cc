#include "config/change.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <set>

#include "absl/strings/str_join.h"
#include "config/concat.h"
#include "config/document.h"
#include "config/load.h"
#include "config/pgbouncer_settings.h"
#include "config/problems.h"
#include "config/settings.h"
#include "config/suggest.h"

namespace config {
namespace {

using What = Meant::What;

// Of PgBouncer's settings with a counterpart those whose values mean something else there.
constexpr auto kNotExact = std::to_array<std::string_view>(
    {"auth_dbname", "log_connections", "log_disconnections", "server_login_retry", "syslog",
     "tcp_keepalive", "tcp_keepcnt", "tcp_keepidle", "tcp_keepintvl", "tcp_user_timeout",
     "verbose"});

bool names_things(std::string_view section) {
  return section == "clusters" || section == "databases" || section == "users" ||
         section == "peers";
}

std::vector<std::string> split(std::string_view key) {
  std::vector<std::string> parts;
  for (std::size_t dot = key.find('.'); dot != std::string_view::npos; dot = key.find('.')) {
    parts.emplace_back(key.substr(0, dot));
    key.remove_prefix(dot + 1);
  }
  parts.emplace_back(key);
  return parts;
}

// The first parts of all keys: sections, and settings without one.
const std::set<std::string, std::less<>>& first_parts() {
  static const std::set<std::string, std::less<>> parts = [] {
    std::set<std::string, std::less<>> found;
    for (const std::string& key : known_keys()) found.insert(key.substr(0, key.find('.')));
    return found;
  }();
  return parts;
}

// As known_keys() has it.
std::string general_key(std::vector<std::string> path) {
  if (path.size() > 1 && names_things(path[0])) path[1] = "NAME";
  return absl::StrJoin(path, ".");
}

bool is_known(std::string_view key) {
  return std::ranges::find(known_keys(), key) != known_keys().end();
}

Meant setting(std::vector<std::string> path) {
  const std::string key = absl::StrJoin(path, ".");
  const bool restart = std::ranges::find(kRestartKeys, key) != std::end(kRestartKeys);
  return {.what = restart ? What::kRestart : What::kSetting, .path = std::move(path)};
}

Meant unknown(std::string hint) { return {.what = What::kUnknown, .hint = std::move(hint)}; }

Meant slip_or_session(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string near = nearest(word, candidates);
  if (near.empty()) return {};
  return unknown(concat("Perhaps \"", near, "\" is meant. SHOW CONFIG lists the settings."));
}

Meant pgbouncers(const PgBouncerSetting& theirs) {
  const bool exact = theirs.ours.find(".NAME.") == std::string_view::npos &&
                     std::ranges::find(kNotExact, theirs.name) == kNotExact.end();
  if (theirs.ours.empty()) {
    return unknown(concat("PgBouncer's ", theirs.name, ": ", theirs.note, "."));
  }
  if (!exact) {
    return unknown(concat("The nearest to PgBouncer's ", theirs.name, " is ", theirs.ours,
                          theirs.note.empty() ? "" : ": ", theirs.note, "."));
  }
  Meant meant = setting(split(theirs.ours));
  meant.in_seconds = theirs.kind == PgBouncerKind::kSeconds;
  return meant;
}

Meant single_name(const std::string& name) {
  if (is_known(name) || name == "rules") return setting({name});
  if (const auto* theirs = find_pgbouncer_setting(name)) return pgbouncers(*theirs);
  if (first_parts().contains(name)) {
    return unknown("It is a section: a setting of it is meant by section.key.");
  }
  std::vector<std::string> candidates(first_parts().begin(), first_parts().end());
  for (const auto& theirs : pgbouncer_settings()) candidates.emplace_back(theirs.name);
  return slip_or_session(name, candidates);
}

// What SHOW CONFIG has, and --set takes: a key in quotes may hold no escapes there.
std::string key_of(const std::vector<std::string>& path) {
  return absl::StrJoin(path, ".", [](std::string* out, const std::string& part) {
    if (is_bare_key(part)) {
      *out += part;
    } else if (part.find_first_of("\"\\") == std::string::npos) {
      *out += '"' + part + '"';
    } else {
      *out += '\'' + part + '\'';
    }
  });
}

// "3.5" is 3500; nullopt: no plain number.
std::optional<std::uint64_t> milliseconds_of(std::string_view seconds) {
  constexpr double kMost = 1e12;
  double value = 0;
  const auto [end, error] = std::from_chars(seconds.data(), seconds.data() + seconds.size(), value);
  if (error != std::errc() || end != seconds.data() + seconds.size()) return std::nullopt;
  if (!(value >= 0 && value <= kMost)) return std::nullopt;
  return static_cast<std::uint64_t>(std::ceil(value * 1000));
}

template <class Named>
absl::Status must_have(std::string_view what, std::string_view name, const std::vector<Named>& in) {
  if (std::ranges::find(in, name, &Named::name) != in.end()) return absl::OkStatus();
  return absl::NotFoundError(concat("the configuration has no ", what, " \"", name, "\""));
}

}  // namespace

Meant what_is_meant(const std::vector<std::string>& name) {
  if (name.empty()) return {};
  std::vector<std::string> path;
  for (const std::string& part : name) {
    const bool is_name = path.size() == 1 && names_things(path[0]);
    path.push_back(is_name ? part : lower(part));
  }
  if (path.size() == 1) return single_name(path[0]);
  if (first_parts().contains(path[0])) return setting(std::move(path));
  return slip_or_session(path[0], {first_parts().begin(), first_parts().end()});
}

Change reset_of(const Meant& meant) { return {.path = meant.path, .key = key_of(meant.path)}; }

Change change_of(const Meant& meant, std::string_view value, bool quoted) {
  Change change = reset_of(meant);
  if (const auto ms = meant.in_seconds ? milliseconds_of(value) : std::nullopt) {
    change.overrides = {concat(change.key, "=", *ms)};
    return change;
  }
  change.overrides = {concat(change.key, "=", value), concat(change.key, "=", toml_string(value))};
  if (quoted) std::ranges::reverse(change.overrides);
  return change;
}

bool may_be_shown(const Change& change) {
  const std::string key = general_key(change.path);
  return is_known(key) && std::ranges::find(secret_keys(), key) == secret_keys().end();
}

absl::Status applies_to(const Change& change, const Config& config) {
  if (change.path.size() < 2) return absl::OkStatus();
  const std::string& name = change.path[1];
  if (change.path[0] == "clusters") return must_have("cluster", name, config.clusters);
  if (change.path[0] == "databases") return must_have("database", name, config.databases);
  if (change.path[0] == "users") return must_have("user", name, config.users);
  if (change.path[0] == "peers") return must_have("peer", name, config.peers);
  return absl::OkStatus();
}

}  // namespace config
