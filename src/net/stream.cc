#include "net/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "net/tls.h"

namespace net {

Stream::Stream(Stream&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      ssl_(std::move(other.ssl_)),
      error_(std::move(other.error_)),
      readable_(other.readable_),
      hung_up_(other.hung_up_) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    ssl_ = std::move(other.ssl_);
    error_ = std::move(other.error_);
    readable_ = other.readable_;
    hung_up_ = other.hung_up_;
  }
  return *this;
}

void Stream::close() {
  if (fd_ < 0) return;
  if (ssl_) {
    SSL_shutdown(ssl_.get());  // close_notify, best effort
    ERR_clear_error();
    ssl_.reset();
  }
  ::close(fd_);
  fd_ = -1;
}

void Stream::start_tls(SSL* ssl) {
  ssl_.reset(ssl);
  SSL_set_fd(ssl, fd_);
}

void Stream::on_events(std::uint32_t events) {
  if (events & EPOLLIN) readable_ = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hung_up_ = true;
}

Io Stream::tls_result(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      readable_ = false;
      return {IoStatus::kBlocked};
    case SSL_ERROR_WANT_WRITE:
      return {IoStatus::kBlocked};
    case SSL_ERROR_ZERO_RETURN:
      return {IoStatus::kClosed};
    case SSL_ERROR_SYSCALL:
      if (errno == 0) return {IoStatus::kClosed};
      error_ = std::strerror(errno);
      ERR_clear_error();
      return {IoStatus::kFailed};
    default:
      error_ = tls_error();
      return {IoStatus::kFailed};
  }
}

Io Stream::handshake() {
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return {IoStatus::kOk, 1};
  return tls_result(result);
}

Io Stream::read(std::span<std::uint8_t> into) {
  if (ssl_) {
    ERR_clear_error();
    errno = 0;
    std::size_t count = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &count);
    if (result == 1) return {IoStatus::kOk, count};
    return tls_result(result);
  }
  for (;;) {
    const auto n = ::recv(fd_, into.data(), into.size(), 0);
    if (n > 0) {
      if (static_cast<std::size_t>(n) < into.size()) readable_ = false;
      return {IoStatus::kOk, static_cast<std::size_t>(n)};
    }
    if (n == 0) return {IoStatus::kClosed};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) {
      readable_ = false;
      return {IoStatus::kBlocked};
    }
    error_ = std::strerror(errno);
    return {IoStatus::kFailed};
  }
}

Io Stream::write(std::span<const std::uint8_t> from) {
  if (ssl_) {
    ERR_clear_error();
    errno = 0;
    std::size_t count = 0;
    const int result = SSL_write_ex(ssl_.get(), from.data(), from.size(), &count);
    if (result == 1) return {IoStatus::kOk, count};
    return tls_result(result);
  }
  for (;;) {
    const auto n = ::send(fd_, from.data(), from.size(), MSG_NOSIGNAL);
    if (n >= 0) return {IoStatus::kOk, static_cast<std::size_t>(n)};
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return {IoStatus::kBlocked};
    error_ = std::strerror(errno);
    return {IoStatus::kFailed};
  }
}

int start_connect(const Address& address, const config::Tcp& tcp) {
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (!address.is_unix()) set_tcp_options(fd, tcp);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0 ||
      errno == EINPROGRESS) {
    return fd;
  }
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

std::string connect_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  return error == 0 ? "" : std::strerror(error);
}

void set_tcp_options(int fd, const config::Tcp& tcp) {
  const auto set = [fd](int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
  };
  const auto seconds = [](base::milliseconds time) {
    return static_cast<int>(std::chrono::ceil<std::chrono::seconds>(time).count());
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(tcp.user_timeout.count()));
  set(SOL_SOCKET, SO_KEEPALIVE, tcp.keepidle.count() > 0 ? 1 : 0);
  if (tcp.keepidle.count() == 0) return;
  set(IPPROTO_TCP, TCP_KEEPIDLE, seconds(tcp.keepidle));
  set(IPPROTO_TCP, TCP_KEEPINTVL, seconds(tcp.keepintvl));
  set(IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(tcp.keepcnt));
}

namespace {

Address ask_address(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  Address address;
  address.length = sizeof address.storage;
  if (ask(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) return {};
  return address;
}

}  // namespace

Address peer_address(int fd) { return ask_address(fd, getpeername); }
Address local_address(int fd) { return ask_address(fd, getsockname); }

}  // namespace net
