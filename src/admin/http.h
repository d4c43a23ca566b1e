// The HTTP port: GET /metrics, /healthz, /readyz.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "proxy/control.h"

namespace admin {

struct HttpLimits {
  std::size_t connections = 64;           // beyond: closed at once
  std::uint32_t header_bytes = 8u << 10;  // of a request; bodies are refused
  base::milliseconds idle{10'000};        // for a request to arrive, for a response to leave
  base::milliseconds inspect{3'000};      // for the proxy to answer; 503 after that
};

// Runs on a thread of its own.
class HttpServer {
 public:
  // Accepts from begin() on; whoever comes before waits. port 0: any. inherited: a file that
  // listens there, the server's from now on; -1 = it listens itself. `control` must outlive the
  // server. The error is the system's, with the address.
  static absl::StatusOr<std::unique_ptr<HttpServer>> start(const std::string& host,
                                                           std::uint16_t port,
                                                           proxy::Control& control,
                                                           const HttpLimits& limits = {},
                                                           int inherited = -1);
  ~HttpServer();  // stops and joins
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void begin();
  // Another process listens from now on: accepts nobody any more, and keeps no connection.
  void retire();

  std::uint16_t port() const;
  int listening() const;  // the file

 private:
  struct Core;
  explicit HttpServer(std::shared_ptr<Core> core);

  std::shared_ptr<Core> core_;
};

}  // namespace admin
