#include "admin/statement.h"

#include <algorithm>
#include <array>
#include <utility>

#include "admin/dialect.h"
#include "admin/host_orders.h"
#include "admin/table.h"
#include "admin/text.h"
#include "proxy/control.h"

namespace admin {
namespace {

// Offset behind the quoted text or comment that starts at `at`, or `at` when none does there.
// SQLite's rules, which are standard SQL's: doubled quotes, comments that do not nest.
std::size_t skip_quoted(std::string_view text, std::size_t at) {
  const char c = text[at];
  std::size_t end = at;
  if (c == '\'' || c == '"' || c == '`') {
    end = text.find(c, at + 1);
  } else if (c == '[') {
    end = text.find(']', at + 1);
  } else if (text.substr(at, 2) == "--") {
    end = text.find('\n', at + 2);
  } else if (text.substr(at, 2) == "/*") {
    end = text.find("*/", at + 2);
    if (end != std::string_view::npos) ++end;
  } else {
    return at;
  }
  return end == std::string_view::npos ? text.size() : end + 1;
}

bool is_comment(std::string_view text, std::size_t at) {
  return text.substr(at, 2) == "--" || text.substr(at, 2) == "/*";
}

// Reads words from the front of a statement.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) { skip_blank(); }

  bool done() const { return text_.empty(); }
  std::string_view rest() const { return text_; }

  // The next word or quoted name, as written; "" at the end or before anything else.
  std::string next() {
    std::string word;
    if (!done() && (text_[0] == '"' || text_[0] == '\'')) {
      word = quoted();
    } else {
      std::size_t size = 0;
      while (size < text_.size() && is_word(text_[size])) ++size;
      word = text_.substr(0, size);
      text_.remove_prefix(size);
    }
    skip_blank();
    return word;
  }
  // All up to the next blank, or a quoted name: as a host's address may be written.
  Word next_plain() {
    const bool quotes = text_.starts_with('"') || text_.starts_with('\'');
    if (quotes) return {.text = next(), .quoted = true};
    std::size_t size = 0;
    while (size < text_.size() && !is_space(text_[size]) && !is_comment(text_, size)) ++size;
    Word word{.text = std::string(text_.substr(0, size)), .quoted = false};
    text_.remove_prefix(size);
    skip_blank();
    return word;
  }
  // Takes the next word when it is `keyword` (upper case), in any case.
  bool take(std::string_view keyword) {
    Words ahead = *this;
    if (done() || !is_word(text_[0]) || !equal_any_case(ahead.next(), keyword)) {
      return false;
    }
    *this = ahead;
    return true;
  }

 private:
  static bool is_word(char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || (c & 0x80) != 0 ||
           c == '_' || c == '.' || c == '-' || c == '$';
  }
  std::string quoted() {
    const char quote = text_[0];
    std::string word;
    std::size_t at = 1;
    for (; at < text_.size(); ++at) {
      if (text_[at] == quote) {
        if (at + 1 >= text_.size() || text_[at + 1] != quote) break;
        ++at;
      }
      word += text_[at];
    }
    text_.remove_prefix(std::min(at + 1, text_.size()));
    return word;
  }
  void skip_blank() {
    while (!text_.empty()) {
      if (is_space(text_[0])) {
        text_.remove_prefix(1);
      } else if (is_comment(text_, 0)) {
        text_.remove_prefix(skip_quoted(text_, 0));
      } else {
        return;
      }
    }
  }
  std::string_view text_;
};

struct Command {
  std::string_view keyword;
  Action action;
  enum class Takes : std::uint8_t { kNothing, kMaybeDatabase, kDatabase, kId } takes;
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
});

// What drivers and psql ask of any server.
constexpr auto kSettings = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"server_version", proxy::kConsoleServerVersion},
    {"server_version_num", "150000"},
    {"server_encoding", "UTF8"},
    {"client_encoding", "UTF8"},
    {"standard_conforming_strings", "on"},
    {"datestyle", "ISO, MDY"},
    {"timezone", "UTC"},
    {"integer_datetimes", "on"},
    {"application_name", ""},
    {"search_path", ""},
    {"transaction_isolation", "read committed"},
    {"default_transaction_isolation", "read committed"},
    {"transaction_read_only", "off"},
    {"default_transaction_read_only", "off"},
    {"in_hot_standby", "off"},
});

// The first `limit` bytes, not cutting a UTF-8 character.
std::string excerpt(std::string_view text, std::size_t limit = 100) {
  if (text.size() <= limit) return std::string(text);
  while (limit > 0 && (text[limit] & 0xc0) == 0x80) --limit;
  return concat(text.substr(0, limit), "...");
}

Statement invalid(std::string_view code, std::string message, std::string hint = "") {
  Statement statement{.action = Action::kInvalid};
  statement.error.code = code;
  statement.error.message = std::move(message);
  statement.error.hint = std::move(hint);
  return statement;
}

Statement syntax_error(std::string_view near, std::string hint = "") {
  if (near.empty()) {
    return invalid(protocol::sqlstate::kSyntaxError, "syntax error at end of input",
                   std::move(hint));
  }
  return invalid(protocol::sqlstate::kSyntaxError,
                 concat("syntax error at or near \"", excerpt(near), "\""), std::move(hint));
}

std::string command_hint() {
  std::string hint = "Commands: SHOW <table>, SELECT";
  for (const Command& command : kCommands) append(hint, ", ", command.keyword);
  append(hint, ", ", kHostOrderWords);
  return concat(hint, ", SHUTDOWN. SHOW HELP tells more.");
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
  std::string setting = lower(name);
  if (setting == "transaction" && words.take("ISOLATION") && words.take("LEVEL")) {
    setting = "transaction_isolation";
  }
  for (const auto& [known, value] : kSettings) {
    if (setting == known && words.done()) {
      return {.action = Action::kSetting,
              .argument = std::string(value),
              .name = setting,
              .tag = "SHOW"};
    }
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

std::optional<Statement> parse_host_order(Words words) {
  std::vector<Word> all;
  while (!words.done()) all.push_back(words.next_plain());
  std::optional<ParsedHostOrder> parsed = parse_host_order(all);
  if (!parsed) return std::nullopt;
  if (parsed->is_wrong) return syntax_error(parsed->near, std::move(parsed->hint));
  return Statement{.action = Action::kHostOrder,
                   .tag = std::move(parsed->tag),
                   .order = std::move(parsed->order)};
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
  if (words.take("BEGIN")) return Statement{.action = Action::kBegin, .tag = "BEGIN"};
  if (words.take("START")) {
    if (!words.take("TRANSACTION")) return syntax_error(words.rest());
    return Statement{.action = Action::kBegin, .tag = "START TRANSACTION"};
  }
  if (words.take("COMMIT") || words.take("END")) {
    return Statement{.action = Action::kCommit, .tag = "COMMIT"};
  }
  if (words.take("ROLLBACK") || words.take("ABORT")) {
    return Statement{.action = Action::kRollback, .tag = "ROLLBACK"};
  }
  return std::nullopt;
}

std::optional<Statement> parse_reset(Words words) {
  if (!words.take("RESET") || !words.take("STATEMENTS") || !words.done()) return std::nullopt;
  return Statement{.action = Action::kResetStatements, .tag = "RESET"};
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
  if (words.take("CLOSE")) {
    return Statement{.action = Action::kIgnored,
                     .tag = words.take("ALL") ? "CLOSE CURSOR ALL" : "CLOSE CURSOR"};
  }
  for (std::string_view keyword : {"SET", "RESET", "UNLISTEN"}) {
    if (!words.take(keyword)) continue;
    if (words.done()) return syntax_error("");
    return Statement{.action = Action::kIgnored, .tag = std::string(keyword)};
  }
  return std::nullopt;
}

}  // namespace

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
  if (after.take("SHUTDOWN")) return parse_shutdown(after);
  for (const Command& command : kCommands) {
    if (after.take(command.keyword)) return parse_command(command, after);
  }
  if (auto statement = parse_host_order(words)) return *std::move(statement);
  if (auto statement = parse_transaction(words)) return *std::move(statement);
  if (auto statement = parse_reset(words)) return *std::move(statement);
  if (auto statement = parse_session(words)) return *std::move(statement);
  for (std::string_view keyword : {"SUSPEND", "WAIT_CLOSE"}) {
    if (after.take(keyword)) {
      return invalid(protocol::sqlstate::kFeatureNotSupported, concat(keyword, " is not supported"),
                     "PAUSE waits until no server connection is in use.");
    }
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
         "\tSELECT ... over the same tables, with joins and aggregates\n"
         "\tRELOAD\n"
         "\tPAUSE [<db>]\n"
         "\tRESUME [<db>]\n"
         "\tRECONNECT [<db>]\n"
         "\tDISABLE <db>\n"
         "\tENABLE <db>\n"
         "\tKILL [<db>]\n"
         "\tKILL_CLIENT <client id>\n"
         "\tRESET STATEMENTS\n",
         kHostOrderHelp, "\tSHUTDOWN [WAIT_FOR_CLIENTS|WAIT_FOR_SERVERS]\n");
  return help;
}

}  // namespace admin
