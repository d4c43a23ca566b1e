// Asks hosts which locks the backends of sessions hold, and who waits for them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "proxy/libpq_connection.h"

namespace proxy {

// One thread, which asks one host after the other. Any thread may ask.
class LockReader {
 public:
  // Of one host, in one database: there its relations have names.
  struct Question {
    ServerLogin login;
    std::vector<std::uint32_t> pids;
  };
  struct Lock {
    std::uint32_t pid = 0;
    // As pg_locks has them. object: a relation's name with its schema, an advisory lock's key or
    // keys ("1, 2"), a transaction's number.
    std::string type, object, mode;
    bool granted = false;
    std::uint32_t waiting = 0;  // backends that wait for this one, for whatever it holds
  };
  using Answer = absl::StatusOr<std::vector<Lock>>;
  // An answer for each question, in order; on the reader's thread, or kResourceExhausted at once
  // where too many wait.
  using Done = absl::AnyInvocable<void(std::vector<Answer>)>;

  static constexpr base::milliseconds kTimeout{1'000};  // of all questions that are asked together
  static constexpr std::size_t kWaitingMax = 16;
  static constexpr int kLocksMax = 10'000;  // of one question

  ~LockReader();  // drops what waits
  void ask(std::vector<Question> questions, Done done);

 private:
  struct Request {
    std::vector<Question> questions;
    Done done;
  };
  void run();
  Answer read(const Question& question, base::Time deadline) const;

  StopSignal stop_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Request> waiting_;
  std::thread thread_;  // from the first question on
};

}  // namespace proxy
