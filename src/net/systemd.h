// What systemd hands to a service: the socket on which it hears from us, and sockets that listen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"

namespace net {

// sd_notify(3), without its library. Stays closed when nobody listens ($NOTIFY_SOCKET).
class NotifySocket {
 public:
  NotifySocket() = default;  // closed
  static NotifySocket from_environment();
  NotifySocket(NotifySocket&& other) noexcept;
  NotifySocket& operator=(NotifySocket&& other) noexcept;
  ~NotifySocket();

  bool is_open() const { return fd_ >= 0; }
  // One datagram of lines NAME=value. Never blocks; false: the receiver's queue is full, try later.
  bool send(std::string_view state);

 private:
  int fd_ = -1;
  Address to_;
};

// sd_listen_fds(3): listening sockets that outlive us.
class InheritedSockets {
 public:
  // Those that the environment tells of, which is changed so that nobody believes it again.
  static InheritedSockets from_environment();
  InheritedSockets(InheritedSockets&&) = default;
  InheritedSockets& operator=(InheritedSockets&&) = delete;
  ~InheritedSockets();  // closes and logs those that were not taken

  static constexpr int kNone = -1, kServed = -2;
  // The file that listens on this address: the caller's from now on. kNone: there is none.
  // kServed: it was taken before, since it listens on IPv6 and IPv4 and both were asked for.
  int take(const Address& address);
  std::string_view name_of(int fd) const;  // of LISTEN_FDNAMES; "" = none

 private:
  struct Socket {
    int fd;
    Address address;
    std::string name;      // of LISTEN_FDNAMES
    bool has_ipv4, taken;  // has_ipv4: of IPv6, and accepts the others too
  };

  InheritedSockets() = default;
  void add(int fd, std::string name);

  std::vector<Socket> sockets_;
};

}  // namespace net
