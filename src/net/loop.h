// One event loop: epoll, edge-triggered, and what other threads ask it to run.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/time.h"
#include "protocol/buffer.h"

namespace net {

// The present moment. Code below net/ is given times, it never asks.
base::Time read_clock();

// Thread rule: everything but post() and stop() belongs to the thread that runs the loop (before
// run(): to the thread that made it).
class Loop {
 public:
  class Handler {
   public:
    // events: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR. May be called once more, in the
    // same round, for a file that was just unwatched: a Handler must outlive the round.
    virtual void on_events(std::uint32_t events) = 0;

   protected:
    virtual ~Handler() = default;
  };
  using Task = absl::AnyInvocable<void()>;

  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Edge-triggered: an event tells of a change once. Reading is always watched; writing is only
  // after want_write(), since a Unix socket would wake us each time its peer reads.
  void watch(int fd, Handler& handler);
  void want_write(int fd, Handler& handler);
  void watch_level(int fd, Handler& handler);  // for signals and the like
  // For what several loops watch: level-triggered, and most often one of them is woken.
  void watch_exclusive(int fd, Handler& handler);
  void unwatch(int fd);

  void post(Task task);  // from any thread; runs in the next round
  // Every `every`, or when events come after a rest(), that long after them.
  void set_tick(base::Duration every, Task tick);
  // Called by a tick: unless there are events the next one may come as late as that.
  void rest(base::Duration longest) { next_tick_ = now_ + longest; }
  void set_round_end(Task task);  // after each round of events

  void wake_at(base::Time when);  // a round begins then at the latest; the earliest wish counts

  // Small buffers that connections need for a moment only, so that none is allocated for each:
  // give() takes the memory away, spare() answers an empty one, with memory if there is some left.
  void give(protocol::Buffer& buffer);
  protocol::Buffer spare();

  void again() { again_ = true; }  // the next round begins without waiting
  void run();                      // until stop()
  void stop();

  base::Time now() const { return now_; }  // of this round; costs nothing
  // For a tick: how much later than it should it began. What events wait while others are served.
  base::Duration lateness() const { return lateness_; }
  std::uint64_t rounds() const { return rounds_; }

 private:
  void run_posted();
  int timeout_ms() const;

  int epoll_ = -1, wake_ = -1;
  std::atomic<bool> stopping_{false};
  base::Time now_, next_tick_{}, wake_at_{};  // wake_at_ {}: no wish
  base::Duration tick_every_{}, lateness_{};
  Task tick_, round_end_;
  std::uint64_t rounds_ = 0;
  bool again_ = false;

  static constexpr std::size_t kSpareBytesMax = 8u << 10;
  std::array<protocol::Buffer, 64> spares_;
  std::size_t spare_count_ = 0;

  std::mutex mutex_;  // posted_
  std::vector<Task> posted_;
};

}  // namespace net
