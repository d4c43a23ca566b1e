#include "proxy/host_probe.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "protocol/lsn.h"
#include "world.h"

using proxy::HostProbe;
using proxy::ServerLogin;
using proxy::StopSignal;
using proxy_test::world;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

std::string error(const absl::StatusOr<cluster::Sample>& sample) {
  return sample.ok() ? "OK" : std::string(sample.status().message());
}

std::string probe_pid() {
  return world()->primary.ask(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'weir test'");
}

// Takes connections and never says a word.
class DeafServer {
 public:
  DeafServer() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), port_(0) {
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    REQUIRE(bind(fd_, reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(listen(fd_, 8) == 0);
    REQUIRE(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~DeafServer() { close(fd_); }
  DeafServer(const DeafServer&) = delete;
  DeafServer& operator=(const DeafServer&) = delete;
  ServerLogin login(base::milliseconds timeout) const {
    return {.host = "127.0.0.1",
            .port = port_,
            .tls = {},
            .dbname = "d",
            .user = "u",
            .password = "",
            .application_name = "",
            .timeout = timeout};
  }

 private:
  int fd_;
  std::uint16_t port_;
};

}  // namespace

TEST_CASE("a primary tells who it is and where its WAL is") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  HostProbe probe(proxy_test::superuser_of(world()->primary), stop, async_commits);
  const auto before = Clock::now();
  const std::string low = world()->primary.ask("SELECT pg_current_wal_lsn()");
  const auto sample = probe.sample();
  const std::string high = world()->primary.ask("SELECT pg_current_wal_lsn()");
  REQUIRE_MESSAGE(sample.ok(), error(sample));
  CHECK_FALSE(sample->in_recovery);
  CHECK(sample->lsn >= protocol::parse_lsn(low));
  CHECK(sample->lsn <= protocol::parse_lsn(high));
  CHECK(sample->received_lsn == 0);
  CHECK(sample->timeline == 1);
  CHECK(std::to_string(sample->system_identifier) ==
        world()->primary.ask("SELECT system_identifier FROM pg_control_system()"));
  CHECK(sample->asked > before);
  CHECK(sample->answered > sample->asked);
  CHECK(sample->answered < Clock::now());
}

TEST_CASE("a replica tells how far it has come, and its timeline to those who may see it") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  HostProbe primary(proxy_test::superuser_of(world()->primary), stop, async_commits);
  const auto origin = primary.sample();
  REQUIRE(origin.ok());
  struct Case {
    const char *user, *password;
    bool sees_timeline;
  };
  for (const Case& c :
       {Case{"postgres", "", true}, {"watcher", "watch", true}, {"plain", "plain", false}}) {
    CAPTURE(c.user);
    ServerLogin login = proxy_test::superuser_of(*world()->replica);
    login.user = c.user;
    login.password = c.password;
    HostProbe probe(login, stop, async_commits);
    CHECK(proxy_test::eventually([&] {
      const auto sample = probe.sample();
      return sample.ok() && sample->lsn >= origin->lsn && sample->received_lsn >= origin->lsn;
    }));
    const auto sample = probe.sample();
    REQUIRE_MESSAGE(sample.ok(), error(sample));
    CHECK(sample->in_recovery);
    CHECK(sample->timeline == (c.sees_timeline ? 1 : 0));
    CHECK(sample->system_identifier == origin->system_identifier);
  }
}

TEST_CASE("a role that may not read the control file costs the identifier only") {
  if (world() == nullptr) return;
  world()->primary.ask("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  ServerLogin login = proxy_test::superuser_of(world()->primary);
  login.user = login.password = "plain";
  HostProbe probe(login, stop, async_commits);
  const auto sample = probe.sample();
  world()->primary.ask("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC");
  REQUIRE_MESSAGE(sample.ok(), error(sample));
  CHECK(sample->system_identifier == 0);
  CHECK(sample->timeline == 1);
  CHECK(sample->lsn > 0);
}

TEST_CASE("behind the header of a new file nothing is inserted yet") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{true};
  HostProbe probe(proxy_test::superuser_of(world()->primary), stop, async_commits);
  auto& primary = world()->primary;
  primary.ask("SELECT pg_logical_emit_message(true, 'test', '')");
  primary.ask("SELECT pg_switch_wal()");
  const auto sample = probe.sample();
  REQUIRE_MESSAGE(sample.ok(), error(sample));
  // Else another process has written something.
  if (primary.ask("SELECT file_offset FROM pg_walfile_name_offset(pg_current_wal_insert_lsn())") ==
      "40") {
    CHECK(sample->lsn == protocol::parse_lsn(primary.ask("SELECT pg_current_wal_lsn()")));
    CHECK(sample->inserted_lsn == sample->lsn);
  }
}

TEST_CASE("a primary is made to write what no commit follows") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  HostProbe probe(proxy_test::superuser_of(world()->primary), stop, async_commits);
  auto& primary = world()->primary;
  primary.ask("SELECT pg_logical_emit_message(false, 'test', repeat('x', 20000))");
  const auto before = probe.sample();
  REQUIRE_MESSAGE(before.ok(), error(before));
  CHECK(before->flushed_lsn < before->inserted_lsn);
  probe.flush_wal();
  CHECK(proxy_test::eventually([&] {
    const auto after = probe.sample();
    return after.ok() && after->flushed_lsn == after->inserted_lsn &&
           after->flushed_lsn > before->inserted_lsn;
  }));
}

TEST_CASE("where commits do not wait, the position is that of what was inserted") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  HostProbe probe(proxy_test::superuser_of(world()->primary), stop, async_commits);
  world()->primary.ask("CREATE TABLE async (n int)");
  const auto is_behind = [&] {
    for (int i = 0; i < 20; ++i) {
      const auto inserted = protocol::parse_lsn(world()->primary.ask(
          "BEGIN; SET LOCAL synchronous_commit = off; INSERT INTO async VALUES (1); COMMIT;"
          " SELECT pg_current_wal_insert_lsn()"));
      const auto sample = probe.sample();
      REQUIRE_MESSAGE(sample.ok(), error(sample));
      REQUIRE(inserted);
      if (sample->lsn < *inserted) return true;
    }
    return false;
  };
  CHECK(is_behind());  // WAL is written at the latest when wal_writer_delay is over
  CHECK_FALSE(async_commits);
  async_commits = true;
  CHECK_FALSE(is_behind());

  async_commits = false;
  world()->primary.ask("ALTER ROLE plain SET synchronous_commit TO No");
  CHECK_FALSE(is_behind());
  CHECK(async_commits);
  world()->primary.ask("ALTER ROLE plain RESET synchronous_commit");
  world()->primary.ask("DROP TABLE async");
}

TEST_CASE("why there is no sample") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  ServerLogin login = proxy_test::superuser_of(world()->primary);
  login.user = "plain";
  login.password = "wrong";
  CHECK(error(HostProbe(login, stop, async_commits).sample()) ==
        "FATAL:  password authentication failed for user \"plain\"");
  login = proxy_test::superuser_of(world()->primary);
  login.dbname = "nosuch";
  CHECK(error(HostProbe(login, stop, async_commits).sample()) ==
        "FATAL:  database \"nosuch\" does not exist");
  login.port = proxy_test::free_port();
  CHECK(error(HostProbe(login, stop, async_commits).sample()) == "Connection refused");
  login.host = "no such host";
  CHECK(error(HostProbe(login, stop, async_commits).sample())
            .starts_with("could not translate host name \"no such host\" to address: "));
  login.host = "/nowhere";
  CHECK(error(HostProbe(login, stop, async_commits).sample()) == "No such file or directory");
  login = proxy_test::superuser_of(world()->primary);
  login.tls.mode = config::SslMode::kRequire;
  CHECK(error(HostProbe(login, stop, async_commits).sample()) ==
        "server does not support SSL, but SSL was required");
}

TEST_CASE("the environment has no say") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  setenv("PGHOSTADDR", "192.0.2.1", 1);
  setenv("PGOPTIONS", "-c search_path=nowhere -c nosuch=1", 1);
  setenv("PGSSLMODE", "verify-full", 1);
  setenv("PGSSLROOTCERT", "/nowhere", 1);
  setenv("PGTARGETSESSIONATTRS", "standby", 1);
  HostProbe probe(proxy_test::superuser_of(world()->primary), stop, async_commits);
  const auto sample = probe.sample();
  for (const char* name :
       {"PGHOSTADDR", "PGOPTIONS", "PGSSLMODE", "PGSSLROOTCERT", "PGTARGETSESSIONATTRS"}) {
    unsetenv(name);
  }
  CHECK_MESSAGE(sample.ok(), error(sample));
}

TEST_CASE("an ended backend is not a failure of its host") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  HostProbe probe(proxy_test::superuser_of(world()->primary), stop, async_commits);
  REQUIRE(probe.sample().ok());
  const std::string pid = probe_pid();
  CHECK(world()->primary.ask("SELECT pg_terminate_backend(" + pid + ", 5000)") == "t");
  const auto sample = probe.sample();
  CHECK_MESSAGE(sample.ok(), error(sample));
  CHECK(probe_pid() != pid);
}

TEST_CASE("a backend that stands still is given up after the timeout") {
  if (world() == nullptr) return;
  const StopSignal stop;
  std::atomic<bool> async_commits{false};
  ServerLogin login = proxy_test::superuser_of(world()->primary);
  login.timeout = 100ms;
  HostProbe probe(login, stop, async_commits);
  REQUIRE(probe.sample().ok());
  const pid_t pid = std::stoi(probe_pid());
  REQUIRE(kill(pid, SIGSTOP) == 0);
  const auto start = Clock::now();
  const auto sample = probe.sample();
  const auto took = Clock::now() - start;
  kill(pid, SIGCONT);
  CHECK(absl::IsDeadlineExceeded(sample.status()));
  CHECK(took >= 100ms);
  CHECK(took < 1s);
  CHECK(probe.sample().ok());
}

TEST_CASE("a server that takes connections and says nothing is given up, or left at once") {
  const DeafServer deaf;
  StopSignal stop;
  std::atomic<bool> async_commits{false};
  HostProbe impatient(deaf.login(100ms), stop, async_commits);
  CHECK(absl::IsDeadlineExceeded(impatient.sample().status()));
  HostProbe patient(deaf.login(60s), stop, async_commits);
  std::thread stopper([&] {
    std::this_thread::sleep_for(50ms);
    stop.raise();
  });
  const auto start = Clock::now();
  CHECK(absl::IsCancelled(patient.sample().status()));
  CHECK(Clock::now() - start < 5s);
  stopper.join();
}
