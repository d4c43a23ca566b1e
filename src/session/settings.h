// Settings of a session, or of a server connection, that differ from the server's defaults for
// that user and database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace session {

class Settings {
 public:
  // Names are case-insensitive and kept canonical_name()d.
  // value_sql: what stands behind "SET name " to set it again, "TO 'a', 'b'" (sql::SetStatement),
  // or a quote_value().
  void set(std::string_view name, std::string_view value_sql);
  void erase(std::string_view name);  // back to the server's default
  void clear();
  const std::string* find(std::string_view name) const;  // value_sql, or null; until a change
  bool empty() const { return entries_.empty(); }
  std::size_t bytes() const;  // of names and values
  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }
  // Equal contents have equal hashes; 0 when empty. Order of setting does not matter. Differs
  // from one process to the next.
  std::uint64_t hash() const { return hash_; }
  bool operator==(const Settings& other) const;

 private:
  std::vector<std::pair<std::string, std::string>> entries_;  // sorted by name
  std::uint64_t hash_ = 0;                                    // sum of the entries' hashes
};

// Lower case, and the present name of what PostgreSQL knows under an old one (sort_mem).
std::string canonical_name(std::string_view name);

// With a dot in its name: PostgreSQL has one as soon as a session has named it, and for as long as
// the session lasts, whatever becomes of the value (guc.c, add_placeholder_variable).
inline bool is_custom(std::string_view name) { return name.find('.') != std::string_view::npos; }

// value_sql of a custom setting that has been named and has no value of its own: mostly that is
// the empty string, and not NULL any more to current_setting(name, true).
inline constexpr std::string_view kNamedOnly = "TO DEFAULT";

// A value_sql for a plain string: startup parameters and `options`. Lists (search_path,
// DateStyle ...) are given as one string there, which SET would take for a single element; so it
// is marked, and set_sql() makes a set_config() of it.
std::string quote_value(std::string_view value);

// The plain string that a value_sql of one constant stands for, lower case; "" for a list.
std::string plain_value(std::string_view value_sql);

// One statement, without ';'. A name of several parts ("app.user") is quoted part by part.
std::string set_sql(std::string_view name, std::string_view value_sql);
// The same in a transaction block, where set_config() would take a snapshot, behind which SET
// TRANSACTION is refused: only for lists whose elements are quoted. kLocal: for the transaction.
enum class Scope : std::uint8_t { kSession, kLocal };
std::string set_sql_in_block(std::string_view name, std::string_view value_sql, Scope scope);
std::string reset_sql(std::string_view name);

// SQL that makes a connection with settings `from` have `to`, "" when it has them. One simple
// query: "BEGIN ...;...;COMMIT", so that if any part fails the connection is left in a failed
// transaction, and a request sent behind it cannot run with the wrong settings. Role and session
// authorization are left first and taken last. What set_config() answers are rows: swallow them.
//
// For a server connection RESET leads to the server's default, for a client to what its startup
// packet asked for. So after a client's RESET the two may differ, and that difference is real.
std::string difference_sql(const Settings& from, const Settings& to);

}  // namespace session
