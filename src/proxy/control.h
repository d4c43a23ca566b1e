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
#include "config/config.h"
#include "protocol/buffer.h"
#include "protocol/bytes.h"
#include "proxy/host_order.h"
#include "proxy/inspect.h"

namespace proxy {

// Who commands.
struct ConsoleLogin {
  std::string user;
  bool may_command = false;  // false: SHOW only
  std::string address;       // "10.0.0.7 port 51234"; of a Unix socket "unix"
};

// Thread-safe. Callbacks run on the control thread.
class Control {
 public:
  virtual ~Control() = default;

  // Collects from all workers without stopping them; a millisecond or so, with parts more.
  virtual void inspect(absl::AnyInvocable<void(Inspection)> done, InspectParts parts = {}) = 0;
  virtual config::ConfigPtr config() const = 0;

  // Reads the configuration again. done: OK, or what was wrong (the old one stays); the message
  // of an OK lists what needs a restart, "" = nothing.
  virtual void reload(absl::AnyInvocable<void(absl::Status, std::string note)> done) = 0;
  // database "" = all. pause: no new transactions start; done once no server is in use.
  virtual void pause(std::string_view database, absl::AnyInvocable<void(absl::Status)> done) = 0;
  virtual absl::Status resume(std::string_view database) = 0;
  // Server connections of the database are closed as soon as they are free, new ones opened.
  virtual absl::Status reconnect(std::string_view database) = 0;
  virtual absl::Status disable(std::string_view database) = 0;  // refuse new clients
  virtual absl::Status enable(std::string_view database) = 0;
  // Drops all clients and servers of the database at once and pauses it.
  virtual absl::Status kill(std::string_view database) = 0;
  virtual absl::Status kill_client(std::uint64_t id) = 0;
  virtual void reset_statements() = 0;
  // done: what there is to say about it, "" = nothing; or why it was refused. Logged, and among the
  // faults, with who ordered it.
  virtual void order(HostOrder order, ConsoleLogin by,
                     absl::AnyInvocable<void(absl::StatusOr<std::string> note)> done) = 0;
  enum class Shutdown : std::uint8_t { kNow, kDrain };
  virtual void shutdown(Shutdown how) = 0;
  virtual bool draining() const = 0;
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
};
using ConsoleFactory = std::function<std::unique_ptr<ConsoleSession>(const ConsoleLogin&)>;

}  // namespace proxy
