// A real PostgreSQL server for a test: made in a temporary directory, gone with the object.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace proxy_test {

// The folder of initdb and postgres: $WEIR_POSTGRES_BIN, or the newest of Debian's. "" = none.
std::string postgres_bin();

std::uint16_t free_port();

// Everything but stop() CHECKs that it worked. The superuser postgres is let in from 127.0.0.1
// without a password, all others with SCRAM. When the test is root the server runs as the system's
// user postgres. It dies with the thread that made it.
class LivePostgres {
 public:
  LivePostgres();                                      // a new database cluster, on a free port
  explicit LivePostgres(const LivePostgres& primary);  // a streaming replica of it
  ~LivePostgres();
  LivePostgres& operator=(const LivePostgres&) = delete;

  std::uint16_t port() const { return port_; }
  pid_t pid() const { return pid_; }
  std::string path(const std::string& file) const { return directory_ + "/" + file; }
  void append_config(const std::string& line) const;  // postgresql.conf; for the next start()

  // Copies a file into the data directory, for the server's eyes only.
  void install(const std::string& file, const std::string& name) const;

  void start();  // and waits until it answers
  void stop();   // at once, as a crash would (immediate shutdown)

  // First column of the first row, as the superuser, in the database postgres.
  std::string ask(const std::string& sql) const;

 private:
  void make_directory();
  void run(const std::vector<std::string>& command) const;
  pid_t spawn(const std::vector<std::string>& command) const;

  std::string directory_;
  std::uint16_t port_;
  pid_t pid_ = 0;
};

}  // namespace proxy_test
