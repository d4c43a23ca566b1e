#include "pool/spread.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace pool {

using base::Time;

Spread::Answer Spread::next(std::uint32_t busy, Time now) {
  if (busy >= limit_) {
    bound_at_ = now;
  } else if (limit_ != kAll && now - bound_at_ >= kForget) {
    forget();
  }
  if (turn_ == kTurns && (now < rest_until_ || busy <= kLeast)) return {.over = limit_};
  if (turn_ == kTurns || now - turn_since_ >= 2 * kTurn) begin_round(now);  // the latter: was away
  if (now - turn_since_ >= kTurn) {
    turn_since_ += kTurn;
    ++turn_;
    if (turn_ == kTurns) {
      end_round(now);
    } else if (turn_ == 1 && other_ == 0 && !choose_other()) {
      end_trial(/*is_better=*/false, now);
    }
    if (turn_ == kTurns) return {.over = limit_};
  }
  busy_max_ = std::max(busy_max_, busy);
  return {.over = tries(turn_) ? other_ : limit_,
          .turn = counts(turn_) ? round_ << 1 | static_cast<std::uint32_t>(tries(turn_)) : 0};
}

void Spread::answered(std::uint32_t turn, base::Duration took) {
  if (turn >> 1 != round_ || turn_ == kTurns) return;
  Sum& sum = sums_[turn & 1];
  const auto us = static_cast<double>(base::to_us(took));
  sum.us += us;
  ++sum.answers;
  if (late_us_ == 0) return;
  Late& late = late_[turn & 1];
  ++late.answers;
  if (us > late_us_) ++late.late;
}

void Spread::begin_round(Time now) {
  round_ = round_ % (1u << 30) + 1;
  turn_ = 0;
  turn_since_ = now;
  busy_max_ = 0;
  sums_ = {};
}

// False: there is nothing to try in this direction.
bool Spread::choose_other() {
  if (upwards_) {
    if (limit_ == kAll) return false;
    other_ = 2 * limit_;
    return true;
  }
  const std::uint32_t most = std::min(limit_, busy_max_);
  if (most <= kLeast) return false;
  other_ = std::max(kLeast, most / 2);
  return true;
}

void Spread::end_round(Time now) {
  turn_ = kTurns;
  const auto [a, b] = sums_;
  if (a.answers < kAnswersMin || b.answers < kAnswersMin || a.us + b.us == 0) {
    if (++rounds_in_vain_ > kRoundsMin) end_trial(/*is_better=*/false, now);
    return;
  }
  const double under_limit = a.us / a.answers, under_other = b.us / b.answers;
  if (late_us_ == 0) late_us_ = kLate * under_limit;
  const double slower = 2 * (under_other - under_limit) / (under_other + under_limit);
  ++rounds_;
  const double off = slower - mean_;
  mean_ += off / rounds_;
  squares_ += off * (slower - mean_);
  if (rounds_ < kRoundsMin) return;
  const double error = std::sqrt(squares_ / rounds_ / (rounds_ - 1));
  const bool is_sure = std::abs(mean_) > kSure * error;
  const bool is_sooner = is_sure && mean_ < -kWorth, is_later = is_sure && mean_ > kWorth;
  const bool ends = rounds_ == kRoundsMax;
  const Tail tail = this->tail();
  // Back to more servers also where only the late ones are fewer for it.
  const bool is_better = tail == Tail::kShorter ? is_sooner || upwards_
                                                : is_sooner && ends && tail == Tail::kNotLonger;
  if (is_better || ends || is_later || tail == Tail::kLonger) end_trial(is_better, now);
}

// kShorter, kLonger: by more than chance makes of it.
Spread::Tail Spread::tail() const {
  const auto [a, b] = late_;
  if (a.answers == 0 || b.answers == 0) return Tail::kUnknown;
  const double due = a.late * b.answers / a.answers;  // under other_, were it as under limit_
  if (due + b.late < kLateMin) return Tail::kUnknown;
  const double chance = kSure * std::sqrt(due + b.late);
  if (b.late < due - chance) return Tail::kShorter;
  if (b.late > due + chance) return Tail::kLonger;
  return b.late > due ? Tail::kPerhapsLonger : Tail::kNotLonger;
}

// Goes on in a direction as long as it helps. Rests when neither does.
void Spread::end_trial(bool is_better, Time now) {
  turn_ = kTurns;
  if (is_better) {
    limit_ = other_;
    bound_at_ = now;
    rest_ = kRestMin;
    turned_ = false;
  } else {
    upwards_ = !upwards_;
    if (std::exchange(turned_, !turned_)) {
      rest_until_ = now + rest_;
      rest_ = std::min(2 * rest_, kRestMax);
    }
  }
  other_ = 0;
  rounds_ = rounds_in_vain_ = 0;
  mean_ = squares_ = 0;
  late_ = {};
  late_us_ = 0;
}

void Spread::forget() {
  const std::uint32_t round = round_;
  *this = {};
  round_ = round;
}

}  // namespace pool
