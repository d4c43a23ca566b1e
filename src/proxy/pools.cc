#include "proxy/pools.h"

#include <algorithm>
#include <utility>

#include "net/address.h"

namespace proxy {

void set_parameter(ServerParameters& parameters, std::string_view name, std::string_view value) {
  const auto it = std::ranges::find(parameters, name, &ServerParameters::value_type::first);
  if (it == parameters.end()) {
    parameters.emplace_back(name, value);
  } else {
    it->second = value;
  }
}

const config::Host& HostPool::target() const { return set.cluster->config.hosts[host]; }
ClusterRuntime::HostCounters& HostPool::counters() const { return set.cluster->counters[host]; }

PoolSet::PoolSet(const Topology& topology, const config::Database& database_definition,
                 std::string database_name, std::string user_name, Shared& shared,
                 Stats& database_stats, Outdated& outdated, ServerParameters startup_parameters)
    : database(std::move(database_name)),
      user(std::move(user_name)),
      definition(database_definition),
      cluster(*topology.find(database_definition.cluster)),
      config(topology.config),
      mode(startup_parameters.empty()
               ? config::pool_mode(*config, definition, config::find_user(*config, user))
               : config::PoolMode::kSession),
      consistency(
          config::consistency(cluster->config, definition, config::find_user(*config, user))),
      server_user(definition.user.empty() ? user : definition.user),
      server_dbname(definition.dbname.empty() ? database : definition.dbname),
      startup(std::move(startup_parameters)),
      catalog_feed(startup.empty() ? cluster->catalogs.feed(server_dbname) : nullptr),
      router(cluster->config, random_value<std::uint64_t>()),
      rival_router(cluster->config, random_value<std::uint64_t>()),
      stats(database_stats),
      times{.database = database, .user = user},
      owner(std::make_shared<StatementOwner>(StatementOwner{database, user})),
      shared_(shared),
      outdated_(outdated),
      hosts_(cluster->config.hosts.size()),
      loads_(hosts_.size()) {}

HostPool& PoolSet::at(std::size_t host) {
  auto& pool = hosts_[host];
  if (pool) return *pool;
  if (!startup.empty()) {  // no pool's: it has no limit but the server's
    pool = std::make_unique<HostPool>(*this, host, config::PoolSizes{.size = 0},
                                      config->timeouts.reserve, std::vector<pool::Permits*>{});
    return *pool;
  }
  const config::User* user_definition = config::find_user(*config, user);
  const auto sizes = config::pool_sizes(*config, definition, user_definition);
  const std::string at_host = "@" + cluster->config.name + "/" + cluster->config.hosts[host].name;
  std::vector<pool::Permits*> permits = {
      shared_.permits.find("pool " + database + "/" + user + at_host, sizes.size, sizes.reserve)};
  if (definition.max_connections != 0) {
    permits.push_back(
        shared_.permits.find("database " + database + at_host, definition.max_connections, 0));
  }
  if (user_definition != nullptr && user_definition->max_connections != 0) {
    permits.push_back(
        shared_.permits.find("user " + user + at_host, user_definition->max_connections, 0));
  }
  pool =
      std::make_unique<HostPool>(*this, host, sizes, config->timeouts.reserve, std::move(permits));
  return *pool;
}

const cluster::Snapshot& PoolSet::snapshot() const {
  if (!snapshot_ || snapshot_->version != cluster->monitor.version()) {
    outdated_.push_back(std::exchange(snapshot_, cluster->monitor.snapshot()));
  }
  return *snapshot_;
}

const sql::Catalog* PoolSet::catalog() const {
  if (!catalog_feed) return nullptr;
  if (const auto version = catalog_feed->version(); version != catalog_version_) {
    outdated_.push_back(std::exchange(catalog_, catalog_feed->get()));
    catalog_version_ = version;
  }
  return catalog_.get();
}

sql::CatalogPtr PoolSet::last_catalog() const {
  return catalog_feed ? catalog_feed->last_read() : nullptr;
}

std::uint16_t PoolSet::group_of(const std::string& application_name) {
  const auto found = groups_.find(application_name);
  if (found != groups_.end()) return found->second;
  if (application_name.empty()) return 0;
  const auto number = shared_.applications.number(database + '/' + user, application_name);
  if (groups_.size() < pool::Permits::kGroupsMax) groups_.emplace(application_name, number);
  return number;
}

bool PoolSet::asks_sequences() const {
  return definition.asks_sequences ||
         (catalog_feed && catalog_feed->sequences_asked.load(std::memory_order_relaxed));
}

void PoolSet::note_sequences_asked() {
  if (catalog_feed) catalog_feed->sequences_asked.store(true, std::memory_order_relaxed);
}

bool PoolSet::may_have_sequences() const {
  const sql::Catalog* known = catalog();
  return known == nullptr || known->may_have_sequences();
}

std::span<const route::HostLoad> PoolSet::loads(base::Time now) {
  for (std::size_t i = 0; i < loads_.size(); ++i) {
    loads_[i] = cluster->counters[i].load(now);
    loads_[i].full = hosts_[i] != nullptr && hosts_[i]->pool.starving();
  }
  return loads_;
}

const char* PoolSet::replication() const {
  const auto asked =
      std::ranges::find(startup, "replication", &ServerParameters::value_type::first);
  if (asked == startup.end()) return "none";
  return asked->second.starts_with('d') || asked->second.starts_with('D') ? "logical" : "physical";
}

bool PoolSet::unused() const {
  return std::ranges::all_of(hosts_, [](const auto& p) { return !p || p->pool.unused(); });
}

}  // namespace proxy
