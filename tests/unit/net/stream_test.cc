#include "net/stream.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"

using namespace net;
using base::milliseconds;

namespace {

// A port of this machine, and a socket that listens on it.
struct Peer {
  Peer() {
    fd = socket(AF_INET, SOCK_STREAM, 0);
    Address any = *literal_address("127.0.0.1", 0);
    REQUIRE(bind(fd, reinterpret_cast<const sockaddr*>(&any.storage), any.length) == 0);
    REQUIRE(listen(fd, 1) == 0);
    address = local_address(fd);
  }
  ~Peer() { ::close(fd); }
  int fd = -1;
  Address address;
};

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  REQUIRE(getsockopt(fd, level, name, &value, &length) == 0);
  return value;
}

}  // namespace

TEST_CASE("a connection has the options that the configuration says") {
  const Peer peer;
  const int fd = start_connect(peer.address, {.keepidle = milliseconds(7000),
                                              .keepintvl = milliseconds(2001),
                                              .keepcnt = 5,
                                              .user_timeout = milliseconds(12'345)});
  REQUIRE(fd >= 0);
  CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 7);
  CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 3);  // no sooner than asked for
  CHECK(option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 5);
  CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 12'345);

  set_tcp_options(fd, {.keepidle = milliseconds(0), .user_timeout = milliseconds(0)});
  CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);
  CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
  ::close(fd);
}
