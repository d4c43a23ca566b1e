// SHOW STATS, STATS_TOTALS, STATS_AVERAGES, TOTALS with PgBouncer's columns (its source's order,
// not its manual's), and SHOW ROUTE_TOTALS.
#include <array>
#include <string>

#include "admin/table.h"
#include "admin/text.h"

namespace admin {
namespace {

using proxy::Stats;

constexpr Type kN = Type::kNumeric;

constexpr auto kStatsColumns = std::to_array<ColumnDef>({
    {"database"},
    {"total_server_assignment_count", kN},
    {"total_xact_count", kN},
    {"total_query_count", kN},
    {"total_received", kN},
    {"total_sent", kN},
    {"total_xact_time", kN},
    {"total_query_time", kN},
    {"total_wait_time", kN},
    {"total_client_parse_count", kN},
    {"total_server_parse_count", kN},
    {"total_bind_count", kN},
    {"total_client_login_count", kN},
    {"avg_server_assignment_count", kN},
    {"avg_xact_count", kN},
    {"avg_query_count", kN},
    {"avg_recv", kN},
    {"avg_sent", kN},
    {"avg_xact_time", kN},
    {"avg_query_time", kN},
    {"avg_wait_time", kN},
    {"avg_client_parse_count", kN},
    {"avg_server_parse_count", kN},
    {"avg_bind_count", kN},
    {"avg_client_login_count", kN},
});

void fill_stats(const Source& source, Emit emit) {
  for (const proxy::DatabaseRow& row : source.inspection.databases) {
    const Stats& t = row.stats;
    const Stats a = source.averages.of(row.name, t, source.inspection.taken);
    emit({row.name,
          count(t.server_assignment_count),
          count(t.xact_count),
          count(t.query_count),
          count(t.bytes_received),
          count(t.bytes_sent),
          count(t.xact_time_us),
          count(t.query_time_us),
          count(t.wait_time_us),
          count(t.client_parse_count),
          count(t.server_parse_count),
          count(t.bind_count),
          count(t.client_login_count),
          count(a.server_assignment_count),
          count(a.xact_count),
          count(a.query_count),
          count(a.bytes_received),
          count(a.bytes_sent),
          count(a.xact_time_us),
          count(a.query_time_us),
          count(a.wait_time_us),
          count(a.client_parse_count),
          count(a.server_parse_count),
          count(a.bind_count),
          count(a.client_login_count)});
  }
}

constexpr auto kTotalsColumns = std::to_array<ColumnDef>({
    {"database"},
    {"server_assignment_count", kN},
    {"xact_count", kN},
    {"query_count", kN},
    {"bytes_received", kN},
    {"bytes_sent", kN},
    {"xact_time", kN},
    {"query_time", kN},
    {"wait_time", kN},
    {"client_parse_count", kN},
    {"server_parse_count", kN},
    {"bind_count", kN},
    {"client_login_count", kN},
});

// The mixed prefixes are PgBouncer's.
constexpr auto kAveragesColumns = std::to_array<ColumnDef>({
    {"database"},
    {"server_assignment_count", kN},
    {"xact_count", kN},
    {"query_count", kN},
    {"bytes_received", kN},
    {"bytes_sent", kN},
    {"xact_time", kN},
    {"query_time", kN},
    {"wait_time", kN},
    {"avg_client_parse_count", kN},
    {"avg_server_parse_count", kN},
    {"avg_bind_count", kN},
    {"avg_client_login_count", kN},
});

void emit_stats(const std::string& name, const Stats& s, Emit emit) {
  emit({name, count(s.server_assignment_count), count(s.xact_count), count(s.query_count),
        count(s.bytes_received), count(s.bytes_sent), count(s.xact_time_us), count(s.query_time_us),
        count(s.wait_time_us), count(s.client_parse_count), count(s.server_parse_count),
        count(s.bind_count), count(s.client_login_count)});
}

void fill_stats_totals(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.databases) emit_stats(row.name, row.stats, emit);
}

void fill_stats_averages(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.databases) {
    emit_stats(row.name, source.averages.of(row.name, row.stats, source.inspection.taken), emit);
  }
}

constexpr auto kNameValueColumns = std::to_array<ColumnDef>({{"name"}, {"value", kN}});

void emit_named(std::string_view prefix, const Stats& s, Emit emit) {
  const auto one = [&](std::string_view name, std::uint64_t value) {
    emit({concat(prefix, name), count(value)});
  };
  one("server_assignment_count", s.server_assignment_count);
  one("xact_count", s.xact_count);
  one("query_count", s.query_count);
  one("client_bytes", s.bytes_received);
  one("server_bytes", s.bytes_sent);
  one("xact_time", s.xact_time_us);
  one("query_time", s.query_time_us);
  one("wait_time", s.wait_time_us);
  one("ps_client_parse_count", s.client_parse_count);
  one("ps_server_parse_count", s.server_parse_count);
  one("ps_bind_count", s.bind_count);
  one("client_login_count", s.client_login_count);
}

void fill_totals(const Source& source, Emit emit) {
  Stats total, average;
  for (const auto& row : source.inspection.databases) {
    total += row.stats;
    average += source.averages.of(row.name, row.stats, source.inspection.taken);
  }
  emit_named("total_", total, emit);
  emit_named("avg_", average, emit);
}

constexpr auto kRouteColumns = std::to_array<ColumnDef>({
    {"database"},
    {"reads_on_replica", Type::kInt8},
    {"reads_on_primary", Type::kInt8},
    {"writes", Type::kInt8},
    {"retries", Type::kInt8},
    {"misroutes", Type::kInt8},
    {"hedges", Type::kInt8},
    {"hedges_won", Type::kInt8},
    {"shared_reads", Type::kInt8},
    {"errors", Type::kInt8},
    {"avg_reads_on_replica", Type::kInt8},
    {"avg_reads_on_primary", Type::kInt8},
    {"avg_writes", Type::kInt8},
    {"avg_retries", Type::kInt8},
    {"avg_misroutes", Type::kInt8},
    {"avg_hedges", Type::kInt8},
    {"avg_hedges_won", Type::kInt8},
    {"avg_shared_reads", Type::kInt8},
    {"avg_errors", Type::kInt8},
});

void fill_route_totals(const Source& source, Emit emit) {
  for (const proxy::DatabaseRow& row : source.inspection.databases) {
    const Stats& t = row.stats;
    const Stats a = source.averages.of(row.name, t, source.inspection.taken);
    emit({row.name, count(t.reads_on_replica), count(t.reads_on_primary), count(t.writes),
          count(t.retries), count(t.misroutes), count(t.hedges), count(t.hedges_won),
          count(t.shared), count(t.errors), count(a.reads_on_replica), count(a.reads_on_primary),
          count(a.writes), count(a.retries), count(a.misroutes), count(a.hedges),
          count(a.hedges_won), count(a.shared), count(a.errors)});
  }
}

constexpr auto kTables = std::to_array<Table>({
    {"stats", "totals and averages of each database", kStatsColumns, fill_stats},
    {"stats_totals", "totals of each database since start", kTotalsColumns, fill_stats_totals},
    {"stats_averages", "averages of each database over the last minute", kAveragesColumns,
     fill_stats_averages},
    {"totals", "totals and averages of all databases", kNameValueColumns, fill_totals},
    {"route_totals", "where requests went, by database", kRouteColumns, fill_route_totals},
});

}  // namespace

std::span<const Table> stats_tables() { return kTables; }

}  // namespace admin
