#include "proxy/cancel.h"

#include <array>

#include "protocol/startup.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {

CancelConnection::CancelConnection(Worker& worker, Server& server)
    : Connection(worker.loop(), net::Stream()),
      worker_(worker),
      server_id_(server.id),
      started_(worker.loop().now()),
      address_(server.address),
      pid_(server.backend_pid),
      key_(server.backend_key),
      host_(server.pool().target().host),
      tls_(server.uses_tls() ? server.pool().set.cluster->tls() : nullptr),
      mode_(server.pool().set.cluster->config.tls.mode) {}

bool CancelConnection::start() {
  const int fd = net::start_connect(address_, worker_.config().server_tcp);
  if (fd < 0) return false;
  stream_ = net::Stream(fd);
  watch();
  ask_for_write();
  return true;
}

void CancelConnection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
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
      if (!flush()) return close();
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
  if (!net::connect_error(stream_.fd()).empty()) return close();
  if (!tls_) return send_request();
  state_ = State::kTlsAnswer;
  protocol::write_ssl_request(out_);
  if (!flush()) close();
}

void CancelConnection::on_answer() {
  std::array<std::uint8_t, 1> answer;
  const auto io = stream_.read(answer);
  if (io.status == net::IoStatus::kBlocked) return;
  if (io.status != net::IoStatus::kOk || answer[0] != 'S') return close();
  SSL* ssl = tls_->new_client_side(host_, mode_);
  if (ssl == nullptr) return close();
  stream_.start_tls(ssl);
  state_ = State::kTlsHandshake;
  handshake();
}

void CancelConnection::handshake() {
  const auto io = stream_.handshake();
  if (io.status == net::IoStatus::kBlocked) return ask_for_write();
  if (io.status != net::IoStatus::kOk) return close();
  send_request();
}

void CancelConnection::send_request() {
  state_ = State::kSent;
  protocol::write_cancel_request(out_, pid_, protocol::as_bytes(key_));
  if (!flush()) close();
}

}  // namespace proxy
