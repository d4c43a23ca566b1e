// The console's language: cutting a text into statements, and what each one asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/cursor_statement.h"
#include "admin/database.h"
#include "config/change.h"
#include "protocol/error.h"
#include "proxy/host_order.h"

namespace admin {

enum class Action : std::uint8_t {
  kNone,     // blanks and comments only
  kInvalid,  // Statement::error
  kQuery,    // `sql` is one SELECT over the tables; from SHOW <table> or as the client wrote it
  kHelp,
  kSetting,  // SHOW <parameter> of PostgreSQL's that drivers ask for; `argument` is its value
  kIgnored,  // SET and the like: answered with `tag`, does nothing
  kBegin,
  kCommit,
  kRollback,
  kSavepoint,  // RELEASE, too: whatever its name
  kRollbackTo,
  kDeallocate,   // `argument`: name, "" = all
  kDeclare,      // the cursor `argument`, for what kQuery has
  kFetch,        // FETCH or MOVE, by `tag`: `move` in the cursor `argument`
  kCloseCursor,  // `argument`: name, "" = all
  // Commands; Statement::command().
  kSet,  // `change`, or `error`; of RESET, too
  kReload,
  kPause,
  kResume,
  kReconnect,
  kWaitClose,
  kDisable,
  kEnable,
  kKill,
  kKillClient,
  kResetStatements,
  kHostOrder,  // `order`
  kUpgrade,
  kShutdownNow,
  kShutdownDrain,
};
inline constexpr Action kLastAction = Action::kShutdownDrain;

struct Statement {
  Action action = Action::kNone;
  std::string sql;
  std::string argument;  // database (as written), id, setting's value
  std::string name;      // kSetting: the result's column
  std::string tag;       // of CommandComplete; kQuery: "SHOW", or "SELECT" (a count follows)
  protocol::Error error;
  config::Change change;
  proxy::HostOrder order;
  CursorMove move;
  bool holds = false;  // kDeclare: longer than its transaction
  std::string shown;   // of a command: for the log, bounded, without secrets

  bool command() const { return action >= Action::kSet; }  // needs the right to command
  Style style() const { return tag == "SHOW" ? Style::kShown : Style::kTyped; }
  bool has_rows() const { return action == Action::kQuery || action == Action::kSetting; }
};

// Cuts at semicolons outside of quotes and comments. Pieces that hold nothing are left out.
std::vector<std::string_view> split(std::string_view text);

// One piece of split().
Statement parse(std::string_view text);

// What SHOW HELP prints.
std::string help_text();

inline constexpr std::size_t kShownMax = 200;  // bytes of a command in the log

// The first `limit` bytes, not cutting a UTF-8 character.
std::string excerpt(std::string_view text, std::size_t limit = 100);
// near: "" = at the end.
Statement syntax_error(std::string_view near, std::string hint = "");

}  // namespace admin
