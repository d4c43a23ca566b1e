// One thread that runs the console's SQL, so that no event loop ever does.
#pragma once

#include <memory>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "base/time.h"

namespace admin {

// Jobs run one after another, in order. Thread-safe.
class Executor {
 public:
  using Job = absl::AnyInvocable<void()>;

  // tick is called on the thread, first at once and then every `interval`.
  Executor(base::Duration interval, Job tick);
  ~Executor() { stop(); }
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void post(Job job);  // dropped after stop()
  // Finishes the job under way, drops the others, ends the thread. May be called by a job. Not
  // by two threads at once.
  void stop();

 private:
  struct Shared;
  static void work(const std::shared_ptr<Shared>& shared, base::Duration interval, Job tick);

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace admin
