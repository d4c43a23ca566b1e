#include "proxy/instance.h"

#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/strings/ascii.h"
#include "base/check.h"
#include "config/address.h"
#include "config/problems.h"
#include "proxy/log.h"

namespace proxy {
namespace {

constexpr base::milliseconds kTick{50};
constexpr std::chrono::hours kRest{1};

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

using Tls = ClusterRuntime::Tls;

absl::StatusOr<Tls> read_tls(absl::StatusOr<Tls> (*read)(const config::Tls&),
                             const config::Tls& settings, const config::Config& config,
                             const std::string& section) {
  if (settings.mode == config::SslMode::kDisable) return Tls();
  auto tls = read(settings);
  if (tls.ok()) return tls;
  const std::string file = config.source.empty() ? "" : config.source + ": ";
  return absl::InvalidArgumentError(file + section + "." + std::string(tls.status().message()));
}

// Clusters that did not change live on, with all that is known about them. Files of certificates
// are read again all the same; an error changes nothing.
absl::StatusOr<TopologyPtr> make_topology(config::ConfigPtr config, const Topology* before,
                                          const std::shared_ptr<FaultLog>& faults) {
  auto topology = std::make_shared<Topology>();
  auto client_tls =
      read_tls(net::TlsContext::for_clients, config->client_tls, *config, "tls.client");
  if (!client_tls.ok()) return client_tls.status();
  topology->client_tls = *client_tls;
  for (const auto& peer : config->peers) {
    auto tls = read_tls(net::TlsContext::for_servers, peer.tls, *config,
                        config::key_below("peers", peer.name) + ".tls");
    if (!tls.ok()) return tls.status();
    topology->peer_tls.push_back(*std::move(tls));
  }
  std::vector<Tls> server_tls;
  for (const auto& cluster : config->clusters) {
    auto tls = read_tls(net::TlsContext::for_servers, cluster.tls, *config,
                        config::key_below("clusters", cluster.name) + ".tls");
    if (!tls.ok()) return tls.status();
    server_tls.push_back(*std::move(tls));
  }
  const config::Diff diff =
      before != nullptr ? config::diff(*before->config, *config) : config::Diff{};
  for (std::size_t i = 0; i < config->clusters.size(); ++i) {
    const config::Cluster& cluster = config->clusters[i];
    const ClusterPtr* known = before != nullptr ? before->find(cluster.name) : nullptr;
    if (known != nullptr && !contains(diff.clusters.changed, cluster.name)) {
      (*known)->set_tls(std::move(server_tls[i]));
      topology->clusters.push_back(*known);
      continue;
    }
    topology->clusters.push_back(std::make_shared<ClusterRuntime>(
        cluster, std::move(server_tls[i]), known != nullptr ? known->get() : nullptr, faults));
  }
  topology->config = std::move(config);
  return TopologyPtr(std::move(topology));
}

}  // namespace

// Signals as events of the control loop.
class Instance::Signals final : public net::Loop::Handler {
 public:
  explicit Signals(Instance& instance) : instance_(instance) {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : kSignals) sigaddset(&set, signal);
    fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(fd_ >= 0);
    instance_.loop_.watch_level(fd_, *this);
  }
  ~Signals() override {
    instance_.loop_.unwatch(fd_);
    ::close(fd_);
  }
  void on_events(std::uint32_t) override {
    signalfd_siginfo info;
    while (read(fd_, &info, sizeof info) == sizeof info) {
      instance_.on_signal(static_cast<int>(info.ssi_signo));
    }
  }

 private:
  Instance& instance_;
  int fd_ = -1;
};

absl::StatusOr<std::unique_ptr<Instance>> Instance::create(config::ConfigPtr config, Loader loader,
                                                           Predecessor& predecessor,
                                                           config::TextPtr text) {
  auto faults = std::make_shared<FaultLog>();
  auto topology = make_topology(std::move(config), nullptr, faults);
  if (!topology.ok()) return topology.status();
  std::unique_ptr<Instance> instance(
      new Instance(*topology, std::move(loader), predecessor, std::move(faults)));
  instance->text_ = std::move(text);
  if (auto status = instance->listen(); !status.ok()) return status;
  return instance;
}

absl::Status Instance::check(config::ConfigPtr config) {
  return make_topology(std::move(config), nullptr, std::make_shared<FaultLog>()).status();
}

Instance::Instance(TopologyPtr topology, Loader loader, Predecessor& predecessor,
                   std::shared_ptr<FaultLog> faults)
    : loader_(std::move(loader)),
      topology_(std::move(topology)),
      predecessor_(predecessor),
      supervisor_({
          .has_primaries = [this] { return has_primaries(*topology_); },
          .status = [this] { return status_line(shared_.clients, *topology_, draining_); },
          .workers = [this](std::function<void()> answered) { ask_workers(std::move(answered)); },
          .on_ready = [this] { take_over(); },
          .is_main = [this] { return predecessor_.has_left(); },
      }),
      patroni_([this](std::string cluster, std::string answer) {
        loop_.post([this, cluster = std::move(cluster), answer = std::move(answer)]() mutable {
          on_patroni(cluster, std::move(answer));
        });
      }),
      started_(std::chrono::system_clock::now()) {
  shared_.faults = std::move(faults);
  derive_keys(*topology_->config);
  shared_.lookup.set_found_fresh(topology_->config->auth.auth_query_cache);
  shared_.traces.configure(topology_->config->traces);
  shared_.cancel = [this](const protocol::CancelRequest& request) {
    for (const auto& worker : workers_) worker->cancel(request);
    predecessor_.pass_on(request);
  };
  shared_.place = [this](Worker& accepted_by) -> Worker& { return place(accepted_by); };
  shared_.wake_workers = [this] {
    for (const auto& worker : workers_) {
      worker->loop().post([w = worker.get()] { w->on_permits_freed(); });
    }
  };
  std::uint32_t count = topology_->config->workers;
  if (count == 0) count = std::max(1u, std::thread::hardware_concurrency());
  shared_.numbers = SessionNumbers(topology_->config->peer_id, count);
  shared_.workers = count;
  for (std::uint32_t i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(i, topology_, shared_));
  }
  loop_.set_tick(kTick, [this] { tick(); });
}

// The console asks the workers, from a thread of its own: it goes first.
Instance::~Instance() { shared_.console = nullptr; }

// So many that it takes no longer than 0.1 s, while nobody is accepted; the others' keys are made
// when they log in first.
void Instance::derive_keys(const config::Config& config) {
  constexpr std::size_t kUsersMax = 64;
  if (config.auth.method != config::AuthMethod::kScram) return;
  for (std::size_t i = 0; i < std::min(kUsersMax, config.users.size()); ++i) {
    const auto& user = config.users[i];
    if (is_plain_text(user.password)) shared_.scram_verifier(user.name, user.password);
  }
}

std::function<void()> Instance::wake_waiters() {
  return [this] {
    for (const auto& worker : workers_) {
      worker->loop().post([w = worker.get()] { w->refresh_waiters(); });
    }
  };
}

std::function<void()> Instance::hosts_changed() {
  return [this] { on_all_workers([](Worker& worker) { worker.on_hosts_changed(); }); };
}

absl::Status Instance::listen() {
  auto inherited = net::InheritedSockets::from_environment();
  for (const auto& where : topology_->config->listeners) {
    const auto address =
        net::literal_address(where.unix_dir.empty() ? where.host : where.unix_dir, where.port);
    const int fd = address ? inherited.take(*address) : net::InheritedSockets::kNone;
    if (fd == net::InheritedSockets::kServed) continue;
    if (fd != net::InheritedSockets::kNone) {
      sockets_.push_back(std::make_unique<net::ListeningSocket>(fd, where));
      if (inherited.name_of(fd) == Handed::kWithPath) with_path_.push_back(sockets_.back().get());
      spdlog::info("weir: inherited the socket of {}", config::format_listener(where));
      continue;
    }
    auto socket = net::ListeningSocket::listen(where);
    if (!socket.ok()) return socket.status();
    sockets_.push_back(std::move(*socket));
  }
  const auto& admin = topology_->config->admin;
  const auto http = net::literal_address(admin.http_host, admin.http_port);
  if (admin.http_port != 0 && http) http_socket_ = inherited.take(*http);
  return absl::OkStatus();
}

// The one with the fewest, so that they come out even; what matters less the more there are. To
// hand one over wakes another thread.
Worker& Instance::place(Worker& accepted_by) {
  std::lock_guard lock(place_mutex_);
  const auto count = [](const auto& worker) { return worker->client_count(); };
  Worker& fewest = **std::ranges::min_element(workers_, {}, count);
  const std::uint32_t enough = fewest.client_count() + fewest.client_count() / 8;
  Worker& chosen = accepted_by.client_count() <= enough ? accepted_by : fewest;
  chosen.count_in();
  return chosen;
}

void Instance::run() {
  signals_ = std::make_unique<Signals>(*this);
  for (const auto& cluster : topology_->clusters) {
    cluster->start(wake_waiters(), hosts_changed());
  }
  for (const auto& worker : workers_) worker->start();
  spdlog::info("weir: up with {} workers, {} listeners", workers_.size(), sockets_.size());
  if (!predecessor_.exists()) begin_accepting();
  supervisor_.on_start(net::read_clock());
  patroni_.configure(*topology_->config);
  loop_.run();
  supervisor_.on_stopping();
  if (successor_) successor_->call_off();
  for (const auto& worker : workers_) worker->stop();
  sockets_.clear();
  for (auto& one : awaited_) one.done(absl::CancelledError("the proxy stops"));
  awaited_.clear();
  if (upgraded_) upgraded_(absl::CancelledError("the proxy stops"));
  for (const auto& cluster : topology_->clusters) cluster->stop();
  for (const auto& cluster : retired_clusters_) cluster->stop();
  spdlog::info("weir: stopped");
}

void Instance::on_signal(int signal) {
  switch (signal) {
    case SIGHUP:
      return reload([](const absl::StatusOr<Loaded>& loaded) {
        if (loaded.ok()) return;
        spdlog::error("weir: reload refused: {}",
                      std::string(absl::StripTrailingAsciiWhitespace(loaded.status().message())));
      });
    case SIGTERM:
      // A second one says that it was not meant to last.
      return shutdown(draining_ ? Shutdown::kNow : Shutdown::kDrain);
    case SIGUSR2:
      return start_successor({});
    default:
      return shutdown(Shutdown::kNow);
  }
}

void Instance::shutdown(Shutdown how) {
  if (how == Shutdown::kNow) return loop_.stop();
  draining_ = true;
  loop_.post([this] { begin_drain(); });
}

void Instance::begin_drain() {
  if (drain_until_ != base::Time{}) return;
  const auto limit = topology_->config->timeouts.drain;
  spdlog::info("weir: draining for at most {} ms", limit.count());
  drain_until_ = loop_.now() + limit;
  supervisor_.on_stopping();
  if (successor_) successor_->call_off();
  end_accepting([] {});
  on_all_workers([](Worker& worker) { worker.drain(); });
}

void Instance::tick() {
  check_awaited();
  std::erase_if(retired_clusters_, [](const ClusterPtr& cluster) {
    if (cluster.use_count() > 1) return false;
    cluster->stop();
    return true;
  });
  const base::Duration until_told = supervisor_.tick(loop_.now());
  if (successor_) successor_->check(loop_.now());
  if (drain_until_ == base::Time{}) {
    if (replaced_at_ != base::Time{}) return check_stay();
    // All else that needs a tick begins with an event.
    if (!successor_ && awaited_.empty() && retired_clusters_.empty() &&
        until_told > base::Duration()) {
      loop_.rest(std::min<base::Duration>(kRest, until_told));
    }
    return;
  }
  const bool all_left = sockets_.empty() && shared_.clients.load() == 0;
  if (all_left || loop_.now() >= drain_until_) loop_.stop();
}

void Instance::on_all_workers(std::function<void(Worker&)> task) {
  for (const auto& worker : workers_) {
    worker->loop().post([w = worker.get(), task] { task(*w); });
  }
}

void Instance::ask_workers(std::function<void()> answered) {
  auto left = std::make_shared<std::size_t>(workers_.size());
  for (const auto& worker : workers_) {
    worker->loop().post([this, left, answered] {
      loop_.post([left, answered] {
        if (--*left == 0) answered();
      });
    });
  }
}

config::ConfigPtr Instance::config() const {
  std::lock_guard lock(topology_mutex_);
  return topology_->config;
}

// Puts a configuration into effect, or says why not; then nothing has changed. how: what is logged.
absl::StatusOr<Control::Loaded> Instance::take(config::LoadResult loaded, std::vector<Kept> kept,
                                               const char* how) {
  if (!loaded.config) return absl::InvalidArgumentError(config::to_string(loaded.problems));
  const auto diff = config::diff(*topology_->config, *loaded.config);
  auto next = std::make_shared<config::Config>(*loaded.config);
  config::keep_until_restart(*next, *topology_->config);
  auto topology = make_topology(next, topology_.get(), shared_.faults);
  if (!topology.ok()) return topology.status();
  configure_log(next->logging);
  for (const auto& cluster : (*topology)->clusters) {
    if (topology_->find(cluster->config.name) == nullptr ||
        *topology_->find(cluster->config.name) != cluster) {
      cluster->start(wake_waiters(), hosts_changed());
    }
  }
  for (const auto& cluster : topology_->clusters) {
    const auto* now = (*topology)->find(cluster->config.name);
    if (now == nullptr || *now != cluster) retired_clusters_.push_back(cluster);
  }
  shared_.lookup.set_found_fresh(next->auth.auth_query_cache);
  shared_.traces.configure(next->traces);
  patroni_.configure(*next);
  shared_.lookup.forget();
  derive_keys(*next);
  {
    std::lock_guard lock(topology_mutex_);
    topology_ = *topology;
  }
  text_ = std::move(loaded.text);
  kept_ = std::move(kept);
  on_all_workers([next = *topology, diff](Worker& worker) { worker.set_topology(next, diff); });
  const std::string changes = config::summary(diff);
  const std::string_view shown = changes.empty() ? "nothing changed" : std::string_view(changes);
  spdlog::info("weir: {}: {}", how, shown);
  shared_.faults->add(Fault::Severity::kInfo, "reload", topology_->config->source, shown);
  Loaded done;
  for (const auto& key : diff.needs_restart) {
    done.needs_restart += (done.needs_restart.empty() ? "" : ", ") + key;
  }
  for (const Kept& one : kept_) done.kept += (done.kept.empty() ? "" : ", ") + one.change.key;
  return done;
}

}  // namespace proxy
