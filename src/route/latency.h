// What is remembered of how fast a host replies.
#pragma once

#include "base/time.h"

namespace route {

// Two averages, in microseconds; 0 = not measured.
struct Latency {
  double peak = 0;
  double typical = 0;
};

// Averages forget by e in this time. Long enough that a replica that is twenty times slower gets
// a read every six seconds, short enough that one long query costs its replica few of the others.
inline constexpr base::Duration kLatencyMemory = base::seconds(2);

// An average that no reply has confirmed for so long.
double faded(double average, base::Duration unconfirmed);

// The averages after a reply that took `sample` us, `elapsed` after the one before.
//
// peak: "peak EWMA" (Finagle): a slower reply counts in full at once, faster ones take it back with
//   time. Sees every kind of slowness, also of a long query.
// typical: rises with the number of slower replies, each of which counts as at most kOutlier times
//   the average, and falls with time or their number, whichever is faster. Sees a host that is
//   slow to answer all, and not that a few queries are long; nor that a host has only begun: the
//   first reply counts as at most kFirstMostUs, for its server had to load what it knows.
Latency after_reply(Latency before, double sample, base::Duration elapsed);
inline constexpr double kOutlier = 8, kFirstMostUs = 1000;

}  // namespace route
