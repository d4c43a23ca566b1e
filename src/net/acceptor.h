// Takes who comes to a listening socket, for one of the loops that do.
#pragma once

#include <functional>

#include "net/listening_socket.h"
#include "net/loop.h"

namespace net {

// Thread rule: the loop's.
class Acceptor final : public Loop::Handler {
 public:
  // on_ready: in each round in which somebody may wait. Most often one loop is told of each, one
  // that is idle if there is any.
  Acceptor(Loop& loop, const ListeningSocket& socket, std::function<void(Acceptor&)> on_ready);
  ~Acceptor() override { stop(); }

  void on_events(std::uint32_t events) override;
  int accept();  // a non-blocking file, the caller's; -1: nobody is there, or no file is to be had
  // After it was out of files, which is_watching() tells: an event would follow the other.
  void go_on();
  void stop();
  bool is_watching() const { return watching_; }
  bool is_unix() const { return socket_.is_unix(); }

 private:
  Loop& loop_;
  const ListeningSocket& socket_;
  const std::function<void(Acceptor&)> on_ready_;
  bool watching_ = false;
};

}  // namespace net
