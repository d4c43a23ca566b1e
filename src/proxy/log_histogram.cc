#include "proxy/log_histogram.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace proxy {
namespace {

constexpr std::uint64_t kCountMax = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kTimeMax = std::numeric_limits<std::uint32_t>::max();

struct Bounds {
  double from, width;
};

// Below 8 us each has a bucket of its own.
std::size_t bucket_of(std::uint64_t us) {
  us = std::min(us, kTimeMax);
  if (us < 8) return static_cast<std::size_t>(us);
  const auto shift = static_cast<unsigned>(std::bit_width(us)) - 3;
  return shift * 4 + static_cast<std::size_t>(us >> shift);
}

Bounds bounds_of(std::size_t bucket) {
  if (bucket < 8) return {static_cast<double>(bucket), 1};
  const auto shift = bucket / 4 - 1;
  const auto width = std::uint64_t{1} << shift;
  return {static_cast<double>((bucket % 4 + 4) * width), static_cast<double>(width)};
}

}  // namespace

void LogHistogram::add(std::uint64_t us) {
  std::uint32_t& count = counts_[bucket_of(us)];
  if (count == kCountMax) {
    for (std::uint32_t& each : counts_) each /= 2;
  }
  ++count;
}

double LogHistogram::quantile(double share) const {
  std::uint64_t total = 0;
  for (const auto count : counts_) total += count;
  const double rank = share * static_cast<double>(total);
  double before = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    const auto count = static_cast<double>(counts_[i]);
    if (count == 0 || before + count < rank) {
      before += count;
      continue;
    }
    const Bounds bounds = bounds_of(i);
    return bounds.from + bounds.width * (rank - before) / count;
  }
  return 0;
}

LogHistogram& LogHistogram::operator+=(const LogHistogram& other) {
  std::array<std::uint64_t, kBuckets> sums{};
  for (std::size_t i = 0; i < kBuckets; ++i) sums[i] = std::uint64_t{counts_[i]} + other.counts_[i];
  const bool halve = *std::ranges::max_element(sums) > kCountMax;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    counts_[i] = static_cast<std::uint32_t>(sums[i] / (halve ? 2 : 1));
  }
  return *this;
}

}  // namespace proxy
