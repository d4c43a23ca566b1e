// One connected socket, plain or TLS: reading and writing without blocking.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "config/config.h"
#include "net/address.h"

namespace net {

enum class IoStatus : std::uint8_t {
  kOk,       // `count` bytes, at least one
  kBlocked,  // nothing now; an event will tell
  kClosed,   // the peer has closed (reading only)
  kFailed,   // broken; the errno or TLS error is in Stream::error()
};
struct Io {
  IoStatus status;
  std::size_t count = 0;
};

// Owns the file and the SSL. Movable until it is watched.
class Stream {
 public:
  Stream() = default;
  explicit Stream(int fd) : fd_(fd) {}
  ~Stream() { close(); }
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;

  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  bool is_tls() const { return ssl_ != nullptr; }
  SSL* ssl() const { return ssl_.get(); }
  const std::string& error() const { return error_; }

  // Takes the SSL; then handshake() until it answers kOk.
  void start_tls(SSL* ssl);
  Io handshake();

  Io read(std::span<std::uint8_t> into);
  Io write(std::span<const std::uint8_t> from);

  // Whether a read may find something. Edge-triggered events are remembered here: a read that
  // comes back short has emptied the socket, so that no read is spent on finding that out.
  bool readable() const { return readable_ || hung_up_; }
  void on_events(std::uint32_t events);
  bool hung_up() const { return hung_up_; }  // the peer has closed its side

  void close();

 private:
  struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  Io tls_result(int result);

  int fd_ = -1;
  std::unique_ptr<SSL, SslFree> ssl_;
  std::string error_;
  bool readable_ = true;  // something may have come before the first event
  bool hung_up_ = false;  // the peer closed: read until kClosed
};

// A non-blocking connect that is under way, or -1 with errno set.
int start_connect(const Address& address, const config::Tcp& tcp);
// What became of it: "" = connected, else the system's words.
std::string connect_error(int fd);
// No delay, and what `tcp` says. No effect on a Unix socket.
void set_tcp_options(int fd, const config::Tcp& tcp);
Address peer_address(int fd);
Address local_address(int fd);

}  // namespace net
