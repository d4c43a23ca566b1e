// Settings that a transaction changes become the session's when it commits, and vanish when it is
// rolled back, to a savepoint or as a whole.
//
// Flow: on_statement for every statement whose CommandComplete arrived (not plain ones), on_error
// for every ErrorResponse, on_ready for every ReadyForQuery. Applied changes are handed out by
// take_committed().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "session/settings.h"
#include "sql/analysis.h"

namespace session {

// One change of session state that became permanent, in order.
struct Change {
  // kNamed: a custom setting; that also comes of what is rolled back, or was for a transaction.
  // kListen (outside of a transaction block), kUnlisten: no settings.
  enum class Kind : std::uint8_t { kSet, kReset, kResetAll, kNamed, kListen, kUnlisten } kind{};
  std::string name, value_sql;  // kSet; of kReset and kNamed the name; of the last two the channel,
                                // "" = all
  std::optional<std::string> value;  // kSet: one plain string when it is one constant
};

// Carries a change out on `settings`, as PostgreSQL does: RESET leads back to `base` (a client's
// startup parameters; nothing for a server connection), RESET ALL leaves role and session
// authorization alone, and a change of session authorization ends a SET ROLE. What is custom stays
// named.
void apply(const Change& change, const Settings& base, Settings& settings);

class Transaction {
 public:
  // `tag`: the CommandComplete tag (COMMIT of a failed transaction answers "ROLLBACK"). A text
  // that could not be analysed: give each of its tags with a default Statement, so that its
  // COMMIT or ROLLBACK is not missed.
  void on_statement(const sql::Statement& statement, std::string_view tag);
  void on_error();
  void on_ready(char status);
  // Changes that are now the session's, oldest first; empties the list.
  std::vector<Change> take_committed();
  bool has_committed() const { return !committed_.empty(); }
  // After on_ready: what leads the server from where RESET, since the last on_ready, has led it in
  // a block to where it leads the client: to `base`. "" = it is there. Counts as carried out.
  std::string restore(const Settings& base);

  // BEGIN READ ONLY or SET TRANSACTION READ ONLY in force, as far as statements said.
  bool read_only() const { return read_only_; }
  // What was said for this transaction, lower case ("serializable"); "" = nothing.
  const std::string& isolation() const { return isolation_; }
  // A transaction block is open, or has failed, as far as statements said.
  bool in_block() const { return explicit_; }
  // Changes and savepoints that the open transaction holds on to; for a limit.
  std::size_t pending() const { return staged_.size() + marks_.size(); }
  void reset();

 private:
  struct Mark {
    std::string savepoint;
    std::size_t staged;
    bool read_only;
  };

  // RESET, RESET ALL ("") or SET of a setting.
  struct Touch {
    std::string setting;
    bool reset, local;
  };

  void unanalysed(const sql::Statement& statement, std::string_view tag);
  void stage(const sql::Statement& statement);
  void add(Change change);
  void discard_all();
  void note_named(const std::string& setting);
  void note_touch(Touch touch);
  void modes(const sql::Statement& statement);
  void commit(bool chain);
  void roll_back(bool chain);
  void end(bool chain);
  void roll_back_to(std::string_view savepoint);
  void release(std::string_view savepoint);

  std::vector<Change> staged_, committed_;
  std::vector<Mark> marks_;
  std::vector<Touch> touched_;  // since the last on_ready, once one was RESET
  std::string isolation_;
  bool explicit_ = false, failed_ = false, read_only_ = false;
};

}  // namespace session
