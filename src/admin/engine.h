// Runs the console's statements: SQL on an own thread, commands through Control.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "admin/averages.h"
#include "admin/database.h"
#include "admin/executor.h"
#include "admin/history.h"
#include "admin/result.h"
#include "admin/statement.h"
#include "proxy/control.h"

namespace admin {

// Thread-safe. `done` is called once, on any thread, maybe before the call returns; after close()
// it is dropped uncalled. Callbacks under way may keep an Engine longer than its Control lives:
// close() first.
class Engine : public std::enable_shared_from_this<Engine> {
 public:
  static std::shared_ptr<Engine> create(proxy::Control& control);

  // After this returns Control is not called any more, and the thread has ended (unless it is the
  // caller's own, which then ends with its job).
  void close();

  // What the statement of a kQuery answers.
  void describe(std::string sql, Style style, absl::AnyInvocable<void(Description)> done);
  // kQuery only.
  void run(Query query, absl::AnyInvocable<void(Result)> done);
  struct Asking {
    proxy::ConsoleLogin by;
    std::function<bool()> given_up;
  };
  // Statement::command() only; the caller has checked the right. What becomes of it is logged.
  void command(const Statement& statement, Asking asking, absl::AnyInvocable<void(Result)> done);
  // Who asks has no right to it: that is logged, too.
  protocol::Error deny(const Statement& statement, const std::string& who);

  Averages averages() const;    // of the last minute
  std::string history() const;  // of the last hour: History::json()

 private:
  explicit Engine(proxy::Control& control) : control_(control) {}
  // Unless closed. What Control calls back from inside must not come here again.
  void with_control(absl::FunctionRef<void(proxy::Control&)> use);
  void start();
  void observe(const proxy::Inspection& inspection);

  proxy::Control& control_;
  std::mutex gate_;  // closed_, and every call of control_ that is not from its own callback
  bool closed_ = false;
  mutable std::mutex mutex_;  // averages_, history_
  Averages averages_;
  History history_;
  std::unique_ptr<Executor> executor_;  // last: its thread uses the others
};

// The console, its sessions and the HTTP server own this, and nothing else does: with the last of
// them the Engine stops asking Control, though a callback under way may still hold it.
class EngineOwner {
 public:
  explicit EngineOwner(proxy::Control& control) : engine_(Engine::create(control)) {}
  ~EngineOwner() { engine_->close(); }
  EngineOwner(const EngineOwner&) = delete;
  EngineOwner& operator=(const EngineOwner&) = delete;
  const std::shared_ptr<Engine>& engine() const { return engine_; }

 private:
  const std::shared_ptr<Engine> engine_;
};

}  // namespace admin
