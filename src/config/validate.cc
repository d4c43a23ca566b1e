#include "config/validate.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "config/address.h"
#include "config/concat.h"
#include "config/files.h"
#include "config/problems.h"
#include "config/suggest.h"
#include "config/units.h"
#include "config/url.h"
#include "config/words.h"

namespace config {
namespace {

using Path = std::vector<std::string>;
using Login = std::pair<std::string, std::string>;  // user, password

Path operator/(Path path, std::string segment) {
  path.push_back(std::move(segment));
  return path;
}

bool is_md5(std::string_view secret) {
  return secret.size() == 35 && secret.starts_with("md5") &&
         secret.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos;
}
bool is_plain(std::string_view secret) {
  return !secret.empty() && !is_md5(secret) && !secret.starts_with("SCRAM-SHA-256$");
}

// ---- what follows from the rest

Login login_for_monitor(const Config& config, const Cluster& cluster) {
  for (const Database& database : config.databases) {
    if (database.cluster == cluster.name && !database.user.empty() && !database.password.empty()) {
      return {database.user, database.password};
    }
  }
  for (const User& user : config.users) {
    if (is_plain(user.password)) return {user.name, user.password};
  }
  if (!config.auth.auth_user.empty()) return {config.auth.auth_user, config.auth.auth_password};
  for (const Database& database : config.databases) {
    if (database.cluster == cluster.name && !database.user.empty()) return {database.user, ""};
  }
  for (const User& user : config.users) {
    if (user.password.empty()) return {user.name, ""};
  }
  return {};
}

// ---- one kind of object each

void check_pool(const PoolSizes& pool, const Path& path, const Report& report) {
  if (pool.size != 0 && pool.min > pool.size) {
    report(path / "min", concat("expected at most pool.size, ", pool.size, ", found ", pool.min));
  }
}

void check_file(const std::string& file, const Path& path, const Report& report) {
  if (file.empty()) return;
  if (const absl::Status status = readable(file); !status.ok()) {
    report(path, concat("expected a readable file, found ", quoted(file), ": ", status.message()));
  }
}

void check_tls(const Tls& tls, const Path& path, const Report& report) {
  check_file(tls.cert_file, path / "cert_file", report);
  check_file(tls.key_file, path / "key_file", report);
  check_file(tls.ca_file, path / "ca_file", report);
  const bool verifies = tls.mode == SslMode::kVerifyCa || tls.mode == SslMode::kVerifyFull;
  if (verifies && tls.ca_file.empty()) {
    report(path / "ca_file", concat("expected a file of certificates to trust, since mode is ",
                                    quoted(word(tls.mode)), ", found nothing"));
  }
}

void check_client_tls(const Tls& tls, const Report& report) {
  const Path path{"tls", "client"};
  check_tls(tls, path, report);
  if (tls.mode == SslMode::kDisable) return;
  const auto need = [&](const std::string& file, const char* key, const char* what) {
    if (!file.empty()) return;
    report(path / key, concat("expected the file of our ", what, ", since mode is ",
                              quoted(word(tls.mode)), ", found nothing"));
  };
  need(tls.cert_file, "cert_file", "certificate");
  need(tls.key_file, "key_file", "private key");
}

void check_server_tls(const Tls& tls, const Path& path, const Report& report) {
  check_tls(tls, path, report);
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    const char* missing = tls.cert_file.empty() ? "cert_file" : "key_file";
    report(path / missing, "expected cert_file and key_file together, found one of them");
  }
}

void check_hosts(const Cluster& cluster, const Path& path, const Report& report) {
  if (cluster.hosts.empty()) {
    report(path, "expected a list of hosts such as [\"10.0.0.1:5432\", \"10.0.0.2\"]");
  }
  std::set<std::string_view> names;
  std::set<std::string> endpoints;
  int primaries = 0;
  for (std::size_t i = 0; i < cluster.hosts.size(); ++i) {
    const Host& host = cluster.hosts[i];
    const Path at = path / concat("[", i, "]");
    if (!endpoints.insert(format_endpoint(host.host, host.port)).second) {
      report(at, concat("expected each host once, found ",
                        quoted(format_endpoint(host.host, host.port)), " again"));
    } else if (!names.insert(host.name).second) {
      report(at / "name",
             concat("expected a name of its own, found ", quoted(host.name), " again"));
    }
    if (host.role == HostRole::kPrimary && ++primaries == 2) {
      report(at / "role", "expected at most one host with role \"primary\", found a second one");
    }
  }
}

void check_cluster(const Config& config, const Cluster& cluster, const Report& report) {
  const Path path{"clusters", cluster.name};
  check_hosts(cluster, path / "hosts", report);
  if (cluster.monitor_timeout < cluster.monitor_interval) {
    report(path / "monitor" / "timeout",
           concat("expected at least monitor.interval, ", format_duration(cluster.monitor_interval),
                  ", found ", format_duration(cluster.monitor_timeout)));
  }
  if (cluster.monitor_user.empty()) {
    report(path / "monitor" / "user",
           cluster.monitor_password.empty()
               ? "expected a login for the monitor, since the configuration names no other one "
                 "whose password it knows, found nothing"
               : "expected the user that monitor.password belongs to, found nothing");
  }
  // What is wrong with [tls.server] is said once.
  if (cluster.tls != config.server_tls) check_server_tls(cluster.tls, path / "tls", report);
}

std::string names_of_clusters(const Config& config) {
  constexpr std::size_t kShown = 5;
  std::string list;
  for (std::size_t i = 0; i < std::min(config.clusters.size(), kShown); ++i) {
    append(list, i == 0 ? "" : ", ", quoted(config.clusters[i].name));
  }
  return list + (config.clusters.size() > kShown ? ", ..." : "");
}

void check_database(const Config& config, const Database& database, const Report& report) {
  const Path path{"databases", database.name};
  if (database.name == "weir" || database.name == "pgbouncer") {
    report(path, "expected another name: this one is the admin console's");
  }
  if (database.cluster.empty()) {
    report(path / "cluster", concat("expected the name of a cluster, since there are several (",
                                    names_of_clusters(config), "), found nothing"));
  } else if (find_cluster(config, database.cluster) == nullptr) {
    std::vector<std::string> names;
    for (const Cluster& cluster : config.clusters) names.push_back(cluster.name);
    report(path / "cluster",
           concat("expected the name of a cluster, found ", quoted(database.cluster),
                  did_you_mean(nearest(database.cluster, names))));
  }
  if (database.user.empty() && !database.password.empty()) {
    report(path / "user", "expected the user that the password belongs to, found nothing");
  }
  if (database.auth_user.empty() && !database.auth_password.empty()) {
    report(path / "auth_user", "expected the user that auth_password belongs to, found nothing");
  }
  if (database.pool) check_pool(*database.pool, path / "pool", report);
}

bool has_lookups(const Config& config) {
  return !config.auth.auth_user.empty() ||
         std::any_of(config.databases.begin(), config.databases.end(),
                     [](const Database& database) { return !database.auth_user.empty(); });
}

void check_user(const Config& config, const User& user, const Report& report) {
  const Path path{"users", user.name};
  if (user.pool) check_pool(*user.pool, path / "pool", report);
  if (config.auth.method == AuthMethod::kTrust) return;
  if (user.password.empty() && !has_lookups(config)) {
    report(path / "password",
           "expected a password, since auth.method is not \"trust\" and there is no auth.user to "
           "look it up, found nothing");
  }
  if (config.auth.method == AuthMethod::kScram && is_md5(user.password)) {
    report(path / "password",
           "expected a plain password or a SCRAM-SHA-256 verifier, since auth.method is "
           "\"scram-sha-256\", found an md5 hash");
  }
}

void check_query(const std::string& query, const Path& path, const Report& report) {
  if (!query.empty() && query.find("$1") == std::string::npos) {
    report(path, "expected a query with $1, the user's name, found none");
  }
}

void check_auth(const Config& config, const Report& report) {
  const Auth& auth = config.auth;
  if (auth.auth_user.empty() && !auth.auth_password.empty()) {
    report({"auth", "user"}, "expected the user that the password belongs to, found nothing");
  }
  if (auth.method != AuthMethod::kTrust && config.users.empty() && !has_lookups(config)) {
    report({"users"},
           "expected somebody who can log in: a [users.NAME] with a password, or auth.user to look "
           "users up, or auth.method = \"trust\"");
  }
  const std::string& traces = config.traces.endpoint;
  if (!traces.empty() && !parse_http_url(traces)) {
    report({"traces", "endpoint"}, concat("expected http://HOST:PORT/PATH of a collector, such as "
                                          "\"http://127.0.0.1:4318/v1/traces\", found ",
                                          quoted(traces)));
  }
  check_query(auth.auth_query, {"auth", "query"}, report);
  for (const Database& database : config.databases) {
    check_query(database.auth_query, {"databases", database.name, "auth_query"}, report);
  }
}

void check_log(const Logging& log, const Report& report) {
  if (!log.file.empty() && log.output != LogOutput::kStderr) {
    report({"log", "file"}, concat("expected no file, since output is ", quoted(word(log.output)),
                                   ", found ", quoted(log.file)));
  }
}

void check_listeners(const Config& config, const Report& report) {
  std::set<std::string> seen;
  for (const Listener& listener : config.listeners) {
    if (!seen.insert(format_listener(listener)).second) {
      report({"listen"}, concat("expected each address once, found ",
                                quoted(format_listener(listener)), " again"));
    }
  }
  if (config.admin.http_port == 0) return;
  const std::string http = format_endpoint(config.admin.http_host, config.admin.http_port);
  if (seen.contains(http)) {
    report({"admin", "http"},
           concat("expected an address that listen does not use, found ", quoted(http)));
  }
}

// As in RFC 6750: whatever carries it, a header or a shell, needs no quotes.
void check_token(const std::string& token, const Path& path, const Report& report) {
  if (token.empty()) return;
  const bool plain = token.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") ==
                     std::string::npos;
  if (plain && token.size() >= Admin::kTokenMin && token.size() <= Admin::kTokenMax) return;
  report(path, concat("expected from ", Admin::kTokenMin, " to ", Admin::kTokenMax,
                      " letters, digits or any of -._~+/=, found ",
                      plain ? concat(token.size()) : std::string("others")));
}

void check_admin(const Admin& admin, const Report& report) {
  check_token(admin.token, {"admin", "token"}, report);
  check_token(admin.view_token, {"admin", "view_token"}, report);
  if (!admin.token.empty() && admin.token == admin.view_token) {
    report({"admin", "view_token"}, "expected another one than admin.token, found the same");
  }
}

void check_peers(const Config& config, const Report& report) {
  std::set<std::string> endpoints;
  for (const Peer& peer : config.peers) {
    const Path path{"peers", peer.name};
    if (peer.number() == 0) {
      report(path, concat("expected as name of a peer its number, its own peer_id, from 1 to ",
                          Peer::kNumberMax, ", found ", quoted(peer.name)));
    }
    if (peer.address.host.empty()) {
      report(path / "host", "expected the address that the peer listens on, found nothing");
    } else if (!endpoints.insert(format_endpoint(peer.address.host, peer.address.port)).second) {
      report(path / "host",
             concat("expected each address once, found ",
                    quoted(format_endpoint(peer.address.host, peer.address.port)), " again"));
    }
    check_server_tls(peer.tls, path / "tls", report);
  }
  if (!config.peers.empty() && config.peer_id == 0) {
    report({"peer_id"}, "expected the number of this Weir, since there are peers, found none");
  }
}

}  // namespace

void complete(Config& config) {
  if (config.listeners.empty()) config.listeners.emplace_back();
  for (std::size_t i = 0; i < config.rules.size(); ++i) {
    std::string& name = config.rules[i].name;
    if (name.empty()) name = concat(i + 1);
  }
  const bool one_cluster = config.clusters.size() == 1;
  if (config.databases.empty()) config.databases.push_back({.name = "*"});
  for (Database& database : config.databases) {
    if (database.cluster.empty() && one_cluster) database.cluster = config.clusters.front().name;
  }
  for (Cluster& cluster : config.clusters) {
    if (!cluster.monitor_user.empty() || !cluster.monitor_password.empty()) continue;
    std::tie(cluster.monitor_user, cluster.monitor_password) = login_for_monitor(config, cluster);
  }
}

void validate(const Config& config, const Report& report) {
  check_listeners(config, report);
  check_log(config.logging, report);
  check_admin(config.admin, report);
  check_pool(config.pool, {"pool"}, report);
  check_client_tls(config.client_tls, report);
  check_server_tls(config.server_tls, {"tls", "server"}, report);
  if (config.clusters.empty()) {
    report({"clusters"},
           "expected at least one cluster: [clusters.main] with hosts = [\"10.0.0.1:5432\"]");
  }
  for (const Cluster& cluster : config.clusters) {
    if (report.full()) return;
    check_cluster(config, cluster, report);
  }
  if (!config.clusters.empty()) {
    for (const Database& database : config.databases) {
      if (report.full()) return;
      check_database(config, database, report);
    }
  }
  check_peers(config, report);
  check_auth(config, report);
  for (const User& user : config.users) {
    if (report.full()) return;
    check_user(config, user, report);
  }
  check_rules(config, report);
}

}  // namespace config
