// The project's time types. Pure code is given a Time; only net/ reads a clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace base {

using Time = std::chrono::steady_clock::time_point;  // monotonic: for waits, lag, deadlines
using Duration = std::chrono::steady_clock::duration;
using WallTime = std::chrono::system_clock::time_point;  // only to show people
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline std::int64_t to_ms(Duration d) {
  return std::chrono::duration_cast<milliseconds>(d).count();
}
inline std::int64_t to_us(Duration d) {
  return std::chrono::duration_cast<microseconds>(d).count();
}

}  // namespace base
