// SHOW STATEMENTS, ROUTES: what clients have run, by shape.
#include <array>
#include <cstdio>
#include <map>
#include <string>

#include "admin/table.h"

namespace admin {
namespace {

Value shape_text(std::uint64_t shape) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(shape));
  return std::string(text);
}

double ms(std::uint64_t us) { return static_cast<double>(us) / 1e3; }

constexpr auto kStatementColumns = std::to_array<ColumnDef>({
    {"shape"},
    {"database"},
    {"user"},
    {"statement"},
    {"calls", Type::kInt8},
    {"errors", Type::kInt8},
    {"rows", Type::kInt8},
    {"bytes", Type::kInt8},
    {"total_ms", Type::kFloat8},
    {"mean_ms", Type::kFloat8},
    {"p50_ms", Type::kFloat8},
    {"p95_ms", Type::kFloat8},
    {"p99_ms", Type::kFloat8},
    {"wait_ms", Type::kFloat8},
    {"server_ms", Type::kFloat8},
    {"on_primary", Type::kInt8},
    {"on_replica", Type::kInt8},
    {"retries", Type::kInt8},
    {"first_seen", Type::kTimestamp},
    {"last_seen", Type::kTimestamp},
});

void fill_statements(const Source& source, Emit emit) {
  for (const proxy::StatementRow& row : source.inspection.statements) {
    const proxy::StatementTotals& t = row.totals;
    const double total = ms(t.wait_us + t.server_us);
    const Value null;
    const auto known = [&](Value value) { return row.is_rest ? null : value; };
    const auto quantile = [&](double share) {
      return t.calls == 0 ? null : Value(t.times.quantile(share) / 1e3);
    };
    emit({known(shape_text(row.shape)),
          known(row.database),
          known(row.user),
          row.is_rest ? Value(std::string("all that were dropped for want of room"))
                      : Value(row.text),
          count(t.calls),
          count(t.errors),
          count(t.rows),
          count(t.bytes),
          total,
          t.calls == 0 ? null : Value(total / static_cast<double>(t.calls)),
          quantile(0.5),
          quantile(0.95),
          quantile(0.99),
          ms(t.wait_us),
          ms(t.server_us),
          count(t.on_primary),
          count(t.on_replica),
          count(t.retries),
          timestamp(row.first_seen),
          timestamp(row.last_seen)});
  }
}

constexpr auto kRouteColumns = std::to_array<ColumnDef>({
    {"shape"},
    {"statement"},
    {"route"},
    {"reason"},
    {"to_replica", Type::kInt8},
    {"to_primary", Type::kInt8},
    {"what"},
});

// Of all users and databases.
void fill_routes(const Source& source, Emit emit) {
  struct Route {
    std::uint64_t to_replica = 0, to_primary = 0;
    const proxy::StatementRow* latest = nullptr;
  };
  std::map<std::uint64_t, Route> routes;
  for (const proxy::StatementRow& row : source.inspection.statements) {
    if (row.is_rest || row.totals.to_primary + row.totals.to_replica == 0) continue;
    Route& route = routes[row.shape];
    route.to_replica += row.totals.to_replica;
    route.to_primary += row.totals.to_primary;
    if (route.latest == nullptr || route.latest->last_seen < row.last_seen) route.latest = &row;
  }
  for (const auto& [shape, route] : routes) {
    const proxy::StatementRow& latest = *route.latest;
    emit({shape_text(shape), latest.text,
          std::string(latest.to_primary_last ? "primary" : "replica"), latest.reason,
          count(route.to_replica), count(route.to_primary), latest.why});
  }
}

constexpr proxy::InspectParts kNeeds{.statements = true};
constexpr auto kTables = std::to_array<Table>({
    {"statements", "what clients have run, by shape: how often, how long", kStatementColumns,
     fill_statements, kNeeds},
    {"routes", "where statements went, by shape, and why", kRouteColumns, fill_routes, kNeeds},
});

}  // namespace

std::span<const Table> statement_tables() { return kTables; }

}  // namespace admin
