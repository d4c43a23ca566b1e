// One connection to one server by libpq, for monitors and look-ups: every wait has a deadline.
#pragma once

#include <libpq-fe.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "config/config.h"

namespace proxy {

// The wish to stop, seen by threads that wait in poll(). Raised once, never lowered.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  void raise();
  bool raised() const { return raised_.load(std::memory_order_relaxed); }
  int fd() const { return fd_; }  // readable once raised

 private:
  std::atomic<bool> raised_{false};
  int fd_;
};

struct ServerLogin {
  std::string host;  // a name, an address, or the directory of a Unix socket
  std::uint16_t port = 0;
  config::Tls tls;
  std::string dbname, user, password, application_name;
  // How long the caller waits for an answer. The server is told to end a statement a second later:
  // it does not notice that we have gone.
  base::milliseconds timeout{};

  bool operator==(const ServerLogin&) const = default;
};

// Rows of text. Views live as long as this.
class Rows {
 public:
  explicit Rows(PGresult* result) : result_(result) {}
  int count() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  std::optional<std::string_view> value(int row, int column) const;  // nullopt = NULL

 private:
  struct Free {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Free> result_;
};

// Used by one thread. Errors, whose message is one line for people:
//   kUnavailable         refused, not let in, or broke off
//   kDeadlineExceeded    the server was silent until the deadline
//   kCancelled           the StopSignal was raised
//   kFailedPrecondition  the server answered the statement with an error; alone among these it
//                        leaves the connection usable
class LibpqConnection {
 public:
  // Connects with what `login` says and nothing else: no password file, certificate or root
  // certificate out of the home directory. A host name is looked up by libpq, which blocks past
  // deadline and stop for as long as the system's resolver does.
  static absl::StatusOr<LibpqConnection> open(const ServerLogin& login, base::Time deadline,
                                              const StopSignal& stop);

  // One statement, which may be prepared first and then called by its name.
  absl::StatusOr<Rows> execute(const char* sql, std::span<const char* const> parameters,
                               base::Time deadline);
  absl::Status prepare(const char* name, const char* sql, base::Time deadline);
  absl::StatusOr<Rows> execute_prepared(const char* name, base::Time deadline);

  // Open, and neither a statement nor a transaction is under way.
  bool is_idle() const;

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };

  LibpqConnection(PGconn* connection, const StopSignal& stop)
      : connection_(connection), stop_(&stop) {}
  absl::Status connect(base::Time deadline);
  absl::Status wait(short events, base::Time deadline) const;
  absl::Status flush(base::Time deadline);
  absl::StatusOr<Rows> collect(int sent, base::Time deadline);
  absl::Status lost() const;

  std::unique_ptr<PGconn, Finish> connection_;
  const StopSignal* stop_;
};

}  // namespace proxy
