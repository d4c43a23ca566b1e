// Over how many busy servers short reads are spread before they are sent behind one another, even
// if others are idle. A host whose cores are all busy answers no more reads through twenty
// connections than through four, and each of them later. How many that is depends on the host and
// on whatever else it does, so it is found by trial: two limits take turns, for some milliseconds
// each, and the one under which reads are answered sooner stays, if no more of them are late. Of
// one worker's pool on one host.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "base/time.h"

namespace pool {

class Spread {
 public:
  static constexpr std::uint32_t kAll = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::uint32_t kLeast = 4;  // servers
  static constexpr base::milliseconds kTurn{8};
  // Between trials: each that changes nothing doubles it.
  static constexpr base::milliseconds kRestMin{250}, kRestMax{32'000};
  // A limit that kept no read from a server of its own for so long is none any more.
  static constexpr base::milliseconds kForget{2000};

  // Whether a short read that comes while so many servers are busy is to be told of.
  bool concerns(std::uint32_t busy, base::Time now) const {
    return busy >= limit_ || (busy > kLeast && now >= rest_until_);
  }
  struct Answer {
    std::uint32_t over = kAll;  // while so many are busy it is better sent behind another one
    std::uint32_t turn = 0;     // for answered(); 0 = nobody wants to know
  };
  Answer next(std::uint32_t busy, base::Time now);
  void answered(std::uint32_t turn, base::Duration took);  // since it came

  std::uint32_t limit() const { return limit_; }  // the one that has proved best; kAll = none

 private:
  // A round: A B B A, so that what changes meanwhile counts for both, with a turn before each
  // change in which nothing counts, for the other limit is still felt there, and one behind it all.
  static constexpr std::uint32_t kTurns = 8;
  static bool counts(std::uint32_t turn) {
    return turn == 1 || turn == 3 || turn == 4 || turn == 6;
  }
  static bool tries(std::uint32_t turn) { return turn >= 2 && turn <= 4; }
  static constexpr std::uint32_t kAnswersMin = 24;  // under each limit
  static constexpr std::uint32_t kRoundsMin = 4, kRoundsMax = 24;
  static constexpr double kSure = 3;      // standard errors
  static constexpr double kWorth = 0.02;  // of the time that reads take
  static constexpr double kLate = 2;      // times as long as a read takes under limit_
  static constexpr std::uint32_t kLateMin = 16;

  // Of the late ones among those under other_, compared with those under limit_.
  enum class Tail : std::uint8_t { kUnknown, kShorter, kNotLonger, kPerhapsLonger, kLonger };
  Tail tail() const;

  void begin_round(base::Time now);
  void end_round(base::Time now);
  bool choose_other();
  void end_trial(bool is_better, base::Time now);
  void forget();

  std::uint32_t limit_ = kAll, other_ = 0;  // other_: on trial, 0 = none yet
  bool upwards_ = false;                    // the direction of trials
  bool turned_ = false;                     // the last one, in the other direction, was in vain
  base::Time rest_until_{}, bound_at_{};
  base::milliseconds rest_ = kRestMin;

  std::uint32_t round_ = 0, turn_ = kTurns;  // the turn: kTurns = there is no round
  base::Time turn_since_{};
  std::uint32_t busy_max_ = 0;
  struct Sum {
    double us = 0;
    std::uint32_t answers = 0;
  };
  std::array<Sum, 2> sums_;  // under limit_ and other_
  // Likewise, in this trial's rounds but the first one, which says what is late.
  struct Late {
    double answers = 0, late = 0;
  };
  std::array<Late, 2> late_;
  double late_us_ = 0;  // 0 = not known yet

  // By how much reads take longer under other_, as a part of the time, in this trial's rounds.
  std::uint32_t rounds_ = 0, rounds_in_vain_ = 0;
  double mean_ = 0, squares_ = 0;
};

}  // namespace pool
