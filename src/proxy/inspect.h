// What the console, the metrics and the dashboard may see: plain rows, copied from the workers.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "cluster/snapshot.h"
#include "pool/spread.h"
#include "proxy/log_histogram.h"
#include "session/pins.h"

namespace proxy {

// Upper bounds in microseconds of the buckets of a latency histogram; the last is infinite.
inline constexpr std::array<std::uint64_t, 14> kLatencyBounds = {
    100,    250,    500,     1'000,   2'500,     5'000,     10'000,
    25'000, 50'000, 100'000, 250'000, 1'000'000, 5'000'000, 30'000'000};
struct Histogram {
  std::array<std::uint64_t, kLatencyBounds.size() + 1> counts{};
  std::uint64_t sum_us = 0, count = 0;
  void add(std::uint64_t us);
  Histogram& operator+=(const Histogram& other);
};

// Totals since start of one database; sums over workers. Times in microseconds.
struct Stats {
  std::uint64_t xact_count = 0, query_count = 0, server_assignment_count = 0;
  std::uint64_t bytes_received = 0, bytes_sent = 0;  // from clients, to clients
  std::uint64_t xact_time_us = 0, query_time_us = 0, wait_time_us = 0;
  std::uint64_t client_parse_count = 0, server_parse_count = 0, bind_count = 0;
  std::uint64_t client_login_count = 0;
  std::uint64_t errors = 0;                                              // ErrorResponses relayed
  std::uint64_t reads_on_replica = 0, reads_on_primary = 0, writes = 0;  // requests by route
  std::uint64_t retries = 0;                 // requests that were run again, for whatever reason
  std::uint64_t misroutes = 0;               // of those: because a replica refused to write
  std::uint64_t hedges = 0, hedges_won = 0;  // reads sent to another replica too; it was faster
  std::uint64_t shared = 0;                  // reads that were sent behind another client's
  Histogram on_primary, on_replica;          // of query_time_us
  Stats& operator+=(const Stats& other);
};

struct PoolRow {
  std::string database, user, host;  // host: its name in the cluster
  std::string pool_mode;
  std::uint32_t cl_active = 0, cl_waiting = 0, cl_active_cancel_req = 0, cl_waiting_cancel_req = 0;
  std::uint32_t sv_active = 0, sv_active_cancel = 0, sv_being_canceled = 0, sv_idle = 0,
                sv_used = 0, sv_tested = 0, sv_login = 0;
  std::uint64_t maxwait_us = 0;
  std::uint32_t share_from = pool::Spread::kAll;
  PoolRow& operator+=(const PoolRow& other);  // the counts; the longest wait, the lower limit
};
// Sorts by database, user and host, and makes one of the rows that agree in them: each worker has
// its own.
void merge_pools(std::vector<PoolRow>& rows);

// What the clock on the wall showed at `then`; {} of {}.
base::WallTime wall_time(base::Time then, base::Time now);

struct ConnectionRow {  // a client or a server connection
  std::uint64_t id = 0;
  std::string user, database, state, addr, local_addr, tls, application_name, host;
  std::uint16_t port = 0, local_port = 0;
  base::WallTime connect_time{}, request_time{};
  std::uint64_t wait_us = 0;
  // Of a client that waits: for what, since when, and of a wait for a host's connections whose.
  const char* wait_for = nullptr;
  std::uint64_t waits_us = 0;
  std::string wait_host;
  bool close_needed = false;
  const char* replication = "none";  // "physical", "logical"
  std::uint64_t link = 0;            // id of the connection it is linked to; 0 = none
  std::uint32_t remote_pid = 0;      // server: its backend's pid; client: the pid it was told
  std::uint32_t prepared_statements = 0;
  std::uint32_t worker = 0;
  std::vector<session::Pin> pins;  // clients
  std::uint64_t memory = 0;        // bytes of buffers and state that we know of
};

struct DatabaseRow {
  std::string name, cluster, dbname, force_user, pool_mode;
  std::uint32_t pool_size = 0, min_pool_size = 0, reserve_pool_size = 0;
  std::uint32_t max_connections = 0, current_connections = 0, max_client_connections = 0,
                current_client_connections = 0;
  bool paused = false, disabled = false;
  Stats stats;
};

// Query time of one user in one database, since its pool was made; sums over workers.
struct UserTimes {
  std::string database, user;
  Histogram on_primary, on_replica;
};

struct UserRow {
  std::string name, pool_mode;
  std::uint32_t pool_size = 0, reserve_pool_size = 0, max_user_connections = 0,
                current_connections = 0, max_user_client_connections = 0,
                current_client_connections = 0;
};

struct WorkerRow {
  std::uint32_t clients = 0, servers = 0;
  std::uint64_t loops = 0, analyzer_text_hits = 0, analyzer_shape_hits = 0, analyzer_misses = 0,
                analyzer_bytes = 0, statement_bytes = 0;
  Histogram lateness;  // of its ticks
};

struct ClusterRow {
  std::string name;
  cluster::SnapshotPtr snapshot;
  // One per host, index as Snapshot::hosts.
  std::vector<std::uint32_t> active, open;      // server connections: leased, open
  std::vector<std::uint64_t> answered, failed;  // requests since start, as its breaker counts them
  std::vector<double> latency_us;               // typical; 0 = not measured
  std::vector<std::string> address;             // host:port
  std::vector<double> weight;                   // as configured
};

// Since the first call, or RESET STATEMENTS. Times in microseconds.
struct StatementTotals {
  std::uint64_t calls = 0, errors = 0, rows = 0, bytes = 0;  // bytes: of answers
  std::uint64_t wait_us = 0, server_us = 0;
  std::uint64_t on_primary = 0, on_replica = 0;  // calls
  std::uint64_t to_primary = 0, to_replica = 0;  // decisions: none in a transaction but the first
  std::uint64_t retries = 0;
  LogHistogram times;  // of calls, waits included
  StatementTotals& operator+=(const StatementTotals& other);
};

// Statements of one user in one database that differ in constants only.
struct StatementRow {
  std::uint64_t shape = 0;
  bool is_rest = false;  // of all that was dropped for want of room; has totals only
  std::string database, user;
  std::string text;  // "$" for constants; the beginning
  StatementTotals totals;
  bool to_primary_last = false;
  std::string reason, why;  // of the latest decision; what kind of statement it is
  base::WallTime first_seen{}, last_seen{};
};

// Something that went wrong, or changed.
struct Fault {
  enum class Severity : std::uint8_t { kInfo, kWarning, kError };
  Severity severity = Severity::kInfo;
  std::string kind, subject, what;
  std::uint64_t times = 0;
  base::WallTime first{}, last{};
};

// What sessions listen to on a server connection that they share for it.
struct ChannelRow {
  std::string database, user, channel, host;
  std::uint64_t clients = 0, server = 0;  // how many; the connection's id
  std::uint32_t worker = 0;
};

// A lock that a client's server connection holds, or waits for.
struct LockRow {
  std::uint64_t client = 0;
  std::string database, user, application_name, host;
  bool pinned = false;  // the client keeps the connection beyond its transaction
  std::uint32_t pid = 0;
  std::string type, object, mode;  // as LockReader::Lock; "" = the host could not be asked:
  std::string problem;             // why
  bool granted = false;
  std::uint32_t waiting = 0;
};

// What is copied only for those who ask. locks: the hosts are asked, for a second at most.
struct InspectParts {
  bool clients = false, servers = false, statements = false, faults = false, channels = false,
       locks = false;
  InspectParts& operator|=(const InspectParts& other);
};

struct Inspection {
  std::vector<PoolRow> pools;
  std::vector<ConnectionRow> clients, servers;  // if asked for
  std::uint64_t client_count = 0, server_count = 0;
  std::map<std::string, std::uint32_t, std::less<>> servers_by_database, servers_by_user;
  std::map<std::string, std::uint64_t, std::less<>> pins_by_reason;  // clients
  std::vector<DatabaseRow> databases;                                // with Stats
  std::vector<UserRow> users;
  std::vector<WorkerRow> workers;
  std::vector<ClusterRow> clusters;
  Histogram query_time, wait_time;
  std::vector<UserTimes> user_times;
  std::vector<StatementRow> statements;  // if asked for
  std::vector<Fault> faults;             // if asked for
  std::vector<ChannelRow> channels;      // if asked for
  std::vector<LockRow> locks;            // if asked for
  std::uint64_t login_clients = 0;       // not logged in yet
  base::Time taken{};
  base::WallTime taken_wall{}, started_wall{};
  std::uint64_t clients_refused = 0, logins_failed = 0, cancels = 0;
  std::uint64_t logins_tls = 0, handshakes_failed = 0;  // of clients, over TLS
  std::uint64_t spans_sent = 0, spans_dropped = 0;      // of traces
  std::uint64_t cancels_passed_on = 0, cancels_lost = 0, shed = 0, retries_denied = 0;
  std::map<std::uint32_t, std::uint32_t> passing_on;  // cancel requests under way, by peer
};

}  // namespace proxy
