#include "config/config.h"

#include <algorithm>
#include <charconv>

namespace config {
namespace {

template <class Named>
const Named* find_named(const std::vector<Named>& all, std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Named& candidate) { return candidate.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

const Database* find_database(const Config& config, std::string_view name) {
  const Database* exact = find_named(config.databases, name);
  return exact != nullptr ? exact : find_named(config.databases, "*");
}

const User* find_user(const Config& config, std::string_view name) {
  return find_named(config.users, name);
}

const Cluster* find_cluster(const Config& config, std::string_view name) {
  return find_named(config.clusters, name);
}

const Peer* find_peer(const Config& config, std::uint32_t number) {
  const auto found = std::ranges::find(config.peers, number, &Peer::number);
  return number == 0 || found == config.peers.end() ? nullptr : &*found;
}

std::uint32_t Peer::number() const {
  std::uint32_t value = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data(), end, value);
  const bool plain = parsed.ec == std::errc() && parsed.ptr == end && name.front() != '0';
  return plain && value <= kNumberMax ? value : 0;
}

PoolMode pool_mode(const Config& config, const Database& database, const User* user) {
  if (user != nullptr && user->pool_mode) return *user->pool_mode;
  return database.pool_mode.value_or(config.pool_mode);
}

Consistency consistency(const Cluster& cluster, const Database& database, const User* user) {
  if (user != nullptr && user->consistency) return *user->consistency;
  return database.consistency.value_or(cluster.routing.consistency);
}

PoolSizes pool_sizes(const Config& config, const Database& database, const User* user) {
  if (user != nullptr && user->pool) return *user->pool;
  return database.pool.value_or(config.pool);
}

}  // namespace config
