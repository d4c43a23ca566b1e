// SHOW HOSTS, HOST_POOLS, WORKERS: what PgBouncer has no table for.
#include <algorithm>
#include <array>
#include <cmath>

#include "admin/table.h"
#include "protocol/lsn.h"

namespace admin {

namespace {

constexpr auto kHostColumns = std::to_array<ColumnDef>({
    {"cluster"},
    {"host"},
    {"address"},
    {"role"},
    {"state"},
    {"lag_ms", Type::kInt8},
    {"lag_bytes", Type::kInt8},
    {"lsn"},
    {"received_lsn"},
    {"timeline", Type::kInt8},
    {"reads", Type::kBool},
    {"share", Type::kFloat8},
    {"active", Type::kInt4},
    {"open", Type::kInt4},
    {"latency_us", Type::kInt8},
    {"sampled_ms_ago", Type::kInt8},
    {"weight", Type::kFloat8},
    {"banned", Type::kBool},
    {"banned_until", Type::kTimestamp},
    {"paused", Type::kBool},
    {"breaker"},
    {"answered", Type::kInt8},
    {"failed", Type::kInt8},
    {"why"},
});

template <typename T>
Value at_or_null(const std::vector<T>& values, std::size_t index) {
  return index < values.size() ? Value(static_cast<std::int64_t>(values[index])) : Value();
}

Value known(std::int64_t n) { return n < 0 ? Value() : Value(n); }
Value lsn_text(protocol::Lsn lsn) { return lsn == 0 ? Value() : Value(protocol::format_lsn(lsn)); }

void fill_hosts(const Source& source, Emit emit) {
  for (const proxy::ClusterRow& row : source.inspection.clusters) {
    if (row.snapshot == nullptr) continue;
    for (std::size_t i = 0; i < row.snapshot->hosts.size(); ++i) {
      const cluster::Host& host = row.snapshot->hosts[i];
      Value latency;  // 0 = not measured
      if (i < row.latency_us.size() && row.latency_us[i] > 0) {
        latency = std::int64_t{std::llround(std::min(row.latency_us[i], 1e15))};
      }
      Value share;
      if (host.reads) share = std::round(host.share * 100) / 100;
      Value sampled;
      if (host.sampled != base::Time{}) {
        sampled = base::to_ms(source.inspection.taken - host.sampled);
      }
      Value until;
      if (host.banned_until) {
        until = timestamp(source.inspection.taken_wall +
                          std::chrono::duration_cast<base::WallTime::duration>(
                              *host.banned_until - source.inspection.taken));
      }
      Value weight = host.weight;
      if (host.weight == 0) weight = i < row.weight.size() ? Value(row.weight[i]) : Value();
      emit({row.name,
            host.name,
            i < row.address.size() ? Value(row.address[i]) : Value(),
            std::string(cluster::role_name(host.role)),
            std::string(cluster::state_name(host.state)),
            known(host.lag_ms),
            known(host.lag_bytes),
            lsn_text(host.lsn),
            lsn_text(host.received_lsn),
            host.timeline == 0 ? Value() : Value(std::int64_t{host.timeline}),
            std::int64_t{host.reads},
            share,
            at_or_null(row.active, i),
            at_or_null(row.open, i),
            latency,
            sampled,
            weight,
            std::int64_t{host.banned},
            until,
            std::int64_t{host.paused},
            std::string(cluster::breaker_name(host.breaker)),
            at_or_null(row.answered, i),
            at_or_null(row.failed, i),
            host.why});
    }
  }
}

constexpr auto kHostPoolColumns = std::to_array<ColumnDef>({
    {"database"},
    {"user"},
    {"host"},
    {"pool_mode"},
    {"cl_active", Type::kInt4},
    {"cl_waiting", Type::kInt4},
    {"sv_active", Type::kInt4},
    {"sv_idle", Type::kInt4},
    {"sv_used", Type::kInt4},
    {"sv_tested", Type::kInt4},
    {"sv_login", Type::kInt4},
    {"sv_active_cancel", Type::kInt4},
    {"sv_being_canceled", Type::kInt4},
    {"maxwait_us", Type::kInt8},
    {"share_from", Type::kInt4},
});

void fill_host_pools(const Source& source, Emit emit) {
  for (const proxy::PoolRow& row : source.inspection.pools) {
    emit({row.database, row.user, row.host, row.pool_mode, count(row.cl_active),
          count(row.cl_waiting), count(row.sv_active), count(row.sv_idle), count(row.sv_used),
          count(row.sv_tested), count(row.sv_login), count(row.sv_active_cancel),
          count(row.sv_being_canceled), count(row.maxwait_us),
          row.share_from == pool::Spread::kAll ? Value() : Value(count(row.share_from))});
  }
}

constexpr auto kWorkerColumns = std::to_array<ColumnDef>({
    {"worker", Type::kInt4},
    {"clients", Type::kInt4},
    {"servers", Type::kInt4},
    {"loops", Type::kInt8},
    {"analyzer_text_hits", Type::kInt8},
    {"analyzer_shape_hits", Type::kInt8},
    {"analyzer_misses", Type::kInt8},
    {"analyzer_bytes", Type::kInt8},
});

void fill_workers(const Source& source, Emit emit) {
  std::int64_t index = 0;
  for (const proxy::WorkerRow& row : source.inspection.workers) {
    emit({index++, count(row.clients), count(row.servers), count(row.loops),
          count(row.analyzer_text_hits), count(row.analyzer_shape_hits), count(row.analyzer_misses),
          count(row.analyzer_bytes)});
  }
}

constexpr auto kTables = std::to_array<Table>({
    {"hosts", "roles, lag, positions and load of every host", kHostColumns, fill_hosts},
    {"host_pools", "pools by host", kHostPoolColumns, fill_host_pools},
    {"workers", "event loops", kWorkerColumns, fill_workers},
});

}  // namespace

std::span<const Table> cluster_tables() { return kTables; }

}  // namespace admin
