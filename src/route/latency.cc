#include "route/latency.h"

#include <algorithm>
#include <cmath>

namespace route {
namespace {

constexpr double kTypicalStep = 1.0 / 64;  // of one reply

double kept(base::Duration elapsed) {
  if (elapsed <= base::Duration::zero()) return 1;  // workers do not read the clock together
  return std::exp(-static_cast<double>(elapsed.count()) /
                  static_cast<double>(kLatencyMemory.count()));
}

}  // namespace

double faded(double average, base::Duration unconfirmed) { return average * kept(unconfirmed); }

Latency after_reply(Latency before, double sample, base::Duration elapsed) {
  sample = std::max(sample, 1.0);  // 0 would mean that it was not measured
  if (before.typical == 0) return {.peak = sample, .typical = std::min(sample, kFirstMostUs)};
  const double keep = kept(elapsed);
  Latency after = before;
  after.peak = std::max(sample, sample + (before.peak - sample) * keep);
  const double counts = std::min(sample, before.typical * kOutlier);
  const double step = counts > before.typical ? kTypicalStep : std::max(kTypicalStep, 1 - keep);
  after.typical += (counts - before.typical) * step;
  return after;
}

}  // namespace route
