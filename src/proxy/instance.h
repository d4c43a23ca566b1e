// The running proxy: workers, listeners, monitors, signals; reload, pause, drain and stop.
#pragma once

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "config/command_line.h"
#include "config/diff.h"
#include "config/load.h"
#include "net/listening_socket.h"
#include "net/loop.h"
#include "proxy/control.h"
#include "proxy/lock_reader.h"
#include "proxy/patroni.h"
#include "proxy/shared.h"
#include "proxy/succession.h"
#include "proxy/supervisor.h"
#include "proxy/worker.h"

namespace proxy {

// Thread rule: create(), run() and the destructor on one thread, the control thread; Control from
// any. kSignals must be blocked in all threads.
class Instance final : public Control {
 public:
  static constexpr std::array kSignals{SIGHUP, SIGTERM, SIGINT, SIGUSR2};
  // Reads the configuration again.
  using Loader = std::function<config::LoadResult(const config::Again&)>;

  // Listens, but serves only from run() on. The error is a certificate or an address.
  // predecessor: which this process is to replace, if any; outlives it. text: that the
  // configuration was read from, if it is a file's.
  static absl::StatusOr<std::unique_ptr<Instance>> create(config::ConfigPtr config, Loader loader,
                                                          Predecessor& predecessor,
                                                          config::TextPtr text = nullptr);
  ~Instance() override;
  // What create() would say of the files that the configuration names; nothing is started.
  static absl::Status check(config::ConfigPtr config);

  // The file that listens on the HTTP port: inherited, the caller's from now on; -1 = none was.
  int http_socket() { return std::exchange(http_socket_, -1); }
  struct Http {
    int fd = -1;                   // what listens there
    std::function<void()> begin;   // accepts
    std::function<void()> retire;  // accepts nobody any more: another process does
  };
  void set_http(Http http) { http_ = std::move(http); }
  void set_console(ConsoleFactory console) { shared_.console = std::move(console); }
  void run();  // until a signal or a shutdown ends it

  void inspect(absl::AnyInvocable<void(Inspection)> done, InspectParts parts) override;
  config::ConfigPtr config() const override;
  void reload(LoadDone done) override;
  void set(config::Change change, LoadDone done) override;
  void pause(std::string_view database, absl::AnyInvocable<void(absl::Status)> done) override;
  absl::Status resume(std::string_view database) override;
  absl::Status reconnect(std::string_view database) override;
  void wait_close(std::string_view database, std::function<bool()> given_up,
                  absl::AnyInvocable<void(absl::Status)> done) override;
  absl::Status disable(std::string_view database) override;
  absl::Status enable(std::string_view database) override;
  absl::Status kill(std::string_view database) override;
  absl::Status kill_client(std::uint64_t id) override;
  void reset_statements() override;
  void order(HostOrder order, ConsoleLogin by,
             absl::AnyInvocable<void(absl::StatusOr<std::string> note)> done) override;
  using Upgraded = absl::AnyInvocable<void(absl::StatusOr<std::string> note)>;
  void upgrade(Upgraded done) override;
  void shutdown(Shutdown how) override;
  bool draining() const override { return draining_; }
  void log(const CommandRecord& record) override;

 private:
  class Signals;
  struct Collection;
  // A command that waits for all workers.
  struct Awaited {
    enum class What : std::uint8_t { kPause, kHostPause, kClose };
    What what = What::kPause;
    std::string name;                             // of a database, or cluster/host
    std::function<bool(const Worker&)> has_come;  // in this worker
    std::function<bool()> given_up;               // null: that is no reason to end
    absl::AnyInvocable<void(absl::Status)> done;
  };
  // A setting as SET has it.
  struct Kept {
    config::Change change;
    std::string override;
  };

  Instance(TopologyPtr topology, Loader loader, Predecessor& predecessor,
           std::shared_ptr<FaultLog> faults);
  absl::Status listen();
  void derive_keys(const config::Config& config);
  std::function<void()> wake_waiters();   // of all workers, from any thread
  std::function<void()> hosts_changed();  // likewise
  Worker& place(Worker& accepted_by);
  void on_signal(int signal);
  void tick();
  void collect(std::shared_ptr<Collection> collection);
  void finish(Collection& collection) const;
  void add_counters(Inspection& to) const;
  void ask_locks(std::shared_ptr<Collection> collection);
  static void forget_weights(const Topology& topology);
  void check_awaited();
  void end_awaited(absl::FunctionRef<bool(const Awaited&)> which);
  void end_pause(const HostOrder& order);
  void on_patroni(const std::string& cluster, std::string answer);
  config::LoadResult load(const std::vector<Kept>& kept, config::TextPtr text) const;
  absl::StatusOr<Loaded> load_again();
  absl::StatusOr<Loaded> change(const config::Change& change);
  absl::StatusOr<Loaded> take(config::LoadResult loaded, std::vector<Kept> kept, const char* how);
  void begin_drain();
  void begin_accepting();
  void end_accepting(std::function<void()> ended);
  void take_over();
  void start_successor(Upgraded done);
  void on_successor_failed(const std::string& why);
  void on_successor_ready(pid_t by);
  void on_replaced(pid_t by);
  void forget_pauses();
  void check_stay();
  std::uint32_t staying() const;
  absl::Status known_database(std::string_view database) const;
  void on_all_workers(std::function<void(Worker&)> task);
  void ask_workers(std::function<void()> answered);  // by all of them

  net::Loop loop_;
  Shared shared_;
  const Loader loader_;
  config::TextPtr text_;    // of the file, as it was when it was loaded last
  std::vector<Kept> kept_;  // each of another setting
  mutable std::mutex topology_mutex_;
  TopologyPtr topology_;
  std::vector<ClusterPtr> retired_clusters_;  // until no worker uses them: their threads end here
  std::vector<std::unique_ptr<Worker>> workers_;
  std::mutex place_mutex_;
  Worker::Sockets sockets_;
  // Of these the predecessor owns the path until it leaves.
  std::vector<net::ListeningSocket*> with_path_;
  int http_socket_ = -1;  // inherited, and not taken yet
  Http http_;
  std::unique_ptr<Signals> signals_;
  Predecessor& predecessor_;
  std::unique_ptr<Successor> successor_;
  Upgraded upgraded_;  // null = nobody waits for it
  Supervisor supervisor_;
  std::vector<Awaited> awaited_;
  std::vector<std::string> paused_, disabled_;  // "" = all
  LockReader locks_;
  std::map<std::string, std::string> patroni_answers_;  // by cluster, if it names other hosts
  Patroni patroni_;
  std::atomic<bool> draining_{false};
  base::Time drain_until_{}, replaced_at_{};
  const base::WallTime started_;
};

}  // namespace proxy
