// A connection that asks for something to be cancelled: a server what one of its backends does, or
// a peer what one of its sessions does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "net/connection.h"
#include "net/tls.h"

namespace proxy {

class Server;
class Worker;

// PostgreSQL closes the connection once the signal is sent, so that its end tells when the
// backend may be used again without the signal hitting another's query. A peer closes it when the
// request is with the worker whose session it is.
class CancelConnection final : public net::Connection {
 public:
  struct Target {
    std::vector<net::Address> addresses;  // the first that can be reached
    std::uint32_t pid = 0;
    std::string key;
    std::string host;                            // as its certificate names it
    std::shared_ptr<const net::TlsContext> tls;  // null = without
    config::SslMode mode = config::SslMode::kDisable;
    bool may_be_plain = false;  // if the other side has no TLS
    std::uint64_t server = 0;   // whose backend it is about; 0 = a peer's
    std::uint32_t peer = 0;     // its number; 0 = a server's
    std::uint64_t asker = 0;    // the client that waits for its end; 0 = none
  };
  static Target of(Server& server);

  CancelConnection(Worker& worker, Target target);
  bool start();  // false: could not even begin
  const Target& target() const { return target_; }
  bool was_sent() const { return sent_; }
  void close(std::string why = "");  // and tells the worker; why: what went wrong
  const std::string& failure() const { return failure_; }
  base::Time started() const { return started_; }

 private:
  enum class State : std::uint8_t { kConnecting, kTlsAnswer, kTlsHandshake, kSent, kClosed };
  void on_ready() override;
  void on_connected();
  void on_answer();
  void handshake();
  void send_request();

  Worker& worker_;
  // Copied: the server may be gone before the request is out.
  const Target target_;
  std::size_t next_address_ = 0;
  State state_ = State::kConnecting;
  bool sent_ = false;
  std::string failure_;
  base::Time started_;
};

}  // namespace proxy
