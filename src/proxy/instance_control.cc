// Instance: what the console and the HTTP server ask of it.
#include <algorithm>

#include "config/words.h"
#include "proxy/instance.h"

namespace proxy {
namespace {

std::uint32_t count_of(const std::map<std::string, std::uint32_t, std::less<>>& counts,
                       const std::string& name) {
  const auto it = counts.find(name);
  return it == counts.end() ? 0 : it->second;
}

}  // namespace

// Goes from worker to worker, each filling in its part on its own thread.
struct Instance::Collection {
  Inspection inspection;
  InspectParts parts;
  std::size_t next = 0;
  absl::AnyInvocable<void(Inspection)> done;
};

void Instance::inspect(absl::AnyInvocable<void(Inspection)> done, InspectParts parts) {
  auto collection = std::make_shared<Collection>();
  collection->done = std::move(done);
  if (parts.locks) parts.clients = parts.servers = true;
  collection->parts = parts;
  collect(std::move(collection));
}

// From thread to thread, each of which is woken once.
void Instance::collect(std::shared_ptr<Collection> collection) {
  if (collection->next == workers_.size()) {
    loop_.post([this, collection = std::move(collection)]() mutable {
      finish(*collection);
      if (collection->parts.locks) return ask_locks(std::move(collection));
      collection->done(std::move(collection->inspection));
    });
    return;
  }
  Worker* worker = workers_[collection->next++].get();
  worker->loop().post([this, worker, collection = std::move(collection)]() mutable {
    worker->inspect(collection->inspection, collection->parts);
    collect(std::move(collection));
  });
}

// Asks each host for the backends of its clients, once for each database.
void Instance::ask_locks(std::shared_ptr<Collection> collection) {
  using Place = std::pair<std::string, std::string>;  // server and database
  Inspection& to = collection->inspection;
  std::map<std::uint64_t, const ConnectionRow*> servers;
  for (const ConnectionRow& server : to.servers) servers.emplace(server.id, &server);
  std::map<Place, std::size_t> places;
  std::vector<LockReader::Question> questions;
  std::vector<std::vector<LockRow>> asked;  // index as `questions`: the clients, without locks
  for (const ConnectionRow& client : to.clients) {
    const auto server = servers.find(client.link);
    const auto* database = config::find_database(*topology_->config, client.database);
    if (server == servers.end() || database == nullptr) continue;
    const auto* cluster = config::find_cluster(*topology_->config, database->cluster);
    if (cluster == nullptr) continue;
    const auto host = std::ranges::find(cluster->hosts, server->second->host, &config::Host::name);
    if (host == cluster->hosts.end()) continue;
    const std::string& dbname = database->dbname.empty() ? client.database : database->dbname;
    const auto [place, is_new] =
        places.try_emplace(Place(cluster->name + "/" + host->name, dbname), questions.size());
    if (is_new) {
      LockReader::Question question{.login = monitor_login(*cluster, *host), .pids = {}};
      question.login.dbname = dbname;
      question.login.application_name = "weir locks";
      question.login.timeout = LockReader::kTimeout;
      questions.push_back(std::move(question));
      asked.emplace_back();
    }
    questions[place->second].pids.push_back(server->second->remote_pid);
    asked[place->second].push_back({.client = client.id,
                                    .database = client.database,
                                    .user = client.user,
                                    .application_name = client.application_name,
                                    .host = host->name,
                                    .pinned = !client.pins.empty(),
                                    .pid = server->second->remote_pid});
  }
  locks_.ask(std::move(questions), [this, collection, asked = std::move(asked)](
                                       std::vector<LockReader::Answer> answers) mutable {
    auto& locks = collection->inspection.locks;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      for (LockRow& row : asked[i]) {
        if (!answers[i].ok()) {
          row.problem = std::string(answers[i].status().message());
          locks.push_back(std::move(row));
          continue;
        }
        for (const LockReader::Lock& lock : *answers[i]) {
          if (lock.pid != row.pid) continue;
          locks.push_back(row);
          locks.back().type = lock.type;
          locks.back().object = lock.object;
          locks.back().mode = lock.mode;
          locks.back().granted = lock.granted;
          locks.back().waiting = lock.waiting;
        }
      }
    }
    loop_.post([collection] { collection->done(std::move(collection->inspection)); });
  });
}

void Instance::add_counters(Inspection& to) const {
  to.logins_tls = shared_.logins_tls.load();
  to.handshakes_failed = shared_.handshakes_failed.load();
  to.spans_sent = shared_.traces.sent();
  to.spans_dropped = shared_.traces.dropped();
}

// Adds what is the whole process's: the configuration's names, the clusters.
void Instance::finish(Collection& collection) const {
  auto& to = collection.inspection;
  const auto& config = *topology_->config;
  for (const auto& database : config.databases) {
    if (std::ranges::find(to.databases, database.name, &DatabaseRow::name) == to.databases.end()) {
      to.databases.push_back({.name = database.name});
    }
  }
  for (auto& row : to.databases) {
    const auto* database = config::find_database(config, row.name);
    if (database == nullptr) continue;
    const auto sizes = config::pool_sizes(config, *database, nullptr);
    row.cluster = database->cluster;
    row.dbname = database->dbname.empty() ? row.name : database->dbname;
    row.force_user = database->user;
    row.pool_mode = config::word(config::pool_mode(config, *database, nullptr));
    row.pool_size = sizes.size;
    row.min_pool_size = sizes.min;
    row.reserve_pool_size = sizes.reserve;
    row.max_connections = database->max_connections;
    row.max_client_connections = database->max_client_connections;
    row.current_client_connections = shared_.client_counts.count("database " + row.name);
    row.current_connections = count_of(to.servers_by_database, row.name);
    row.paused = std::ranges::find(paused_, row.name) != paused_.end() ||
                 std::ranges::find(paused_, "") != paused_.end();
    row.disabled = std::ranges::find(disabled_, row.name) != disabled_.end();
  }
  for (const auto& user : config.users) {
    const auto sizes = user.pool.value_or(config.pool);
    to.users.push_back(
        {.name = user.name,
         .pool_mode = std::string(config::word(user.pool_mode.value_or(config.pool_mode))),
         .pool_size = sizes.size,
         .reserve_pool_size = sizes.reserve,
         .max_user_connections = user.max_connections,
         .current_connections = count_of(to.servers_by_user, user.name),
         .max_user_client_connections = user.max_client_connections,
         .current_client_connections = shared_.client_counts.count("user " + user.name)});
  }
  for (const auto& cluster : topology_->clusters) {
    ClusterRow row{.name = cluster->config.name, .snapshot = cluster->monitor.snapshot()};
    for (std::size_t i = 0; i < cluster->config.hosts.size(); ++i) {
      const auto& host = cluster->config.hosts[i];
      row.active.push_back(cluster->counters[i].active.load());
      row.open.push_back(cluster->counters[i].open.load());
      row.answered.push_back(cluster->counters[i].answered.load());
      row.failed.push_back(cluster->counters[i].failed.load());
      row.latency_us.push_back(cluster->counters[i].typical_us.load());
      row.weight.push_back(host.weight);
      row.address.push_back(host.host + ":" + std::to_string(host.port));
    }
    to.clusters.push_back(std::move(row));
  }
  merge_pools(to.pools);
  merge_statements(to.statements);
  if (collection.parts.faults) to.faults = shared_.faults->list();
  to.taken = net::read_clock();
  to.taken_wall = std::chrono::system_clock::now();
  to.started_wall = started_;
  to.clients_refused = shared_.clients_refused.load();
  to.logins_failed = shared_.logins_failed.load();
  add_counters(to);
  to.cancels = shared_.cancels.load();
  to.cancels_passed_on = shared_.cancels_passed_on.load();
  to.retries_denied = shared_.retries_denied.load();
  to.shed = shared_.shed.load();
  to.cancels_lost = shared_.cancels_lost.load();
}

absl::Status Instance::known_database(std::string_view database) const {
  if (database.empty() || config::find_database(*config(), database) != nullptr) {
    return absl::OkStatus();
  }
  return absl::NotFoundError("no such database: " + std::string(database));
}

void Instance::pause(std::string_view database, absl::AnyInvocable<void(absl::Status)> done) {
  if (auto status = known_database(database); !status.ok()) return done(status);
  loop_.post([this, name = std::string(database), done = std::move(done)]() mutable {
    if (std::ranges::find(paused_, name) != paused_.end()) {
      return done(absl::FailedPreconditionError("already paused"));
    }
    paused_.push_back(name);
    on_all_workers([name](Worker& worker) { worker.set_paused(name, true); });
    awaited_.push_back({.what = Awaited::What::kPause,
                        .name = name,
                        .has_come = [name](const Worker& worker) { return worker.is_quiet(name); },
                        .given_up = nullptr,
                        .done = std::move(done)});
  });
}

void Instance::wait_close(std::string_view database, std::function<bool()> given_up,
                          absl::AnyInvocable<void(absl::Status)> done) {
  if (auto status = known_database(database); !status.ok()) return done(status);
  loop_.post([this, name = std::string(database), given_up = std::move(given_up),
              done = std::move(done)]() mutable {
    awaited_.push_back(
        {.what = Awaited::What::kClose,
         .name = name,
         .has_come = [name](const Worker& worker) { return worker.has_closed(name); },
         .given_up = std::move(given_up),
         .done = std::move(done)});
  });
}

void Instance::check_awaited() {
  if (awaited_.empty()) return;
  auto awaited = std::exchange(awaited_, {});
  // Asked in a row, as inspect() does: all workers say so, or again in the next tick.
  for (auto& one : awaited) {
    if (one.given_up && one.given_up()) {
      one.done(absl::CancelledError("canceling statement due to user request"));
      continue;
    }
    struct Poll {
      Awaited awaited;
      std::size_t left;
      bool has_come = true;
    };
    auto poll = std::make_shared<Poll>(Poll{std::move(one), workers_.size()});
    for (const auto& worker : workers_) {
      worker->loop().post([this, w = worker.get(), poll] {
        const bool has_come = poll->awaited.has_come(*w);
        loop_.post([this, poll, has_come] {
          poll->has_come = poll->has_come && has_come;
          if (--poll->left != 0) return;
          if (poll->has_come) return poll->awaited.done(absl::OkStatus());
          awaited_.push_back(std::move(poll->awaited));
        });
      });
    }
  }
}

// What was being paused is so no more.
void Instance::end_awaited(absl::FunctionRef<bool(const Awaited&)> which) {
  for (std::size_t i = awaited_.size(); i > 0; --i) {
    if (!which(awaited_[i - 1])) continue;
    awaited_[i - 1].done(absl::CancelledError("resumed before it was paused"));
    awaited_.erase(awaited_.begin() + static_cast<std::ptrdiff_t>(i - 1));
  }
}

absl::Status Instance::resume(std::string_view database) {
  if (auto status = known_database(database); !status.ok()) return status;
  loop_.post([this, name = std::string(database)] {
    if (name.empty()) {
      paused_.clear();
    } else {
      std::erase(paused_, name);
    }
    end_awaited([&](const Awaited& one) {
      return one.what == Awaited::What::kPause && (name.empty() || one.name == name);
    });
    on_all_workers([name](Worker& worker) { worker.set_paused(name, false); });
  });
  return absl::OkStatus();
}

absl::Status Instance::reconnect(std::string_view database) {
  if (auto status = known_database(database); !status.ok()) return status;
  on_all_workers([name = std::string(database)](Worker& worker) { worker.reconnect(name); });
  return absl::OkStatus();
}

absl::Status Instance::disable(std::string_view database) {
  if (auto status = known_database(database); !status.ok()) return status;
  loop_.post([this, name = std::string(database)] {
    disabled_.push_back(name);
    on_all_workers([name](Worker& worker) { worker.set_disabled(name, true); });
  });
  return absl::OkStatus();
}

absl::Status Instance::enable(std::string_view database) {
  if (auto status = known_database(database); !status.ok()) return status;
  loop_.post([this, name = std::string(database)] {
    std::erase(disabled_, name);
    on_all_workers([name](Worker& worker) { worker.set_disabled(name, false); });
  });
  return absl::OkStatus();
}

absl::Status Instance::kill(std::string_view database) {
  if (auto status = known_database(database); !status.ok()) return status;
  shared_.faults->add(Fault::Severity::kWarning, "kill",
                      database.empty() ? "all databases" : database,
                      "KILL: all clients and servers were dropped");
  loop_.post([this, name = std::string(database)] {
    if (std::ranges::find(paused_, name) == paused_.end()) paused_.push_back(name);
    on_all_workers([name](Worker& worker) { worker.kill(name); });
  });
  return absl::OkStatus();
}

absl::Status Instance::kill_client(std::uint64_t id) {
  shared_.faults->add(Fault::Severity::kWarning, "kill", "client " + std::to_string(id),
                      "KILL_CLIENT: it was dropped");
  on_all_workers([id](Worker& worker) { worker.kill_client(id); });
  return absl::OkStatus();
}

void Instance::reset_statements() {
  on_all_workers([](Worker& worker) { worker.reset_statements(); });
}

}  // namespace proxy
