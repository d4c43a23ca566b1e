// Rates of each database over about the last minute, from successive inspections.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"
#include "proxy/inspect.h"

namespace admin {

// Pure: observe() every inspection that is at hand, and at least one every kSpacing; ask of() for
// the averages of an inspection taken later. Thread rule: the caller serialises.
class Averages {
 public:
  static constexpr base::Duration kPeriod = base::seconds(60);   // PgBouncer's stats_period
  static constexpr base::Duration kSpacing = base::seconds(10);  // between two kept samples

  void observe(const proxy::Inspection& inspection);

  // As PgBouncer: counts and bytes per second; xact_time per transaction, query_time per query,
  // wait_time per server assignment. `now` is the database's row of an inspection taken at `at`.
  proxy::Stats of(std::string_view database, const proxy::Stats& now, base::Time at) const;

 private:
  struct Sample {
    base::Time at{};
    std::map<std::string, proxy::Stats, std::less<>> databases;
  };
  std::deque<std::shared_ptr<const Sample>>
      samples_;  // oldest first; the second oldest is younger than kPeriod
};

}  // namespace admin
