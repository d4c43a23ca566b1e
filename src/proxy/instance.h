// The running proxy: workers, listeners, monitors, signals; reload, pause, drain and stop.
#pragma once

#include <array>
#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "config/diff.h"
#include "config/load.h"
#include "net/acceptor.h"
#include "net/loop.h"
#include "proxy/control.h"
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
  using Loader = std::function<config::LoadResult()>;  // reads the configuration again

  // Listens, but serves only from run() on. The error is a certificate or an address.
  static absl::StatusOr<std::unique_ptr<Instance>> create(config::ConfigPtr config, Loader loader);
  ~Instance() override;
  // What create() would say of the files that the configuration names; nothing is started.
  static absl::Status check(config::ConfigPtr config);

  // The file that listens on the HTTP port: inherited, the caller's from now on; -1 = none was.
  int http_socket() { return std::exchange(http_socket_, -1); }
  // What listens there, and how that ends when another process has taken over.
  void set_http(int fd, std::function<void()> end) {
    http_socket_ = fd;
    end_http_ = std::move(end);
  }
  void set_console(ConsoleFactory console) { shared_.console = std::move(console); }
  void run();  // until a signal or a shutdown ends it

  void inspect(absl::AnyInvocable<void(Inspection)> done, InspectParts parts) override;
  config::ConfigPtr config() const override;
  void reload(absl::AnyInvocable<void(absl::Status, std::string note)> done) override;
  void pause(std::string_view database, absl::AnyInvocable<void(absl::Status)> done) override;
  absl::Status resume(std::string_view database) override;
  absl::Status reconnect(std::string_view database) override;
  absl::Status disable(std::string_view database) override;
  absl::Status enable(std::string_view database) override;
  absl::Status kill(std::string_view database) override;
  absl::Status kill_client(std::uint64_t id) override;
  void reset_statements() override;
  void order(HostOrder order, ConsoleLogin by,
             absl::AnyInvocable<void(absl::StatusOr<std::string> note)> done) override;
  void shutdown(Shutdown how) override;
  bool draining() const override { return draining_; }

 private:
  class Signals;
  struct Collection;
  struct Pause {
    std::string database;
    absl::AnyInvocable<void(absl::Status)> done;
  };

  Instance(TopologyPtr topology, Loader loader, std::shared_ptr<FaultLog> faults);
  absl::Status listen();
  void derive_keys(const config::Config& config);
  std::function<void()> wake_waiters();   // of all workers, from any thread
  std::function<void()> hosts_changed();  // likewise
  void on_accept(int fd);
  void on_signal(int signal);
  void tick();
  void collect(std::shared_ptr<Collection> collection);
  void finish(Collection& collection) const;
  static void forget_weights(const Topology& topology);
  void check_pauses();
  void begin_drain();
  void start_successor();
  void on_replaced(pid_t by);
  absl::Status known_database(std::string_view database) const;
  void on_all_workers(std::function<void(Worker&)> task);
  void ask_workers(std::function<void()> answered);  // by all of them

  net::Loop loop_;
  Shared shared_;
  Loader loader_;
  mutable std::mutex topology_mutex_;
  TopologyPtr topology_;
  std::vector<ClusterPtr> retired_clusters_;  // until no worker uses them: their threads end here
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::unique_ptr<net::Acceptor>> acceptors_;
  int http_socket_ = -1;
  std::function<void()> end_http_;
  std::unique_ptr<Signals> signals_;
  Predecessor predecessor_;
  std::unique_ptr<Successor> successor_;
  Supervisor supervisor_;
  std::vector<Pause> pauses_;
  std::vector<std::string> paused_, disabled_;  // "" = all
  std::atomic<bool> draining_{false};
  base::Time drain_until_{}, replaced_at_{};
  const base::WallTime started_;
};

}  // namespace proxy
