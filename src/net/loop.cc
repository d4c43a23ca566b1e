#include "net/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"

namespace net {

base::Time read_clock() { return std::chrono::steady_clock::now(); }

Loop::Loop() : now_(read_clock()) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(epoll_ >= 0 && wake_ >= 0);
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0);
}

Loop::~Loop() {
  close(wake_);
  close(epoll_);
}

void Loop::watch(int fd, Handler& handler) {
  epoll_event event{.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data = {.ptr = &handler}};
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void Loop::want_write(int fd, Handler& handler) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &handler}};
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) == 0);
}

void Loop::watch_level(int fd, Handler& handler) {
  epoll_event event{.events = EPOLLIN, .data = {.ptr = &handler}};
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void Loop::watch_exclusive(int fd, Handler& handler) {
  epoll_event event{.events = EPOLLIN | EPOLLEXCLUSIVE, .data = {.ptr = &handler}};
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void Loop::unwatch(int fd) { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void Loop::post(Task task) {
  bool first;
  {
    std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (!first) return;  // the loop was woken already
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(wake_, &one, sizeof one);
}

void Loop::set_tick(base::Duration every, Task tick) {
  tick_every_ = every;
  tick_ = std::move(tick);
  next_tick_ = read_clock() + every;
}

void Loop::set_round_end(Task task) { round_end_ = std::move(task); }

void Loop::wake_at(base::Time when) {
  if (wake_at_ == base::Time{} || when < wake_at_) wake_at_ = when;
}

void Loop::give(protocol::Buffer& buffer) {
  if (buffer.capacity() != 0 && buffer.capacity() <= kSpareBytesMax &&
      spare_count_ < spares_.size()) {
    buffer.clear();
    spares_[spare_count_++] = std::move(buffer);
  } else {
    buffer.release();
  }
}

protocol::Buffer Loop::spare() {
  return spare_count_ == 0 ? protocol::Buffer() : std::move(spares_[--spare_count_]);
}

void Loop::stop() {
  stopping_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(wake_, &one, sizeof one);
}

void Loop::run_posted() {
  std::uint64_t count;
  [[maybe_unused]] const auto n = read(wake_, &count, sizeof count);
  std::vector<Task> tasks;
  {
    std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) task();
}

int Loop::timeout_ms() const {
  if (!tick_) return -1;
  const auto left = (wake_at_ != base::Time{} ? std::min(wake_at_, next_tick_) : next_tick_) - now_;
  // Rounded up: waking a little early would only mean waking twice.
  return static_cast<int>(std::max<std::int64_t>(0, base::to_ms(left) + 1));
}

void Loop::run() {
  std::array<epoll_event, 256> events;
  while (!stopping_) {
    const bool at_once = std::exchange(again_, false);
    const int n = epoll_wait(epoll_, events.data(), events.size(), at_once ? 0 : timeout_ms());
    CHECK(n >= 0 || errno == EINTR);
    now_ = read_clock();
    ++rounds_;
    if (now_ >= wake_at_) wake_at_ = {};
    if (n > 0 || at_once) next_tick_ = std::min(next_tick_, now_ + tick_every_);
    for (int i = 0; i < n; ++i) {
      if (auto* handler = static_cast<Handler*>(events[i].data.ptr)) {
        handler->on_events(events[i].events);
      } else {
        run_posted();
      }
    }
    if (tick_ && now_ >= next_tick_) {
      lateness_ = now_ - next_tick_;
      next_tick_ = now_ + tick_every_;
      tick_();
    }
    if (round_end_) round_end_();
  }
}

}  // namespace net
