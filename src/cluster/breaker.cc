#include "cluster/breaker.h"

#include <algorithm>
#include <utility>

namespace cluster {

using base::Duration;
using base::Time;

void Breaker::on_traffic(const Traffic& total, Time now, double random,
                         const config::Routing& limits) {
  const bool anew = total.answered < last_.answered || total.failed < last_.failed;
  const std::uint64_t answered = total.answered - (anew ? 0 : last_.answered);
  const std::uint64_t failed = total.failed - (anew ? 0 : last_.failed);
  last_ = total;
  switch (state_) {
    case State::kOpen:  // what still ends was begun before
      if (now < until_) return;
      state_ = State::kHalfOpen;
      proofs_ = 0;
      return;
    case State::kHalfOpen:
      if (failed != 0) return open("the probe failed", now, random, limits);
      proofs_ += answered;
      if (proofs_ < kProofs) return;
      state_ = State::kClosed;
      opened_ = 0;
      buckets_ = {};
      return;
    case State::kClosed:
      break;
  }
  if (answered != 0) refused_ = {};
  count(answered, failed, now);
  if (failed == 0) return;
  if (limits.breaker_failures != 0 && total.failed_in_row >= limits.breaker_failures) {
    return open(std::to_string(total.failed_in_row) + " requests in a row failed", now, random,
                limits);
  }
  const Bucket sum = in_window();
  const auto requests = static_cast<double>(sum.answered + sum.failed);
  const bool many = static_cast<double>(sum.failed) >= limits.breaker_error_rate * requests;
  if (limits.breaker_error_rate > 0 && sum.answered + sum.failed >= kLeast && many) {
    open(std::to_string(sum.failed) + " of " + std::to_string(sum.answered + sum.failed) +
             " requests failed",
         now, random, limits);
  }
}

void Breaker::on_refusal(Time now, double random, const config::Routing& limits) {
  if (state_ == State::kOpen || limits.breaker_failures == 0) return;
  const bool again = refused_ != Time{} && now - refused_ <= kAgain;
  refused_ = now;
  if (!again && state_ == State::kClosed) return;
  open("it could not be connected to", now, random, limits);
}

void Breaker::open(std::string cause, Time now, double random, const config::Routing& limits) {
  constexpr std::uint32_t kDoublings = 20;
  const std::uint32_t doubled = std::min(opened_, kDoublings);
  const Duration bound = std::min<Duration>(limits.breaker_pause_max,
                                            limits.breaker_pause * (std::int64_t{1} << doubled));
  const auto pause = std::chrono::duration_cast<Duration>(bound * random);
  state_ = State::kOpen;
  cause_ = std::move(cause);
  until_ = now + std::max(pause, kPauseMin);
  opened_ += opened_ == kDoublings ? 0 : 1;
  buckets_ = {};
}

void Breaker::count(std::uint64_t answered, std::uint64_t failed, Time now) {
  const std::int64_t at = now.time_since_epoch() / kBucket;
  const auto passed = static_cast<std::size_t>(
      std::clamp<std::int64_t>(at - newest_, 0, static_cast<std::int64_t>(kBuckets)));
  for (std::size_t i = 0; i < passed; ++i) {
    buckets_[static_cast<std::size_t>(at - static_cast<std::int64_t>(i)) % kBuckets] = {};
  }
  newest_ = std::max(newest_, at);
  Bucket& bucket = buckets_[static_cast<std::size_t>(newest_) % kBuckets];
  bucket.answered += answered;
  bucket.failed += failed;
}

Breaker::Bucket Breaker::in_window() const {
  Bucket sum;
  for (const Bucket& bucket : buckets_) {
    sum.answered += bucket.answered;
    sum.failed += bucket.failed;
  }
  return sum;
}

std::string Breaker::why(Time now) const {
  switch (state_) {
    case State::kClosed:
      return "";
    case State::kOpen:
      return "breaker open for " +
             std::to_string(std::max<std::int64_t>(0, base::to_ms(until_ - now))) +
             " ms: " + cause_;
    case State::kHalfOpen:
      return "breaker half-open, a probe at a time: " + cause_;
  }
  return "";
}

const char* breaker_name(Breaker::State state) {
  switch (state) {
    case Breaker::State::kClosed:
      return "closed";
    case Breaker::State::kOpen:
      return "open";
    case Breaker::State::kHalfOpen:
      return "half-open";
  }
  return "";
}

}  // namespace cluster
