#include "proxy/worker.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "protocol/frontend.h"
#include "proxy/log.h"

namespace proxy {
namespace {

constexpr base::milliseconds kTick{100};
constexpr base::seconds kRest{1};  // the same while nothing that is due sooner is known
// Log-ins have their turn for so long. If somebody has asked within kAskedOfLate who was there
// before, they pause kLoginsPause times as long; but none waits longer than kLoginPatience for it.
constexpr base::Duration kLoginsFor = std::chrono::microseconds(50);
constexpr int kLoginsPause = 19;
constexpr base::milliseconds kLoginPatience{20}, kAskedOfLate{1};
constexpr std::size_t kScratchBytes = 64u << 10;

sql::AnalysisPtr make_unread() {
  auto analysis = std::make_shared<sql::Analysis>();
  analysis->residue = sql::kUnreadable;
  analysis->why = "too long to be read";
  return analysis;
}

sql::AnalysisPtr make_explain() {
  auto analysis = std::make_shared<sql::Analysis>();
  analysis->access = sql::Access::kNone;
  analysis->parsed = true;
  analysis->statements.push_back({.access = sql::Access::kNone});
  return analysis;
}

void let_go(Client& client) {
  client.fail({.severity = protocol::Severity::kFatal,
               .code = protocol::sqlstate::kAdminShutdown,
               .message = "terminating connection due to administrator command"});
}

}  // namespace

Worker::Worker(std::uint32_t index, TopologyPtr topology, Shared& shared)
    : index_(index),
      topology_(std::move(topology)),
      shared_(shared),
      analyzer_(make_analyzer(*topology_)),
      statement_stats_(config().limits.statement_shapes),
      slow_us_(slow_from(config())),
      unread_(make_unread()),
      explain_(make_explain()),
      scratch_(kScratchBytes) {
  loop_.set_tick(kTick, [this] { tick(); });
  loop_.set_round_end([this] { end_of_round(); });
}

std::unique_ptr<sql::Analyzer> Worker::make_analyzer(const Topology& topology) {
  return std::make_unique<sql::Analyzer>(analyzer_options(*topology.config));
}

std::uint64_t Worker::slow_from(const config::Config& config) {
  const auto limit = config.logging.slow_query;
  if (limit.count() == 0) return UINT64_MAX;
  return static_cast<std::uint64_t>(base::to_us(limit));
}

Worker::~Worker() { CHECK(!thread_.joinable()); }

void Worker::start() {
  thread_ = std::thread([this] { loop_.run(); });
  pthread_setname_np(thread_.native_handle(), ("worker " + std::to_string(index_)).c_str());
}

void Worker::stop() {
  loop_.post([this] {
    end_accepting();
    close_all();
    loop_.stop();
  });
  if (thread_.joinable()) thread_.join();
  end_of_round();
  retired_.clear();
  pool_sets_.clear();
  alive_.reset();
}

void Worker::close_all() {
  stopping_ = true;
  for (std::vector<std::uint64_t> ids; !clients_.empty(); ids.clear()) {
    for (const auto& [id, client] : clients_) ids.push_back(id);
    for (const auto id : ids) {
      Client* client = find_client(id);
      if (client == nullptr) continue;
      let_go(*client);
      if (find_client(id) != nullptr) client->close("the proxy stops");
    }
  }
  std::vector<std::uint64_t> ids;
  for (const auto& [id, server] : servers_) ids.push_back(id);
  for (const auto id : ids) {
    if (Server* server = find_server(id)) server->close("the proxy stops");
  }
  // What was closed is destroyed at the end of the round: events of it may still be to come.
  while (!cancels_.empty()) cancels_.back()->close();
}

void Worker::begin_accepting(const Sockets& sockets) {
  for (const auto& socket : sockets) {
    acceptors_.push_back(std::make_unique<net::Acceptor>(
        loop_, *socket,
        [this](net::Acceptor& acceptor) { ready_acceptors_.push_back(&acceptor); }));
  }
}

void Worker::end_accepting() {
  for (auto& acceptor : acceptors_) {
    acceptor->stop();
    buried_acceptors_.push_back(std::move(acceptor));
  }
  acceptors_.clear();
  ready_acceptors_.clear();
}

void Worker::accept_one() {
  // In turns: a storm on one address must not keep out who comes to another.
  const auto next = ready_acceptors_.begin() +
                    static_cast<std::ptrdiff_t>(accept_turn_++ % ready_acceptors_.size());
  net::Acceptor& acceptor = **next;
  const int fd = acceptor.accept();
  if (fd < 0) {
    ready_acceptors_.erase(next);
    return;
  }
  if (!acceptor.is_unix()) net::set_tcp_options(fd, config().client_tcp);
  Worker& with = shared_.place(*this);
  if (&with == this) return begin(fd);
  with.adopt(fd);
}

void Worker::adopt(int fd) {
  loop_.post([this, fd] { begin(fd); });
}

void Worker::begin(int client_fd) {
  std::uint32_t slot;
  if (free_slots_.empty() && slots_.size() == shared_.numbers.slots()) {
    client_count_.fetch_sub(1, std::memory_order_relaxed);
    ::close(client_fd);  // its number would be another's: some millions are there already
    return;
  }
  if (free_slots_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(0);
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  shared_.clients.fetch_add(1);
  auto client = std::make_unique<Client>(*this, net::Stream(client_fd), slot);
  slots_[slot] = client->id;
  Client& started = *client;
  clients_.emplace(client->id, std::move(client));
  if (stopping_) return started.close("the proxy stops");
  started.watch();
}

Server* Worker::find_server(std::uint64_t id) {
  const auto it = servers_.find(id);
  return it == servers_.end() ? nullptr : it->second.get();
}

Client* Worker::find_client(std::uint64_t id) {
  const auto it = clients_.find(id);
  return it == clients_.end() ? nullptr : it->second.get();
}

PoolSet* Worker::pool_set(const config::Database& database, const std::string& name,
                          const std::string& user) {
  std::string key = name;
  key.append(1, '\0').append(user);
  auto& set = pool_sets_[key];
  if (!set) {
    auto& stats = stats_[name];
    if (!stats) stats = std::make_unique<Stats>();
    set = std::make_unique<PoolSet>(*topology_, database, name, user, shared_, *stats, outdated_);
  }
  return set.get();
}

PoolSet* Worker::replication_pools(const config::Database& database, const std::string& name,
                                   const std::string& user, std::uint64_t client,
                                   ServerParameters startup) {
  auto& stats = stats_[name];
  if (!stats) stats = std::make_unique<Stats>();
  auto& set = pool_sets_[name + '\0' + user + '\0' + std::to_string(client)];
  set = std::make_unique<PoolSet>(*topology_, database, name, user, shared_, *stats, outdated_,
                                  std::move(startup));
  return set.get();
}

void Worker::log_in_soon(Client& client) {
  logging_in_.push_back({.client = client.id, .since = loop_.now()});
}
void Worker::run_soon(Client& client) { soon_.push_back(client.id); }
void Worker::run_soon(Server& server) { soon_servers_.push_back(server.id); }

void Worker::run_at(Client& client, base::Time when) {
  later_.emplace_back(when, client.id);
  std::ranges::push_heap(later_, std::greater());
  loop_.wake_at(when);
}

bool Worker::may_retry() {
  if (retries_.take()) return true;
  shared_.retries_denied++;
  return false;
}

void Worker::late_at(base::Time when, const Server& server) {
  lates_.emplace_back(when, server.id);
  std::ranges::push_heap(lates_, std::greater());
  loop_.wake_at(when);
}

void Worker::hedge_lates() {
  while (!lates_.empty() && lates_.front().first <= loop_.now()) {
    std::ranges::pop_heap(lates_, std::greater());
    const auto [when, id] = lates_.back();
    lates_.pop_back();
    Server* server = find_server(id);
    // Most often it has answered long since, and may be at something else.
    if (server != nullptr && server->client != nullptr && server->late_at == when) {
      server->client->hedge();
    }
  }
  if (!lates_.empty()) loop_.wake_at(lates_.front().first);
}

// Who comes, and who is logging in: at least one step, which a TLS handshake can make a long one.
// Who is logged in does not wait for all of a storm, and it leaves the cores to others, too.
void Worker::serve_logins() {
  const auto begun = net::read_clock();
  const bool asked = loop_.now() - asked_at_ < kAskedOfLate;
  const bool overdue =
      !logging_in_.empty() && loop_.now() - logging_in_.front().since >= kLoginPatience;
  if (asked && begun < next_logins_ && !overdue) {
    if (!ready_acceptors_.empty()) accept_one();  // else it would be an event at once
  } else {
    auto now = begun;
    do {
      if (!ready_acceptors_.empty()) accept_one();
      if (!logging_in_.empty()) log_in_next();
      now = net::read_clock();
    } while ((!logging_in_.empty() || !ready_acceptors_.empty()) && now - begun < kLoginsFor);
    next_logins_ = now + kLoginsPause * (now - begun);
  }
  ready_acceptors_.clear();  // who waits there still is an event of the next round
  if (logging_in_.empty()) return;
  if (asked) {
    loop_.wake_at(next_logins_);
  } else {
    loop_.again();
  }
}

void Worker::log_in_next() {
  Client* client = find_client(logging_in_.front().client);
  logging_in_.pop_front();
  if (client != nullptr && client->is_open()) client->go_on();
}

void Worker::end_of_round() {
  if (!filled_.empty()) push_shared();
  if (!shared_servers_.empty()) scatter_late();
  if (!lates_.empty()) hedge_lates();
  while (!later_.empty() && later_.front().first <= loop_.now()) {
    std::ranges::pop_heap(later_, std::greater());
    soon_.push_back(later_.back().second);
    later_.pop_back();
  }
  if (!later_.empty()) loop_.wake_at(later_.front().first);
  // What runs here may ask for more: that runs after the sockets had their turn.
  soon_.swap(running_);
  soon_servers_.swap(running_servers_);
  for (const auto id : running_) {
    if (Client* client = find_client(id)) client->resume();
  }
  for (const auto id : running_servers_) {
    if (Server* server = find_server(id)) server->resume();
  }
  running_.clear();
  running_servers_.clear();
  if (!logging_in_.empty() || !ready_acceptors_.empty()) serve_logins();
  if (!soon_.empty() || !soon_servers_.empty()) loop_.again();
  if (ask_at_ != base::Time{} && loop_.now() >= ask_at_) ask_for_permits();
  buried_clients_.clear();
  buried_servers_.clear();
  buried_cancels_.clear();
  buried_acceptors_.clear();
  outdated_.clear();
}

void Worker::on_client_closed(Client& client) {
  const auto it = clients_.find(client.id);
  CHECK(it != clients_.end());
  held_.erase(client.id);
  slots_[client.slot] = 0;
  free_slots_.push_back(client.slot);
  buried_clients_.push_back(std::move(it->second));
  clients_.erase(it);
  // In this order, for Instance::staying().
  if (buried_clients_.back()->has_console()) shared_.consoles.fetch_sub(1);
  shared_.clients.fetch_sub(1);
  client_count_.fetch_sub(1, std::memory_order_relaxed);
}

// In a storm once a second, of one of them.
void Worker::note_shed(const Client& client, const char* limit) {
  shared_.shed++;
  if (loop_.now() - shed_told_ < base::seconds(1)) return;
  shed_told_ = loop_.now();
  log_of(client.database_config(), spdlog::level::warn,
         "{}: its request was refused: too many clients wait limit={}", client.who(), limit);
  shared_.faults->add(Fault::Severity::kWarning, "overload",
                      client.pools()->database + "/" + client.pools()->user,
                      std::string("requests were refused: too many clients wait for a server "
                                  "connection, ") +
                          limit);
}

void Worker::hold(Client& client) { held_.insert(client.id); }
void Worker::unhold(Client& client) { held_.erase(client.id); }

void Worker::refresh_waiters() {
  if (!unproven_.empty()) give_proven();
  const std::vector<std::uint64_t> ids(held_.begin(), held_.end());
  held_.clear();
  for (const auto id : ids) {
    if (Client* client = find_client(id)) client->reroute();
  }
}

void Worker::tick() {
  const auto now = loop_.now();
  lateness_.add(
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, base::to_us(loop_.lateness()))));
  refresh_waiters();
  swept_.clear();
  for (const auto& [id, client] : clients_) swept_.push_back(id);
  for (const auto id : swept_) {
    Client* client = find_client(id);
    if (client == nullptr) continue;
    client->sweep(now);
    if (draining_ && find_client(id) != nullptr && client->quiet()) let_go(*client);
  }
  sweep_servers(now);
  sweep_cancels(now);
  for (const auto& acceptor : acceptors_) acceptor->go_on();
  retries_.on_tick();
  // Workers that rest look at others' needs when they are woken only.
  if (starves([](const HostPool&) { return true; }) && shared_.wake_workers) {
    shared_.wake_workers();
  }
  if (may_rest()) loop_.rest(kRest);
}

// Nothing will be due before the next sweep but one, as far as is known now: whatever else
// happens is an event, and ends the rest.
bool Worker::may_rest() const {
  if (draining_ || !held_.empty() || !unproven_.empty() || !cancels_.empty() || !retired_.empty() ||
      !soon_.empty() || !soon_servers_.empty() || !logging_in_.empty()) {
    return false;
  }
  const auto now = loop_.now();
  for (const auto& [id, client] : clients_) {
    if (client->needs_sweep_within(kRest, now)) return false;
  }
  for (const auto& [key, set] : pool_sets_) {
    if (set->retired) return false;
    for (const auto& pool : set->made()) {
      if (pool && needs_sweep_within(*pool, kRest)) return false;
    }
  }
  return true;
}

void Worker::on_permits_freed() {
  for (const auto& [key, set] : pool_sets_) {
    for (const auto& pool : set->made()) {
      if (pool) sweep_pool(*pool, loop_.now());
    }
  }
}

void Worker::drain() { draining_ = true; }

void Worker::leave_consoles() {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, client] : clients_) {
    if (client->has_console() && client->quiet()) ids.push_back(id);
  }
  for (const auto id : ids) let_go(*find_client(id));
}

}  // namespace proxy
