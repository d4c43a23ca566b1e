#include "config/describe.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_join.h"
#include "config/address.h"
#include "config/concat.h"
#include "config/units.h"
#include "config/words.h"

namespace config {
namespace {

std::string pool_text(const PoolSizes& pool) {
  std::string text = pool.size == 0 ? "unlimited" : concat(pool.size);
  if (pool.min > 0) append(text, ", at least ", pool.min);
  if (pool.reserve > 0) append(text, ", reserve ", pool.reserve);
  return text;
}

std::string mode_text(std::optional<PoolMode> mode) {
  return mode ? concat(", ", word(*mode), " mode") : "";
}

std::string limits_text(const std::optional<PoolSizes>& pool, std::uint32_t connections,
                        std::uint32_t clients) {
  std::string text;
  if (pool) append(text, ", pool ", pool_text(*pool));
  if (connections > 0) append(text, ", at most ", connections, " connections to a host");
  if (clients > 0) append(text, ", at most ", clients, " clients");
  return text;
}

std::string lag_text(const Routing& routing) {
  if (!routing.split_reads) return "all statements on the primary";
  std::string limits;
  if (routing.lag_max.count() > 0) limits = format_duration(routing.lag_max);
  if (routing.lag_bytes_max > 0) {
    append(limits, limits.empty() ? "" : " and ", format_size(routing.lag_bytes_max));
  }
  const std::string within = limits.empty() ? "at any lag" : "within " + limits;
  return concat("reads on replicas ", within, ", ", word(routing.balancing), ", ",
                word(routing.consistency), " consistency, with none left ",
                routing.no_replica == NoReplica::kPrimary ? "on the primary" : "an error");
}

void describe_cluster(const Cluster& cluster, std::string& out) {
  append(out, "cluster ", cluster.name, ": ", lag_text(cluster.routing), "\n");
  for (const Host& host : cluster.hosts) {
    const std::string endpoint = format_endpoint(host.host, host.port);
    append(out, "  host ", endpoint, ", role ", word(host.role));
    if (host.name != endpoint) append(out, ", named ", host.name);
    if (host.weight != 1) append(out, ", weight ", host.weight);
    if (!host.zone.empty()) append(out, ", zone ", host.zone);
    append(out, "\n");
  }
  for (const std::string& url : cluster.patroni) {
    append(out, "  until Patroni at ", url, " says who they are\n");
  }
  append(out, "  TLS ", word(cluster.tls.mode), "; watched every ",
         format_duration(cluster.monitor_interval), " as ", cluster.monitor_user,
         cluster.monitor_password.empty() ? " without a password" : "", " in database ",
         cluster.monitor_database, "\n");
}

void describe_database(const Database& database, std::string& out) {
  append(out, "database ", database.name, ": cluster ", database.cluster);
  if (!database.dbname.empty()) append(out, ", there called ", database.dbname);
  if (!database.user.empty()) append(out, ", always as ", database.user);
  append(out, mode_text(database.pool_mode),
         limits_text(database.pool, database.max_connections, database.max_client_connections));
  if (!database.auth_user.empty()) {
    append(out, ", users looked up as ", database.auth_user);
  }
  append(out, "\n");
}

std::string_view secret_text(std::string_view secret) {
  if (secret.empty()) return "no password";
  if (secret.starts_with("SCRAM-SHA-256$")) return "SCRAM verifier";
  return secret.starts_with("md5") && secret.size() == 35 ? "md5 hash" : "password";
}

void describe_user(const User& user, std::string& out) {
  append(out, "user ", user.name, ": ", secret_text(user.password), mode_text(user.pool_mode),
         limits_text(user.pool, user.max_connections, user.max_client_connections));
  if (user.admin) {
    append(out, ", commands the console");
  } else if (user.stats) {
    append(out, ", reads the console");
  }
  append(out, "\n");
}

void append_list(std::string& out, std::string_view what, const std::vector<std::string>& list) {
  if (!list.empty()) append(out, ", ", what, " ", absl::StrJoin(list, " or "));
}

void describe_rule(const Rule& rule, std::string& out) {
  std::string conditions;
  append_list(conditions, "user", rule.users);
  append_list(conditions, "database", rule.databases);
  append_list(conditions, "application", rule.application_names);
  append_list(conditions, "table", rule.tables);
  append_list(conditions, "function", rule.functions);
  append_list(conditions, "shape", rule.shapes);
  if (!rule.regex.empty()) append(conditions, ", text like ", rule.regex);
  std::string effects;
  if (rule.route) append(effects, ", ", word(*rule.route));
  append_list(effects, "hosts", rule.hosts);
  if (rule.consistency) append(effects, ", ", word(*rule.consistency), " consistency");
  if (rule.max_lag.count() > 0) append(effects, ", lag up to ", format_duration(rule.max_lag));
  const std::string_view all = conditions.empty() ? ", everything" : std::string_view(conditions);
  append(out, "rule ", rule.name, ": ", all.substr(2), " -> ", std::string_view(effects).substr(2),
         "\n");
}

bool is_of_this_machine(std::string_view host) {
  return host.starts_with("127.") || host == "::1" || host == "localhost";
}

void describe_http_warnings(const Admin& admin, std::string& out) {
  if (admin.http_port == 0) return;
  const bool has_token = !admin.token.empty() || !admin.view_token.empty();
  if (!has_token && !admin.view_without_token) {
    append(out,
           "note: the dashboard is closed without admin.view_token, admin.token or "
           "admin.view_without_token\n");
  }
  if (is_of_this_machine(admin.http_host)) return;
  if (admin.view_without_token) {
    append(out,
           "note: admin.http can be reached from other machines, and admin.view_without_token is "
           "on: anybody there may look at the dashboard\n");
  }
  if (has_token) {
    append(out,
           "note: admin.http can be reached from other machines, and is not encrypted: who listens "
           "on the way may read the tokens\n");
  }
}

// What an operator may not have meant.
void describe_warnings(const Config& config, std::string& out) {
  for (const Cluster& cluster : config.clusters) {
    const std::string& zone = cluster.routing.zone;
    if (zone.empty() || std::ranges::count(cluster.hosts, zone, &Host::zone) > 0) continue;
    append(out, "note: no host of cluster ", cluster.name, " is in routing.zone, ", zone, "\n");
  }
  for (const Rule& rule : config.rules) {
    const bool matters = std::ranges::any_of(config.clusters, [&](const Cluster& cluster) {
      return cluster.routing.lag_max.count() == 0 || rule.max_lag < cluster.routing.lag_max;
    });
    if (rule.max_lag.count() == 0 || matters) continue;
    append(out, "note: max_lag of rule ", rule.name, " is not below any cluster's lag_max\n");
  }
  bool open = false;
  for (const Listener& listener : config.listeners) {
    open |= listener.unix_dir.empty() && !is_of_this_machine(listener.host);
  }
  if (config.auth.method == AuthMethod::kTrust && open) {
    append(out,
           "note: auth.method is trust and an address can be reached from other "
           "machines: anybody there may log in\n");
  }
  if (config.auth.method == AuthMethod::kPassword && config.client_tls.mode == SslMode::kDisable) {
    append(out,
           "note: auth.method is password without [tls.client]: only Unix sockets can "
           "log in\n");
  }
  bool admin = false;
  for (const User& user : config.users) admin |= user.admin || user.stats;
  describe_http_warnings(config.admin, out);
  if (!admin) append(out, "note: no user has admin or stats: nobody may use the console\n");
}

}  // namespace

std::string describe(const Config& config) {
  std::string out =
      concat("source: ", config.source.empty() ? "command line" : config.source, "\nlistens on ");
  append(out,
         absl::StrJoin(config.listeners, ", ",
                       [](std::string* text, const Listener& listener) {
                         text->append(format_listener(listener));
                       }),
         "\n");
  append(out, "workers: ", config.workers == 0 ? "one for each core" : concat(config.workers),
         "; pools: ", word(config.pool_mode), " mode, size ", pool_text(config.pool),
         "; clients: ", word(config.auth.method), ", TLS ", word(config.client_tls.mode), "\n");
  for (const Cluster& cluster : config.clusters) describe_cluster(cluster, out);
  for (const Database& database : config.databases) describe_database(database, out);
  for (const User& user : config.users) describe_user(user, out);
  for (const Rule& rule : config.rules) describe_rule(rule, out);

  std::string changed;
  for (const ConfigRow& row : explain_general(config)) {
    if (row.value == row.default_value) continue;
    append(changed, "  ", row.key, " = ", row.value, " (default ",
           row.default_value.empty() ? "none" : row.default_value, ")\n");
  }
  if (!changed.empty()) append(out, "not at their defaults:\n", changed);
  describe_warnings(config, out);
  return out;
}

}  // namespace config
