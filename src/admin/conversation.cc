#include "admin/conversation.h"

#include <utility>

#include "admin/meeting.h"
#include "admin/text.h"
#include "protocol/backend.h"

namespace admin {

namespace sqlstate = protocol::sqlstate;
namespace frontend = protocol::frontend;

namespace {

protocol::Error make_error(std::string_view code, std::string message, std::string hint = "") {
  return *failure(code, std::move(message), std::move(hint)).error;
}

protocol::Error warning(std::string_view code, std::string message) {
  protocol::Error warning = make_error(code, std::move(message));
  warning.severity = protocol::Severity::kWarning;
  return warning;
}

void write_result(protocol::Buffer& out, const Result& result,
                  std::span<const std::int16_t> formats) {
  for (const protocol::Error& notice : result.notices) protocol::write_notice(out, notice);
  if (result.error) return protocol::write_error(out, *result.error);
  if (!result.columns.empty()) write_columns(out, result.columns, formats);
  out.append(result.rows.view());
  protocol::write_command_complete(out, result.tag);
}

std::string tag_with_count(const std::string& tag, std::size_t rows) {
  return tag == "SELECT" ? concat("SELECT ", rows) : tag;
}

}  // namespace

bool Conversation::Prepared::typed() const {
  for (const ResultColumn& column : columns) {
    if (!column.type) return false;
  }
  return true;
}

void Conversation::on_message(char type, protocol::Bytes body, proxy::ConsoleReply reply) {
  const auto turn = std::make_shared<Turn>();
  turn->reply = std::move(reply);
  const bool extended = type == frontend::kParse || type == frontend::kBind ||
                        type == frontend::kDescribe || type == frontend::kExecute ||
                        type == frontend::kClose || type == frontend::kFlush;
  if (skipping_ && type != frontend::kSync && type != frontend::kTerminate) return finish(turn);
  if (extended) skipping_ = false;
  switch (type) {  // a byte of the client's
    case frontend::kQuery:
      return on_query(turn, body);
    case frontend::kParse:
      return on_parse(turn, body);
    case frontend::kBind:
      return on_bind(turn, body);
    case frontend::kDescribe:
      return on_describe(turn, body);
    case frontend::kExecute:
      return on_execute(turn, body);
    case frontend::kClose:
      return on_close(turn, body);
    case frontend::kSync:
      return on_sync(turn);
    case frontend::kFlush:
      return finish(turn);  // each reply is sent at once anyway
    case frontend::kTerminate:
      turn->close = true;
      return finish(turn);
    // Left over from a COPY that failed, says PostgreSQL, and ignores them.
    case frontend::kCopyData:
    case frontend::kCopyDone:
    case frontend::kCopyFail:
      return finish(turn);
    case frontend::kFunctionCall:
      protocol::write_error(turn->out, make_error(sqlstate::kFeatureNotSupported,
                                                  "the console has no functions to call"));
      if (status_ == 'T') status_ = 'E';
      protocol::write_ready_for_query(turn->out, status_);
      return finish(turn);
    default:
      break;
  }
  protocol::Error error =
      make_error(sqlstate::kProtocolViolation,
                 concat("invalid frontend message type ", static_cast<unsigned char>(type)));
  error.severity = protocol::Severity::kFatal;
  protocol::write_error(turn->out, error);
  turn->close = true;
  finish(turn);
}

void Conversation::finish(const TurnPtr& turn) { turn->reply(std::move(turn->out), turn->close); }

void Conversation::fail(const TurnPtr& turn, const protocol::Error& error) {
  protocol::write_error(turn->out, error);
  skipping_ = true;
  end_portals();
  if (status_ == 'T') status_ = 'E';
  finish(turn);
}

void Conversation::fail(const TurnPtr& turn, std::string_view code, std::string message) {
  fail(turn, make_error(code, std::move(message)));
}

void Conversation::malformed(const TurnPtr& turn) {
  fail(turn, sqlstate::kProtocolViolation, "invalid message format");
}

// --- simple query ---

void Conversation::on_query(const TurnPtr& turn, protocol::Bytes body) {
  const auto text = protocol::decode_query(body);
  portals_.erase("");
  if (const auto unnamed = statements_.find(""); unnamed != statements_.end()) {
    statement_bytes_ -= unnamed->second->bytes;
    statements_.erase(unnamed);
  }
  if (!text) {
    return end_script(turn, failure(sqlstate::kProtocolViolation, "invalid message format"));
  }
  const std::vector<std::string_view> pieces = split(*text);
  if (pieces.size() > kScriptMax) {
    return end_script(turn, failure(sqlstate::kProgramLimitExceeded, "too many statements"));
  }
  for (std::string_view piece : pieces) turn->script.push_back(parse(piece));
  if (pieces.empty()) protocol::write_empty_query(turn->out);
  run_script(turn);
}

void Conversation::run_script(const TurnPtr& turn) {
  const auto self = shared_from_this();
  while (turn->next < turn->script.size()) {
    const Statement& statement = turn->script[turn->next++];
    auto result = meet<Result>(
        [&](Done done) {
          execute(statement, {.sql = statement.sql, .style = statement.style()}, std::move(done));
        },
        [self, turn](Result late) {
          if (self->take_script_result(turn, late)) self->run_script(turn);
        });
    if (!result || !take_script_result(turn, *result)) return;
  }
  if (status_ == 'I') end_portals();
  protocol::write_ready_for_query(turn->out, status_);
  finish(turn);
}

bool Conversation::take_script_result(const TurnPtr& turn, const Result& result) {
  if (result.error) {
    end_script(turn, result);
    return false;
  }
  write_result(turn->out, result, {});
  return true;
}

void Conversation::end_script(const TurnPtr& turn, const Result& result) {
  write_result(turn->out, result, {});
  end_portals();
  if (status_ == 'T') status_ = 'E';
  protocol::write_ready_for_query(turn->out, status_);
  finish(turn);
}

// --- statements ---

std::optional<protocol::Error> Conversation::not_allowed(const Statement& statement) const {
  if (statement.action == Action::kInvalid) return statement.error;
  if (status_ == 'E' && statement.action != Action::kCommit &&
      statement.action != Action::kRollback && statement.action != Action::kRollbackTo &&
      statement.action != Action::kNone) {
    return make_error(
        sqlstate::kInFailedTransaction,
        "current transaction is aborted, commands ignored until end of transaction block");
  }
  if (!statement.command() || login_.may_command) return std::nullopt;
  return engine_->deny(statement, login_.who);
}

void Conversation::execute(const Statement& statement, Query query, Done done) {
  if (*gone_) return;
  Result refused;
  refused.error = not_allowed(statement);
  if (refused.error) return done(std::move(refused));
  if (statement.command()) {
    auto given_up = [gone = gone_, cancels = cancels_, before = cancels_->load()] {
      return *gone || *cancels != before;
    };
    return engine_->command(statement, {.by = login_, .given_up = std::move(given_up)},
                            std::move(done));
  }
  if (statement.action == Action::kDeclare) {
    return declare(statement, std::move(query), std::move(done));
  }
  if (statement.action != Action::kQuery) return done(execute_here(statement));
  engine_->run(std::move(query),
               [done = std::move(done), tag = statement.tag](Result result) mutable {
                 result.tag = tag_with_count(tag, result.row_ends.size());
                 done(std::move(result));
               });
}

Result Conversation::execute_here(const Statement& statement) {
  Result result;
  result.tag = statement.tag;
  switch (statement.action) {
    case Action::kHelp:
      result.notices.push_back(make_error("00000", "Console usage"));
      result.notices.back().severity = protocol::Severity::kNotice;
      result.notices.back().detail = help_text();
      break;
    case Action::kSetting: {
      result.columns.push_back({.name = statement.name, .type = Type::kText});
      const std::vector<Value> row = {statement.argument};
      std::size_t column = 0;
      write_row(result.rows, result.columns, {}, row, column);
      result.row_ends.push_back(result.rows.size());
      break;
    }
    case Action::kBegin:
    case Action::kCommit:
    case Action::kRollback:
    case Action::kSavepoint:
    case Action::kRollbackTo:
      return change_transaction(statement);
    case Action::kDeallocate:
      if (statement.tag != "DEALLOCATE") {
        statements_.clear();
        statement_bytes_ = 0;
      } else if (const auto at = statements_.find(statement.argument); at != statements_.end()) {
        statement_bytes_ -= at->second->bytes;
        statements_.erase(at);
      } else {
        return failure(sqlstate::kInvalidStatementName,
                       concat("prepared statement \"", statement.argument, "\" does not exist"));
      }
      break;
    case Action::kFetch:
      return fetch(statement);
    case Action::kCloseCursor:
      return close_cursor(statement);
    case Action::kNone:
    case Action::kIgnored:
      break;
    case Action::kInvalid:
    case Action::kQuery:
    case Action::kDeclare:
    case Action::kSet:
    case Action::kReload:
    case Action::kPause:
    case Action::kResume:
    case Action::kReconnect:
    case Action::kWaitClose:
    case Action::kDisable:
    case Action::kEnable:
    case Action::kKill:
    case Action::kKillClient:
    case Action::kResetStatements:
    case Action::kHostOrder:
    case Action::kUpgrade:
    case Action::kShutdownNow:
    case Action::kShutdownDrain:
      return failure(sqlstate::kInternalError, "not a statement of the session");
  }
  return result;
}

// Nothing is transactional here; drivers still expect the status to follow.
Result Conversation::change_transaction(const Statement& statement) {
  Result result;
  result.tag = statement.tag;
  if (statement.action == Action::kBegin) {
    if (status_ == 'T') {
      result.notices.push_back(warning("25001", "there is already a transaction in progress"));
    }
    status_ = 'T';
    return result;
  }
  if (statement.action == Action::kSavepoint || statement.action == Action::kRollbackTo) {
    if (status_ == 'I') {
      return failure("25P01",
                     concat(statement.tag == "ROLLBACK" ? "ROLLBACK TO SAVEPOINT" : statement.tag,
                            " can only be used in transaction blocks"));
    }
    status_ = 'T';
    return result;
  }
  if (status_ == 'I') {
    result.notices.push_back(
        warning(sqlstate::kNoActiveTransaction, "there is no transaction in progress"));
  }
  if (status_ == 'E') result.tag = "ROLLBACK";
  status_ = 'I';
  return result;
}

std::size_t Conversation::portal_bytes() const {
  std::size_t bytes = 0;
  for (const auto& [name, portal] : portals_) {
    if (portal.result) bytes += portal.result->rows.capacity();
  }
  return bytes;
}

}  // namespace admin
