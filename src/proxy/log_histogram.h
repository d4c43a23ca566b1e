// Times in buckets that are the wider the longer: four to each doubling, so that any quantile is
// known to an eighth, from 1 us to 71 min.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace proxy {

class LogHistogram {
 public:
  void add(std::uint64_t us);
  // In microseconds, by what lies between a bucket's bounds evenly spread; 0 while it is empty.
  double quantile(double share) const;
  LogHistogram& operator+=(const LogHistogram& other);

 private:
  static constexpr std::size_t kBuckets = 124;
  // Half as wide as their sums need: when one is full all are halved, which leaves the quantiles.
  std::array<std::uint32_t, kBuckets> counts_{};
};

}  // namespace proxy
