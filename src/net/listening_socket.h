// A socket that listens: bound, or taken over.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "config/config.h"

namespace net {

class ListeningSocket {
 public:
  // Whoever comes before it is accepted from (Acceptor) waits.
  static absl::StatusOr<std::unique_ptr<ListeningSocket>> listen(const config::Listener& where);
  // fd: a non-blocking socket that listens there, this object's from now on. A Unix socket's file
  // stays, since whoever made it still listens.
  ListeningSocket(int fd, config::Listener where);
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  int fd() const { return fd_; }
  bool is_unix() const { return !where_.unix_dir.empty(); }
  std::string name() const;  // for people

  // A Unix socket's file is removed at the end by who owns it: by who made it, until another
  // process takes over.
  bool owns_path() const { return !unix_path_.empty(); }
  void own_path();
  void hand_over() { handed_over_ = true; }  // then it is removed only if nobody listens there

 private:
  const int fd_;
  const config::Listener where_;
  std::string unix_path_;  // to be removed at the end
  bool handed_over_ = false;
};

}  // namespace net
