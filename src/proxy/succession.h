// An online restart: the program starts anew, as another process that takes over the sockets which
// listen. The old process accepts nobody any more, serves the clients that it has until they
// leave, and ends.
//
// Between the two is a pair of sockets with packets from the new one to the old: that it serves,
// and then each cancel request, for it may mean a client that the old one still has.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "net/loop.h"
#include "protocol/startup.h"

namespace proxy {

// The process that started this one, if it was one of ours ($WEIR_PREDECESSOR); else nobody hears.
class Predecessor {
 public:
  Predecessor();  // from the environment, which is changed so that nobody believes it again
  ~Predecessor();
  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;

  bool waits() const { return fd_ >= 0 && !told_; }
  void tell_ready();
  void pass_on(const protocol::CancelRequest& request) const;  // from any thread; never blocks

 private:
  int fd_ = -1;
  bool told_ = false;
};

// Thread rule: the loop's.
class Successor final : public net::Loop::Handler {
 public:
  struct Heard {
    std::function<void(pid_t pid)> ready;         // once
    std::function<void(std::string why)> failed;  // instead: it has ended; delete it later
    std::function<void(const protocol::CancelRequest&)> cancel;
  };
  static constexpr base::Duration kStartup = base::seconds(60);

  // Runs what is now at the path of this program, with the arguments that this process had.
  // listening: files that it inherits (LISTEN_FDS, as of systemd). The error is the system's.
  static absl::StatusOr<std::unique_ptr<Successor>> start(net::Loop& loop,
                                                          std::span<const int> listening,
                                                          Heard heard);
  ~Successor() override;

  void on_events(std::uint32_t events) override;
  void check(base::Time now);  // ends one that does not serve within kStartup

 private:
  Successor(net::Loop& loop, int fd, pid_t pid, Heard heard);
  void on_packet(protocol::Bytes packet);
  void on_end();

  net::Loop& loop_;
  const int fd_;
  const pid_t pid_;
  const Heard heard_;
  const base::Time begun_;
  bool ready_ = false, ended_ = false, too_slow_ = false;
};

}  // namespace proxy
