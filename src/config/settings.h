// Every setting, once: its key in the file, its member in Config, its kind and its range.
//
// A visitor is called with each of them, in the order of the documentation, and reads, prints or
// lists them: Reader (reader.h) fills a Config from TOML, explain.cc makes rows of it, keys.cc
// the list of all keys. Defaults are the members' initialisers in config.h, nowhere else.
//
//   v.whole(key, integer, {min, max})        v.word(key, enumerator or optional enumerator)
//   v.size(key, bytes, {min, max})           v.text(key, string, TextKind)
//   v.duration(key, milliseconds, {min, max})  v.path(key, string)   relative to the file's folder
//   v.ratio(key, double, {max, zero})        v.secret(key, string)   also reads `key`_file
//   v.flag(key, bool)                        v.functions(key, strings)
//   v.list(key, strings, ListKind)           one text or a list of them
//   v.listeners / v.http / v.hosts           addresses, in their own forms
//   v.section(key, visit)                    a table: visit(inner visitor)
//   v.named(key, vector, prototype, count_max, visit)
//                                            a table of tables: visit(inner visitor, element)
//   v.listed(key, vector, count_max, visit)  a list of tables: visit(inner visitor, element)
//   v.pool(key, optional pool, base)         a table that starts from `base`
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config/config.h"

namespace config {

struct WholeRange {
  std::uint64_t min, max;
};
struct SizeRange {
  std::uint64_t min, max;
};
struct DurationRange {
  milliseconds min, max;
};
enum class Zero : std::uint8_t { kRefused, kAllowed };
struct RatioRange {  // greater than 0, or 0 where that is allowed
  double max;
  Zero zero;
};
enum class TextKind : std::uint8_t {
  kName,  // an identifier on the servers: at most 63 bytes (NAMEDATALEN - 1)
  kSql,   // at most 8 KiB, line breaks allowed
};

enum class ListKind : std::uint8_t {
  kNames,      // identifiers
  kUsers,      // names, maybe none
  kQualified,  // "schema.name" or "name"
  kShapes,     // 16 hexadecimal digits
  kUrls,       // http://host:port
};

inline constexpr std::uint64_t kKiB = 1u << 10;
inline constexpr std::uint64_t kMiB = 1u << 20;
inline constexpr std::uint64_t kGiB = 1u << 30;
inline constexpr milliseconds kDay = std::chrono::hours(24);
inline constexpr milliseconds kYear = 365 * kDay;
inline constexpr std::uint64_t kConnectionsMax = 100'000;
inline constexpr std::uint64_t kClientsMax = 1'000'000;
inline constexpr std::uint64_t kDepthMax = 64;
inline constexpr std::size_t kClustersMax = 256;
inline constexpr std::size_t kNamesMax = 100'000;  // of databases, and of users
inline constexpr std::size_t kRulesMax = 1000;
inline constexpr double kWeightMax = 1000;  // of a host

template <class Visitor, class T>
void visit_pool(Visitor& v, T& pool) {
  v.whole("size", pool.size, WholeRange{0, kConnectionsMax});
  v.whole("min", pool.min, WholeRange{0, kConnectionsMax});
  v.whole("reserve", pool.reserve, WholeRange{0, kConnectionsMax});
  v.whole("waiting", pool.waiting, WholeRange{0, kClientsMax});
  v.whole("depth", pool.depth, WholeRange{1, kDepthMax});
  v.flag("share_early", pool.share_early);
}

template <class Visitor, class T>
void visit_tls(Visitor& v, T& tls) {
  v.word("mode", tls.mode);
  v.path("cert_file", tls.cert_file);
  v.path("key_file", tls.key_file);
  v.path("ca_file", tls.ca_file);
}

template <class Visitor, class T>
void visit_tcp(Visitor& v, T& tcp) {
  constexpr milliseconds kKernelMax = std::chrono::seconds(32767);  // MAX_TCP_KEEPIDLE, -INTVL
  v.duration("keepidle", tcp.keepidle, DurationRange{milliseconds(0), kKernelMax});
  v.duration("keepintvl", tcp.keepintvl, DurationRange{std::chrono::seconds(1), kKernelMax});
  v.whole("keepcnt", tcp.keepcnt, WholeRange{1, 127});  // MAX_TCP_KEEPCNT
  v.duration("user_timeout", tcp.user_timeout, DurationRange{milliseconds(0), kDay});
}

template <class Visitor, class T>
void visit_routing(Visitor& v, T& routing) {
  v.flag("split_reads", routing.split_reads);
  v.duration("lag_max", routing.lag_max, DurationRange{milliseconds(0), kDay});
  v.size("lag_bytes_max", routing.lag_bytes_max, SizeRange{0, 1024 * kGiB});
  v.ratio("lag_recover_ratio", routing.lag_recover_ratio, RatioRange{1, Zero::kRefused});
  v.word("balancing", routing.balancing);
  v.duration("slow_start", routing.slow_start,
             DurationRange{milliseconds(0), std::chrono::hours(1)});
  v.text("zone", routing.zone, TextKind::kName);
  v.whole("zone_active_max", routing.zone_active_max, WholeRange{1, kConnectionsMax});
  v.word("consistency", routing.consistency);
  v.duration("consistency_wait", routing.consistency_wait,
             DurationRange{milliseconds(0), std::chrono::minutes(1)});
  v.word("no_replica", routing.no_replica);
  v.whole("breaker_failures", routing.breaker_failures, WholeRange{0, kConnectionsMax});
  v.ratio("breaker_error_rate", routing.breaker_error_rate, RatioRange{1, Zero::kAllowed});
  v.duration("breaker_pause", routing.breaker_pause,
             DurationRange{milliseconds(100), std::chrono::hours(1)});
  v.duration("breaker_pause_max", routing.breaker_pause_max,
             DurationRange{milliseconds(100), std::chrono::hours(1)});
  v.ratio("retry_share", routing.retry_share, RatioRange{1, Zero::kAllowed});
  v.flag("hedge_reads", routing.hedge_reads);
  v.functions("harmless_functions", routing.harmless_functions);
}

// One element of clusters.NAME.hosts in its long form.
template <class Visitor, class T>
void visit_host(Visitor& v, T& host) {
  v.host("host", host);
  v.whole("port", host.port, WholeRange{1, 65535});
  v.text("name", host.name, TextKind::kName);
  v.word("role", host.role);
  v.ratio("weight", host.weight, RatioRange{kWeightMax, Zero::kRefused});
  v.text("zone", host.zone, TextKind::kName);
}

template <class Visitor, class T>
void visit_cluster(Visitor& v, T& cluster) {
  v.hosts("hosts", cluster.hosts);
  v.list("patroni", cluster.patroni, ListKind::kUrls);
  v.section("monitor", [&](auto& inner) {
    inner.duration("interval", cluster.monitor_interval,
                   DurationRange{milliseconds(20), std::chrono::seconds(60)});
    inner.duration("timeout", cluster.monitor_timeout,
                   DurationRange{milliseconds(20), std::chrono::minutes(10)});
    inner.duration("catalog_interval", cluster.catalog_interval,
                   DurationRange{milliseconds(0), std::chrono::hours(24)});
    inner.size("catalog_bytes", cluster.catalog_bytes, SizeRange{64 * kKiB, kGiB});
    inner.text("user", cluster.monitor_user, TextKind::kName);
    inner.secret("password", cluster.monitor_password);
    inner.text("database", cluster.monitor_database, TextKind::kName);
  });
  v.section("routing", [&](auto& inner) { visit_routing(inner, cluster.routing); });
  v.section("tls", [&](auto& inner) { visit_tls(inner, cluster.tls); });
}

template <class Visitor, class T>
void visit_peer(Visitor& v, T& peer) {
  v.host("host", peer.address);
  v.whole("port", peer.address.port, WholeRange{1, 65535});
  v.section("tls", [&](auto& inner) { visit_tls(inner, peer.tls); });
}

template <class Visitor, class T>
void visit_database(Visitor& v, T& database, const PoolSizes& pool) {
  v.text("cluster", database.cluster, TextKind::kName);
  v.text("dbname", database.dbname, TextKind::kName);
  v.text("user", database.user, TextKind::kName);
  v.secret("password", database.password);
  v.word("pool_mode", database.pool_mode);
  v.word("consistency", database.consistency);
  v.pool("pool", database.pool, pool);
  v.whole("max_connections", database.max_connections, WholeRange{0, kConnectionsMax});
  v.whole("max_client_connections", database.max_client_connections, WholeRange{0, kClientsMax});
  v.text("auth_user", database.auth_user, TextKind::kName);
  v.secret("auth_password", database.auth_password);
  v.text("auth_query", database.auth_query, TextKind::kSql);
  v.word("log_level", database.log_level);
  v.flag("asks_sequences", database.asks_sequences);
}

template <class Visitor, class T>
void visit_user(Visitor& v, T& user, const PoolSizes& pool) {
  v.secret("password", user.password);
  v.word("pool_mode", user.pool_mode);
  v.word("consistency", user.consistency);
  v.pool("pool", user.pool, pool);
  v.whole("max_connections", user.max_connections, WholeRange{0, kConnectionsMax});
  v.whole("max_client_connections", user.max_client_connections, WholeRange{0, kClientsMax});
  v.flag("admin", user.admin);
  v.flag("stats", user.stats);
}

template <class Visitor, class T>
void visit_rule(Visitor& v, T& rule) {
  v.text("name", rule.name, TextKind::kName);
  v.list("user", rule.users, ListKind::kNames);
  v.list("database", rule.databases, ListKind::kNames);
  v.list("application_name", rule.application_names, ListKind::kNames);
  v.list("table", rule.tables, ListKind::kQualified);
  v.list("function", rule.functions, ListKind::kQualified);
  v.list("shape", rule.shapes, ListKind::kShapes);
  v.text("regex", rule.regex, TextKind::kSql);
  v.word("route", rule.route);
  v.list("hosts", rule.hosts, ListKind::kNames);
  v.word("consistency", rule.consistency);
  v.duration("max_lag", rule.max_lag, DurationRange{milliseconds(0), kDay});
}

template <class Visitor, class T>
void visit_auth(Visitor& v, T& auth) {
  v.word("method", auth.method);
  v.text("user", auth.auth_user, TextKind::kName);
  v.secret("password", auth.auth_password);
  v.text("database", auth.auth_database, TextKind::kName);
  v.text("query", auth.auth_query, TextKind::kSql);
  v.duration("query_cache", auth.auth_query_cache, DurationRange{milliseconds(0), kDay});
}

template <class Visitor, class T>
void visit_timeouts(Visitor& v, T& timeouts) {
  const DurationRange day{milliseconds(0), kDay};
  const DurationRange year{milliseconds(0), kYear};
  v.duration("login", timeouts.login, day);
  v.duration("connect", timeouts.connect, DurationRange{milliseconds(1), std::chrono::hours(1)});
  v.duration("query_wait", timeouts.query_wait, day);
  v.duration("wait_notice", timeouts.wait_notice, day);
  v.duration("reserve", timeouts.reserve, day);
  v.duration("server_idle", timeouts.server_idle, year);
  v.duration("server_lifetime", timeouts.server_lifetime, year);
  v.ratio("server_lifetime_jitter", timeouts.server_lifetime_jitter, RatioRange{1, Zero::kAllowed});
  v.duration("server_retry", timeouts.server_retry,
             DurationRange{milliseconds(0), std::chrono::hours(1)});
  v.duration("defer_begin", timeouts.defer_begin,
             DurationRange{milliseconds(0), std::chrono::seconds(1)});
  v.duration("idle_in_transaction", timeouts.idle_in_transaction, year);
  v.duration("transaction", timeouts.transaction, year);
  v.duration("query", timeouts.query, year);
  v.duration("client_stall", timeouts.client_stall, year);
  v.duration("client_idle", timeouts.client_idle, year);
  v.duration("upgrade", timeouts.upgrade, year);
  v.duration("drain", timeouts.drain, day);
}

template <class Visitor, class T>
void visit_limits(Visitor& v, T& limits) {
  v.whole("clients", limits.clients, WholeRange{1, kClientsMax});
  v.whole("held", limits.held, WholeRange{0, kClientsMax});
  v.whole("waiting", limits.waiting, WholeRange{0, kClientsMax});
  v.size("message_bytes", limits.message_bytes, SizeRange{64 * kKiB, kGiB});
  v.size("startup_bytes", limits.startup_bytes, SizeRange{kKiB, kMiB});
  v.size("gather_bytes", limits.gather_bytes, SizeRange{8 * kKiB, kGiB});
  v.size("buffer_bytes", limits.buffer_bytes, SizeRange{8 * kKiB, kGiB});
  v.whole("prepared_statements", limits.prepared_statements, WholeRange{1, kConnectionsMax});
  v.size("client_prepared_bytes", limits.client_prepared_bytes, SizeRange{64 * kKiB, kGiB});
  v.size("analyze_bytes", limits.analyze_bytes, SizeRange{0, kMiB});
  v.size("analyze_cache_bytes", limits.analyze_cache_bytes, SizeRange{0, kGiB});
  v.whole("statement_shapes", limits.statement_shapes, WholeRange{0, 100'000});
}

template <class Visitor, class T>
void visit_pinning(Visitor& v, T& pinning) {
  v.flag("temporary_objects", pinning.temporary_objects);
  v.flag("advisory_locks", pinning.advisory_locks);
  v.flag("hold_cursors", pinning.hold_cursors);
  v.flag("listen", pinning.listen);
  v.flag("prepared_statements", pinning.prepared_statements);
  v.flag("sequence_state", pinning.sequence_state);
  v.flag("random_seed", pinning.random_seed);
  v.flag("libraries", pinning.libraries);
  v.flag("backend_pid", pinning.backend_pid);
}

template <class Visitor, class T>
void visit_log(Visitor& v, T& log) {
  v.word("level", log.level);
  v.word("format", log.format);
  v.path("file", log.file);
  v.flag("connections", log.connections);
  v.word("output", log.output);
  v.path("socket", log.socket);
  v.text("ident", log.ident, TextKind::kName);
  v.word("facility", log.facility);
  v.whole("repeats", log.repeats, WholeRange{0, kConnectionsMax});
  v.size("queue_bytes", log.queue_bytes, SizeRange{64 * kKiB, kGiB});
  v.duration("slow_query", log.slow_query, DurationRange{milliseconds(0), kDay});
  v.flag("parameters", log.parameters);
}

// The whole file. Sections that others start from come first.
template <class Visitor, class T>
void visit_config(Visitor& v, T& config) {
  v.listeners("listen", config.listeners);
  v.whole("workers", config.workers, WholeRange{0, 256});
  v.whole("peer_id", config.peer_id, WholeRange{0, Peer::kNumberMax});
  v.word("pool_mode", config.pool_mode);
  v.section("pool", [&](auto& inner) { visit_pool(inner, config.pool); });
  v.section("routing", [&](auto& inner) { visit_routing(inner, config.routing); });
  v.section("tls", [&](auto& tls) {
    tls.section("client", [&](auto& inner) { visit_tls(inner, config.client_tls); });
    tls.section("server", [&](auto& inner) { visit_tls(inner, config.server_tls); });
  });
  v.section("tcp", [&](auto& tcp) {
    tcp.section("client", [&](auto& inner) { visit_tcp(inner, config.client_tcp); });
    tcp.section("server", [&](auto& inner) { visit_tcp(inner, config.server_tcp); });
  });
  Cluster cluster;
  cluster.routing = config.routing;
  cluster.tls = config.server_tls;
  v.named("clusters", config.clusters, cluster, kClustersMax,
          [](auto& inner, auto& element) { visit_cluster(inner, element); });
  v.named("databases", config.databases, Database{}, kNamesMax,
          [&](auto& inner, auto& element) { visit_database(inner, element, config.pool); });
  v.named("users", config.users, User{}, kNamesMax,
          [&](auto& inner, auto& element) { visit_user(inner, element, config.pool); });
  v.named("peers", config.peers, Peer{}, Peer::kNumberMax,
          [](auto& inner, auto& element) { visit_peer(inner, element); });
  v.listed("rules", config.rules, kRulesMax,
           [](auto& inner, auto& element) { visit_rule(inner, element); });
  v.section("auth", [&](auto& inner) { visit_auth(inner, config.auth); });
  v.section("timeouts", [&](auto& inner) { visit_timeouts(inner, config.timeouts); });
  v.section("limits", [&](auto& inner) { visit_limits(inner, config.limits); });
  v.section("pinning", [&](auto& inner) { visit_pinning(inner, config.pinning); });
  v.section("log", [&](auto& inner) { visit_log(inner, config.logging); });
  v.section("traces", [&](auto& inner) {
    inner.text("endpoint", config.traces.endpoint, TextKind::kName);
    inner.ratio("sample", config.traces.sample, RatioRange{1, Zero::kAllowed});
    inner.text("service", config.traces.service, TextKind::kName);
  });
  v.section("admin", [&](auto& inner) {
    inner.http("http", config.admin);
    inner.secret("token", config.admin.token);
    inner.secret("view_token", config.admin.view_token);
    inner.flag("view_without_token", config.admin.view_without_token);
    inner.list("peers", config.admin.peers, ListKind::kUsers);
  });
}

// Settings that a reload cannot apply; all others it can.
inline constexpr std::string_view kRestartKeys[] = {"listen", "workers", "peer_id", "admin.http"};

}  // namespace config
