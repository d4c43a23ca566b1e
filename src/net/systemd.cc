#include "net/systemd.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

namespace net {
namespace {

constexpr int kFirstInherited = 3;  // SD_LISTEN_FDS_START
constexpr int kInheritedMax = 256;

std::string_view variable(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? value : "";
}

int number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

// "/run/systemd/notify", or "@name" in the abstract namespace, whose names have no zero at the end.
std::optional<Address> notify_address(std::string_view path) {
  sockaddr_un value{};
  if (path.size() < 2 || path.size() >= sizeof value.sun_path) return std::nullopt;
  if (path[0] != '/' && path[0] != '@') return std::nullopt;
  value.sun_family = AF_UNIX;
  std::memcpy(value.sun_path, path.data(), path.size());
  if (path[0] == '@') value.sun_path[0] = '\0';
  Address address;
  std::memcpy(&address.storage, &value, sizeof value);
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                          (path[0] == '@' ? 0 : 1));
  return address;
}

template <class Sockaddr>
Sockaddr as(const Address& address) {
  Sockaddr result;
  std::memcpy(&result, &address.storage, sizeof result);
  return result;
}

std::string_view path_of(const sockaddr_un& value) {
  return {value.sun_path, strnlen(value.sun_path, sizeof value.sun_path)};
}

bool is_same(const Address& a, const Address& b) {
  if (a.storage.ss_family != b.storage.ss_family || a.port() != b.port()) return false;
  switch (a.storage.ss_family) {
    case AF_INET:
      return as<sockaddr_in>(a).sin_addr.s_addr == as<sockaddr_in>(b).sin_addr.s_addr;
    case AF_INET6: {
      const auto x = as<sockaddr_in6>(a), y = as<sockaddr_in6>(b);
      return std::memcmp(&x.sin6_addr, &y.sin6_addr, sizeof x.sin6_addr) == 0 &&
             x.sin6_scope_id == y.sin6_scope_id;
    }
    case AF_UNIX:
      return path_of(as<sockaddr_un>(a)) == path_of(as<sockaddr_un>(b));
    default:
      return false;
  }
}

bool is_any_ipv4(const Address& address) {
  return address.storage.ss_family == AF_INET &&
         as<sockaddr_in>(address).sin_addr.s_addr == htonl(INADDR_ANY);
}

bool is_any_ipv6(const Address& address) {
  if (address.storage.ss_family != AF_INET6) return false;
  const auto value = as<sockaddr_in6>(address);
  return IN6_IS_ADDR_UNSPECIFIED(&value.sin6_addr);
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

std::string text_of(const Address& address) {
  if (address.is_unix()) return std::string(path_of(as<sockaddr_un>(address)));
  return address.text() + " port " + std::to_string(address.port());
}

}  // namespace

NotifySocket NotifySocket::from_environment() {
  NotifySocket made;
  const std::string_view path = variable("NOTIFY_SOCKET");
  if (path.empty()) return made;
  const auto address = notify_address(path);
  if (!address) {
    spdlog::warn("weir: NOTIFY_SOCKET is neither a path nor an abstract name: nobody is notified");
    return made;
  }
  made.to_ = *address;
  made.fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return made;
}

NotifySocket::NotifySocket(NotifySocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), to_(other.to_) {}

NotifySocket& NotifySocket::operator=(NotifySocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(to_, other.to_);
  return *this;
}

NotifySocket::~NotifySocket() {
  if (fd_ >= 0) ::close(fd_);
}

bool NotifySocket::send(std::string_view state) {
  if (fd_ < 0) return true;
  const auto sent = sendto(fd_, state.data(), state.size(), MSG_NOSIGNAL,
                           reinterpret_cast<const sockaddr*>(&to_.storage), to_.length);
  // Whatever else went wrong would go wrong again.
  return sent >= 0 || (errno != EAGAIN && errno != EINTR && errno != ENOBUFS);
}

InheritedSockets InheritedSockets::from_environment() {
  InheritedSockets found;
  const bool ours = number(variable("LISTEN_PID")) == getpid();
  const int count = ours ? std::clamp(number(variable("LISTEN_FDS")), 0, kInheritedMax) : 0;
  const std::string names(variable("LISTEN_FDNAMES"));
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  std::size_t at = 0;
  for (int i = 0; i < count; ++i) {
    const std::size_t colon = std::min(names.find(':', at), names.size());
    found.add(kFirstInherited + i, names.substr(at, colon - at));
    at = std::min(colon + 1, names.size());
  }
  return found;
}

void InheritedSockets::add(int fd, std::string name) {
  // What will not outlive exec has not come through it: it is a file of our own, and LISTEN_FDS
  // wrong.
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) return;
  Address address;
  address.length = sizeof address.storage;
  if (option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
      option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) {
    spdlog::warn("weir: inherited file {} \"{}\" is no listening stream socket: not used", fd,
                 name);
    return;
  }
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const bool has_ipv4 = is_any_ipv6(address) && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
  sockets_.push_back({fd, address, std::move(name), has_ipv4, false});
}

int InheritedSockets::take(const Address& address) {
  auto found = std::ranges::find_if(
      sockets_, [&](const Socket& socket) { return is_same(socket.address, address); });
  if (found == sockets_.end() && is_any_ipv4(address)) {
    found = std::ranges::find_if(sockets_, [&](const Socket& socket) {
      return socket.has_ipv4 && socket.address.port() == address.port();
    });
  }
  if (found == sockets_.end()) return kNone;
  return std::exchange(found->taken, true) ? kServed : found->fd;
}

std::string_view InheritedSockets::name_of(int fd) const {
  const auto found = std::ranges::find(sockets_, fd, &Socket::fd);
  return found == sockets_.end() ? std::string_view() : found->name;
}

InheritedSockets::~InheritedSockets() {
  for (const Socket& socket : sockets_) {
    if (socket.taken) continue;
    spdlog::warn("weir: inherited socket {} \"{}\" is no address of listen: not used",
                 text_of(socket.address), socket.name);
    ::close(socket.fd);
  }
}

}  // namespace net
