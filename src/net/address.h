// Socket addresses: IPv4, IPv6 and Unix sockets, as values.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace net {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  std::string text() const;           // "127.0.0.1", "fe80::1%eth0", or "unix"
  std::uint16_t port() const;         // 0 for a Unix socket
  void set_port(std::uint16_t port);  // no effect on a Unix socket
  bool is_unix() const;
  // Of the IP address only, the same in every process; an IPv4 address inside IPv6 counts as IPv4.
  // All Unix sockets are alike.
  std::uint64_t hash() const;
};

// Without asking anyone: an IPv4 address in four numbers, an IPv6 address (with an optional %scope,
// no brackets), or the directory of a Unix socket (starts with '/'; the socket is
// ".s.PGSQL.<port>" in it). Nothing when host is a name, or the path is too long for the system.
std::optional<Address> literal_address(std::string_view host, std::uint16_t port);

// Who of the operating system has connected to a Unix socket. Asks the system's user database.
struct PeerUser {
  std::string name, number;  // "" = not known
};
PeerUser peer_user(int fd);

}  // namespace net
