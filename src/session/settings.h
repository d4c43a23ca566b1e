// Settings of a session, or of a server connection, that differ from the server's defaults for
// that user and database.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace session {

class Settings {
 public:
  // value_sql: what stands behind "SET name " to set it again: "TO 'a', 'b'" (sql::SetStatement).
  void set(std::string_view name, std::string_view value_sql);
  void erase(std::string_view name);  // back to the server's default
  void clear() { entries_.clear(); hash_ = 0; }
  const std::string* find(std::string_view name) const;  // value_sql, or null
  bool empty() const { return entries_.empty(); }
  std::size_t bytes() const;
  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }
  // Equal contents have equal hashes; 0 when empty. Order of setting does not matter.
  std::uint64_t hash() const { return hash_; }
  bool operator==(const Settings& other) const;

 private:
  std::vector<std::pair<std::string, std::string>> entries_;  // sorted by name
  std::uint64_t hash_ = 0;
};

// "SET name TO 'value'" as value_sql, quoted: for startup parameters and `options`. List-valued
// settings (search_path, DateStyle ...) are given as one string, which is how PostgreSQL takes a
// startup parameter: set_config semantics. See set_sql.
std::string quote_value(std::string_view value);

// SQL that makes a connection with settings `from` have `to`, "" when they are equal. One simple
// query: "BEGIN;...;COMMIT", so that if any part fails the connection is left in a failed
// transaction, and a request sent behind it cannot run with the wrong settings. Role and session
// authorization are left first and taken last.
std::string difference_sql(const Settings& from, const Settings& to);

}  // namespace session
