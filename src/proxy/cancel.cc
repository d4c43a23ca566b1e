#include "proxy/cancel.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "protocol/startup.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {

CancelConnection::Target CancelConnection::of(Server& server) {
  return {.addresses = {server.address},
          .pid = server.backend_pid,
          .key = server.backend_key,
          .host = server.pool().target().host,
          .tls = server.uses_tls() ? server.pool().set.cluster->tls() : nullptr,
          .mode = server.pool().set.cluster->config.tls.mode,
          .server = server.id};
}

CancelConnection::CancelConnection(Worker& worker, Target target)
    : Connection(worker.loop(), net::Stream()),
      worker_(worker),
      target_(std::move(target)),
      started_(worker.loop().now()) {}

bool CancelConnection::start() {
  while (next_address_ < target_.addresses.size()) {
    const int fd =
        net::start_connect(target_.addresses[next_address_++], worker_.config().server_tcp);
    if (fd < 0) {
      failure_ = std::strerror(errno);
      continue;
    }
    stream_ = net::Stream(fd);
    state_ = State::kConnecting;
    watch();
    ask_for_write();
    return true;
  }
  return false;
}

void CancelConnection::close(std::string why) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  failure_ = std::move(why);
  close_stream();
  worker_.on_cancel_ended(*this);
}

void CancelConnection::on_ready() {
  switch (state_) {
    case State::kConnecting:
      return on_connected();
    case State::kTlsAnswer:
      return on_answer();
    case State::kTlsHandshake:
      return handshake();
    case State::kSent: {
      if (!flush()) return close("it broke off");
      std::array<std::uint8_t, 256> ignored;
      const auto io = stream_.read(ignored);
      if (io.status != net::IoStatus::kBlocked) close();
      return;
    }
    case State::kClosed:
      return;
  }
}

void CancelConnection::on_connected() {
  if (std::string error = net::connect_error(stream_.fd()); !error.empty()) {
    close_stream();
    failure_ = std::move(error);
    if (!start()) close(failure_);
    return;
  }
  if (!target_.tls || target_.addresses[next_address_ - 1].is_unix()) return send_request();
  state_ = State::kTlsAnswer;
  protocol::write_ssl_request(out_);
  if (!flush()) close("it broke off");
}

void CancelConnection::on_answer() {
  std::array<std::uint8_t, 1> answer;
  const auto io = stream_.read(answer);
  if (io.status == net::IoStatus::kBlocked) return;
  if (io.status == net::IoStatus::kOk && answer[0] == 'N' && target_.may_be_plain) {
    return send_request();
  }
  if (io.status != net::IoStatus::kOk || answer[0] != 'S') return close("it has no TLS");
  SSL* ssl = target_.tls->new_client_side(target_.host, target_.mode);
  if (ssl == nullptr) return close("TLS could not be set up");
  stream_.start_tls(ssl);
  state_ = State::kTlsHandshake;
  handshake();
}

void CancelConnection::handshake() {
  const auto io = stream_.handshake();
  if (io.status == net::IoStatus::kBlocked) return ask_for_write();
  if (io.status != net::IoStatus::kOk) return close("TLS failed: " + stream_.error());
  send_request();
}

void CancelConnection::send_request() {
  state_ = State::kSent;
  protocol::write_cancel_request(out_, target_.pid, protocol::as_bytes(target_.key));
  if (!flush()) return close("it broke off");
  sent_ = true;
}

}  // namespace proxy
