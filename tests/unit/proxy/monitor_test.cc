#include "proxy/monitor.h"

#include <doctest/doctest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../net/test_certificates.h"
#include "protocol/lsn.h"
#include "world.h"

using cluster::HostState;
using cluster::Role;
using proxy::ClusterMonitor;
using proxy_test::eventually;
using proxy_test::LivePostgres;
using proxy_test::world;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

config::Cluster cluster_of(const std::vector<const LivePostgres*>& servers) {
  config::Cluster cluster;
  cluster.name = "test";
  cluster.monitor_interval = 20ms;
  cluster.monitor_user = "postgres";
  for (const LivePostgres* server : servers) {
    cluster.hosts.push_back({.name = "db" + std::to_string(cluster.hosts.size()),
                             .host = "127.0.0.1",
                             .port = server->port()});
  }
  return cluster;
}

config::Cluster both() { return cluster_of({&world()->primary, world()->replica.get()}); }

bool healthy(const ClusterMonitor& monitor) {
  const auto now = monitor.snapshot();
  return now->primary == 0 && now->hosts[0].state == HostState::kUp && now->hosts[1].reads;
}

// What is logged while it lives.
class LogCapture {
 public:
  LogCapture() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_)));
  }
  ~LogCapture() { spdlog::set_default_logger(before_); }
  std::string text() const { return text_.str(); }  // once all that log have stopped

 private:
  std::shared_ptr<spdlog::logger> before_;
  std::ostringstream text_;
};

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("before the first sample all is unknown, and nothing runs") {
  config::Cluster cluster;
  cluster.hosts.push_back({.name = "db0", .host = "127.0.0.1", .port = 1});
  ClusterMonitor monitor(cluster, {});
  REQUIRE(monitor.snapshot() != nullptr);
  CHECK(monitor.snapshot()->version == monitor.version());
  CHECK(monitor.snapshot()->primary == -1);
  CHECK(monitor.snapshot()->hosts[0].state == HostState::kUnknown);
  monitor.sample_soon(ClusterMonitor::Urgency::kAwaited);
}

TEST_CASE("a primary and its replica") {
  if (world() == nullptr) return;
  std::atomic<int> changes{0};
  ClusterMonitor monitor(both(), [&] { ++changes; });
  const auto first = monitor.version();
  monitor.start();
  REQUIRE(eventually([&] { return healthy(monitor); }));
  CHECK(changes > 0);
  CHECK(monitor.version() > first);
  const auto snapshot = monitor.snapshot();
  CHECK(snapshot->hosts[0].role == Role::kPrimary);
  CHECK(snapshot->hosts[1].role == Role::kReplica);
  CHECK(snapshot->hosts[0].timeline == 1);
  CHECK(snapshot->hosts[1].timeline == 1);
  CHECK(snapshot->hosts[1].lag_ms >= 0);
  const auto then = monitor.version();  // of what is published is told a moment later
  REQUIRE(eventually([&] { return monitor.version() > then + 2; }));
  const int settled = changes;
  const auto version = monitor.version();
  REQUIRE(eventually([&] { return monitor.version() > version + 20; }));
  CHECK(changes == settled);
  monitor.stop();
  monitor.stop();
  const auto last = monitor.version();
  std::this_thread::sleep_for(60ms);
  CHECK(monitor.version() == last);
}

TEST_CASE("a wanted sample comes at once and covers the commit before it") {
  if (world() == nullptr) return;
  config::Cluster cluster = both();
  cluster.monitor_interval = 60s;
  cluster.monitor_timeout = 120s;
  ClusterMonitor monitor(cluster, {});
  monitor.start();
  REQUIRE(eventually([&] { return monitor.snapshot()->primary == 0; }));
  for (int i = 0; i < 20; ++i) {
    const auto written = protocol::parse_lsn(
        world()->primary.ask("SELECT pg_logical_emit_message(true, 'weir', 'x')"));
    REQUIRE(written);
    const auto commit = Clock::now();
    CHECK(monitor.snapshot()->position_after(commit) == 0);
    for (int wish = 0; wish < 100; ++wish) monitor.sample_soon(ClusterMonitor::Urgency::kAwaited);
    REQUIRE(eventually([&] { return monitor.snapshot()->position_after(commit) != 0; }, 2s));
    CHECK(monitor.snapshot()->position_after(commit) >= *written);
  }
}

TEST_CASE("many wishes are few samples") {
  if (world() == nullptr) return;
  config::Cluster cluster = cluster_of({&world()->primary});
  cluster.monitor_interval = 60s;
  cluster.monitor_timeout = 120s;
  ClusterMonitor monitor(cluster, {});
  monitor.start();
  REQUIRE(eventually([&] { return monitor.snapshot()->primary == 0; }));
  const auto before = monitor.version();
  std::atomic<bool> enough{false};
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&] {
      while (!enough) {
        monitor.sample_soon(ClusterMonitor::Urgency::kAwaited);
        if (monitor.snapshot()->version < monitor.version() - 1) std::this_thread::yield();
      }
    });
  }
  std::this_thread::sleep_for(200ms);
  enough = true;
  for (auto& worker : workers) worker.join();
  const auto samples = monitor.version() - before;
  CHECK(samples > 5);
  CHECK(samples <= 250);  // one a millisecond, with room for a slow clock's tick
}

TEST_CASE("a worker's failure counts at once, and the next sample clears it") {
  if (world() == nullptr) return;
  const LogCapture log;
  {
    ClusterMonitor monitor(both(), {});
    monitor.start();
    REQUIRE(eventually([&] { return healthy(monitor); }));
    monitor.report_connect_failure(1, "no route");
    CHECK(eventually([&] { return healthy(monitor); }, 2s));
    config::Cluster slow = both();
    slow.monitor_interval = 60s;
    slow.monitor_timeout = 120s;
    ClusterMonitor asleep(slow, {});
    asleep.report_connect_failure(1, "no route");
    CHECK(asleep.snapshot()->hosts[1].state == HostState::kDown);
    CHECK(asleep.snapshot()->hosts[1].why == "no route");
    const auto version = asleep.version();
    asleep.report_connect_failure(1, "no route");
    CHECK(asleep.version() == version);  // known already
  }
  CHECK(log.text().find("why=\"no route\"") != std::string::npos);
}

TEST_CASE("any login will do") {
  if (world() == nullptr) return;
  config::Cluster cluster = both();
  cluster.monitor_user = cluster.monitor_password = "plain";
  ClusterMonitor plain(cluster, {});
  plain.start();
  CHECK(eventually([&] { return healthy(plain); }));
  cluster.monitor_user = "watcher";
  cluster.monitor_password = "watch";
  ClusterMonitor own(cluster, {});
  own.start();
  CHECK(eventually([&] { return healthy(own); }));
  CHECK(world()->primary.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'watcher' "
                             "AND application_name = 'weir monitor'") == "1");
}

TEST_CASE("a failure that stays the same is logged once") {
  if (world() == nullptr) return;
  const LogCapture log;
  {
    config::Cluster cluster = cluster_of({&world()->primary});
    cluster.hosts[0].port = proxy_test::free_port();
    ClusterMonitor monitor(cluster, {});
    monitor.start();
    const auto version = monitor.version();
    REQUIRE(eventually([&] { return monitor.version() > version + 15; }));
    CHECK(monitor.snapshot()->hosts[0].state == HostState::kDown);
  }
  CHECK(count(log.text(), "test/db0: state=down was=unknown") == 1);
  CHECK(count(log.text(), "Connection refused") == 1);
}

TEST_CASE("stop() does not wait for a silent host") {
  if (world() == nullptr) return;
  config::Cluster cluster = cluster_of({&world()->primary});
  cluster.hosts[0].host = "192.0.2.1";  // TEST-NET-1: nobody answers, or no route
  cluster.monitor_timeout = 60s;
  ClusterMonitor monitor(cluster, {});
  monitor.start();
  std::this_thread::sleep_for(50ms);
  const auto start = Clock::now();
  monitor.stop();
  CHECK(Clock::now() - start < 1s);
}

TEST_CASE("a replica dies and comes back, then the primary dies and the replica is promoted") {
  if (world() == nullptr) return;
  LivePostgres primary;
  LivePostgres replica(primary);
  std::atomic<int> changes{0};
  ClusterMonitor monitor(cluster_of({&primary, &replica}), [&] { ++changes; });
  monitor.start();
  REQUIRE(eventually([&] { return healthy(monitor); }));

  replica.stop();
  auto start = Clock::now();
  CHECK(eventually([&] { return monitor.snapshot()->hosts[1].state == HostState::kDown; }));
  CHECK(Clock::now() - start < 500ms);
  CHECK_FALSE(monitor.snapshot()->hosts[1].why.empty());
  CHECK(monitor.snapshot()->primary == 0);
  replica.start();
  CHECK(eventually([&] { return healthy(monitor); }));

  primary.stop();
  CHECK(eventually([&] { return monitor.snapshot()->primary == -1; }));
  CHECK(replica.ask("SELECT pg_promote()") == "t");
  start = Clock::now();
  CHECK(eventually([&] { return monitor.snapshot()->primary == 1; }));
  CHECK(Clock::now() - start < 1s);
  CHECK(monitor.snapshot()->hosts[1].timeline == 2);

  primary.start();  // the old one: must not be used again
  CHECK(eventually([&] { return monitor.snapshot()->hosts[0].state == HostState::kFenced; }));
  CHECK(monitor.snapshot()->primary == 1);
  CHECK(changes >= 6);
}

TEST_CASE("TLS: the cluster's mode and root certificate") {
  if (world() == nullptr) return;
  net_test::TemporaryDirectory directory;
  const auto ca = net_test::make_identity(directory, {.file = "ca", .common_name = "ca"});
  const auto other = net_test::make_identity(directory, {.file = "other", .common_name = "other"});
  const auto server = net_test::make_identity(
      directory, {.file = "server", .alt_names = "IP:127.0.0.1", .issuer = &ca});
  const LivePostgres& primary = world()->primary;
  primary.install(server.cert_file, "server.crt");
  primary.install(server.key_file, "server.key");
  primary.ask("ALTER SYSTEM SET ssl = on");
  primary.ask("SELECT pg_reload_conf()");
  const auto why = [&](config::SslMode mode, const std::string& ca_file) {
    config::Cluster cluster = cluster_of({&primary});
    cluster.tls = {.mode = mode, .ca_file = ca_file};
    ClusterMonitor monitor(cluster, {});
    monitor.start();
    CHECK(eventually([&] { return monitor.snapshot()->hosts[0].state != HostState::kUnknown; }));
    return monitor.snapshot()->hosts[0].why;
  };
  CHECK(eventually([&] { return why(config::SslMode::kRequire, "").empty(); }));
  CHECK(why(config::SslMode::kVerifyFull, ca.cert_file) == "");
  CHECK(why(config::SslMode::kVerifyFull, other.cert_file).find("certificate verify failed") !=
        std::string::npos);
  primary.ask("ALTER SYSTEM RESET ssl");
  primary.ask("SELECT pg_reload_conf()");
}
