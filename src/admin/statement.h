// The console's language: cutting a text into statements, and what each one asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/database.h"
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
  kDeallocate,  // `argument`: name, "" = all
  // Commands; Statement::command().
  kReload,
  kPause,
  kResume,
  kReconnect,
  kDisable,
  kEnable,
  kKill,
  kKillClient,
  kResetStatements,
  kHostOrder,  // Statement::order
  kShutdownNow,
  kShutdownDrain,
};

struct Statement {
  Action action = Action::kNone;
  std::string sql;
  std::string argument;  // database (as written), id, setting's value
  std::string name;      // kSetting: the result's column
  std::string tag;       // of CommandComplete; kQuery: "SHOW", or "SELECT" (a count follows)
  protocol::Error error;
  proxy::HostOrder order;

  bool command() const { return action >= Action::kReload; }  // needs the right to command
  Style style() const { return tag == "SHOW" ? Style::kShown : Style::kTyped; }
  bool has_rows() const { return action == Action::kQuery || action == Action::kSetting; }
};

// Cuts at semicolons outside of quotes and comments. Pieces that hold nothing are left out.
std::vector<std::string_view> split(std::string_view text);

// One piece of split().
Statement parse(std::string_view text);

// What SHOW HELP prints.
std::string help_text();

}  // namespace admin
