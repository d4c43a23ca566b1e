#include "config/diff.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "absl/strings/str_join.h"
#include "config/concat.h"
#include "config/describe.h"

namespace config {
namespace {

template <class Named>
NamedChanges compare(const std::vector<Named>& before, const std::vector<Named>& after) {
  std::map<std::string_view, const Named*> old;
  for (const Named& one : before) old.emplace(one.name, &one);
  NamedChanges changes;
  for (const Named& one : after) {
    const auto found = old.find(one.name);
    if (found == old.end()) {
      changes.added.push_back(one.name);
      continue;
    }
    if (*found->second != one) changes.changed.push_back(one.name);
    old.erase(found);
  }
  for (const Named& one : before) {
    if (old.contains(one.name)) changes.removed.push_back(one.name);
  }
  return changes;
}

std::map<std::string, ConfigRow> general_rows(const Config& config) {
  std::map<std::string, ConfigRow> rows;
  for (ConfigRow& row : explain_general(config)) rows.emplace(row.key, row);
  return rows;
}

void append_names(std::string& text, std::string_view what, const NamedChanges& changes) {
  if (changes.empty()) return;
  append(text, text.empty() ? "" : "; ", what, ":");
  for (const std::string& name : changes.added) append(text, " +", name);
  for (const std::string& name : changes.removed) append(text, " -", name);
  for (const std::string& name : changes.changed) append(text, " ", name, " changed");
}

}  // namespace

bool Diff::empty() const {
  return needs_restart.empty() && clusters.empty() && databases.empty() && users.empty() &&
         peers.empty() && rules.empty() && settings.empty();
}

Diff diff(const Config& before, const Config& after) {
  Diff result;
  result.clusters = compare(before.clusters, after.clusters);
  result.databases = compare(before.databases, after.databases);
  result.users = compare(before.users, after.users);
  result.peers = compare(before.peers, after.peers);
  result.rules = compare(before.rules, after.rules);
  const bool same_rules = result.rules.added.empty() && result.rules.removed.empty();
  if (same_rules && !std::ranges::equal(before.rules, after.rules, {}, &Rule::name, &Rule::name)) {
    result.settings.emplace_back("rules");
  }
  const std::map<std::string, ConfigRow> old = general_rows(before);
  for (const auto& [key, row] : general_rows(after)) {
    if (row.value == old.at(key).value) continue;
    (row.changeable ? result.settings : result.needs_restart).push_back(key);
  }
  // Their rows show asterisks.
  const auto secret = [&](const char* key, const std::string& was, const std::string& is) {
    if (was == is || std::ranges::find(result.settings, key) != result.settings.end()) return;
    result.settings.emplace_back(key);
  };
  secret("auth.password", before.auth.auth_password, after.auth.auth_password);
  secret("admin.token", before.admin.token, after.admin.token);
  secret("admin.view_token", before.admin.view_token, after.admin.view_token);
  return result;
}

void keep_until_restart(Config& next, const Config& running) {
  next.listeners = running.listeners;
  next.workers = running.workers;
  next.peer_id = running.peer_id;
  next.admin.http_host = running.admin.http_host;
  next.admin.http_port = running.admin.http_port;
}

std::string summary(const Diff& diff) {
  std::string text;
  append_names(text, "clusters", diff.clusters);
  append_names(text, "databases", diff.databases);
  append_names(text, "users", diff.users);
  append_names(text, "peers", diff.peers);
  append_names(text, "rules", diff.rules);
  if (!diff.settings.empty()) {
    append(text, text.empty() ? "" : "; ", absl::StrJoin(diff.settings, ", "));
  }
  if (!diff.needs_restart.empty()) {
    append(text, text.empty() ? "" : "; ", absl::StrJoin(diff.needs_restart, ", "),
           " (after a restart)");
  }
  return text;
}

}  // namespace config
