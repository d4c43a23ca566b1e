// What the dashboard's charts are drawn of: one point in time after another.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "base/time.h"
#include "proxy/inspect.h"

namespace admin {

// One point, a JSON object: totals since start (see docs/api.md), at most kPointHosts hosts.
inline constexpr std::size_t kPointHosts = 32;
std::string point_json(const proxy::Inspection& inspection);

// Points of the last hour. Pure: observe() every inspection that is at hand. Thread rule: the
// caller serialises.
class History {
 public:
  // A little less than the 10 s between two inspections, which come a little early or late.
  static constexpr base::Duration kSpacing = base::seconds(9);
  static constexpr std::size_t kPoints = 360;

  void observe(const proxy::Inspection& inspection);
  // {"points": [...]}, oldest first.
  std::string json() const;

 private:
  base::Time latest_{};
  std::deque<std::string> points_;
};

}  // namespace admin
