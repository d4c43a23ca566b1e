// In steady state a transaction allocates nothing on its worker's thread.
#include "allocations.h"

#include <doctest/doctest.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "config/load.h"
#include "proxy/instance.h"
#include "world.h"

namespace proxy_test {
namespace {

constexpr int kWarmUp = 300, kTransactions = 1000;

std::string config_text(const World& servers, std::uint16_t port) {
  const auto host = [](const LivePostgres& server) {
    return "\"127.0.0.1:" + std::to_string(server.port()) + "\"";
  };
  return "listen = [\"127.0.0.1:" + std::to_string(port) +
         "\"]\n"
         "workers = 1\n"
         "pool = { size = 2 }\n"
         "[clusters.main]\n"
         "hosts = [" +
         host(servers.primary) + ", " + host(*servers.replica) +
         "]\n"
         "monitor = { user = \"postgres\", password = \"any\", database = \"postgres\" }\n"
         "[databases.postgres]\n"
         "cluster = \"main\"\n"
         "[users.postgres]\n"
         "password = \"any\"\n"
         "[auth]\n"
         "method = \"trust\"\n"
         "[log]\n"
         "slow_query = \"1min\"\n";  // looked at, but nothing takes so long
}

// A proxy in this process, on a thread of its own.
class Proxy {
 public:
  explicit Proxy(const World& servers) : port_(free_port()) {
    spdlog::set_level(spdlog::level::off);
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGHUP, SIGTERM, SIGINT}) sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    auto loaded = config::load_text(config_text(servers, port_), "test", {});
    INFO(config::to_string(loaded.problems));
    REQUIRE(loaded.config);
    std::promise<proxy::Instance*> up;
    auto instance = up.get_future();
    thread_ = std::thread([&up, config = loaded.config] {
      proxy::Predecessor nobody;
      auto made = proxy::Instance::create(
          config, [](const config::Again&) { return config::LoadResult{}; }, nobody);
      up.set_value(made.ok() ? made->get() : nullptr);
      if (made.ok()) (*made)->run();
    });
    instance_ = instance.get();
    REQUIRE(instance_ != nullptr);
    REQUIRE(eventually([] { return thread_named("worker 0") != 0; }));
    worker = thread_named("worker 0");
  }
  ~Proxy() {
    if (instance_ != nullptr) instance_->shutdown(proxy::Control::Shutdown::kNow);
    thread_.join();
  }
  std::string conninfo() const {
    return "host=127.0.0.1 user=postgres dbname=postgres sslmode=disable gssencmode=disable "
           "connect_timeout=10 port=" +
           std::to_string(port_);
  }
  pid_t worker = 0;

 private:
  const std::uint16_t port_;
  std::thread thread_;
  proxy::Instance* instance_ = nullptr;
};

class Session {
 public:
  explicit Session(const Proxy& proxy) : connection_(PQconnectdb(proxy.conninfo().c_str())) {
    INFO(PQerrorMessage(connection_));
    REQUIRE(PQstatus(connection_) == CONNECTION_OK);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { PQfinish(connection_); }

  bool simple(const char* sql) { return ended(PQexec(connection_, sql)); }
  bool extended(const char* sql, const char* value) {
    return ended(PQexecParams(connection_, sql, 1, nullptr, &value, nullptr, nullptr, 0));
  }
  bool prepare(const char* name, const char* sql) {
    return ended(PQprepare(connection_, name, sql, 1, nullptr));
  }
  bool prepared(const char* name, const char* value) {
    return ended(PQexecPrepared(connection_, name, 1, &value, nullptr, nullptr, 0));
  }

 private:
  static bool ended(PGresult* result) {
    const auto status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
  }
  PGconn* connection_;
};

// Allocations of the worker while `round` runs, once it is warm: the least of some rounds, since
// what a catalog that is read again, or a buffer that has never been so large, takes is no
// transaction's. What each transaction takes, or each tick, is in all of them.
std::uint64_t allocations(const Proxy& proxy, const std::function<void(int transactions)>& round) {
  constexpr int kRounds = 6;
  round(kWarmUp);
  std::uint64_t least = UINT64_MAX;
  for (int i = 0; i < kRounds && least != 0; ++i) {
    trace_allocations_of(i == kRounds - 1 ? proxy.worker : 0);
    const std::uint64_t before = allocations_of(proxy.worker);
    round(kTransactions);
    least = std::min(least, allocations_of(proxy.worker) - before);
  }
  trace_allocations_of(0);
  return least;
}

std::uint64_t allocations(const Proxy& proxy, const std::function<bool()>& transaction) {
  bool ok = true;
  const auto least = allocations(proxy, [&](int transactions) {
    for (int i = 0; i < transactions; ++i) ok = transaction() && ok;
  });
  CHECK(ok);
  return least;
}

TEST_CASE("a transaction in steady state allocates nothing") {
  World* servers = world();
  if (servers == nullptr) return;
  servers->primary.ask("CREATE TABLE IF NOT EXISTS counted (id int PRIMARY KEY, n int)");
  servers->primary.ask("INSERT INTO counted VALUES (1, 0) ON CONFLICT DO NOTHING");
  Proxy proxy(*servers);
  Session session(proxy);
  REQUIRE(eventually([&] { return session.simple("/* weir: primary */ SELECT n FROM counted"); }));

  SUBCASE("simple reads") {
    CHECK(allocations(proxy, [&] { return session.simple("SELECT n FROM counted"); }) == 0);
  }
  SUBCASE("simple reads with other literals each time") {
    int i = 0;
    CHECK(allocations(proxy, [&] {
            return session.simple(
                ("SELECT n FROM counted WHERE id = " + std::to_string(++i)).c_str());
          }) == 0);
  }
  SUBCASE("simple writes") {
    CHECK(allocations(proxy, [&] { return session.simple("UPDATE counted SET n = n + 1"); }) == 0);
  }
  SUBCASE("transactions of several statements") {
    CHECK(allocations(proxy, [&] {
            return session.simple("BEGIN") && session.simple("SELECT n FROM counted") &&
                   session.simple("UPDATE counted SET n = n + 1") && session.simple("COMMIT");
          }) == 0);
  }
  SUBCASE("extended, unnamed") {
    CHECK(allocations(proxy, [&] {
            return session.extended("SELECT n FROM counted WHERE id = $1::int", "1");
          }) == 0);
  }
  SUBCASE("extended, prepared") {
    REQUIRE(session.prepare("s", "SELECT n FROM counted WHERE id = $1::int"));
    CHECK(allocations(proxy, [&] { return session.prepared("s", "1"); }) == 0);
  }
}

TEST_CASE("nor when more clients than servers wait for one another") {
  World* servers = world();
  if (servers == nullptr) return;
  Proxy proxy(*servers);
  constexpr int kClients = 8;
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < kClients; ++i) sessions.push_back(std::make_unique<Session>(proxy));
  const auto burst = [&](int transactions) {
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (auto& session : sessions) {
      threads.emplace_back([&failed, &session, transactions] {
        for (int i = 0; i < transactions / kClients; ++i) {
          if (!session->simple("/* weir: primary */ SELECT 1")) ++failed;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(failed == 0);
  };
  // Of a thousand transactions; none of them comes with each. So many threads may leave no round in
  // which nothing else happens.
  CHECK(allocations(proxy, burst) <= 5);
}

}  // namespace
}  // namespace proxy_test
