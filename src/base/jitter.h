// Times that many have in common, taken apart so that what follows does not come all at once.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace base {

// `time` less a part of it, at most `share` (0..1), which differs from id to id and is spread
// evenly over consecutive ones.
inline Duration jittered(Duration time, double share, std::uint64_t id) {
  const double part = static_cast<double>(id * 0x9E3779B97F4A7C15u >> 40) / (1u << 24);
  return time - std::chrono::duration_cast<Duration>(time * (share * part));
}

}  // namespace base
