// What the console and the HTTP server may ask of the running proxy. Implemented by Instance.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/change.h"
#include "config/config.h"
#include "protocol/buffer.h"
#include "protocol/bytes.h"
#include "proxy/host_order.h"
#include "proxy/inspect.h"

namespace proxy {

// Who commands.
struct ConsoleLogin {
  std::string user;
  std::string who;           // for the log: connection, user and address
  bool may_command = false;  // false: SHOW only
};

// A command of an operator's, and what became of it.
struct CommandRecord {
  std::string who;       // connection, user and address
  std::string command;   // bounded, without secrets
  std::string sqlstate;  // of the error that it ended with; "" = it was carried out
  std::string error;     // its message; may be left out
  std::int64_t took_ms = 0;
};

// Thread-safe. Callbacks run on the control thread.
class Control {
 public:
  virtual ~Control() = default;

  // Collects from all workers without stopping them; a millisecond or so, with parts more.
  virtual void inspect(absl::AnyInvocable<void(Inspection)> done, InspectParts parts = {}) = 0;
  virtual config::ConfigPtr config() const = 0;

  struct Loaded {               // keys, with ", " between them; "" = none
    std::string needs_restart;  // of what has changed, but takes effect with the next start
    std::string kept;           // of what set() has changed, and what stays so
  };
  // The error is what was wrong; the old configuration stays.
  using LoadDone = absl::AnyInvocable<void(absl::StatusOr<Loaded>)>;
  // Reads the configuration again.
  virtual void reload(LoadDone done) = 0;
  // Changes one setting of the configuration that is in effect, as a reload would do it, until Weir
  // is started again.
  virtual void set(config::Change change, LoadDone done) = 0;
  // database "" = all. pause: no new transactions start; done once no server is in use.
  virtual void pause(std::string_view database, absl::AnyInvocable<void(absl::Status)> done) = 0;
  virtual absl::Status resume(std::string_view database) = 0;
  // Server connections of the database are closed as soon as they are free, new ones opened.
  virtual absl::Status reconnect(std::string_view database) = 0;
  // done once no server connection of the database is left that is to be closed (close_needed), or
  // Cancelled once given_up says so: it is asked again and again, on any thread.
  virtual void wait_close(std::string_view database, std::function<bool()> given_up,
                          absl::AnyInvocable<void(absl::Status)> done) = 0;
  virtual absl::Status disable(std::string_view database) = 0;  // refuse new clients
  virtual absl::Status enable(std::string_view database) = 0;
  // Drops all clients and servers of the database at once and pauses it.
  virtual absl::Status kill(std::string_view database) = 0;
  virtual absl::Status kill_client(std::uint64_t id) = 0;
  virtual void reset_statements() = 0;
  // done: what there is to say about it, "" = nothing; or why it was refused. Among the faults,
  // with who ordered it.
  virtual void order(HostOrder order, ConsoleLogin by,
                     absl::AnyInvocable<void(absl::StatusOr<std::string> note)> done) = 0;
  // Another process takes over, of the program that is there now. done: what is to be said about
  // it, before the consoles are closed; or why it did not, and this one goes on.
  virtual void upgrade(absl::AnyInvocable<void(absl::StatusOr<std::string> note)> done) = 0;
  enum class Shutdown : std::uint8_t { kNow, kDrain };
  virtual void shutdown(Shutdown how) = 0;
  virtual bool draining() const = 0;

  virtual void log(const CommandRecord& record) = 0;
};

// What the console says it is: psql and drivers ask its catalogs what this version's have.
inline constexpr const char* kConsoleServerVersion = "15.0 (Weir console)";

using ConsoleReply = absl::AnyInvocable<void(protocol::Buffer bytes, bool close)>;

// One client's conversation with the admin console, from its first message after the login.
// (Login itself, ParameterStatus and the first ReadyForQuery are the proxy's.)
class ConsoleSession {
 public:
  virtual ~ConsoleSession() = default;
  // One whole message; views live during the call only. `reply` is called exactly once, on any
  // thread; the next message is fed only after that. The session may be destroyed before the
  // reply: then the reply must still be harmless to call.
  virtual void on_message(char type, protocol::Bytes body, ConsoleReply reply) = 0;
  // What waits shall end with an error. Thread-safe.
  virtual void cancel() = 0;
};
using ConsoleFactory = std::function<std::unique_ptr<ConsoleSession>(const ConsoleLogin&)>;

}  // namespace proxy
