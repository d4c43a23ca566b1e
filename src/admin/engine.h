// Runs the console's statements: SQL on an own thread, commands through Control.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "admin/averages.h"
#include "admin/database.h"
#include "admin/executor.h"
#include "admin/result.h"
#include "admin/statement.h"
#include "proxy/control.h"

namespace admin {

// Owned by the console's factory and its sessions, so that it does not outlive them: Control must.
// Thread-safe. `done` is called once, on any thread, maybe before the call returns; it may be
// dropped uncalled when the Engine goes.
class Engine : public std::enable_shared_from_this<Engine> {
 public:
  static std::shared_ptr<Engine> create(proxy::Control& control);

  // What the statement of a kQuery answers.
  void describe(std::string sql, absl::AnyInvocable<void(Description)> done);
  // kQuery only.
  void run(Query query, absl::AnyInvocable<void(Result)> done);
  // Statement::command() only; the caller has checked the right.
  void command(const Statement& statement, absl::AnyInvocable<void(Result)> done);

 private:
  explicit Engine(proxy::Control& control) : control_(control) {}
  void start();
  void observe(const proxy::Inspection& inspection);
  Averages averages();

  proxy::Control& control_;
  std::mutex mutex_;  // averages_
  Averages averages_;
  std::unique_ptr<Executor> executor_;  // last: its thread uses the others
};

}  // namespace admin
