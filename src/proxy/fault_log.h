// The latest things that went wrong, and changed: what the console shows as faults.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "proxy/inspect.h"

namespace proxy {

// Thread-safe; for what happens seldom. What happens again is counted, if nothing much came
// between, so that one thing that goes wrong all the time does not push out all else.
class FaultLog {
 public:
  static constexpr std::size_t kMax = 1000;
  static constexpr std::size_t kLookedAt = 50;  // latest ones that a new one may be a repetition of
  static constexpr std::size_t kTextMax = 1000;

  // kind: of a fixed few words. subject: who or what it is about.
  void add(Fault::Severity severity, const char* kind, std::string_view subject,
           std::string_view what, base::WallTime now = std::chrono::system_clock::now());

  std::vector<Fault> list() const;  // oldest first, by when each began

 private:
  mutable std::mutex mutex_;
  std::deque<Fault> faults_;
};

}  // namespace proxy
