// What all workers share: immutable topology, and thread-safe books that are off the query's path.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "config/config.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "pool/permits.h"
#include "protocol/scram.h"
#include "protocol/startup.h"
#include "proxy/catalog_reader.h"
#include "proxy/control.h"
#include "proxy/lookup.h"
#include "proxy/monitor.h"
#include "proxy/scram_keys.h"
#include "proxy/session_number.h"
#include "proxy/trace_exporter.h"
#include "route/balance.h"
#include "sql/analyzer.h"

namespace proxy {

// One cluster while its configuration stays the same: monitored, with this process's load on it.
struct ClusterRuntime {
  struct HostCounters {
    std::atomic<std::uint32_t> active{0}, open{0};  // server connections: leased, open
    std::atomic<base::Time> busy_since{};           // when one was leased and no other was
    std::atomic<std::uint32_t> overdue{0};          // as route::HostLoad has it
    // Of replies. Workers may overwrite each other's: one reply more or less is no matter.
    std::atomic<double> peak_us{0}, typical_us{0};
    std::atomic<base::Time> replied{};
    // For its breaker: as cluster::Traffic.
    std::atomic<std::uint64_t> answered{0}, failed{0};
    std::atomic<std::uint32_t> failed_in_row{0};

    void note_leased(base::Time now);
    void note_answered();
    void note_failed();
    cluster::Traffic traffic() const;

    void note_reply(double took_us, base::Time now);
    void note_late(double took_us, base::Time now);  // there is no reply yet
    route::HostLoad load(base::Time now) const;
  };
  using Tls = std::shared_ptr<const net::TlsContext>;

  // before, if not null: the cluster with the configuration that this one replaces.
  ClusterRuntime(const config::Cluster& cluster, Tls tls, const ClusterRuntime* before,
                 std::shared_ptr<FaultLog> faults);
  ~ClusterRuntime() { stop(); }  // before the reader goes of which the monitor's threads tell
  ClusterRuntime(const ClusterRuntime&) = delete;
  ClusterRuntime& operator=(const ClusterRuntime&) = delete;

  // Both from any thread: after a snapshot that somebody awaits; after one in which a host has
  // another role or use.
  void start(std::function<void()> on_awaited, std::function<void()> on_changed = {});
  void stop();

  // For connections that begin now; null when mode is disable. From any thread.
  Tls tls() const;
  void set_tls(Tls tls);  // its files were read again

  const config::Cluster config;
  ClusterMonitor monitor;
  CatalogReader catalogs;
  std::vector<HostCounters> counters;  // index as config.hosts

 private:
  std::function<void()> on_changed_;  // fixed by start()
  mutable std::mutex tls_mutex_;
  Tls tls_;
};
using ClusterPtr = std::shared_ptr<ClusterRuntime>;

// One configuration brought to life. Published to all workers, replaced as a whole by a reload.
struct Topology {
  config::ConfigPtr config;
  std::vector<ClusterPtr> clusters;                   // index as config->clusters
  std::shared_ptr<const net::TlsContext> client_tls;  // null = TLS is not offered
  std::vector<ClusterRuntime::Tls> peer_tls;          // index as config->peers; null = without
  const ClusterPtr* find(std::string_view cluster) const;
};
using TopologyPtr = std::shared_ptr<const Topology>;

std::string random_bytes(std::size_t count);  // from OpenSSL

// A number or an array of them, all bits random.
template <class T>
T random_value() {
  static_assert(std::is_trivially_copyable_v<T>);
  T value{};
  const std::string bytes = random_bytes(sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// What is known about how to log in as a user.
struct Secret {
  std::string stored;                       // plain text, "md5...", a SCRAM verifier; "" = nothing
  std::optional<protocol::ScramKeys> keys;  // of a client that proved them
};

// Secrets learned at log-in (from auth_query, or proven by SCRAM), for logging into servers.
class Credentials {
 public:
  void learn(const std::string& user, Secret secret);
  Secret find(const std::string& user) const;

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, Secret> known_;
};

// Every budget by its name, made on first use and kept.
class PermitBook {
 public:
  pool::Permits* find(const std::string& name, std::uint32_t limit, std::uint32_t reserve);

 private:
  std::mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<pool::Permits>> budgets_;
};

// Numbers for the applications of each (database, user): pool::Waiter::group.
class ApplicationBook {
 public:
  // 1 to Permits::kGroupsMax - 1, and always the same; names that come when all are given have one
  // that another has, too.
  std::uint16_t number(const std::string& owner, const std::string& application_name);

 private:
  std::mutex mutex_;
  absl::flat_hash_map<std::string, absl::flat_hash_map<std::string, std::uint16_t>> owners_;
};

// Client connections by database and by user, for max_client_connections.
class ClientCounts {
 public:
  bool enter(const std::string& key, std::uint32_t limit);  // limit 0 = none; false = full
  void leave(const std::string& key);
  std::uint32_t count(const std::string& key) const;

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, std::uint32_t> counts_;
};

class Worker;

struct Shared {
  Credentials credentials;
  PermitBook permits;
  ApplicationBook applications;
  ClientCounts client_counts;
  net::Resolver resolver;
  AuthLookup lookup;
  TraceExporter traces;
  std::atomic<std::uint32_t> clients{0};   // all, also those that are logging in
  std::atomic<std::uint32_t> consoles{0};  // of those, on the console
  std::atomic<std::uint32_t> held{0};      // those that wait since their cluster has no primary
  std::atomic<std::uint32_t> waiting{0};   // those that wait for a server connection
  std::atomic<std::uint64_t> retries_denied{0};
  std::atomic<std::uint64_t> shed{0};     // requests refused since too many waited
  std::atomic<std::uint64_t> next_id{1};  // of clients and servers, for the console
  std::atomic<std::uint64_t> clients_refused{0}, logins_failed{0}, cancels{0};
  std::atomic<std::uint64_t> logins_tls{0}, handshakes_failed{0};
  std::atomic<std::uint64_t> cancels_passed_on{0}, cancels_lost{0};  // to peers; of these
  SessionNumbers numbers;                                            // fixed after the start
  std::uint32_t workers = 1;                                         // likewise
  std::string scram_seed = random_bytes(32);  // of this process: for users without a verifier
  ScramKeyBook scram_keys;
  std::shared_ptr<FaultLog> faults = std::make_shared<FaultLog>();
  ConsoleFactory console;
  std::function<void(const protocol::CancelRequest&)> cancel;  // from any thread; of this Weir
  std::function<void()> wake_workers;  // from any thread: permits were given back
  // From any worker's thread: to whom a client belongs that this one has accepted; counted in.
  std::function<Worker&(Worker& accepted_by)> place;

  // By which a client proves to know this password: of one salt for each user, as a stored
  // verifier has it, and as it looks for users that do not exist.
  protocol::ScramVerifier scram_verifier(const std::string& user, std::string_view password);
};

// Of a stored secret: neither a hash nor a verifier, nor nothing.
bool is_verifier(std::string_view secret);
bool is_md5(std::string_view secret);
bool is_plain_text(std::string_view secret);

sql::AnalyzerOptions analyzer_options(const config::Config& config);

std::string random_nonce();  // printable, for SCRAM

}  // namespace proxy
