// Listening sockets: bound, or taken over; hands accepted files to its owner.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/config.h"
#include "net/loop.h"

namespace net {

class Acceptor final : public Loop::Handler {
 public:
  // accepted: a non-blocking file; the callee owns it.
  using OnAccept = std::function<void(int fd, const config::Listener& where)>;
  static absl::StatusOr<std::unique_ptr<Acceptor>> listen(Loop& loop, const config::Listener& where,
                                                          OnAccept accepted);
  // fd: a non-blocking socket that listens there, the acceptor's from now on. A Unix socket's file
  // stays, since whoever made it still listens.
  static std::unique_ptr<Acceptor> take_over(Loop& loop, int fd, const config::Listener& where,
                                             OnAccept accepted);
  ~Acceptor() override;
  void on_events(std::uint32_t events) override;
  const config::Listener& where() const { return where_; }
  int fd() const { return fd_; }
  void leave_path() { unix_path_.clear(); }  // another process listens there

 private:
  Acceptor(Loop& loop, int fd, config::Listener where, OnAccept accepted);

  Loop& loop_;
  int fd_;
  config::Listener where_;
  OnAccept accepted_;
  std::string unix_path_;  // to be removed at the end
};

}  // namespace net
