#include "proxy/inspect.h"

#include <algorithm>
#include <bit>
#include <tuple>

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
  misroutes += other.misroutes;
  hedges += other.hedges;
  hedges_won += other.hedges_won;
  shared += other.shared;
  on_primary += other.on_primary;
  on_replica += other.on_replica;
  return *this;
}

PoolRow& PoolRow::operator+=(const PoolRow& other) {
  for (auto field : {&PoolRow::cl_active, &PoolRow::cl_waiting, &PoolRow::cl_active_cancel_req,
                     &PoolRow::cl_waiting_cancel_req, &PoolRow::sv_active,
                     &PoolRow::sv_active_cancel, &PoolRow::sv_being_canceled, &PoolRow::sv_idle,
                     &PoolRow::sv_used, &PoolRow::sv_tested, &PoolRow::sv_login}) {
    this->*field += other.*field;
  }
  maxwait_us = std::max(maxwait_us, other.maxwait_us);
  share_from = std::min(share_from, other.share_from);
  return *this;
}

void merge_pools(std::vector<PoolRow>& rows) {
  const auto key = [](const PoolRow& row) { return std::tie(row.database, row.user, row.host); };
  std::ranges::sort(rows, {}, key);
  std::vector<PoolRow> merged;
  for (PoolRow& row : rows) {
    if (merged.empty() || key(merged.back()) != key(row)) {
      merged.push_back(std::move(row));
    } else {
      merged.back() += row;
    }
  }
  rows = std::move(merged);
}

namespace {

// For each width in bits, the first bucket that a number so wide may belong to: a search would
// cost more, for every request, than the one or two comparisons that are left.
constexpr auto kFirstBucket = [] {
  std::array<std::uint8_t, 65> first{};
  for (std::size_t width = 1; width < first.size(); ++width) {
    const std::uint64_t least = std::uint64_t{1} << (width - 1);
    first[width] = static_cast<std::uint8_t>(std::ranges::lower_bound(kLatencyBounds, least) -
                                             kLatencyBounds.begin());
  }
  return first;
}();

}  // namespace

void Histogram::add(std::uint64_t us) {
  std::size_t bucket = kFirstBucket[static_cast<std::size_t>(std::bit_width(us))];
  while (bucket < kLatencyBounds.size() && us > kLatencyBounds[bucket]) ++bucket;
  ++counts[bucket];
  sum_us += us;
  ++count;
}

StatementTotals& StatementTotals::operator+=(const StatementTotals& other) {
  calls += other.calls;
  errors += other.errors;
  rows += other.rows;
  bytes += other.bytes;
  wait_us += other.wait_us;
  server_us += other.server_us;
  on_primary += other.on_primary;
  on_replica += other.on_replica;
  to_primary += other.to_primary;
  to_replica += other.to_replica;
  retries += other.retries;
  times += other.times;
  return *this;
}

InspectParts& InspectParts::operator|=(const InspectParts& other) {
  clients = clients || other.clients;
  servers = servers || other.servers;
  statements = statements || other.statements;
  faults = faults || other.faults;
  channels = channels || other.channels;
  locks = locks || other.locks;
  return *this;
}

base::WallTime wall_time(base::Time then, base::Time now) {
  if (then == base::Time{}) return {};
  const auto ago = std::chrono::duration_cast<base::WallTime::duration>(now - then);
  return std::chrono::system_clock::now() - ago;
}

Histogram& Histogram::operator+=(const Histogram& other) {
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_us += other.sum_us;
  count += other.count;
  return *this;
}

}  // namespace proxy
