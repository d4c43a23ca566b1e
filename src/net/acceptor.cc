#include "net/acceptor.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace net {

Acceptor::Acceptor(Loop& loop, const ListeningSocket& socket,
                   std::function<void(Acceptor&)> on_ready)
    : loop_(loop), socket_(socket), on_ready_(std::move(on_ready)) {
  go_on();
}

void Acceptor::on_events(std::uint32_t) {
  if (watching_) on_ready_(*this);
}

int Acceptor::accept() {
  const int fd = accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0 || errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return fd;
  spdlog::error("listener {}: accept failed: {}", socket_.name(), std::strerror(errno));
  stop();
  return -1;
}

void Acceptor::go_on() {
  if (!std::exchange(watching_, true)) loop_.watch_exclusive(socket_.fd(), *this);
}

void Acceptor::stop() {
  if (std::exchange(watching_, false)) loop_.unwatch(socket_.fd());
}

}  // namespace net
