// What `weir top` asks the console for, and the tables that it makes of the answers.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "top/layout.h"

namespace top {

struct View {
  char key;
  std::string_view name;
  std::string_view sql;
  std::size_t sorted;  // the column that it is sorted by at first
  bool descending;
};
std::span<const View> views();

// What stands above the view: one statement each.
inline constexpr std::string_view kTotalsSql =
    "SELECT (SELECT items FROM lists WHERE list = 'used_clients') AS clients,"
    " (SELECT sum(cl_active) FROM pools) AS active, (SELECT sum(cl_waiting) FROM pools) AS waiting,"
    " (SELECT sum(open) FROM hosts) AS servers, (SELECT sum(active) FROM hosts) AS busy,"
    " (SELECT sum(total_xact_count) FROM stats) AS transactions,"
    " (SELECT sum(total_query_count) FROM stats) AS queries,"
    " (SELECT sum(errors) FROM route_totals) AS errors,"
    " (SELECT sum(reads_on_replica) FROM route_totals) AS on_replicas,"
    " (SELECT sum(reads_on_primary) FROM route_totals) AS on_primary,"
    " (SELECT sum(writes) FROM route_totals) AS writes,"
    " (SELECT count(*) FROM pins) AS pins";
inline constexpr std::string_view kHostsSql =
    "SELECT cluster || '/' || host AS host, role, state, lag_ms, lag_bytes, reads, active, open,"
    " latency_us, breaker, why FROM hosts ORDER BY cluster, role, host";

// Counters of one answer after the other: what came in between, for each second.
class Rates {
 public:
  // values: of kTotalsSql, by column. Answers the line of figures.
  std::string totals(const std::map<std::string, std::string>& values, double now_s);
  // Of the view of statements: calls and time become those since the last answer.
  void statements(Table& table, double now_s);
  void forget();  // the connection is a new one

 private:
  struct Counted {
    double calls = 0, ms = 0;
  };
  std::map<std::string, double> before_;
  std::map<std::string, Counted> statements_;
  double totals_at_ = 0, statements_at_ = 0;
};

}  // namespace top
