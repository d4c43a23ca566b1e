// SHOW LISTS, CONFIG, VERSION, MEM, STATE, PEERS, PEER_POOLS and the tables of PgBouncer's that are
// always empty here (DNS_HOSTS, DNS_ZONES); SHOW TABLES.
#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "admin/table.h"
#include "config/describe.h"

namespace admin {
namespace {

constexpr auto kListColumns = std::to_array<ColumnDef>({{"list"}, {"items", Type::kInt4}});

void fill_lists(const Source& source, Emit emit) {
  const proxy::Inspection& in = source.inspection;
  std::set<std::pair<std::string_view, std::string_view>> pools;
  for (const proxy::PoolRow& row : in.pools) pools.emplace(row.database, row.user);
  const auto one = [&](std::string_view name, std::uint64_t items) {
    emit({std::string(name), count(items)});
  };
  one("databases", in.databases.size());
  one("users", in.users.size());
  one("peers", source.config.peers.size());
  one("pools", pools.size());
  one("peer_pools", source.config.peers.size());
  // PgBouncer's "free" are slots allocated in advance; nothing is here.
  one("free_clients", 0);
  one("used_clients", in.client_count);
  one("login_clients", in.login_clients);
  one("free_servers", 0);
  one("used_servers", in.server_count);
  one("dns_names", 0);
  one("dns_zones", 0);
  one("dns_queries", 0);
  one("dns_pending", 0);
}

constexpr auto kConfigColumns =
    std::to_array<ColumnDef>({{"key"}, {"value"}, {"default"}, {"changeable"}});

void fill_config(const Source& source, Emit emit) {
  for (const config::ConfigRow& row : config::explain(source.config)) {
    emit({row.key, row.value, row.default_value, std::string(row.changeable ? "yes" : "no")});
  }
  // The two settings that PgBouncer's exporter looks for by PgBouncer's names.
  emit({std::string("max_client_conn"), std::to_string(source.config.limits.clients),
        std::to_string(config::Limits{}.clients), std::string("yes")});
  emit(
      {std::string("max_user_connections"), std::string("0"), std::string("0"), std::string("no")});
}

constexpr auto kVersionColumns = std::to_array<ColumnDef>({{"version"}});

void fill_version(const Source&, Emit emit) { emit({std::string("Weir " WEIR_VERSION)}); }

constexpr auto kMemColumns = std::to_array<ColumnDef>({
    {"name"},
    {"size", Type::kInt4},
    {"used", Type::kInt4},
    {"free", Type::kInt4},
    {"memtotal", Type::kInt4},
});

void fill_mem(const Source& source, Emit emit) {
  const auto connections = [&](const char* name, const std::vector<proxy::ConnectionRow>& rows) {
    std::uint64_t bytes = 0;
    for (const proxy::ConnectionRow& row : rows) bytes += row.memory;
    emit({std::string(name), count(rows.empty() ? 0 : bytes / rows.size()), count(rows.size()),
          std::int64_t{0}, count(bytes)});
  };
  connections("client_connections", source.inspection.clients);
  connections("server_connections", source.inspection.servers);
  const auto& workers = source.inspection.workers;
  const auto each = [&](const char* name, std::uint64_t proxy::WorkerRow::* field) {
    std::uint64_t bytes = 0;
    for (const proxy::WorkerRow& row : workers) bytes += row.*field;
    emit({std::string(name), count(workers.empty() ? 0 : bytes / workers.size()),
          count(workers.size()), std::int64_t{0}, count(bytes)});
  };
  each("statement_caches", &proxy::WorkerRow::analyzer_bytes);
  each("statement_statistics", &proxy::WorkerRow::statement_bytes);
}

constexpr auto kStateColumns = std::to_array<ColumnDef>({{"key"}, {"value"}});

void fill_state(const Source& source, Emit emit) {
  const auto& databases = source.inspection.databases;
  const bool paused =
      !databases.empty() && std::all_of(databases.begin(), databases.end(),
                                        [](const proxy::DatabaseRow& row) { return row.paused; });
  emit({std::string("active"), std::string(paused ? "no" : "yes")});
  emit({std::string("paused"), std::string(paused ? "yes" : "no")});
  emit({std::string("suspended"), std::string("no")});
}

constexpr auto kPeerColumns = std::to_array<ColumnDef>(
    {{"peer_id", Type::kInt4}, {"host"}, {"port", Type::kInt4}, {"pool_size", Type::kInt4}});
constexpr auto kPeerPoolColumns = std::to_array<ColumnDef>({
    {"peer_id", Type::kInt4},
    {"cl_active_cancel_req", Type::kInt4},
    {"cl_waiting_cancel_req", Type::kInt4},
    {"sv_active_cancel", Type::kInt4},
    {"sv_login", Type::kInt4},
});
constexpr auto kDnsHostColumns =
    std::to_array<ColumnDef>({{"hostname"}, {"ttl", Type::kInt8}, {"addrs"}});
constexpr auto kDnsZoneColumns =
    std::to_array<ColumnDef>({{"zonename"}, {"serial", Type::kInt8}, {"count", Type::kInt4}});

void fill_peers(const Source& source, Emit emit) {
  for (const config::Peer& peer : source.config.peers) {
    emit({std::int64_t{peer.number()}, peer.address.host, std::int64_t{peer.address.port},
          std::int64_t{0}});
  }
}

void fill_peer_pools(const Source& source, Emit emit) {
  for (const config::Peer& peer : source.config.peers) {
    const auto under_way = source.inspection.passing_on.find(peer.number());
    const std::int64_t n =
        under_way == source.inspection.passing_on.end() ? 0 : std::int64_t{under_way->second};
    emit({std::int64_t{peer.number()}, n, std::int64_t{0}, n, std::int64_t{0}});
  }
}

void fill_nothing(const Source&, Emit) {}

constexpr auto kFaultColumns = std::to_array<ColumnDef>({
    {"first_seen", Type::kTimestamp},
    {"last_seen", Type::kTimestamp},
    {"times", Type::kInt8},
    {"severity"},
    {"kind"},
    {"subject"},
    {"what"},
});

std::string severity_name(proxy::Fault::Severity severity) {
  switch (severity) {
    case proxy::Fault::Severity::kInfo:
      return "info";
    case proxy::Fault::Severity::kWarning:
      return "warning";
    case proxy::Fault::Severity::kError:
      return "error";
  }
  return "";
}

void fill_faults(const Source& source, Emit emit) {
  for (const proxy::Fault& fault : source.inspection.faults) {
    emit({timestamp(fault.first), timestamp(fault.last), count(fault.times),
          severity_name(fault.severity), fault.kind, fault.subject, fault.what});
  }
}

constexpr auto kTableColumns = std::to_array<ColumnDef>({{"name"}, {"help"}, {"columns"}});

void fill_tables(const Source&, Emit emit) {
  for (const Table& table : tables()) {
    std::string names;
    for (const ColumnDef& column : table.columns) {
      if (!names.empty()) names += ", ";
      names += column.name;
    }
    emit({std::string(table.name), std::string(table.help), names});
  }
}

constexpr auto kTables = std::to_array<Table>({
    {"lists", "how many there are of what", kListColumns, fill_lists},
    {"config", "settings in effect", kConfigColumns, fill_config},
    {"version", "version of Weir", kVersionColumns, fill_version},
    {"mem", "memory by kind of holder", kMemColumns, fill_mem, {.clients = true, .servers = true}},
    {"state", "whether everything is paused", kStateColumns, fill_state},
    {"peers", "Weirs to which cancel requests are passed on", kPeerColumns, fill_peers},
    {"peer_pools", "cancel requests on their way to peers", kPeerPoolColumns, fill_peer_pools},
    {"dns_hosts", "always empty: names are resolved at each connect", kDnsHostColumns,
     fill_nothing},
    {"dns_zones", "always empty", kDnsZoneColumns, fill_nothing},
    {"faults", "what went wrong or changed lately", kFaultColumns, fill_faults, {.faults = true}},
    {"tables", "this list", kTableColumns, fill_tables},
});

}  // namespace

std::span<const Table> instance_tables() { return kTables; }

}  // namespace admin
