// Keeps reads away from a replica that answers its monitor and yet fails those who ask it: closed,
// open, half-open. Pure: fed counts, refusals and times. Thread rule: as Tracker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/time.h"
#include "config/config.h"

namespace cluster {

// What all workers have met on a host, counted up. A request that was answered, even in an error of
// its own, counts as answered. Failed: its connection was lost under it, or the error tells of the
// host (its disk is full, its files cannot be read). What waited in vain, never sent, is neither.
struct Traffic {
  std::uint64_t answered = 0, failed = 0;
  std::uint32_t failed_in_row = 0;  // since the latest answer
};

// Closed: it reads. It opens
// - when a worker could not connect again, within kAgain, though the monitor had had an answer in
//   between and nobody else had: the first time the host is down at once, until that answer,
// - after breaker_failures in a row,
// - when of at least kLeast requests in the last kWindow the share breaker_error_rate has failed.
// Open: no reads, for a random time between kPauseMin and a bound ("full jitter", Brooker 2015), so
// that several proxies do not come back together. The bound is breaker_pause, and doubles, up to
// breaker_pause_max, each time that it opens again without having closed.
// Half-open: a read now and then, one at a time (the balancer sees to that), is the probe. Another
// failure opens it again, kProofs answers close it.
class Breaker {
 public:
  enum class State : std::uint8_t { kClosed, kOpen, kHalfOpen };
  static constexpr base::Duration kBucket = base::seconds(1);
  static constexpr std::size_t kBuckets = 10;
  static constexpr base::Duration kWindow = kBuckets * kBucket;
  static constexpr std::uint64_t kLeast = 20;
  static constexpr std::uint64_t kProofs = 3;
  static constexpr base::Duration kAgain = base::seconds(5);
  static constexpr base::Duration kPauseMin = base::milliseconds(100);

  // total: as counted so far. random: 0..1, each time another. Counts that are lower than the last
  // ones began anew.
  void on_traffic(const Traffic& total, base::Time now, double random,
                  const config::Routing& limits);
  // A worker could not connect to a host that was thought to be well. While the breaker is open
  // that tells nothing new.
  void on_refusal(base::Time now, double random, const config::Routing& limits);

  State state() const { return state_; }
  // Why no reads, or few; "" when it is closed.
  std::string why(base::Time now) const;

 private:
  struct Bucket {
    std::uint64_t answered = 0, failed = 0;
  };
  void open(std::string cause, base::Time now, double random, const config::Routing& limits);
  void count(std::uint64_t answered, std::uint64_t failed, base::Time now);
  Bucket in_window() const;

  State state_ = State::kClosed;
  std::string cause_;
  base::Time until_{};        // kOpen
  std::uint32_t opened_ = 0;  // times, since it was closed
  std::uint64_t proofs_ = 0;  // kHalfOpen
  Traffic last_;
  base::Time refused_{};  // the latest refusal that no answer has followed; {} = none
  std::array<Bucket, kBuckets> buckets_{};
  std::int64_t newest_ = 0;  // the time of the newest bucket, in buckets
};

const char* breaker_name(Breaker::State state);  // "closed", "open", "half-open"

}  // namespace cluster
