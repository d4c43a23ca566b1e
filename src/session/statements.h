// Prepared statements by content: what a client calls "s1" is a statement (text, parameter types)
// that each server connection knows under a name of ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"
#include "sql/analysis.h"

namespace session {

struct PreparedStatement {
  std::uint64_t id = 0;     // unique in its worker for the life of the process; never 0
  std::string server_name;  // "weir_<id>"
  std::string query;
  std::string types;  // raw, as in protocol::Parse::types
  const void* database = nullptr;
  // Its text is. Otherwise it can only be used on the connection that it was sent to.
  bool kept = true;
  mutable sql::AnalysisPtr analysis;  // made again when the catalog that it goes by has changed
};
using StatementPtr = std::shared_ptr<const PreparedStatement>;

// One per worker: equal content is one PreparedStatement for as long as someone holds it.
class StatementStore {
 public:
  StatementStore();
  ~StatementStore();
  // analysis is used only when the content is new to `database`, which is an address that stands
  // for one: the same text may be something else in another.
  StatementPtr intern(const void* database, std::string_view query, protocol::Bytes types,
                      const sql::AnalysisPtr& analysis);
  // One that is never compared with others.
  std::shared_ptr<PreparedStatement> make(const void* database, const sql::AnalysisPtr& analysis);
  std::size_t size() const;  // of what is interned

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The names of one client. Few names: linear; many: hashed. Owns no memory until the first name.
class ClientStatements {
 public:
  const StatementPtr* find(std::string_view name) const;    // null = unknown; valid until a change
  void put(std::string_view name, StatementPtr statement);  // "" is the unnamed statement
  bool erase(std::string_view name);
  void clear();
  std::size_t size() const;
  // `message`, a server's, with the client's names in place of the server_names quoted in it; a
  // statement of several names goes by `likely`, if that is one of them. nullopt: as it stands.
  std::optional<std::string> renamed(std::string_view message, std::string_view likely) const;
  std::size_t bytes() const;  // names and texts, for Limits::client_prepared_bytes
  ClientStatements();
  ~ClientStatements();

 private:
  std::string_view name_of(std::string_view server_name) const;  // "" = none

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Which statements one server connection has, least recently used first out.
class ServerStatements {
 public:
  explicit ServerStatements(std::size_t capacity);
  ~ServerStatements();
  bool touch(std::uint64_t id);  // true when known; makes it the most recently used
  // Adds a new one. Answers the id that must be closed on the server to make room, or 0.
  std::uint64_t insert(std::uint64_t id);
  void erase(std::uint64_t id);
  void clear();
  std::size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace session
