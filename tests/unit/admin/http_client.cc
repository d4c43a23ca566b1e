#include "http_client.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace admin_test {

Socket::Socket(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
}

Socket::~Socket() { close(fd_); }

void Socket::write(std::string_view text) {
  CHECK(send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
}

std::string Socket::read(std::string_view until) {
  std::string all;
  std::array<char, 4096> part{};
  pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
  while (poll(&ready, 1, 5000) == 1) {
    const ssize_t size = recv(fd_, part.data(), part.size(), 0);
    if (size <= 0) return all;
    all.append(part.data(), static_cast<std::size_t>(size));
    if (!until.empty() && all.find(until) != std::string::npos) return all;
  }
  return all + "<timeout>";
}

absl::StatusOr<std::unique_ptr<admin::HttpServer>> start(FakeControl& control, std::uint16_t port,
                                                         admin::HttpLimits limits,
                                                         const std::string& host) {
  return admin::HttpServer::start(host, port, control,
                                  std::make_shared<admin::EngineOwner>(control), limits);
}

Server::Server(admin::HttpLimits limits) {
  auto started = start(control, 0, limits);
  REQUIRE(started.ok());
  http = *std::move(started);
  http->begin();
  REQUIRE(http->port() != 0);
}

std::string Server::get(std::string_view path, std::string_view method, std::string_view header,
                        std::string_view body) {
  Socket socket(http->port());
  std::string request = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" +
                        std::string(header) + "Connection: close\r\n";
  if (!body.empty()) request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  socket.write(request + "\r\n" + std::string(body));
  return socket.read();
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace admin_test
