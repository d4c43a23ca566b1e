// One client's conversation with the console: the simple and the extended protocol.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "admin/engine.h"
#include "admin/result.h"
#include "admin/statement.h"
#include "protocol/frontend.h"
#include "proxy/control.h"

namespace admin {

// Fed one message at a time (see proxy::ConsoleSession). Owned by shared_ptr: whatever is under
// way keeps it alive. Not locked: the next message comes only after the reply to the last.
class Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(std::shared_ptr<Engine> engine, proxy::ConsoleLogin login)
      : engine_(std::move(engine)), login_(std::move(login)) {}

  void on_message(char type, protocol::Bytes body, proxy::ConsoleReply reply);
  // The client is gone: what it asked for and has not begun yet is not done any more. Thread-safe.
  void leave() { *gone_ = true; }
  // What waits is given up. Thread-safe.
  void cancel() { ++*cancels_; }

  // Limits of one session; 54000 beyond.
  static constexpr std::size_t kStatementsMax = 200;
  static constexpr std::size_t kStatementBytesMax = 8u << 20;  // texts, all together
  static constexpr std::size_t kPortalsMax = 64;
  static constexpr std::size_t kPortalBytesMax = 128u << 20;  // results, all together
  static constexpr std::size_t kScriptMax = 1000;             // statements in one simple query

 private:
  struct Prepared {
    Statement statement;
    std::vector<std::uint32_t> parameters;  // OIDs
    std::vector<ResultColumn> columns;      // kQuery, kSetting
    std::size_t bytes = 0;                  // of its text
    bool typed() const;                     // no column's type is open
  };
  struct Portal {
    std::shared_ptr<Prepared> prepared;
    std::vector<Value> parameters;
    std::vector<std::int16_t> formats;
    std::optional<Result> result;  // once described or executed
    std::size_t next = 0;          // row to send
    bool cursor = false;           // of DECLARE; with a result
    bool holds = false;            // longer than its transaction
    std::int64_t position = 0;     // of a cursor
  };
  // What is under way for one message.
  struct Turn {
    proxy::ConsoleReply reply;
    protocol::Buffer out;
    bool close = false;
    std::vector<Statement> script;  // a simple query's
    std::size_t next = 0;
  };
  using TurnPtr = std::shared_ptr<Turn>;
  using Done = absl::AnyInvocable<void(Result)>;

  // The messages. Each ends with finish() now or later.
  void on_query(const TurnPtr& turn, protocol::Bytes body);
  void on_parse(const TurnPtr& turn, protocol::Bytes body);
  void on_bind(const TurnPtr& turn, protocol::Bytes body);
  void on_describe(const TurnPtr& turn, protocol::Bytes body);
  void on_execute(const TurnPtr& turn, protocol::Bytes body);
  void on_close(const TurnPtr& turn, protocol::Bytes body);
  void on_sync(const TurnPtr& turn);

  void run_script(const TurnPtr& turn);
  bool take_script_result(const TurnPtr& turn, const Result& result);  // false: ended
  void end_script(const TurnPtr& turn, const Result& result);
  void add_prepared(const TurnPtr& turn, const std::string& name,
                    std::shared_ptr<Prepared> prepared);
  void describe_statement(const TurnPtr& turn, std::string_view name);
  void write_statement(const TurnPtr& turn, const Prepared& prepared);
  void describe_portal(const TurnPtr& turn, const std::string& name);
  void send_rows(const TurnPtr& turn, const std::string& name, std::uint32_t max_rows);

  // Runs a statement: here, or by the Engine. When the client is gone `done` is dropped.
  void execute(const Statement& statement, Query query, Done done);
  Result execute_here(const Statement& statement);
  Result change_transaction(const Statement& statement);
  std::optional<protocol::Error> not_declarable(const Statement& statement) const;
  void declare(const Statement& statement, Query query, Done done);
  Result fetch(const Statement& statement);
  Result close_cursor(const Statement& statement);
  void end_portals();  // with their transaction
  // Runs the portal unless it has a result already, then `next`; an error ends the turn.
  void need_result(const TurnPtr& turn, const std::string& name, absl::AnyInvocable<void()> next);
  std::optional<protocol::Error> not_allowed(const Statement& statement) const;
  void fail(const TurnPtr& turn, const protocol::Error& error);  // extended: skip until Sync
  void fail(const TurnPtr& turn, std::string_view code, std::string message);
  void malformed(const TurnPtr& turn);
  void finish(const TurnPtr& turn);
  std::size_t portal_bytes() const;

  const std::shared_ptr<Engine> engine_;
  const proxy::ConsoleLogin login_;
  // Shared with what waits, which may outlive this.
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<std::atomic<int>> cancels_ = std::make_shared<std::atomic<int>>(0);

  char status_ = 'I';      // of ReadyForQuery
  bool skipping_ = false;  // until Sync, after an error
  std::map<std::string, std::shared_ptr<Prepared>, std::less<>> statements_;
  std::map<std::string, Portal, std::less<>> portals_;
  std::size_t statement_bytes_ = 0;
};

}  // namespace admin
