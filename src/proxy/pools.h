// The pools of one (database, user) in one worker: one for each host, made when first needed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pool/pool.h"
#include "pool/spread.h"
#include "proxy/inspect.h"
#include "proxy/listeners.h"
#include "proxy/shared.h"
#include "proxy/statement_stats.h"
#include "route/router.h"

namespace proxy {

class PoolSet;
class Server;

// ParameterStatus values of one server, in the order in which they came first.
using ServerParameter = std::pair<std::string, std::string>;  // name and value
using ServerParameters = std::vector<ServerParameter>;
void set_parameter(ServerParameters& parameters, std::string_view name, std::string_view value);

// Server connections of one (database, user) to one host.
class HostPool {
 public:
  HostPool(PoolSet& pool_set, std::size_t host_index, config::PoolSizes sizes,
           base::milliseconds reserve_after, std::vector<pool::Permits*> permits)
      : set(pool_set), host(host_index), pool(sizes, reserve_after, std::move(permits)) {}

  const config::Host& target() const;
  ClusterRuntime::HostCounters& counters() const;

  PoolSet& set;
  const std::size_t host;  // index in the cluster
  pool::Pool pool;
  std::vector<Server*> servers;    // open ones, and those being opened
  base::Time retry_at{};           // no new connection before: the last one failed
  std::uint32_t failures = 0;      // in a row
  std::string last_error;          // of the last failed connection
  bool was_up = true;              // its host
  Server* filling = nullptr;       // gets what is shared in this round of the loop,
  std::uint32_t filled = 0;        // so many of it
  std::size_t next_looked_at = 0;  // for a place: index in `servers`
  pool::Spread spread;
};

// Snapshots and catalogs that are not the latest any more: who looks at one may do so to the end of
// the worker's round of the loop.
using Outdated = std::vector<std::shared_ptr<const void>>;

class PoolSet {
 public:
  PoolSet(const Topology& topology, const config::Database& database, std::string database_name,
          std::string user, Shared& shared, Stats& stats, Outdated& outdated,
          ServerParameters startup = {});

  HostPool& at(std::size_t host);  // made when it is not there yet
  const std::vector<std::unique_ptr<HostPool>>& made() const { return hosts_; }
  // Of the hosts, as the cluster's; valid until the next call.
  std::span<const route::HostLoad> loads(base::Time now);
  // pool::Waiter::group of an application's clients, the same in all workers.
  std::uint16_t group_of(const std::string& application_name);
  bool unused() const;
  bool is_of_any_name() const { return definition.name == "*" && database != "*"; }
  const char* replication() const;  // "none", "physical", "logical"

  const std::string database, user;  // as the client named them
  const config::Database definition;
  const ClusterPtr cluster;
  const config::ConfigPtr config;
  const config::PoolMode mode;
  const config::Consistency consistency;  // of sessions that ask for none
  const std::string server_user, server_dbname;
  // The latest ones, valid to the end of the round. Of the catalog null: it is not known.
  const cluster::Snapshot& snapshot() const;
  const sql::Catalog* catalog() const;
  // The same, though definitions may have changed since it was read.
  sql::CatalogPtr last_catalog() const;
  SessionDefaults& defaults() const { return cluster->catalogs.defaults(); }
  // What a standby has refused for it: default_transaction_isolation is serializable for this user
  // in this database, by ALTER ROLE, ALTER DATABASE or the server's configuration.
  void note_serializable() { serializable_as_of_ = defaults().version() + 1; }
  bool once_serializable() const { return serializable_as_of_ != 0; }  // and may be so now
  bool serializable_by_default() const { return serializable_as_of_ == defaults().version() + 1; }
  bool read_only_by_default = false;  // likewise default_transaction_read_only, told at log-in
  const ServerParameters startup;     // further ones of a replication connection
  const std::shared_ptr<CatalogFeed> catalog_feed;  // null for a replication connection
  std::uint32_t users = 0;                          // clients that point here
  // Its database's sessions ask for what sequences gave them: see client_sequences.cc.
  bool asks_sequences() const;
  void note_sequences_asked();
  bool may_have_sequences() const;  // nullptr of catalog() may
  Listeners listeners;
  bool asks_channels = false;  // pg_listening_channels() was seen: nobody listens together any more
  bool retired = false;        // replaced by a reload: servers are closed as they become free
  // What a client that starts with these parameters is told, by its start-up parameters.
  absl::flat_hash_map<std::string, ServerParameters> welcomes;
  std::uint64_t welcomes_of = 0;  // SessionDefaults::version()
  route::Router router;
  route::Router rival_router;  // of hedged reads, which take nobody's turn
  Stats& stats;                // of the database, in this worker
  UserTimes times;             // as in Stats, of this user
  const StatementOwnerPtr owner;

 private:
  Shared& shared_;
  Outdated& outdated_;
  absl::flat_hash_map<std::string, std::uint16_t> groups_;
  mutable cluster::SnapshotPtr snapshot_;
  mutable sql::CatalogPtr catalog_;
  mutable std::uint64_t catalog_version_ = 0;
  std::uint64_t serializable_as_of_ = 0;          // 1 + SessionDefaults::version(); 0 = never
  std::vector<std::unique_ptr<HostPool>> hosts_;  // index as the cluster's hosts; may be null
  std::vector<route::HostLoad> loads_;            // index likewise
};

}  // namespace proxy
