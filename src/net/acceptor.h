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
  // Both accept from begin() on; whoever comes before waits.
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
  void begin();

  // A Unix socket's file is removed at the end by who owns it: by who made it, until another
  // process takes over.
  bool owns_path() const { return !unix_path_.empty(); }
  void own_path();
  void hand_over() { handed_over_ = true; }  // then it is removed only if nobody listens there

 private:
  Acceptor(Loop& loop, int fd, config::Listener where, OnAccept accepted);

  Loop& loop_;
  int fd_;
  config::Listener where_;
  OnAccept accepted_;
  std::string unix_path_;  // to be removed at the end
  bool begun_ = false, handed_over_ = false;
};

}  // namespace net
