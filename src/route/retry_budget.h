// How many reads may be run again after a failure: a share of those that are sent, so that what the
// others have to do when a replica fails grows by that share at most.
#pragma once

#include <algorithm>

namespace route {

// Of one worker. A bucket of tokens: each read that is sent adds `share` of one, a retry takes one.
// A full bucket lets what was in flight on a replica run again when that dies, and a little is
// added with time, so that a worker with few reads can retry them. (Finagle's RetryBudget.)
class RetryBudget {
 public:
  static constexpr double kMost = 1000, kPerTick = 1;

  void on_read(double share) { tokens_ = std::min(kMost, tokens_ + share); }
  void on_tick() { tokens_ = std::min(kMost, tokens_ + kPerTick); }
  bool take() {
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double tokens_ = kMost;
};

}  // namespace route
