// A connection that asks a server to cancel what one of its backends does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "config/config.h"
#include "net/connection.h"
#include "net/tls.h"

namespace proxy {

class Server;
class Worker;

// PostgreSQL closes the connection once the signal is sent, so that its end tells when the
// backend may be used again without the signal hitting another's query.
class CancelConnection final : public net::Connection {
 public:
  CancelConnection(Worker& worker, Server& server);
  bool start();  // false: could not even begin
  std::uint64_t server_id() const { return server_id_; }
  void close();  // and tells the worker
  base::Time started() const { return started_; }

 private:
  enum class State : std::uint8_t { kConnecting, kTlsAnswer, kTlsHandshake, kSent, kClosed };
  void on_ready() override;
  void on_connected();
  void on_answer();
  void handshake();
  void send_request();

  Worker& worker_;
  const std::uint64_t server_id_;
  State state_ = State::kConnecting;
  base::Time started_;
  // Copied: the server may be gone before the request is out.
  net::Address address_;
  std::uint32_t pid_;
  std::string key_;
  std::string host_;
  std::shared_ptr<const net::TlsContext> tls_;  // null = without
  config::SslMode mode_;
};

}  // namespace proxy
