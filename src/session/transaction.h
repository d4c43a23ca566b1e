// Settings that a transaction changes become the session's when it commits, and vanish when it is
// rolled back, to a savepoint or as a whole.
//
// Flow: on_statement for every statement whose CommandComplete arrived (not plain ones), on_error
// for every ErrorResponse, on_ready for every ReadyForQuery. Applied changes are handed out by
// take_committed().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"

namespace session {

// One change of session state that became permanent, in order.
struct Change {
  enum class Kind : std::uint8_t { kSet, kReset, kResetAll } kind{};
  std::string name, value_sql;            // kSet, kReset
  std::optional<std::string> value;       // kSet: one plain string when it is one constant
};

class Transaction {
 public:
  // `tag`: the CommandComplete tag (COMMIT of a failed transaction answers "ROLLBACK").
  void on_statement(const sql::Statement& statement, std::string_view tag);
  void on_error();
  void on_ready(char status);
  // Changes that are now the session's, oldest first; empties the list.
  std::vector<Change> take_committed();
  bool has_committed() const { return !committed_.empty(); }

  // BEGIN READ ONLY or SET TRANSACTION READ ONLY in force, as far as statements said.
  bool read_only() const { return read_only_; }
  void reset();

 private:
  struct Mark { std::string savepoint; std::size_t staged; };
  std::vector<Change> staged_, committed_;
  std::vector<Mark> marks_;
  bool explicit_ = false, failed_ = false, read_only_ = false;
};

}  // namespace session
