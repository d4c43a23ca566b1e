#include "live_postgres.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/check.h"

namespace proxy_test {
namespace {

namespace fs = std::filesystem;

const passwd* server_user() { return geteuid() == 0 ? getpwnam("postgres") : nullptr; }

std::string conninfo(std::uint16_t port) {
  return "host=127.0.0.1 user=postgres dbname=postgres connect_timeout=5 port=" +
         std::to_string(port);
}

}  // namespace

std::string postgres_bin() {
  if (const char* given = std::getenv("WEIR_POSTGRES_BIN")) return given;
  std::string best;
  int best_version = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version > best_version && fs::exists(entry.path() / "bin/initdb")) {
      best = entry.path() / "bin";
      best_version = version;
    }
  }
  return best;
}

std::uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

LivePostgres::LivePostgres() : port_(free_port()) {
  make_directory();
  run({postgres_bin() + "/initdb", "-D", path("data"), "-U", "postgres", "-A", "trust", "-N",
       "--no-instructions", "-E", "UTF8", "--locale=C"});
  std::ofstream(path("data/pg_hba.conf")) << "host all postgres 127.0.0.1/32 trust\n"
                                             "host replication all 127.0.0.1/32 trust\n"
                                             "host all all 127.0.0.1/32 scram-sha-256\n";
  append_config("fsync = off");
  append_config("shared_buffers = 16MB");
  append_config("listen_addresses = '127.0.0.1'");
  append_config("unix_socket_directories = ''");
  start();
}

LivePostgres::LivePostgres(const LivePostgres& primary) : port_(free_port()) {
  make_directory();
  run({postgres_bin() + "/pg_basebackup", "-D", path("data"), "-R", "-c", "fast", "-N", "-d",
       conninfo(primary.port())});
  start();
}

LivePostgres::~LivePostgres() {
  stop();
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

void LivePostgres::append_config(const std::string& line) const {
  std::ofstream(path("data/postgresql.conf"), std::ios::app) << line << "\n";
}

void LivePostgres::install(const std::string& file, const std::string& name) const {
  const std::string to = path("data/" + name);
  fs::copy_file(file, to);
  fs::permissions(to, fs::perms::owner_read);
  if (const passwd* user = server_user()) {
    CHECK(chown(to.c_str(), user->pw_uid, user->pw_gid) == 0);
  }
}

void LivePostgres::start() {
  CHECK(pid_ == 0);
  pid_ = spawn({postgres_bin() + "/postgres", "-D", path("data"), "-p", std::to_string(port_)});
  for (int i = 0; PQping(conninfo(port_).c_str()) != PQPING_OK; ++i) {
    CHECK(i < 1000);
    CHECK(waitpid(pid_, nullptr, WNOHANG) == 0);  // its words are in path("log")
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void LivePostgres::stop() {
  if (pid_ == 0) return;
  kill(pid_, SIGQUIT);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

std::string LivePostgres::ask(const std::string& sql) const {
  PGconn* connection = PQconnectdb(conninfo(port_).c_str());
  PGresult* result = PQexec(connection, sql.c_str());
  const auto status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    std::fprintf(stderr, "%s: %s", sql.c_str(), PQerrorMessage(connection));
  }
  CHECK(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK);
  std::string value;
  if (PQntuples(result) > 0 && PQnfields(result) > 0) value = PQgetvalue(result, 0, 0);
  PQclear(result);
  PQfinish(connection);
  return value;
}

void LivePostgres::make_directory() {
  std::string pattern = fs::temp_directory_path() / "weir-postgres-XXXXXX";
  CHECK(mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  if (const passwd* user = server_user()) {
    CHECK(chown(directory_.c_str(), user->pw_uid, user->pw_gid) == 0);
  }
}

pid_t LivePostgres::spawn(const std::vector<std::string>& command) const {
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const std::string log = path("log");
  const passwd* user = server_user();
  const pid_t parent = getpid();
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child > 0) return child;
  if (user != nullptr &&
      (setgroups(0, nullptr) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
    _exit(126);
  }
  prctl(PR_SET_PDEATHSIG, SIGQUIT);  // after setuid, which clears it
  if (getppid() != parent || chdir("/") != 0) _exit(126);
  const int out = open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execv(arguments[0], arguments.data());
  _exit(127);
}

void LivePostgres::run(const std::vector<std::string>& command) const {
  int status = 0;
  const pid_t child = spawn(command);
  CHECK(waitpid(child, &status, 0) == child);
  if (status != 0)
    std::fprintf(stderr, "%s failed, see %s\n", command[0].c_str(), path("log").c_str());
  CHECK(status == 0);
}

}  // namespace proxy_test
