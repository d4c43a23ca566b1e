// The HTTP port: GET /metrics, /healthz, /readyz; the dashboard at /, and its API (docs/api.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "admin/engine.h"
#include "base/time.h"
#include "proxy/control.h"

namespace admin {

struct HttpLimits {
  std::size_t connections = 64;           // beyond: closed at once
  std::size_t watchers = 16;              // of these: 503 beyond
  std::uint32_t header_bytes = 8u << 10;  // of a request
  std::uint32_t body_bytes = 16u << 10;   // of a command
  std::size_t rows = 10'000;              // of a table
  base::milliseconds idle{10'000};        // for a request to arrive, for a response to leave
  base::milliseconds inspect{3'000};      // for the proxy to answer; 503 after that
  base::milliseconds command{10'000};     // for a command to be done; 202 after that
  base::milliseconds watch{1'000};        // between two samples
};

struct HttpCore;

// Runs on a thread of its own.
class HttpServer {
 public:
  // Accepts from begin() on; whoever comes before waits. port 0: any. inherited: a file that
  // listens there, the server's from now on; -1 = it listens itself. `control`, which the engine
  // asks, must outlive the server. The error is the system's, with the address.
  static absl::StatusOr<std::unique_ptr<HttpServer>> start(
      const std::string& host, std::uint16_t port, proxy::Control& control,
      std::shared_ptr<EngineOwner> engine, const HttpLimits& limits = {}, int inherited = -1);
  ~HttpServer();  // stops and joins
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void begin();
  // Another process listens from now on: accepts nobody any more, and keeps no connection.
  void retire();

  std::uint16_t port() const;
  int listening() const;  // the file

 private:
  explicit HttpServer(std::shared_ptr<HttpCore> core);

  std::shared_ptr<HttpCore> core_;
};

}  // namespace admin
