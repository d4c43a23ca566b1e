#include "net/listening_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "net/address.h"

namespace net {
namespace {

std::string name_of(const config::Listener& where) {
  if (!where.unix_dir.empty()) return where.unix_dir + "/.s.PGSQL." + std::to_string(where.port);
  return where.host + ":" + std::to_string(where.port);
}

absl::Status failed(const config::Listener& where, const char* call) {
  return absl::UnavailableError("cannot listen on " + name_of(where) + ": " + call + ": " +
                                std::strerror(errno));
}

// A socket file that nobody listens on is left from a process that was killed.
bool is_stale(const Address& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool stale =
      connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 &&
      errno == ECONNREFUSED;
  ::close(fd);
  return stale;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ListeningSocket>> ListeningSocket::listen(
    const config::Listener& where) {
  const bool is_unix = !where.unix_dir.empty();
  const auto address = literal_address(is_unix ? where.unix_dir : where.host, where.port);
  if (!address)
    return absl::InvalidArgumentError("cannot listen on " + name_of(where) + ": not an address");
  const int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(where, "socket");
  const int on = 1;
  if (is_unix) {
    if (is_stale(*address)) unlink(name_of(where).c_str());
  } else {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // So that 0.0.0.0 and :: can be listened on side by side.
    if (address->storage.ss_family == AF_INET6) {
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
  }
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address->storage), address->length) != 0) {
    const auto status = failed(where, "bind");
    ::close(fd);
    return status;
  }
  if (is_unix) chmod(name_of(where).c_str(), 0777);  // as PostgreSQL: logins decide, not modes
  if (::listen(fd, SOMAXCONN) != 0) {
    const auto status = failed(where, "listen");
    ::close(fd);
    return status;
  }
  auto made = std::make_unique<ListeningSocket>(fd, where);
  if (is_unix) made->own_path();
  return made;
}

ListeningSocket::ListeningSocket(int fd, config::Listener where)
    : fd_(fd), where_(std::move(where)) {}

ListeningSocket::~ListeningSocket() {
  ::close(fd_);
  if (unix_path_.empty()) return;
  const auto address = literal_address(where_.unix_dir, where_.port);
  if (!handed_over_ || (address && is_stale(*address))) unlink(unix_path_.c_str());
}

std::string ListeningSocket::name() const { return name_of(where_); }

void ListeningSocket::own_path() {
  if (is_unix()) unix_path_ = name_of(where_);
}

}  // namespace net
