// An online restart: the program starts anew, as another process that takes over the sockets which
// listen. The old process accepts nobody any more, serves the clients that it has until they
// leave, and ends.
//
// Between the two is a pair of sockets with packets. The new one says that it serves, or why it
// cannot; the old one, that it has left the field; then the new one passes on what concerns both:
// cancel requests, which may mean a client that the old one still has, and reloads. A process that
// is replaced before its own predecessor has ended hands its end on: each knows all before it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "net/loop.h"
#include "protocol/startup.h"

namespace proxy {

// The process that started this one, if it was one of ours ($WEIR_PREDECESSOR), and those before
// it that have not ended yet. Thread rule: the control thread, but for pass_on().
class Predecessor {
 public:
  Predecessor();  // from the environment, which is changed so that nobody believes it again
  ~Predecessor();
  Predecessor(const Predecessor&) = delete;
  Predecessor& operator=(const Predecessor&) = delete;

  bool exists() const { return !fds_.empty(); }  // or did, when this process began
  void tell_ready();
  void tell_failed(std::string_view why);  // instead; then this process ends
  bool has_left();  // accepts nobody any more and is nobody's main process; true without one
  void pass_on(const protocol::CancelRequest& request) const;  // from any thread; never blocks
  void pass_on_reload() const;
  std::vector<int> alive() const;  // our ends, for the process that replaces this one

 private:
  void tell(std::string_view packet) const;  // all of them

  std::vector<int> fds_;  // the latest one's first; fixed after construction
  bool left_ = false;
};

// A socket that listens, as another process gets it.
struct Handed {
  // The name (LISTEN_FDNAMES) of a Unix socket whose file is for its owner to remove at the end.
  static constexpr const char* kWithPath = "weir-path";
  int fd = -1;
  bool with_path = false;
};

// Thread rule: the loop's.
class Successor final : public net::Loop::Handler {
 public:
  struct Heard {
    std::function<void(pid_t pid)> ready;         // once
    std::function<void(std::string why)> failed;  // instead: it has ended; delete it later
    std::function<void(const protocol::CancelRequest&)> cancel;
    std::function<void()> reload;
  };
  static constexpr base::Duration kStartup = base::seconds(60);

  // Runs what is now at the path of this program, with the arguments that this process had.
  // listening: what it inherits (LISTEN_FDS, as of systemd); before: the predecessor's ends.
  // The error is the system's.
  static absl::StatusOr<std::unique_ptr<Successor>> start(net::Loop& loop,
                                                          std::span<const Handed> listening,
                                                          std::span<const int> before, Heard heard);
  ~Successor() override;

  void on_events(std::uint32_t events) override;
  // In each tick: sees that it has ended, and ends one that does not serve within kStartup.
  void check(base::Time now);
  void tell_left();  // that it is the only one that accepts
  void call_off();   // ends one that does not serve yet

 private:
  Successor(net::Loop& loop, int fd, pid_t pid, Heard heard);
  void on_packet(protocol::Bytes packet);
  void on_ended(int status);

  net::Loop& loop_;
  const int fd_;
  const pid_t pid_;
  const Heard heard_;
  const base::Time begun_;
  std::string why_;  // of its failure, in its own words
  bool watched_ = true, ready_ = false, ended_ = false, too_slow_ = false;
};

}  // namespace proxy
