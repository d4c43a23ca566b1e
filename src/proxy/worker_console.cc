// Worker: what the console sees of it, and commands.
#include <algorithm>

#include "config/words.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

PoolRow pool_row(const PoolSet& set, const HostPool& pool) {
  PoolRow row;
  row.database = set.database;
  row.user = set.user;
  row.host = pool.target().name;
  row.pool_mode = std::string(config::word(set.mode));
  row.sv_idle = pool.pool.idle();
  row.sv_login = pool.pool.opening_count();
  if (pool.pool.sizes().share_early) row.share_from = pool.spread.limit();
  for (const Server* server : pool.servers) {
    if (server->pool_state() != pool::Server::State::kLeased) continue;
    if (server->cancels > 0) {
      ++row.sv_being_canceled;
    } else if (server->client != nullptr || server->listeners != nullptr) {
      ++row.sv_active;
    } else {
      ++row.sv_tested;  // being cleaned
    }
  }
  return row;
}

// Whether a reload changes anything that the pools of `set` were made with.
bool is_changed(const PoolSet& set, const Topology& topology, const config::Diff& diff) {
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::ranges::find(names, name) != names.end();
  };
  const auto* database = config::find_database(*topology.config, set.database);
  if (database == nullptr || database->name != set.definition.name ||
      has(diff.databases.changed, database->name)) {
    return true;
  }
  const ClusterPtr* cluster = topology.find(database->cluster);
  if (cluster == nullptr || *cluster != set.cluster) return true;
  for (const auto* user : {&set.user, &set.server_user}) {
    if (has(diff.users.added, *user) || has(diff.users.removed, *user) ||
        has(diff.users.changed, *user)) {
      return true;
    }
  }
  return std::ranges::any_of(diff.settings, [](const std::string& key) {
    return key.starts_with("pool") || key == "timeouts.reserve" ||
           key == "limits.prepared_statements";
  });
}

// Nothing is under way there. A connection that is shared to LISTEN is never given back.
bool rests(const HostPool& pool) {
  Server* const shared = pool.set.listeners.connection();
  const bool is_here = pool.set.listeners.is_free() && &shared->pool() == &pool;
  return pool.pool.leased() == (is_here ? 1 : 0);
}

}  // namespace

void Worker::inspect(Inspection& into, const InspectParts& parts) const {
  const auto now = loop_.now();
  if (parts.statements) {
    statement_stats_.add_rows(into.statements, now, [this](const StatementStats::Route& route) {
      // A request that waited over a reload may have been decided by a rule that is gone.
      const bool exists = route.rule < static_cast<int>(config().rules.size());
      return route::to_text({.reason = route.reason, .rule = exists ? route.rule : route::kNoRule},
                            config());
    });
  }
  add_pool_rows(into, parts);
  into.server_count += servers_.size();
  for (const auto& [id, server] : servers_) {
    ++into.servers_by_database[server->pool().set.database];
    ++into.servers_by_user[server->pool().set.user];
    if (parts.servers) into.servers.push_back(server->row(now));
  }
  for (const auto& [name, stats] : stats_) {
    into.query_time += stats->on_primary;
    into.query_time += stats->on_replica;
    const auto it = std::ranges::find(into.databases, name, &DatabaseRow::name);
    if (it != into.databases.end()) {
      it->stats += *stats;
    } else {
      into.databases.push_back({.name = name, .stats = *stats});
    }
  }
  for (const auto& cancel : cancels_) {
    if (cancel->target().peer != 0) ++into.passing_on[cancel->target().peer];
  }
  const auto& analyzed = analyzer_->stats();
  into.workers.push_back({.clients = static_cast<std::uint32_t>(clients_.size()),
                          .servers = static_cast<std::uint32_t>(servers_.size()),
                          .loops = loop_.rounds(),
                          .analyzer_text_hits = analyzed.text_hits,
                          .analyzer_shape_hits = analyzed.shape_hits,
                          .analyzer_misses = analyzed.misses,
                          .analyzer_bytes = analyzed.bytes,
                          .statement_bytes = statement_stats_.bytes(),
                          .lateness = lateness_});
  into.query_time += forgotten_;
  into.wait_time += wait_time_;
}

std::optional<TraceContext> Worker::trace_of(std::string_view sql) {
  const config::Traces& traces = config().traces;
  if (traces.endpoint.empty()) return std::nullopt;
  if (const auto context = find_trace_context(sql)) {
    return context->sampled ? context : std::nullopt;
  }
  to_trace_ += traces.sample;
  if (to_trace_ < 1) return std::nullopt;
  to_trace_ -= 1;
  TraceContext context;
  context.trace = random_value<decltype(context.trace)>();
  context.sampled = true;
  return context;
}

void Worker::add_channels(Inspection& into, const PoolSet& set) const {
  Server* const shared = set.listeners.connection();
  if (shared == nullptr) return;
  for (const auto& [channel, clients] : set.listeners.channels()) {
    into.channels.push_back({.database = set.database,
                             .user = set.user,
                             .channel = channel,
                             .host = shared->pool().target().name,
                             .clients = clients.size(),
                             .server = shared->id,
                             .worker = index_});
  }
}

void Worker::add_times(std::vector<UserTimes>& into, const UserTimes& times) {
  auto row = std::ranges::find_if(into, [&](const UserTimes& other) {
    return other.database == times.database && other.user == times.user;
  });
  if (row == into.end()) {
    row = into.insert(row, {.database = times.database, .user = times.user});
  }
  row->on_primary += times.on_primary;
  row->on_replica += times.on_replica;
}

void Worker::add_pool_rows(Inspection& into, const InspectParts& parts) const {
  absl::flat_hash_map<const PoolSet*, std::vector<std::size_t>> rows;
  const auto add_pools = [&](const PoolSet& set) {
    if (parts.channels) add_channels(into, set);
    add_times(into.user_times, set.times);
    for (const auto& pool : set.made()) {
      if (!pool) continue;
      rows[&set].push_back(into.pools.size());
      into.pools.push_back(pool_row(set, *pool));
    }
    if (set.made().empty() || !rows.contains(&set)) {
      rows[&set].push_back(into.pools.size());
      into.pools.push_back({.database = set.database,
                            .user = set.user,
                            .host = "",
                            .pool_mode = std::string(config::word(set.mode))});
    }
  };
  for (const auto& [key, set] : pool_sets_) add_pools(*set);
  for (const auto& set : retired_) add_pools(*set);
  for (const UserTimes& times : gone_times_) add_times(into.user_times, times);
  add_clients(into, parts, rows);
}

void Worker::add_clients(
    Inspection& into, const InspectParts& parts,
    absl::flat_hash_map<const PoolSet*, std::vector<std::size_t>>& rows) const {
  const auto now = loop_.now();
  into.client_count += clients_.size();
  for (const auto& [id, client] : clients_) {
    if (parts.clients) into.clients.push_back(client->row(now));
    for (const session::Pin& pin : client->pins.list()) {
      ++into.pins_by_reason[session::reason_name(pin.reason)];
    }
    if (client->pools() == nullptr) {
      if (client->state() != Client::State::kConsole) ++into.login_clients;
      continue;
    }
    // A client counts at the host of its server, else at the first.
    const auto& indices = rows[client->pools()];
    std::size_t at = indices.front();
    for (const auto index : indices) {
      if (client->server == nullptr) break;
      if (into.pools[index].host == client->server->pool().target().name) at = index;
    }
    auto& row = into.pools[at];
    const std::uint64_t waited = client->waited_us(now);
    if (waited != 0 || client->state() == Client::State::kWaiting) {
      ++row.cl_waiting;
      row.maxwait_us = std::max(row.maxwait_us, waited);
    } else {
      ++row.cl_active;
    }
  }
}

ConnectionRow Server::row(base::Time now) const {
  ConnectionRow row;
  row.id = id;
  row.user = pool_.set.user;
  row.database = pool_.set.database;
  row.replication = pool_.set.replication();
  row.addr = address.text();
  row.port = pool_.target().port;
  if (stream_.open()) {
    const auto local = net::local_address(stream_.fd());
    row.local_addr = local.text();
    row.local_port = local.port();
  }
  row.tls = stream_.is_tls() ? net::tls_description(stream_.ssl()) : "";
  for (const auto& [name, value] : parameters) {
    if (name == "application_name") row.application_name = value;
  }
  row.host = pool_.target().name;
  row.connect_time = connected_at;
  row.request_time = wall_time(request_time, now);
  row.close_needed = is_close_needed();
  row.link = client != nullptr ? client->id : 0;
  row.remote_pid = backend_pid;
  row.prepared_statements = static_cast<std::uint32_t>(statements.size());
  row.worker = worker_.index();
  row.memory = sizeof *this + buffered() + settings.bytes();
  static_cast<void>(now);
  switch (pool_state()) {
    case pool::Server::State::kIdle:
      row.state = "idle";
      break;
    case pool::Server::State::kLeased:
      row.state = cancels > 0                                 ? "being_canceled"
                  : client != nullptr || listeners != nullptr ? "active"
                                                              : "tested";
      break;
    default:
      row.state = "new";
  }
  return row;
}

void Worker::set_paused(const std::string& database, bool paused) {
  if (database.empty()) {
    all_paused_ = paused;
    if (!paused) paused_.clear();
  } else if (paused) {
    paused_.insert(database);
  } else {
    paused_.erase(database);
  }
  if (!paused) return refresh_waiters();
  // Who waits in a queue would be served by the next server that comes free.
  for (Client* client : clients_of(database)) {
    if (!client->waiting()) continue;
    cancel_wait(*client);
    hold(*client);
  }
}

void Worker::set_disabled(const std::string& database, bool disabled) {
  if (disabled) {
    disabled_.insert(database);
  } else {
    disabled_.erase(database);
  }
}

std::vector<Client*> Worker::clients_of(const std::string& database) {
  std::vector<Client*> found;
  for (const auto& [id, client] : clients_) {
    if (client->pools() != nullptr && matches(database, *client->pools())) {
      found.push_back(client.get());
    }
  }
  return found;
}

void Worker::reconnect(const std::string& database) {
  for (const auto& [key, set] : pool_sets_) {
    if (!matches(database, *set)) continue;
    for (const auto& pool : set->made()) {
      if (!pool) continue;
      for (Server* server : std::vector<Server*>(pool->servers)) {
        server->close_when_free = true;
        if (server->pool_state() == pool::Server::State::kIdle) server->close("RECONNECT");
      }
    }
  }
}

void Worker::kill(const std::string& database) {
  set_paused(database, true);
  for (Client* client : clients_of(database)) kill_client(client->id);
  for (const auto& [key, set] : pool_sets_) {
    if (!matches(database, *set)) continue;
    for (const auto& pool : set->made()) {
      if (!pool) continue;
      for (Server* server : std::vector<Server*>(pool->servers)) server->close("KILL");
    }
  }
}

void Worker::kill_client(std::uint64_t id) {
  Client* client = find_client(id);
  if (client == nullptr) return;
  client->fail({.severity = protocol::Severity::kFatal,
                .code = protocol::sqlstate::kAdminShutdown,
                .message = "terminating connection due to administrator command"});
}

bool Worker::is_quiet(const std::string& database) const {
  return std::ranges::all_of(pool_sets_, [&](const auto& entry) {
    const PoolSet& set = *entry.second;
    return !matches(database, set) ||
           std::ranges::all_of(set.made(), [](const auto& pool) { return !pool || rests(*pool); });
  });
}

bool Worker::is_host_quiet(std::string_view cluster, std::string_view host) const {
  const auto quiet = [&](const PoolSet& set) {
    if (set.cluster->config.name != cluster) return true;
    return std::ranges::none_of(set.made(), [&](const auto& pool) {
      return pool && pool->target().name == host && !rests(*pool);
    });
  };
  return std::ranges::all_of(pool_sets_, [&](const auto& entry) { return quiet(*entry.second); }) &&
         std::ranges::all_of(retired_, [&](const auto& set) { return quiet(*set); });
}

bool Worker::has_closed(const std::string& database) const {
  return std::ranges::none_of(servers_, [&](const auto& entry) {
    Server& server = *entry.second;
    return server.is_close_needed() && matches(database, server.pool().set);
  });
}

void Worker::set_topology(TopologyPtr topology, const config::Diff& diff) {
  topology_ = std::move(topology);
  ++config_version_;
  analyzer_ = make_analyzer(*topology_);
  statement_stats_.forget_rules();
  statement_stats_.set_max(config().limits.statement_shapes);
  slow_us_ = slow_from(config());
  for (auto it = pool_sets_.begin(); it != pool_sets_.end();) {
    if (!is_changed(*it->second, *topology_, diff)) {
      ++it;
      continue;
    }
    it->second->retired = true;
    retired_.push_back(std::move(it->second));
    pool_sets_.erase(it++);
  }
  for (const auto& set : retired_) {
    for (const auto& pool : set->made()) {
      if (!pool) continue;
      while (pool::Waiter* waiter = pool->pool.first_waiter()) {
        pool->pool.cancel(*waiter);
        hold(*static_cast<Client*>(waiter));
      }
      for (Server* server : std::vector<Server*>(pool->servers)) {
        if (server->pool_state() == pool::Server::State::kIdle) server->close("reloaded");
      }
    }
  }
  refresh_waiters();
}

}  // namespace proxy
