#include "admin/executor.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace admin {

struct Executor::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Job> jobs;  // bounded by the sessions: each has at most one statement under way
  bool closed = false;
};

Executor::Executor(base::Duration interval, Job tick) : shared_(std::make_shared<Shared>()) {
  thread_ = std::thread([shared = shared_, interval, tick = std::move(tick)]() mutable {
    work(shared, interval, std::move(tick));
  });
}

void Executor::stop() {
  std::deque<Job> dropped;  // destroyed without the lock: they may own anything
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
    dropped.swap(shared_->jobs);
  }
  shared_->wake.notify_one();
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

void Executor::post(Job job) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->closed) return;  // `job` goes when the lock is given up
    shared_->jobs.push_back(std::move(job));
  }
  shared_->wake.notify_one();
}

void Executor::work(const std::shared_ptr<Shared>& shared, base::Duration interval, Job tick) {
  tick();
  base::Time due = std::chrono::steady_clock::now() + interval;
  std::unique_lock lock(shared->mutex);
  for (;;) {
    const auto ready = [&] { return shared->closed || !shared->jobs.empty(); };
    if (!shared->wake.wait_until(lock, due, ready)) {
      lock.unlock();
      tick();
      due = std::chrono::steady_clock::now() + interval;
      lock.lock();
      continue;
    }
    if (shared->closed) return;
    Job job = std::move(shared->jobs.front());
    shared->jobs.pop_front();
    lock.unlock();
    job();
    job = nullptr;  // what it owns goes before the lock is taken
    lock.lock();
  }
}

}  // namespace admin
