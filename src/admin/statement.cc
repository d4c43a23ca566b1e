#include "admin/statement.h"

#include <algorithm>
#include <array>
#include <utility>

#include "admin/cursor_statement.h"
#include "admin/dialect.h"
#include "admin/host_orders.h"
#include "admin/server_settings.h"
#include "admin/set_statement.h"
#include "admin/table.h"
#include "admin/text.h"
#include "admin/words.h"
#include "base/utf8.h"
#include "proxy/control.h"

namespace admin {
namespace {

struct Command {
  std::string_view keyword;
  Action action;
  enum class Takes : std::uint8_t { kNothing, kMaybeDatabase, kDatabase, kId, kOwn } takes;
  std::string_view usage = "";  // kOwn: read by a function of its own
};
constexpr auto kCommands = std::to_array<Command>({
    {"RELOAD", Action::kReload, Command::Takes::kNothing},
    {"PAUSE", Action::kPause, Command::Takes::kMaybeDatabase},
    {"RESUME", Action::kResume, Command::Takes::kMaybeDatabase},
    {"RECONNECT", Action::kReconnect, Command::Takes::kMaybeDatabase},
    {"DISABLE", Action::kDisable, Command::Takes::kDatabase},
    {"ENABLE", Action::kEnable, Command::Takes::kDatabase},
    {"KILL", Action::kKill, Command::Takes::kMaybeDatabase},
    {"KILL_CLIENT", Action::kKillClient, Command::Takes::kId},
    {"WAIT_CLOSE", Action::kWaitClose, Command::Takes::kMaybeDatabase},
    {"CHOOSE PRIMARY", Action::kHostOrder, Command::Takes::kOwn,
     "CHOOSE PRIMARY <host>|AUTO [<cluster>]"},
    {"BAN", Action::kHostOrder, Command::Takes::kOwn, "BAN <host> [<cluster>] [<seconds>]"},
    {"UNBAN", Action::kHostOrder, Command::Takes::kOwn, "UNBAN <host> [<cluster>]"},
    {"WEIGHT", Action::kHostOrder, Command::Takes::kOwn,
     "WEIGHT <host> [<cluster>] <number>|DEFAULT"},
    {"PAUSE HOST", Action::kHostOrder, Command::Takes::kOwn, "PAUSE HOST <host> [<cluster>]"},
    {"RESUME HOST", Action::kHostOrder, Command::Takes::kOwn, "RESUME HOST <host> [<cluster>]"},
    {"SET", Action::kSet, Command::Takes::kOwn, "SET <setting> = <value>"},
    {"RESET", Action::kSet, Command::Takes::kOwn, "RESET <setting>"},
    {"RESET", Action::kResetStatements, Command::Takes::kOwn, "RESET STATEMENTS"},
    {"UPGRADE", Action::kUpgrade, Command::Takes::kNothing},
    {"SHUTDOWN", Action::kShutdownNow, Command::Takes::kOwn,
     "SHUTDOWN [WAIT_FOR_CLIENTS|WAIT_FOR_SERVERS]"},
});

Statement invalid(std::string_view code, std::string message, std::string hint = "") {
  Statement statement{.action = Action::kInvalid};
  statement.error.code = code;
  statement.error.message = std::move(message);
  statement.error.hint = std::move(hint);
  return statement;
}

std::string command_hint() {
  std::string hint = "Commands: SHOW <table>, SELECT";
  for (const Command& command : kCommands) append(hint, ", ", command.keyword);
  return concat(hint, ". SHOW HELP tells more.");
}

std::string usage(const Command& command) {
  switch (command.takes) {
    case Command::Takes::kNothing:
      return std::string(command.keyword);
    case Command::Takes::kMaybeDatabase:
      return concat(command.keyword, " [<db>]");
    case Command::Takes::kDatabase:
      return concat(command.keyword, " <db>");
    case Command::Takes::kId:
      return concat(command.keyword, " <client id>");
    case Command::Takes::kOwn:
      return std::string(command.usage);
  }
  return "";
}

Statement parse_show(Words words) {
  Words at_name = words;
  const std::string name = words.next();
  if (name.empty()) return syntax_error(at_name.rest(), "SHOW HELP lists what can be shown.");
  if (equal_any_case(name, "help") && words.done()) {
    return {.action = Action::kHelp, .tag = "SHOW"};
  }
  if (const Table* table = find_table(name)) {
    Words clause = words;
    if (!words.done() && !clause.take("WHERE") && !clause.take("ORDER") && !clause.take("LIMIT")) {
      return syntax_error(words.rest(), "WHERE, ORDER BY and LIMIT may follow.");
    }
    return {.action = Action::kQuery,
            .sql = concat("SELECT * FROM ", table->name, " ", words.rest()),
            .tag = "SHOW"};
  }
  const bool level =
      equal_any_case(name, "transaction") && words.take("ISOLATION") && words.take("LEVEL");
  const ServerSetting* setting = find_server_setting(level ? "transaction_isolation" : name);
  if (setting != nullptr && words.done()) {
    return {.action = Action::kSetting,
            .argument = std::string(setting->value),
            .name = std::string(setting->name),
            .tag = "SHOW"};
  }
  return invalid(protocol::sqlstate::kUndefinedObject,
                 concat("cannot show \"", excerpt(name), "\""),
                 "SHOW HELP lists what can be shown.");
}

Statement parse_command(const Command& command, Words words) {
  Statement statement{.action = command.action, .tag = std::string(command.keyword)};
  if (command.takes != Command::Takes::kNothing) {
    Words at_argument = words;
    statement.argument = words.next();
    if (command.takes != Command::Takes::kMaybeDatabase && statement.argument.empty()) {
      return syntax_error(at_argument.rest(),
                          command.takes == Command::Takes::kId
                              ? "The id of a client is needed: SHOW CLIENTS has it."
                              : "The name of a database is needed.");
    }
  }
  if (!words.done()) return syntax_error(words.rest());
  return statement;
}

Statement parse_shutdown(Words words) {
  Statement statement{.action = Action::kShutdownNow, .tag = "SHUTDOWN"};
  if (words.take("WAIT_FOR_CLIENTS") || words.take("WAIT_FOR_SERVERS")) {
    statement.action = Action::kShutdownDrain;
  }
  if (!words.done()) {
    return syntax_error(words.rest(), "WAIT_FOR_CLIENTS or WAIT_FOR_SERVERS may follow.");
  }
  return statement;
}

std::optional<Statement> parse_transaction(Words words) {
  std::string verb = upper(Words(words).next());
  if (words.take("BEGIN")) return Statement{.action = Action::kBegin, .tag = "BEGIN"};
  if (words.take("START")) {
    if (!words.take("TRANSACTION")) return syntax_error(words.rest());
    return Statement{.action = Action::kBegin, .tag = "START TRANSACTION"};
  }
  if (words.take("COMMIT") || words.take("END")) {
    return Statement{.action = Action::kCommit, .tag = "COMMIT"};
  }
  if (words.take("SAVEPOINT") || words.take("RELEASE")) {
    words.take("SAVEPOINT");
    if (words.done()) return syntax_error("");
    return Statement{.action = Action::kSavepoint, .tag = std::move(verb)};
  }
  if (words.take("ROLLBACK") || words.take("ABORT")) {
    Words to = words;
    if (!to.take("WORK")) to.take("TRANSACTION");
    if (to.take("TO")) return Statement{.action = Action::kRollbackTo, .tag = "ROLLBACK"};
    return Statement{.action = Action::kRollback, .tag = "ROLLBACK"};
  }
  return std::nullopt;
}

// nullopt: of a session.
std::optional<Statement> parse_setting(Words words) {
  if (words.take("SET")) return parse_set(words);
  if (!words.take("RESET")) return std::nullopt;
  Words statements = words;
  if (statements.take("STATEMENTS") && statements.done()) {
    return Statement{.action = Action::kResetStatements, .tag = "RESET"};
  }
  return parse_reset(words);
}

std::optional<Statement> parse_any_command(Words words) {
  if (words.take("SHUTDOWN")) return parse_shutdown(words);
  if (auto statement = parse_host_order(words)) return statement;
  for (const Command& command : kCommands) {
    if (command.takes != Command::Takes::kOwn && words.take(command.keyword)) {
      return parse_command(command, words);
    }
  }
  return parse_setting(words);
}

// What resets a session or tunes it: there is nothing to reset or tune.
std::optional<Statement> parse_session(Words words) {
  if (words.take("DEALLOCATE")) {
    words.take("PREPARE");
    const bool all = words.take("ALL");
    Statement statement{.action = Action::kDeallocate,
                        .tag = all ? "DEALLOCATE ALL" : "DEALLOCATE"};
    if (!all) {
      statement.argument = words.next();
      if (statement.argument.empty()) return syntax_error(words.rest());
    }
    return statement;
  }
  if (words.take("DISCARD")) {
    if (words.take("ALL")) {  // includes DEALLOCATE ALL
      return Statement{.action = Action::kDeallocate, .tag = "DISCARD ALL"};
    }
    return Statement{.action = Action::kIgnored, .tag = concat("DISCARD ", upper(words.next()))};
  }
  for (std::string_view keyword : {"SET", "RESET", "UNLISTEN"}) {
    if (!words.take(keyword)) continue;
    if (words.done()) return syntax_error("");
    return Statement{.action = Action::kIgnored, .tag = std::string(keyword)};
  }
  return std::nullopt;
}

}  // namespace

std::string excerpt(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return std::string(text);
  return concat(base::utf8_front(text, limit), "...");
}

Statement syntax_error(std::string_view near, std::string hint) {
  if (near.empty()) {
    return invalid(protocol::sqlstate::kSyntaxError, "syntax error at end of input",
                   std::move(hint));
  }
  return invalid(protocol::sqlstate::kSyntaxError,
                 concat("syntax error at or near \"", excerpt(near), "\""), std::move(hint));
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> pieces;
  std::size_t start = 0;
  const auto end_at = [&](std::size_t end) {
    const std::string_view piece = text.substr(start, end - start);
    if (!Words(piece).done()) pieces.push_back(piece);
  };
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == ';') {
      end_at(at);
      start = ++at;
      continue;
    }
    const std::size_t behind = skip_quoted(text, at);
    at = behind > at ? behind : at + 1;
  }
  end_at(text.size());
  return pieces;
}

Statement parse(std::string_view text) {
  Words words(text);
  if (words.done()) return {};
  for (std::string_view keyword : {"SELECT", "WITH", "VALUES"}) {
    Words ahead = words;
    if (!ahead.take(keyword)) continue;
    return {.action = Action::kQuery, .sql = to_sqlite(words.rest()), .tag = "SELECT"};
  }
  Words after = words;
  if (after.take("SHOW")) return parse_show(after);
  if (auto statement = parse_any_command(words)) {
    std::string& shown = statement->shown;
    if (shown.empty()) shown = excerpt(words.rest(), kShownMax);
    std::ranges::replace_if(shown, is_space, ' ');
    return *std::move(statement);
  }
  if (auto statement = parse_transaction(words)) return *std::move(statement);
  if (auto statement = parse_cursor(words)) return *std::move(statement);
  if (auto statement = parse_session(words)) return *std::move(statement);
  if (after.take("SUSPEND")) {
    return invalid(protocol::sqlstate::kFeatureNotSupported,
                   "SUSPEND is not supported: no process takes over another one's connections",
                   "PAUSE waits until no server connection is in use; clients that come during a "
                   "restart wait in the sockets of a systemd unit.");
  }
  const std::string word = after.next();
  return syntax_error(word.empty() ? after.rest() : word, command_hint());
}

std::string help_text() {
  std::string help = "\n\tSHOW HELP\n";
  for (const Table& table : tables()) {
    append(help, "\tSHOW ", upper(table.name), "  (", table.help, ")\n");
  }
  append(help,
         "\tSHOW <table> [WHERE ...] [ORDER BY ...] [LIMIT n]\n"
         "\tSELECT ... over the same tables, with joins and aggregates\n");
  for (const Command& command : kCommands) append(help, "\t", usage(command), "\n");
  return help;
}

}  // namespace admin
