#include "proxy/inspect.h"

#include <algorithm>

namespace proxy {

Stats& Stats::operator+=(const Stats& other) {
  xact_count += other.xact_count;
  query_count += other.query_count;
  server_assignment_count += other.server_assignment_count;
  bytes_received += other.bytes_received;
  bytes_sent += other.bytes_sent;
  xact_time_us += other.xact_time_us;
  query_time_us += other.query_time_us;
  wait_time_us += other.wait_time_us;
  client_parse_count += other.client_parse_count;
  server_parse_count += other.server_parse_count;
  bind_count += other.bind_count;
  client_login_count += other.client_login_count;
  errors += other.errors;
  reads_on_replica += other.reads_on_replica;
  reads_on_primary += other.reads_on_primary;
  writes += other.writes;
  retries += other.retries;
  return *this;
}

void Histogram::add(std::uint64_t us) {
  const auto bound = std::ranges::lower_bound(kLatencyBounds, us);
  ++counts[static_cast<std::size_t>(bound - kLatencyBounds.begin())];
  sum_us += us;
  ++count;
}

Histogram& Histogram::operator+=(const Histogram& other) {
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_us += other.sum_us;
  count += other.count;
  return *this;
}

}  // namespace proxy
