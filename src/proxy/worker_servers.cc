// Worker: server connections and their pools.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/jitter.h"
#include "protocol/frontend.h"
#include "proxy/log.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr std::uint32_t kRetryGrowth = 15;
constexpr base::Duration kOverdueAfter = base::milliseconds(50);
constexpr std::uint64_t kOverdueTimes = 20;  // the usual
constexpr double kRetryJitter = 1;  // all pools of all workers find out at once that a host died

// Log-in errors that pass by themselves: whoever waits goes on waiting.
bool is_passing(std::string_view sqlstate) {
  return sqlstate == protocol::sqlstate::kTooManyConnections ||
         sqlstate == protocol::sqlstate::kCannotConnectNow ||
         sqlstate == protocol::sqlstate::kAdminShutdown ||
         sqlstate == protocol::sqlstate::kCrashShutdown;
}

// As DISCARD ALL does it (discard.c), for a connection that was pinned by a client that may still
// ask for what sequences gave it there.
constexpr const char* kDiscardAllButSequences =
    "CLOSE ALL;SET SESSION AUTHORIZATION DEFAULT;RESET ALL;DEALLOCATE ALL;UNLISTEN *;"
    "SELECT pg_catalog.pg_advisory_unlock_all();DISCARD PLANS;DISCARD TEMP";

}  // namespace

void Worker::open_server(HostPool& pool) {
  auto server = std::make_unique<Server>(*this, pool);
  Server& opened = *server;
  pool.pool.opening(opened, loop_.now());
  pool.servers.push_back(&opened);
  const auto& timeouts = config().timeouts;
  opened.lifetime =
      base::jittered(timeouts.server_lifetime, timeouts.server_lifetime_jitter, opened.id);
  const SessionDefaults& defaults = pool.set.defaults();
  opened.defaults_of = defaults.version();
  opened.opened_early = !defaults.are_on(pool.host, pool.set.snapshot());
  servers_.emplace(opened.id, std::move(server));
  opened.start();
}

void Worker::on_starving() {
  if (ask_at_ == base::Time{}) ask_at_ = loop_.now();
}

// A worker with nothing but idle servers looks at others' needs in its ticks only, unless it is
// woken. A pool that has servers gets one of them back sooner than a new one.
void Worker::ask_for_permits() {
  ask_at_ = {};
  if (!starves([](const HostPool& pool) { return pool.servers.empty(); })) return;
  if (shared_.wake_workers) shared_.wake_workers();
  ask_at_ = loop_.now() + pool::Pool::kLendAfter;
  loop_.wake_at(ask_at_);
}

bool Worker::starves(absl::FunctionRef<bool(const HostPool&)> counts) const {
  return std::ranges::any_of(pool_sets_, [&](const auto& entry) {
    return std::ranges::any_of(entry.second->made(), [&](const auto& pool) {
      return pool && pool->pool.starving() && counts(*pool);
    });
  });
}

void Worker::cancel_wait(Client& client) {
  if (client.waiting()) client.waiting_in()->cancel(client);
}

void Worker::on_server_ready(Server& server) {
  HostPool& pool = server.pool();
  pool.failures = 0;
  pool.last_error.clear();
  log_of(server.database_config(), spdlog::level::debug, "{}: logged in, backend {}", server.name(),
         server.backend_pid);
  server.ready_at = net::read_clock();
  if (is_proven(server)) return give(server);
  unproven_.push_back(server.id);
  pool.set.cluster->monitor.sample_soon(ClusterMonitor::Urgency::kAwaited);
}

// A replica that starts again, as it does when one of its processes crashes, may be behind where it
// was sampled last. All connections of before are gone then, so a position that was asked for since
// a connection is open is of what it sees.
bool Worker::is_proven(Server& server) {
  if (server.on_primary()) return true;
  return server.pool().set.snapshot().hosts[server.pool().host].sampled >= server.ready_at;
}

void Worker::give_proven() {
  for (const auto id : std::exchange(unproven_, {})) {
    Server* server = find_server(id);
    if (server == nullptr || server->state() != Server::State::kReady) continue;
    if (is_proven(*server)) {
      offer_anew(*server);
    } else {
      unproven_.push_back(id);
    }
  }
}

// Who waits for its host was sent there by an older sample: each looks again where to go.
void Worker::offer_anew(Server& server) {
  const auto waiters = take_waiters(server.pool());
  on_server_cleaned(server);
  for (const auto id : waiters) {
    if (Client* client = find_client(id)) client->reroute();
  }
}

// To the longest waiter, or into the pool.
void Worker::give(Server& server) {
  HostPool& pool = server.pool();
  server.settings_hash = server.settings.hash();
  if (stopping_ || server.must_close()) return server.close("replaced");
  bool close_it = false;
  const auto answer = pool.pool.ready(server, loop_.now(), close_it);
  if (close_it) return server.close("its permit is needed elsewhere");
  if (answer.waiter == nullptr) return;
  static_cast<Client*>(answer.waiter)->on_granted(static_cast<Server&>(*answer.server));
}

void Worker::on_server_failed(Server& server, const std::string& why,
                              const protocol::Error* error) {
  HostPool& pool = server.pool();
  pool.last_error = why;
  ++pool.failures;
  const auto& timeouts = config().timeouts;
  const std::uint32_t doubled = 1u << std::min(pool.failures - 1, 10u);
  const base::Duration pause = timeouts.server_retry * std::min(doubled, kRetryGrowth);
  pool.retry_at = loop_.now() + base::jittered(pause, kRetryJitter, server.id);
  if (error == nullptr) pool.set.cluster->monitor.report_connect_failure(pool.host, why);
  // Its fields may be views of what the server's buffers hold.
  std::optional<protocol::Error> answer;
  std::string code;
  if (error != nullptr && !is_passing(error->code)) {
    answer = *error;
    code = error->code;
    answer->code = code;
  }
  server.close(why);
  // A refusal that will stay is an answer. If it will pass, servers that are open will do; without
  // any, another host may.
  if (!answer && error != nullptr && pool.pool.leased() + pool.pool.idle() > 0) return;
  dismiss_waiters(pool, [&](Client& client) {
    if (answer) {
      client.refuse(*answer);
    } else if (error == nullptr) {
      client.reroute();
    } else {
      hold(client);
    }
  });
}

// Nobody waits for the pool any more; each is told.
void Worker::dismiss_waiters(HostPool& pool, absl::FunctionRef<void(Client&)> tell) {
  for (const auto id : take_waiters(pool)) {
    if (Client* client = find_client(id)) tell(*client);
  }
}

std::vector<std::uint64_t> Worker::take_waiters(HostPool& pool) {
  std::vector<std::uint64_t> waiters;
  while (pool::Waiter* waiter = pool.pool.first_waiter()) {
    pool.pool.cancel(*waiter);
    waiters.push_back(static_cast<Client*>(waiter)->id);
  }
  return waiters;
}

void Worker::on_server_cleaned(Server& server) {
  server.set_active(false);
  server.is_shareable = false;
  if (server.has_followers()) return server.take_next();
  if (server.cancels > 0 || server.state() == Server::State::kClosed) return;
  CHECK(server.client == nullptr && server.exchange.empty());
  server.abandoned = false;
  const bool shared = server.listeners != nullptr;
  const bool replaced = server.close_when_free || server.pool().set.retired;
  if (replaced && !shared) return server.close("replaced");
  if (server.exchange.batch_open()) {  // behind a COPY that took the client's Sync for its own
    end_batch(server, server.exchange.skipping() ? Batch::kFails : Batch::kOpen);
    return server.push();
  }
  if (server.exchange.status() != 'I') {
    server.inject_query("ROLLBACK", kNoteReset);
    return server.push();
  }
  if (shared) return server.listeners->on_free();
  if (server.dirty) {
    server.dirty = server.settings_unknown = server.shows_channels = false;
    server.inject_query(server.kept ? kDiscardAllButSequences : "DISCARD ALL", kNoteReset);
    if (!server.kept) server.note_sequences_discarded();
    server.settings.clear();
    server.statements.clear();
    return server.push();
  }
  if (std::exchange(server.shows_channels, false)) {
    server.inject_query("UNLISTEN *", kNoteReset);
    return server.push();
  }
  give(server);
}

// That which a client has left open. A Sync alone would commit what the client did not; in a failed
// batch it is the only thing that is read.
void Worker::end_batch(Server& server, Batch batch) {
  if (batch == Batch::kOpen) server.inject_query("ROLLBACK", kNoteReset);
  server.exchange.expect({.what = session::Expect::kSync, .fate = session::Fate::kSwallow});
  protocol::write_sync(server.made());
}

// A client went away. What it has sent still runs, unless it went without a word; then the
// server is cleaned and used again.
void Worker::on_client_left(Server& server, Leaving how) {
  server.client = nullptr;
  server.forget_answer();
  if (server.state() == Server::State::kClosed) return;
  if (how == Leaving::kMidway) return server.close("its client left in the middle of a message");
  auto& exchange = server.exchange;
  if (exchange.copy_in_overrun()) return server.close("its client left in the middle of a COPY");
  const bool copying = exchange.in_copy_in();
  if (copying) {
    exchange.expect({.what = session::Expect::kCopyEnd});
    protocol::MessageWriter(server.made(), protocol::frontend::kCopyFail)
        .cstring("the client left");
  }
  if (exchange.batch_open() || exchange.copy_in_unsaid()) {
    end_batch(server, copying || exchange.skipping() ? Batch::kFails : Batch::kOpen);
  }
  server.push();
  if (!server.is_open()) return;
  if (exchange.empty()) return on_server_cleaned(server);
  // It may not have been read for as long as the client took nothing, and no event comes of what
  // has arrived already. A backend that cannot write would not even hear of a cancel.
  run_soon(server);
  if (how != Leaving::kAbruptly) return;
  server.abandoned = true;
  if (!server.has_followers()) send_cancel(server);  // they wait for it for a while: it is short
}

void Worker::leave_race(Server& server, Leaving how) {
  Server& other = *std::exchange(server.rival, nullptr);
  other.rival = nullptr;
  other.client->server = &other;
  on_client_left(server, how);
}

void Worker::on_server_closed(Server& server, std::string_view why) {
  HostPool& pool = server.pool();
  std::erase(pool.servers, &server);
  if (pool.filling == &server) pool.filling = nullptr;
  pool.pool.closed(server);
  const auto it = servers_.find(server.id);
  CHECK(it != servers_.end());
  buried_servers_.push_back(std::move(it->second));
  servers_.erase(it);
  if (server.listeners != nullptr) server.listeners->on_lost(why);
  if (stopping_) return;
  for (auto grant = pool.pool.make_do(loop_.now()); grant.waiter != nullptr;
       grant = pool.pool.make_do(loop_.now())) {
    static_cast<Client*>(grant.waiter)->on_granted(static_cast<Server&>(*grant.server));
  }
  if (pool.pool.others_starve() && shared_.wake_workers) shared_.wake_workers();
  if (loop_.now() >= pool.retry_at) open_for_waiters(pool);
}

void Worker::push_soon(Server& server) {
  if (filled_.empty() || filled_.back() != server.id) filled_.push_back(server.id);
  if (std::exchange(server.is_watched, true)) return;
  if (shared_servers_.empty()) {
    look_at_shared_ = loop_.now() + kPatience;
    loop_.wake_at(look_at_shared_);
  }
  shared_servers_.push_back(server.id);
}

void Worker::push_shared() {
  for (std::size_t i = 0; i < filled_.size(); ++i) {  // one that breaks may add others
    if (Server* server = find_server(filled_[i])) {
      server->pool().filling = nullptr;
      server->push();
    }
  }
  filled_.clear();
}

void Worker::scatter_late() {
  const auto now = loop_.now();
  if (now < look_at_shared_) return loop_.wake_at(look_at_shared_);
  std::erase_if(shared_servers_, [&](std::uint64_t id) {
    Server* server = find_server(id);
    if (server == nullptr) return true;
    if (now - server->busy_since >= kPatience) server->scatter();
    server->is_watched = server->has_followers();
    return !server->is_watched;
  });
  if (shared_servers_.empty()) return;
  look_at_shared_ = now + kPatience / 2;
  loop_.wake_at(look_at_shared_);
}

// In one go, so that they leave in one write.
void Worker::fill(Server& shared) {
  pool::Pool& pool = shared.pool().pool;
  if (shared.followers() > 1) return;
  while (pool::Waiter* next = pool.next_waiter()) {
    Client& client = *static_cast<Client*>(next);
    if (!client.may_share(shared.pool()) || !client.may_follow(shared, loop_.now())) return;
    pool.cancel(client);
    client.share_from_line(shared);
  }
}

void Worker::open_for_waiters(HostPool& pool) {
  while (!pool.set.retired && pool.pool.may_open(loop_.now())) open_server(pool);
}

std::string Worker::last_error(const Client& client) const {
  for (const auto& [key, set] : pool_sets_) {
    if (set.get() != client.pools()) continue;
    for (const auto& pool : set->made()) {
      if (pool && !pool->last_error.empty()) return pool->last_error;
    }
    const auto& snapshot = set->snapshot();
    if (snapshot.primary >= 0) {
      const auto& primary = snapshot.hosts[static_cast<std::size_t>(snapshot.primary)];
      if (primary.paused) return "the primary, " + primary.name + ", is " + primary.why;
    }
    if (snapshot.primary < 0 && !snapshot.hosts.empty()) {
      const auto fenced =
          std::ranges::find(snapshot.hosts, cluster::HostState::kFenced, &cluster::Host::state);
      const auto& host = fenced != snapshot.hosts.end() ? *fenced : snapshot.hosts[0];
      return "no host of cluster \"" + set->cluster->config.name + "\" is a usable primary; " +
             host.name + ": " + host.why;
    }
  }
  return "";
}

bool Worker::fill_lookup(const config::Database& database, const std::string& name,
                         LookupRequest& request) const {
  const ClusterPtr* cluster = topology_->find(database.cluster);
  if (cluster == nullptr) return false;
  const auto snapshot = (*cluster)->monitor.snapshot();
  int host = snapshot->primary;
  if (host >= 0 && snapshot->hosts[static_cast<std::size_t>(host)].paused) host = -1;
  for (std::size_t i = 0; host < 0 && i < snapshot->hosts.size(); ++i) {
    const auto& other = snapshot->hosts[i];
    if (other.state == cluster::HostState::kUp && !other.paused) host = static_cast<int>(i);
  }
  if (host < 0) return false;
  const auto& target = (*cluster)->config.hosts[static_cast<std::size_t>(host)];
  request.host = target.host;
  request.port = target.port;
  request.tls = (*cluster)->config.tls;
  request.dbname = config().auth.auth_database;
  if (request.dbname.empty()) request.dbname = database.dbname.empty() ? name : database.dbname;
  request.timeout = config().timeouts.connect;
  return true;
}

// A host that takes writes and must not be used: whatever is under way there is lost, the sooner
// the better. What still runs is cancelled, for a backend finds out late that its client is gone.
bool Worker::leave_if_fenced(HostPool& pool) {
  const auto& hosts = pool.set.snapshot().hosts;
  if (hosts[pool.host].state != cluster::HostState::kFenced) return false;
  const std::string why = "its host is fenced: " + hosts[pool.host].why;
  dismiss_waiters(pool, [this](Client& client) { hold(client); });
  for (Server* server : std::vector<Server*>(pool.servers)) {
    if (server->state() == Server::State::kClosed) continue;
    if (server->state() == Server::State::kReady && !server->exchange.empty()) {
      send_cancel(*server);
    }
    server->close(why);
  }
  return true;
}

void Worker::on_hosts_changed() {
  // Clients that go on may add pools.
  std::vector<HostPool*> pools;
  const auto add = [&](const PoolSet& set) {
    for (const auto& pool : set.made()) {
      if (pool) pools.push_back(pool.get());
    }
  };
  for (const auto& [key, set] : pool_sets_) add(*set);
  for (const auto& set : retired_) add(*set);
  for (HostPool* pool : pools) {
    if (leave_if_fenced(*pool)) continue;
    // What waits there has not begun: it goes where it would go now.
    const auto& snapshot = pool->set.snapshot();
    const bool stays = snapshot.primary == static_cast<int>(pool->host);
    const auto& host = snapshot.hosts[pool->host];
    const bool is_up = host.state == cluster::HostState::kUp;
    if (!std::exchange(pool->was_up, is_up) && is_up) {  // that it failed so often was before that
      const auto pause =
          base::jittered(config().timeouts.server_retry, kRetryJitter, loop_.rounds());
      pool->retry_at = std::min(pool->retry_at, loop_.now() + pause);
    }
    if (host.paused || (host.banned && !stays)) {
      dismiss_waiters(*pool, [this](Client& client) { hold(client); });
    }
  }
  refresh_waiters();
}

bool Worker::is_overdue(const Server& server, base::Time now) const {
  const auto took = now - server.busy_since;
  if (server.exchange.empty() || server.busy_since == base::Time{} || took < kOverdueAfter) {
    return false;
  }
  const std::uint64_t usual = statement_stats_.usual_us(server.counted());
  return usual != 0 && took > std::chrono::microseconds(usual * kOverdueTimes);
}

void Worker::sweep_pool(HostPool& pool, base::Time now) {
  if (leave_if_fenced(pool)) return;
  const auto& timeouts = config().timeouts;
  const auto& hosts = pool.set.snapshot().hosts;
  const bool down = pool.host < hosts.size() && hosts[pool.host].state == cluster::HostState::kDown;
  const int primary = pool.set.snapshot().primary;
  const bool replaced = primary >= 0 && primary != static_cast<int>(pool.host);
  swept_servers_.assign(pool.servers.begin(), pool.servers.end());
  for (Server* server : swept_servers_) {
    if (server->state() == Server::State::kClosed) continue;
    server->set_overdue(is_overdue(*server, now));
    // A host that went silent does not close its connections. What can be run again need not wait,
    // nor what was asked of a primary in whose place another one is.
    const bool asked =
        server->listeners != nullptr || (server->client != nullptr && server->asked_to_write);
    if (down && (server->rerun.after_loss() || (replaced && asked))) {
      server->close("its host is down");
      continue;
    }
    // A cancel that came before its query began was lost.
    if (server->abandoned && server->cancels == 0 && !server->exchange.empty()) {
      send_cancel(*server);
    }
    const bool ready = server->state() == Server::State::kReady;
    const bool old = server->lifetime.count() > 0 && now - server->opened_at > server->lifetime;
    if (!ready && now - server->opened_at > timeouts.connect) {
      on_server_failed(*server, "log-in took longer than timeouts.connect", nullptr);
    } else if (server->pool_state() == pool::Server::State::kIdle &&
               (old || server->must_close())) {
      server->close("its time is over");
    }
  }
  while (pool::Server* surplus = pool.pool.surplus(now, timeouts.server_idle)) {
    static_cast<Server*>(surplus)->close("idle");
  }
  if (down) dismiss_waiters(pool, [this](Client& client) { hold(client); });
  // Another replica may take what waits there.
  if (pool.pool.waiting() != 0 && primary != static_cast<int>(pool.host) &&
      route::may_hang(pool.counters().load(now), pool.set.cluster->config)) {
    dismiss_waiters(pool, [](Client& client) { client.reroute(); });
  }
  if (now < pool.retry_at || pool.set.retired || stopping_) return;
  open_for_waiters(pool);
  while (pool.pool.may_open_for_min()) open_server(pool);
}

// Whether sweep_pool() may have something to do before that time has passed.
bool Worker::needs_sweep_within(const HostPool& pool, base::Duration time) const {
  const auto now = loop_.now();
  const auto soon = [&](base::Time since, base::Duration limit) {
    const auto left = since + limit - now;
    return limit.count() != 0 && left > base::Duration::zero() && left <= time;
  };
  if (pool.failures != 0 || pool.pool.waiting() != 0) return true;
  const auto idle_max = config().timeouts.server_idle;
  return std::ranges::any_of(pool.servers, [&](const Server* server) {
    const bool idle = server->pool_state() == pool::Server::State::kIdle;
    return server->state() != Server::State::kReady || !server->exchange.empty() ||
           soon(server->opened_at, server->lifetime) ||
           (idle && (server->must_close() || soon(server->idle_since(), idle_max)));
  });
}

void Worker::sweep_servers(base::Time now) {
  const auto sweep = [&](PoolSet& set) {
    for (const auto& pool : set.made()) {
      if (pool) sweep_pool(*pool, now);
    }
  };
  for (const auto& [key, set] : pool_sets_) sweep(*set);
  for (const auto& set : retired_) sweep(*set);
  const auto is_over = [](const PoolSet& set) {
    return set.retired && set.unused() && set.users == 0;
  };
  // Of any name that a client asks for there may be one: it goes with its last connection.
  const auto is_forgotten = [&](const PoolSet& set) {
    return set.is_of_any_name() && set.users == 0 && set.unused() &&
           std::ranges::all_of(set.made(), [&](const auto& pool) {
             return !pool || (pool->servers.empty() && now >= pool->retry_at);
           });
  };
  const std::size_t before = retired_.size() + pool_sets_.size();
  const auto goes = [&](const PoolSet& set) {
    if (!is_over(set) && !is_forgotten(set)) return false;
    add_times(gone_times_, set.times);
    return true;
  };
  std::erase_if(retired_, [&](const auto& set) { return goes(*set); });
  absl::erase_if(pool_sets_, [&](const auto& entry) { return goes(*entry.second); });
  if (retired_.size() + pool_sets_.size() != before) forget_stats();
}

// Of databases that are in nobody's use and that the configuration does not name.
void Worker::forget_stats() {
  absl::flat_hash_set<std::string_view> used;
  for (const auto& set : retired_) used.insert(set->database);
  for (const auto& [key, set] : pool_sets_) used.insert(set->database);
  const auto is_gone = [&](const std::string& name) {
    const auto* database = config::find_database(config(), name);
    return !used.contains(name) && (database == nullptr || database->name != name);
  };
  std::erase_if(gone_times_, [&](const UserTimes& times) { return is_gone(times.database); });
  absl::erase_if(stats_, [&](const auto& entry) {
    if (!is_gone(entry.first)) return false;
    forgotten_ += entry.second->on_primary;
    forgotten_ += entry.second->on_replica;
    return true;
  });
}

}  // namespace proxy
