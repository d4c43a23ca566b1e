// One event loop with its clients, its server connections and its pools.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "config/diff.h"
#include "net/acceptor.h"
#include "net/listening_socket.h"
#include "net/loop.h"
#include "proxy/cancel.h"
#include "proxy/client.h"
#include "proxy/inspect.h"
#include "proxy/pools.h"
#include "proxy/server.h"
#include "proxy/shared.h"
#include "proxy/statement_stats.h"
#include "route/retry_budget.h"
#include "session/statements.h"
#include "sql/analyzer.h"

namespace proxy {

// Thread rule: what is under "from any thread" posts; all else belongs to the worker's own thread.
class Worker {
 public:
  Worker(std::uint32_t index, TopologyPtr topology, Shared& shared);
  ~Worker();  // after stop()

  // From any thread.
  void start();
  void stop();  // closes everything and joins
  void count_in() { client_count_.fetch_add(1, std::memory_order_relaxed); }
  void adopt(int fd);                                   // an accepted client that was counted in
  void cancel(const protocol::CancelRequest& request);  // if the session is of this worker
  net::Loop& loop() { return loop_; }
  std::uint32_t index() const { return index_; }
  std::uint32_t client_count() const { return client_count_.load(std::memory_order_relaxed); }

  // Run on the worker's thread, as all below. sockets: there until end_accepting().
  using Sockets = std::vector<std::unique_ptr<net::ListeningSocket>>;
  void begin_accepting(const Sockets& sockets);
  void end_accepting();

  // Commands of the console.
  void set_topology(TopologyPtr topology, const config::Diff& diff);
  void on_permits_freed();  // by another worker
  void inspect(Inspection& into, const InspectParts& parts) const;
  void reset_statements() { statement_stats_.clear(); }
  void set_paused(const std::string& database, bool paused);  // "" = all
  void set_disabled(const std::string& database, bool disabled);
  void reconnect(const std::string& database);
  void kill(const std::string& database);
  void kill_client(std::uint64_t id);
  bool is_quiet(const std::string& database) const;    // no server is in use
  bool has_closed(const std::string& database) const;  // what was to be closed
  bool is_host_quiet(std::string_view cluster, std::string_view host) const;  // no server there
  void drain();             // clients are let go as soon as they are quiet
  void leave_consoles();    // likewise those on the console, once
  void refresh_waiters();   // those who are held look again
  void on_hosts_changed();  // what must not be used any more is left, and the same

  // For clients and servers.
  const Topology& topology() const { return *topology_; }
  const config::Config& config() const { return *topology_->config; }
  Shared& shared() { return shared_; }
  std::uint32_t config_version() const { return config_version_; }  // never 0
  sql::Analyzer& analyzer() { return *analyzer_; }
  session::StatementStore& statements() { return statements_; }
  StatementStats& statement_stats() { return statement_stats_; }
  std::uint64_t slow_us() const { return slow_us_; }  // what takes so long gets a line in the log
  bool traces() const { return !config().traces.endpoint.empty(); }
  // Of a statement that comes now: its caller's, or a new one; nullopt = it is not traced.
  std::optional<TraceContext> trace_of(std::string_view sql);
  bool logs_values() const { return slow_us_ != UINT64_MAX && config().logging.parameters; }
  std::span<std::uint8_t> scratch() { return scratch_; }
  const sql::AnalysisPtr& unread_analysis() const { return unread_; }
  const sql::AnalysisPtr& explain_analysis() const { return explain_; }  // of EXPLAIN ROUTE
  Histogram& wait_time() { return wait_time_; }
  std::weak_ptr<bool> alive() const { return alive_; }
  Server* find_server(std::uint64_t id);
  Client* find_client(std::uint64_t id);
  std::uint32_t cancel_pid(const Client& client) const;
  bool is_paused(const std::string& database) const {
    return all_paused_ || (!paused_.empty() && paused_.contains(database));
  }
  bool is_disabled(const std::string& database) const { return disabled_.contains(database); }

  // Of one replication connection, which marks it as retired when it ends.
  PoolSet* replication_pools(const config::Database& database, const std::string& name,
                             const std::string& user, std::uint64_t client,
                             ServerParameters startup);
  PoolSet* pool_set(const config::Database& database, const std::string& name,
                    const std::string& user);
  void open_server(HostPool& pool);  // permits are taken
  void on_starving();  // a pool waits for a permit that another worker may have to spare
  void cancel_wait(Client& client);
  // One more read that its host has failed may be run again.
  bool may_retry();
  void late_at(base::Time when, const Server& server);  // then Client::hedge(), unless answered
  void note_read(double retry_share) { retries_.on_read(retry_share); }
  void run_at(Client& client, base::Time when);             // resume() then
  void note_shed(const Client& client, const char* limit);  // its request was refused for that
  void hold(Client& client);  // nowhere to go now: asked again when hosts change
  void unhold(Client& client);
  std::string last_error(const Client& client) const;
  bool fill_lookup(const config::Database& database, const std::string& name,
                   LookupRequest& request) const;
  void run_soon(Client& client);  // Client::resume() at the end of this round
  void run_soon(Server& server);
  void log_in_soon(Client& client);               // Client::go_on(), when all others had their turn
  void note_asked() { asked_at_ = loop_.now(); }  // by one that has been here for a while
  void push_soon(Server& server);  // Server::push() at the end of this round, of a shared one
  void fill(Server& shared);       // with what those who wait for its pool have to send
  // So long a read may take on a shared connection before who follows looks for another one.
  static constexpr base::milliseconds kPatience{10};

  void on_server_ready(Server& server);  // logged in
  void on_server_failed(Server& server, const std::string& why, const protocol::Error* error);
  // Its session has ended or its client has left: clean it, then give it to the next.
  void on_server_cleaned(Server& server);
  void offer_anew(Server& server);  // the same, and its pool's waiters decide again
  enum class Leaving : std::uint8_t {
    kPolitely,  // with Terminate: what it has sent is carried out
    kAbruptly,  // its query is cancelled
    kMidway,    // in the middle of a message: the server cannot be used any more
  };
  void on_client_left(Server& server, Leaving how);
  // The same of one that has a rival, which is the client's alone now.
  void leave_race(Server& server, Leaving how);
  void on_server_closed(Server& server, std::string_view why);
  void on_client_closed(Client& client);

  // Reads that one connection may take in a row before all others have their turn.
  static constexpr int kReadsInARow = 8;
  // worker_cancel.cc. One that a client sent. True: it goes to a peer, and the asker is closed when
  // it has arrived there.
  bool take_cancel(const protocol::CancelRequest& request, Client& asker);
  void send_cancel(Server& server);
  void on_cancel_ended(CancelConnection& cancel);

 private:
  void tick();
  void pass_on(const protocol::CancelRequest& request, const config::Peer& peer,
               std::uint64_t asker);
  void on_passed_on(const CancelConnection::Target& target, const std::string& why);
  void sweep_cancels(base::Time now);
  void add_clients(Inspection& into, const InspectParts& parts,
                   absl::flat_hash_map<const PoolSet*, std::vector<std::size_t>>& rows) const;
  void add_channels(Inspection& into, const PoolSet& set) const;
  static void add_times(std::vector<UserTimes>& into, const UserTimes& times);
  void add_pool_rows(Inspection& into, const InspectParts& parts) const;
  bool may_rest() const;
  bool needs_sweep_within(const HostPool& pool, base::Duration time) const;
  bool starves(absl::FunctionRef<bool(const HostPool&)> counts) const;
  void sweep_servers(base::Time now);
  void forget_stats();
  void sweep_pool(HostPool& pool, base::Time now);
  bool leave_if_fenced(HostPool& pool);
  static std::vector<std::uint64_t> take_waiters(HostPool& pool);  // their ids, in order
  void dismiss_waiters(HostPool& pool, absl::FunctionRef<void(Client&)> tell);
  void serve_logins();
  void log_in_next();
  void accept_one();
  void begin(int client_fd);
  void end_of_round();
  void push_shared();
  void scatter_late();
  void hedge_lates();
  enum class Batch : std::uint8_t { kOpen, kFails };
  void end_batch(Server& server, Batch batch);
  void give(Server& server);
  void open_for_waiters(HostPool& pool);
  bool is_overdue(const Server& server, base::Time now) const;
  static bool is_proven(Server& server);
  void give_proven();
  void ask_for_permits();
  void close_all();
  std::vector<Client*> clients_of(const std::string& database);
  static std::unique_ptr<sql::Analyzer> make_analyzer(const Topology& topology);
  static std::uint64_t slow_from(const config::Config& config);
  bool matches(const std::string& database, const PoolSet& set) const {
    return database.empty() || database == set.database;
  }

  const std::uint32_t index_;
  TopologyPtr topology_;
  Shared& shared_;
  net::Loop loop_;
  std::thread thread_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::atomic<std::uint32_t> client_count_{0};

  std::uint32_t config_version_ = 1;  // grows with each reload
  std::unique_ptr<sql::Analyzer> analyzer_;
  session::StatementStore statements_;
  StatementStats statement_stats_;
  std::uint64_t slow_us_;
  double to_trace_ = 0;  // statements without a caller's trace that are due
  sql::AnalysisPtr unread_;
  const sql::AnalysisPtr explain_;
  std::vector<std::uint8_t> scratch_;

  absl::flat_hash_map<std::string, std::unique_ptr<Stats>> stats_;        // by database
  absl::flat_hash_map<std::string, std::unique_ptr<PoolSet>> pool_sets_;  // "database\0user"
  std::vector<std::unique_ptr<PoolSet>> retired_;
  std::vector<UserTimes> gone_times_;  // of pool sets that are no more
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Client>> clients_;
  std::vector<std::uint64_t> slots_ = {0};  // client id by slot, 0 = free; the first is nobody's
  std::vector<std::uint32_t> free_slots_;
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Server>> servers_;
  std::vector<std::unique_ptr<CancelConnection>> cancels_;
  std::uint32_t passed_on_ = 0;  // on their way to peers
  absl::flat_hash_set<std::uint64_t> held_;
  std::vector<std::uint64_t> soon_, soon_servers_;        // to be resumed at the round's end
  std::vector<std::uint64_t> running_, running_servers_;  // those that are being resumed
  struct LogIn {
    std::uint64_t client;
    base::Time since;
  };
  std::deque<LogIn> logging_in_;  // in the order of their events
  base::Time asked_at_{}, next_logins_{};
  std::vector<std::unique_ptr<net::Acceptor>> acceptors_;
  std::vector<net::Acceptor*> ready_acceptors_;  // to be asked in this round
  std::uint32_t accept_turn_ = 0;
  std::vector<std::uint64_t> swept_;           // clients, while they are being swept
  std::vector<Server*> swept_servers_;         // likewise
  std::vector<std::uint64_t> filled_;          // servers that are to be pushed
  std::vector<std::uint64_t> shared_servers_;  // that have followers, perhaps no more
  base::Time look_at_shared_{};
  route::RetryBudget retries_;
  std::vector<std::uint64_t>
      unproven_;  // servers that are open, and wait for a sample of their host
  std::vector<std::pair<base::Time, std::uint64_t>> lates_;  // a heap: servers, and when to look
  std::vector<std::pair<base::Time, std::uint64_t>> later_;  // a heap: clients to be resumed
  base::Time shed_told_{};
  base::Time ask_at_{};  // when to ask other workers for permits; {} = nothing to ask
  absl::flat_hash_set<std::string> paused_, disabled_;
  bool all_paused_ = false, draining_ = false, stopping_ = false;

  // Gone, but perhaps still on the stack: destroyed at the end of the round.
  std::vector<std::unique_ptr<Client>> buried_clients_;
  std::vector<std::unique_ptr<Server>> buried_servers_;
  std::vector<std::unique_ptr<CancelConnection>> buried_cancels_;
  std::vector<std::unique_ptr<net::Acceptor>> buried_acceptors_;
  Outdated outdated_;

  Histogram wait_time_, lateness_;
  Histogram forgotten_;  // query time of databases that have no row any more
};

}  // namespace proxy
