// When what sessions start with (ALTER ROLE or ALTER DATABASE ... SET) has last changed.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/time.h"
#include "cluster/snapshot.h"

namespace proxy {

// Of one cluster. A server connection knows the defaults of the moment of its log-in: one that was
// opened before a change is not given to anybody any more. Any thread.
class SessionDefaults {
 public:
  // Of the latest change; grows with each.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // By then the version() asked before, or a later one, was committed; {} = nothing has changed.
  base::Time changed() const { return changed_.load(std::memory_order_acquire); }

  // now: read after the change was committed.
  void note_change(base::Time now) {
    std::lock_guard lock(mutex_);
    changed_.store(std::max(changed(), now), std::memory_order_release);
    version_.fetch_add(1, std::memory_order_release);
  }

  // Whether a connection to this host that is opened now begins with them.
  bool are_on(std::size_t host, const cluster::Snapshot& snapshot) const {
    const base::Time since = changed();
    if (since == base::Time{} || snapshot.primary == static_cast<int>(host)) return true;
    const cluster::Lsn position = snapshot.position_after(since);
    return position != 0 && host < snapshot.hosts.size() && snapshot.hosts[host].lsn >= position;
  }

 private:
  std::mutex mutex_;  // of those who write
  std::atomic<std::uint64_t> version_{0};
  std::atomic<base::Time> changed_{};
};

}  // namespace proxy
