// When a database's catalog is read after its definitions have changed: at once, unless one change
// comes upon the other, or reading would cost the primary more than its share of the time.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/time.h"

namespace proxy {

// Fed with times. One thread.
//
// Readings may take a tenth of the time, and what has been left of that lately at once: so a
// definition now and then is read behind at its own pace, however short the pauses are. A reading
// that was outdated before it ended tells of a migration. Then the next one waits for a pause as
// long as a reading takes, which a migration of thousands of statements has at its end.
class ReadingPace {
 public:
  static constexpr int kShare = 10;                 // one part in so many is for readings
  static constexpr std::chrono::seconds kSaved{1};  // of reading, at most
  static constexpr std::chrono::milliseconds kPauseMin{10};

  enum class Outcome { kCurrent, kOutdated };

  void began(base::Time now) { began_ = now; }
  void ended(base::Time now, Outcome outcome) {
    took_ = now - began_;
    const auto earned = (now - as_of_) / kShare;
    saved_ = as_of_ == base::Time{} ? base::Duration(kSaved)
                                    : std::min<base::Duration>(kSaved, saved_ + earned);
    saved_ -= took_;
    as_of_ = now;
    in_migration_ = outcome == Outcome::kOutdated;
  }

  // The next reading, if definitions change now, and then no more.
  base::Time after_change(base::Time now) const {
    const auto pause = std::max<base::Duration>(kPauseMin, took_);
    const base::Time at = in_migration_ ? std::min(now + pause, began_ + kShare * pause) : now;
    return std::max(at, allowed());
  }

  // No reading before, whatever it is for.
  base::Time allowed() const { return as_of_ + kShare * std::max<base::Duration>(-saved_, {}); }

 private:
  base::Time began_{}, as_of_{};
  base::Duration took_{}, saved_{kSaved};
  bool in_migration_ = false;
};

}  // namespace proxy
