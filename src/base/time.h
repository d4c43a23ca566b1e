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

// What the clock on the wall showed at `then`; {} of {}.
inline WallTime wall_time(Time then, Time now) {
  if (then == Time{}) return {};
  return std::chrono::system_clock::now() -
         std::chrono::duration_cast<WallTime::duration>(now - then);
}
inline std::int64_t to_ms(Duration d) {
  return std::chrono::duration_cast<milliseconds>(d).count();
}
inline std::int64_t to_us(Duration d) {
  return std::chrono::duration_cast<microseconds>(d).count();
}

}  // namespace base
