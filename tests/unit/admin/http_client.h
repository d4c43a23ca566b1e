// A client of the HTTP port, and a server with a FakeControl behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "admin/http.h"
#include "fake_control.h"

namespace admin_test {

class Socket {
 public:
  explicit Socket(std::uint16_t port);
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();
  void write(std::string_view text);
  // Until the peer closes, or `until` has come, or five seconds passed.
  std::string read(std::string_view until = "");

 private:
  int fd_;
};

absl::StatusOr<std::unique_ptr<admin::HttpServer>> start(FakeControl& control,
                                                         std::uint16_t port = 0,
                                                         admin::HttpLimits limits = {},
                                                         const std::string& host = "127.0.0.1");

struct Server {
  FakeControl control;
  std::unique_ptr<admin::HttpServer> http;
  explicit Server(admin::HttpLimits limits = {});
  // header: whole lines, each with its end.
  std::string get(std::string_view path, std::string_view method = "GET",
                  std::string_view header = "", std::string_view body = "");
};

bool has(const std::string& text, std::string_view part);

}  // namespace admin_test
