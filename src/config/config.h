// The whole configuration as one immutable value: every setting, its unit, default and limit.
//
// Made by config::load (load.h) from a TOML file and overrides, or from a connection string.
// A Config that exists is valid: every name refers to something, every number is in range.
// Published as shared_ptr<const Config>; readers keep the pointer for as long as they use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace config {

using base::milliseconds;

enum class PoolMode : std::uint8_t { kTransaction, kSession, kStatement };
enum class HostRole : std::uint8_t { kAuto, kPrimary, kReplica };
enum class AuthMethod : std::uint8_t {
  kTrust,
  kPassword,  // cleartext; refused unless the connection is TLS or a Unix socket
  kMd5,       // md5, or SCRAM when the stored secret is a SCRAM verifier (as PostgreSQL does)
  kScram,
};
enum class SslMode : std::uint8_t { kDisable, kAllow, kPrefer, kRequire, kVerifyCa, kVerifyFull };
enum class Balancing : std::uint8_t {
  kLeastConnections,
  kRoundRobin,
  kRandom,  // weighted by Host::weight
  kLeastLatency,
  kClientAddressHash,
};
enum class Consistency : std::uint8_t {
  kEventual,  // only the lag limits
  kSession,   // reads see everything that this session has committed or seen before
  kStrong,    // reads see everything that anybody had committed when they began
};
enum class NoReplica : std::uint8_t {
  kPrimary,
  kError
};  // what a read does when no replica is fit
enum class Route : std::uint8_t { kPrimary, kReplica };  // where a rule sends reads
enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError };
enum class LogFormat : std::uint8_t { kText, kJson };
enum class LogOutput : std::uint8_t { kStderr, kSyslog, kJournald };  // when there is no file
enum class LogFacility : std::uint8_t {                               // of syslog(3)
  kDaemon,
  kUser,
  kAuth,
  kAuthpriv,
  kLocal0,
  kLocal1,
  kLocal2,
  kLocal3,
  kLocal4,
  kLocal5,
  kLocal6,
  kLocal7,
};

// [tls.client] (what we offer to clients) and [tls.server] / cluster.tls (what we ask of servers).
struct Tls {
  SslMode mode = SslMode::kDisable;  // client side: allow and prefer both mean "if the client asks"
  std::string cert_file, key_file;   // PEM; client side: needed unless mode is disable
  std::string ca_file;               // PEM; verify-ca and verify-full need it

  bool operator==(const Tls&) const = default;
};

// [tcp.client] and [tcp.server]: how a peer that is gone without a word is noticed. The options of
// these names in tcp(7).
struct Tcp {
  milliseconds keepidle{60'000};   // silence before the first probe; 0 = none is sent
  milliseconds keepintvl{15'000};  // between two probes; like keepidle in whole seconds, rounded up
  std::uint32_t keepcnt = 4;       // probes without an answer until the peer is gone
  milliseconds user_timeout{0};    // what was sent may stay unacknowledged for so long; 0 = the
                                   // system's own, some 15 minutes

  bool operator==(const Tcp&) const = default;
};

struct Listener {
  std::string host = "127.0.0.1";  // an address; "" when this is a Unix socket
  std::uint16_t port = 6432;
  std::string unix_dir;  // directory of the socket ".s.PGSQL.<port>"; "" when this is TCP

  bool operator==(const Listener&) const = default;
};

struct Host {
  std::string name;  // unique in its cluster; defaults to host:port
  std::string host;  // DNS name, address, or the directory of a Unix socket (starts with '/')
  std::uint16_t port = 5432;
  HostRole role = HostRole::kAuto;
  double weight = 1;  // > 0; share of reads under kRandom, capacity where load counts
  std::string zone;   // where it stands; "" = in none

  bool operator==(const Host&) const = default;
};

// Another Weir behind the same load balancer: what it gave the key of is cancelled there.
struct Peer {
  static constexpr std::uint32_t kNumberMax = 127;  // what the keys have room for

  std::string name;            // its number, its own peer_id
  Host address{.port = 6432};  // only host and port
  Tls tls;                     // towards it; from [tls.server] it takes nothing

  std::uint32_t number() const;  // 0 = its name is none
  bool operator==(const Peer&) const = default;
};

struct Routing {
  bool split_reads = true;                  // false: everything goes to the primary
  milliseconds lag_max{1000};               // a replica further behind gets no reads; 0 = no limit
  std::uint64_t lag_bytes_max = 64u << 20;  // the same in bytes of WAL; 0 = no limit
  double lag_recover_ratio = 0.5;           // back in service below this share of the limits (0..1]
  Balancing balancing = Balancing::kLeastConnections;
  milliseconds slow_start{10'000};  // until a replica that returns has its full share; 0 = at once
  std::string zone;                 // where this process stands; "" = zones do not count
  std::uint32_t zone_active_max = 10;  // active connections per unit of weight of a host of the own
                                       // zone, from which on other zones' hosts serve reads too
  Consistency consistency = Consistency::kSession;
  milliseconds consistency_wait{50};  // that a read may wait for a replica to be fresh enough
  NoReplica no_replica = NoReplica::kPrimary;
  std::uint32_t breaker_failures = 5;  // failed requests in a row that keep reads away from a
                                       // replica; 0 = never, nor does a refused connection
  double breaker_error_rate = 0.5;     // 0..1: share of the last 10 s' requests; 0 = never
  milliseconds breaker_pause{500};     // for at most so long at first; grows to
  milliseconds breaker_pause_max{30'000};
  double retry_share = 0.2;  // 0..1: of reads, that may be run again after a failure, or hedged
  bool hedge_reads = false;  // one that is late is sent to another replica, too
  std::vector<std::string> harmless_functions;  // user functions that may run on a replica,
                                                // lower case, "schema.name" or "name"

  bool operator==(const Routing&) const = default;
};

struct Cluster {
  std::string name;
  std::vector<Host> hosts;                // at least one
  std::vector<std::string> patroni;       // URLs of its REST API, which says who is a host
  Tls tls;                                // towards these hosts
  Routing routing;                        // cluster's own table over the global one
  milliseconds monitor_interval{100};     // between two samples of a host; 20 ms .. 60 s
  milliseconds monitor_timeout{1000};     // a host silent for so long is down
  milliseconds catalog_interval{30'000};  // between two readings of a database's catalog; 0 = never
  std::size_t catalog_bytes = 64u << 20;  // of a database's catalog that are read; 64 kB .. 1 GB
  std::string monitor_user;      // with monitor_password: reads positions; any login works.
  std::string monitor_password;  // Default: a login that the config knows (see load.h)
  std::string monitor_database = "postgres";

  bool operator==(const Cluster&) const = default;
};

struct PoolSizes {
  // Server connections of one (database, user) to one host, for the whole process.
  std::uint32_t size = 20;    // 0 = no limit
  std::uint32_t min = 0;      // kept open once the pool has been used
  std::uint32_t reserve = 0;  // extra, after a client has waited reserve_timeout
  std::uint32_t waiting = 0;  // clients in line at once, 53300 beyond; 0 = no limit
  std::uint32_t depth = 8;    // clients' short reads in flight on one connection; 1 = no sharing
  bool share_early = false;   // also while others are idle, where that is found to be sooner

  bool operator==(const PoolSizes&) const = default;
};

struct Database {
  std::string name;      // what clients ask for; "*" = any other name
  std::string cluster;   // a Cluster's name
  std::string dbname;    // on the servers; "" = the name the client asked for
  std::string user;      // log into servers as this user ("" = as the client's user)
  std::string password;  // with `user`
  std::optional<PoolMode> pool_mode;
  std::optional<Consistency> consistency;  // over that of the cluster
  std::optional<PoolSizes> pool;
  std::uint32_t max_connections = 0;         // server connections per host, all users; 0 = no limit
  std::uint32_t max_client_connections = 0;  // 0 = no limit
  std::string auth_user, auth_password, auth_query;  // overrides of Auth; "" = Auth's
  std::optional<LogLevel> log_level;                 // over Logging::level
  bool asks_sequences = false;  // currval and lastval; false = once one of them was seen

  bool operator==(const Database&) const = default;
};

struct User {
  std::string name;
  std::string password;  // plain text, "md5...", or "SCRAM-SHA-256$..." verifier; "" = none
  std::optional<PoolMode> pool_mode;
  std::optional<Consistency> consistency;  // over that of the cluster
  std::optional<PoolSizes> pool;
  std::uint32_t max_connections = 0;         // server connections per host, all databases; 0 = none
  std::uint32_t max_client_connections = 0;  // 0 = no limit
  bool admin = false;                        // may command the console
  bool stats = false;                        // may only look (SHOW)

  bool operator==(const User&) const = default;
};

// What is said of some requests only. All conditions that are given must hold; of a list, one of
// its elements must. What none of them says is open to the rules behind it.
struct Rule {
  static constexpr std::size_t kOnStatementsMax = 64;      // rules with conditions on statements
  static constexpr std::int64_t kRegexBytesMax = 1 << 20;  // that a compiled one may take

  std::string name;  // unique; its number, from 1, when the file says none

  // On the session. An element that ends with '*' means all that begin so.
  std::vector<std::string> users, databases, application_names;
  // On the statement. Names as in the catalog: "schema.name" is only what the statement writes with
  // that schema, "name" is of any.
  std::vector<std::string> tables, functions;
  std::vector<std::string> shapes;  // 16 lower case hexadecimal digits
  std::string regex;                // RE2's; "" = none. Found anywhere in the text

  std::optional<Route> route;
  std::vector<std::string> hosts;  // that may serve its reads: names; empty = all
  std::optional<Consistency> consistency;
  milliseconds max_lag{0};  // of a replica that serves its reads; 0 = only the cluster's limit

  bool is_on_statements() const {
    return !tables.empty() || !functions.empty() || !shapes.empty() || !regex.empty();
  }
  bool operator==(const Rule&) const = default;
};

struct Auth {
  AuthMethod method = AuthMethod::kScram;
  // Users that [users] does not list are looked up with auth_query, as auth_user, in the database
  // that the client asked for (or auth_database). "" auth_user = no lookups.
  std::string auth_user, auth_password, auth_database;
  // "" = kDefaultAuthQuery; for $1 returns (name, secret) or (name, secret, may log in).
  std::string auth_query;
  milliseconds auth_query_cache{30'000};  // how long a found secret is believed

  bool operator==(const Auth&) const = default;
};
// Honours VALID UNTIL; schema-qualified so that no search_path can redirect it.
inline constexpr const char* kDefaultAuthQuery =
    "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END, "
    "rolcanlogin "
    "FROM pg_catalog.pg_authid WHERE rolname = $1";

struct Timeouts {                     // 0 = never, unless said otherwise
  milliseconds login{60'000};         // client: from accept to its first ReadyForQuery
  milliseconds connect{15'000};       // server: from connect() to its first ReadyForQuery; not 0
  milliseconds query_wait{120'000};   // client waiting for a server connection
  milliseconds wait_notice{5'000};    // such a client is told that it waits
  milliseconds reserve{5'000};        // wait after which PoolSizes::reserve may be used
  milliseconds server_idle{600'000};  // idle server connection is closed
  milliseconds server_lifetime{3'600'000};
  double server_lifetime_jitter = 0.1;  // 0..1: share of the lifetime taken off at random
  milliseconds server_retry{1'000};     // pause after a failed connect to a host; grows to 15x
  milliseconds defer_begin{10};         // a BEGIN by itself is sent at the latest then; 0 = at once
  milliseconds idle_in_transaction{0};
  milliseconds transaction{0};  // from its first request to its end
  milliseconds query{0};
  milliseconds client_stall{0};  // client that reads nothing of what it has a server for
  milliseconds client_idle{0};
  milliseconds upgrade{0};     // a replaced process serves its clients so long, then it drains
  milliseconds drain{30'000};  // SIGTERM: transactions may finish for so long; 0 = none may

  bool operator==(const Timeouts&) const = default;
};

struct Limits {
  std::uint32_t clients = 10'000;  // 53300 beyond
  std::uint32_t held = 0;  // requests that wait for a primary at once, 53300 beyond; 0 = no limit
  std::uint32_t waiting = 0;  // clients that wait for a server connection at once; likewise
  std::uint32_t message_bytes = 1u << 30;   // one message of a client or a server, at most 1 GiB
  std::uint32_t startup_bytes = 10'000;     // as PostgreSQL's MAX_STARTUP_PACKET_LENGTH
  std::uint32_t gather_bytes = 1u << 20;    // of a request kept until its Sync; beyond: primary
  std::uint32_t buffer_bytes = 256u << 10;  // unsent bytes per direction before reading stops
  std::uint32_t prepared_statements = 200;  // named, per server connection (LRU)
  std::uint32_t client_prepared_bytes = 64u << 20;  // statement texts one session may keep
  std::uint32_t analyze_bytes = 64u
                                << 10;  // longer statements are not parsed: they go to the primary
  std::uint32_t analyze_cache_bytes = 16u << 20;  // per worker
  std::uint32_t statement_shapes = 1000;          // counted per worker; 0 = none are

  bool operator==(const Limits&) const = default;
};

// What a session may keep a server connection for; what it may not is refused as an error.
struct Pinning {
  bool temporary_objects = true;
  bool advisory_locks = true;
  bool hold_cursors = true;
  bool listen = true;
  bool prepared_statements = true;  // of PREPARE
  bool sequence_state = true;
  bool random_seed = true;
  bool libraries = true;
  bool backend_pid = true;

  bool operator==(const Pinning&) const = default;
};

struct Logging {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  std::string file;          // "" = standard error; reopened on SIGHUP
  bool connections = false;  // client log-ins and -outs at info
  LogOutput output = LogOutput::kStderr;
  std::string socket;  // of syslog or journald; "" = where the system has it
  std::string ident = "weir";
  LogFacility facility = LogFacility::kDaemon;
  std::uint32_t repeats = 20;  // of a warning or error in 10 s; beyond they are counted; 0 = all
  std::uint32_t queue_bytes = 4u << 20;  // of lines that wait for a slow disk; beyond: dropped
  milliseconds slow_query{0};            // a line for each statement that takes so long; 0 = none
  bool parameters = false;               // with its constants and parameters

  bool operator==(const Logging&) const = default;
};

// Spans of statements, for a collector that takes OTLP over HTTP.
struct Traces {
  std::string endpoint;  // "http://127.0.0.1:4318/v1/traces"; "" = nobody wants them
  double sample = 0;     // 0..1: share of the statements that come without a traceparent
  std::string service = "weir";

  bool operator==(const Traces&) const = default;
};

struct Admin {
  static constexpr std::size_t kTokenMin = 16, kTokenMax = 256;  // bytes

  std::string http_host = "127.0.0.1";
  std::uint16_t http_port = 0;  // 0 = no HTTP (/metrics, /healthz, /readyz, the API, the dashboard)
  std::string token;            // of the API: who has it may look and command; "" = nobody may
  std::string view_token;       // may look
  bool view_without_token = false;  // everybody who reaches the port may
  // Users of the operating system, by name or number, who command the console over a Unix socket
  // without a password, as whichever user.
  std::vector<std::string> peers;

  bool operator==(const Admin&) const = default;
};

struct Config {
  std::uint32_t workers = 0;        // event loops; 0 = one per core
  std::uint32_t peer_id = 0;        // the number of this one among the peers; 0 = it has none
  std::vector<Listener> listeners;  // at least one
  std::vector<Cluster> clusters;    // at least one
  std::vector<Database> databases;
  std::vector<User> users;
  std::vector<Peer> peers;  // this one may be among them
  std::vector<Rule> rules;  // in order: the first that says something counts
  PoolMode pool_mode = PoolMode::kTransaction;
  PoolSizes pool;
  Auth auth;
  Timeouts timeouts;
  Limits limits;
  Pinning pinning;
  Tls client_tls;  // [tls.client]: towards our clients
  Tls server_tls;  // [tls.server]: what every Cluster::tls starts from; use the cluster's
  Tcp client_tcp;
  // No user_timeout: it also counts while a server that works on something else takes nothing of
  // what is sent to it, a COPY that waits for a lock.
  Tcp server_tcp{.keepidle = milliseconds(10'000), .keepintvl = milliseconds(5'000), .keepcnt = 3};
  Routing routing;  // [routing]: what every Cluster::routing starts from; use the cluster's
  Logging logging;
  Traces traces;
  Admin admin;
  std::string source;  // the file it came from; "" for the command line

  bool operator==(const Config&) const = default;
};

using ConfigPtr = std::shared_ptr<const Config>;

// What the config means for one (database, user) pair. Null when it names no such thing.
// Where both the database and the user say something, the user's word counts (as in PgBouncer).
const Database* find_database(const Config& config, std::string_view name);  // falls back to "*"
const User* find_user(const Config& config, std::string_view name);
const Cluster* find_cluster(const Config& config, std::string_view name);
const Peer* find_peer(const Config& config, std::uint32_t number);
PoolMode pool_mode(const Config& config, const Database& database, const User* user);
Consistency consistency(const Cluster& cluster, const Database& database, const User* user);
PoolSizes pool_sizes(const Config& config, const Database& database, const User* user);

}  // namespace config
