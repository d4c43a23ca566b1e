// SHOW POOLS, DATABASES, USERS, with PgBouncer's columns.
#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "admin/table.h"

namespace admin {
namespace {

constexpr auto kPoolColumns = std::to_array<ColumnDef>({
    {"database"},
    {"user"},
    {"cl_active", Type::kInt4},
    {"cl_waiting", Type::kInt4},
    {"cl_active_cancel_req", Type::kInt4},
    {"cl_waiting_cancel_req", Type::kInt4},
    {"sv_active", Type::kInt4},
    {"sv_active_cancel", Type::kInt4},
    {"sv_being_canceled", Type::kInt4},
    {"sv_idle", Type::kInt4},
    {"sv_used", Type::kInt4},
    {"sv_tested", Type::kInt4},
    {"sv_login", Type::kInt4},
    {"maxwait", Type::kInt4},
    {"maxwait_us", Type::kInt4},
    {"pool_mode"},
    {"load_balance_hosts"},
});

// A pool of ours is one of PgBouncer's split by host: put together again.
void fill_pools(const Source& source, Emit emit) {
  std::map<std::pair<std::string_view, std::string_view>, proxy::PoolRow> joined;
  for (const proxy::PoolRow& row : source.inspection.pools) {
    const auto [at, fresh] = joined.try_emplace({row.database, row.user}, row);
    if (!fresh) at->second += row;
  }
  for (const auto& [key, row] : joined) {
    emit({row.database, row.user, count(row.cl_active), count(row.cl_waiting),
          count(row.cl_active_cancel_req), count(row.cl_waiting_cancel_req), count(row.sv_active),
          count(row.sv_active_cancel), count(row.sv_being_canceled), count(row.sv_idle),
          count(row.sv_used), count(row.sv_tested), count(row.sv_login),
          count(row.maxwait_us / 1'000'000), count(row.maxwait_us % 1'000'000), row.pool_mode,
          std::monostate()});
  }
}

constexpr auto kDatabaseColumns = std::to_array<ColumnDef>({
    {"name"},
    {"host"},
    {"port", Type::kInt4},
    {"database"},
    {"force_user"},
    {"pool_size", Type::kInt4},
    {"min_pool_size", Type::kInt4},
    {"reserve_pool_size", Type::kInt4},
    {"server_lifetime", Type::kInt4},
    {"pool_mode"},
    {"load_balance_hosts"},
    {"max_connections", Type::kInt4},
    {"current_connections", Type::kInt4},
    {"max_client_connections", Type::kInt4},
    {"current_client_connections", Type::kInt4},
    {"paused", Type::kBool},
    {"disabled", Type::kBool},
});

struct Endpoint {
  std::string host;
  Value port;
};

// Of the cluster's primary, or of its first host while there is none.
Endpoint endpoint(const proxy::Inspection& inspection, std::string_view cluster) {
  for (const proxy::ClusterRow& row : inspection.clusters) {
    if (row.name != cluster || row.address.empty()) continue;
    std::size_t index = 0;
    if (row.snapshot != nullptr && row.snapshot->primary > 0) {
      index = static_cast<std::size_t>(row.snapshot->primary);
    }
    const std::string& address = row.address[std::min(index, row.address.size() - 1)];
    const std::size_t colon = address.rfind(':');
    if (colon == std::string::npos) return {address, std::monostate()};
    std::int64_t port = 0;
    std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
    return {address.substr(0, colon), port};
  }
  return {"", std::monostate()};
}

void fill_databases(const Source& source, Emit emit) {
  const auto lifetime = source.config.timeouts.server_lifetime.count() / 1000;
  for (const proxy::DatabaseRow& row : source.inspection.databases) {
    Endpoint at = endpoint(source.inspection, row.cluster);
    emit({row.name, text_or_null(at.host), at.port, row.dbname, text_or_null(row.force_user),
          count(row.pool_size), count(row.min_pool_size), count(row.reserve_pool_size),
          std::int64_t{lifetime}, text_or_null(row.pool_mode), std::monostate(),
          count(row.max_connections), count(row.current_connections),
          count(row.max_client_connections), count(row.current_client_connections),
          std::int64_t{row.paused}, std::int64_t{row.disabled}});
  }
}

constexpr auto kUserColumns = std::to_array<ColumnDef>({
    {"name"},
    {"pool_size"},
    {"reserve_pool_size"},
    {"pool_mode"},
    {"max_user_connections", Type::kInt4},
    {"current_connections", Type::kInt4},
    {"max_user_client_connections", Type::kInt4},
    {"current_client_connections", Type::kInt4},
});

// PgBouncer shows a user's own sizes as text, empty when it has none.
Value size_text(std::uint32_t size) {
  if (size == 0) return std::monostate();
  return std::to_string(size);
}

void fill_users(const Source& source, Emit emit) {
  for (const proxy::UserRow& row : source.inspection.users) {
    emit({row.name, size_text(row.pool_size), size_text(row.reserve_pool_size),
          text_or_null(row.pool_mode), count(row.max_user_connections),
          count(row.current_connections), count(row.max_user_client_connections),
          count(row.current_client_connections)});
  }
}

constexpr auto kTables = std::to_array<Table>({
    {"pools", "clients and servers of each (database, user)", kPoolColumns, fill_pools},
    {"databases", "databases, their sizes and limits", kDatabaseColumns, fill_databases},
    {"users", "users, their sizes and limits", kUserColumns, fill_users},
});

}  // namespace

std::span<const Table> pool_tables() { return kTables; }

}  // namespace admin
