#include "session/settings.h"

#include <algorithm>
#include <array>

#include "absl/hash/hash.h"

namespace session {
namespace {

constexpr std::string_view kPlainString = "CONFIG ";  // no SQL begins like that behind SET name
constexpr std::string_view kRole = "role";
constexpr std::string_view kAuthorization = "session_authorization";

using SettingEntry = std::pair<std::string, std::string>;

std::uint64_t hash_of(const SettingEntry& entry) { return absl::HashOf(entry.first, entry.second); }

auto lower_bound(auto& entries, std::string_view name) {
  return std::lower_bound(
      entries.begin(), entries.end(), name,
      [](const SettingEntry& entry, std::string_view key) { return entry.first < key; });
}

bool is_identity(std::string_view name) { return name == kRole || name == kAuthorization; }

// E'' means the same whatever standard_conforming_strings is.
std::string literal(std::string_view value) {
  std::string out = "E'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  out += '\'';
  return out;
}

std::string quoted_name(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '.') {
      out += "\".\"";
      continue;
    }
    if (c == '"') out += c;
    out += c;
  }
  out += '"';
  return out;
}

void append(std::string& sql, std::string_view statement) {
  sql += statement;
  sql += ';';
}

void leave_identity(std::string& sql, const Settings& from, std::string_view name) {
  if (from.find(name) != nullptr) append(sql, reset_sql(name));
}

void take_identity(std::string& sql, const Settings& to, std::string_view name) {
  if (const std::string* value = to.find(name)) append(sql, set_sql(name, *value));
}

std::string set_command(std::string_view name, std::string_view value_sql, Scope scope) {
  std::string sql = (scope == Scope::kLocal ? "SET LOCAL " : "SET ") + quoted_name(name) + " ";
  sql += value_sql;
  return sql;
}

// Of what quote_value() has made.
std::string call_set_config(std::string_view name, std::string_view value_sql, Scope scope) {
  std::string sql = "SELECT pg_catalog.set_config(" + literal(name) + ",";
  sql += value_sql.substr(kPlainString.size());
  sql += scope == Scope::kLocal ? ",true)" : ",false)";
  return sql;
}

}  // namespace

void Settings::set(std::string_view name, std::string_view value_sql) {
  std::string key = canonical_name(name);
  const auto it = lower_bound(entries_, key);
  if (it != entries_.end() && it->first == key) {
    hash_ -= hash_of(*it);
    it->second.assign(value_sql);
    hash_ += hash_of(*it);
    return;
  }
  const auto added = entries_.emplace(it, std::move(key), std::string(value_sql));
  hash_ += hash_of(*added);
}

void Settings::erase(std::string_view name) {
  const std::string key = canonical_name(name);
  const auto it = lower_bound(entries_, key);
  if (it == entries_.end() || it->first != key) return;
  hash_ -= hash_of(*it);
  entries_.erase(it);
}

void Settings::clear() {
  entries_.clear();
  hash_ = 0;
}

const std::string* Settings::find(std::string_view name) const {
  const std::string key = canonical_name(name);
  const auto it = lower_bound(entries_, key);
  return it == entries_.end() || it->first != key ? nullptr : &it->second;
}

std::size_t Settings::bytes() const {
  std::size_t n = 0;
  for (const auto& [name, value] : entries_) n += name.size() + value.size();
  return n;
}

bool Settings::operator==(const Settings& other) const {
  return hash_ == other.hash_ && entries_ == other.entries_;
}

std::string canonical_name(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  // guc.c, map_old_guc_names
  if (lower == "sort_mem") return "work_mem";
  if (lower == "vacuum_mem") return "maintenance_work_mem";
  return lower;
}

std::string quote_value(std::string_view value) {
  return std::string(kPlainString) + literal(value);
}

std::string plain_value(std::string_view value_sql) {
  for (const std::string_view prefix : {kPlainString, std::string_view("TO ")}) {
    if (value_sql.starts_with(prefix)) value_sql.remove_prefix(prefix.size());
  }
  if (value_sql.starts_with('E')) value_sql.remove_prefix(1);
  if (value_sql.starts_with('\'') && value_sql.ends_with('\'') && value_sql.size() > 1) {
    value_sql = value_sql.substr(1, value_sql.size() - 2);
  }
  if (value_sql.find('\'') != std::string_view::npos) return {};
  return canonical_name(value_sql);
}

std::string set_sql(std::string_view name, std::string_view value_sql) {
  if (!value_sql.starts_with(kPlainString)) return set_command(name, value_sql, Scope::kSession);
  return call_set_config(name, value_sql, Scope::kSession);
}

std::string set_sql_in_block(std::string_view name, std::string_view value_sql, Scope scope) {
  if (!value_sql.starts_with(kPlainString)) return set_command(name, value_sql, scope);
  // Those of guc.c with GUC_LIST_QUOTE that a session may set; an extension has none.
  constexpr std::array<std::string_view, 4> kQuoted = {
      "local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"};
  if (std::ranges::find(kQuoted, name) != kQuoted.end()) {
    return call_set_config(name, value_sql, scope);
  }
  std::string to("TO ");
  to += value_sql.substr(kPlainString.size());
  return set_command(name, to, scope);
}

std::string reset_sql(std::string_view name) { return "RESET " + quoted_name(name); }

std::string difference_sql(const Settings& from, const Settings& to) {
  if (from == to) return {};
  // The level is said because a default of SERIALIZABLE cannot run on a hot standby, and
  // SERIALIZABLE DEFERRABLE waits for a safe snapshot.
  constexpr std::string_view kBegin = "BEGIN ISOLATION LEVEL READ COMMITTED;";
  std::string sql(kBegin);
  leave_identity(sql, from, kRole);
  leave_identity(sql, from, kAuthorization);
  for (const auto& [name, value] : from.entries()) {
    if (is_identity(name) || to.find(name) != nullptr || value == kNamedOnly) continue;
    append(sql, reset_sql(name));
  }
  for (const auto& [name, value] : to.entries()) {
    if (is_identity(name)) continue;
    const std::string* present = from.find(name);
    if (present == nullptr || *present != value) append(sql, set_sql(name, value));
  }
  take_identity(sql, to, kAuthorization);
  take_identity(sql, to, kRole);
  if (sql.size() == kBegin.size()) return {};
  sql += "COMMIT";
  return sql;
}

}  // namespace session
