// Servers and waiters without sockets, and a pool of them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pool/pool.h"

namespace pool {

using base::milliseconds;

inline base::Time at(std::int64_t ms) { return base::Time{} + milliseconds(1'000'000 + ms); }

struct TestServer : Server {};
struct TestWaiter : Waiter {};

// One worker's pool whose servers are opened as soon as that is allowed, and logged in when the
// test says so.
struct Rig {
  std::vector<std::unique_ptr<TestServer>> servers;
  Pool pool;

  explicit Rig(std::vector<Permits*> permits, config::PoolSizes sizes = {},
               milliseconds reserve_after = milliseconds(5000))
      : pool(sizes, reserve_after, std::move(permits)) {}
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;
  ~Rig() {
    while (pool.first_waiter() != nullptr) pool.cancel(*pool.first_waiter());
    for (auto& s : servers) {
      if (s->pool_state() != Server::State::kClosed) pool.closed(*s);
    }
  }

  TestServer& open(base::Time now) {
    servers.push_back(std::make_unique<TestServer>());
    pool.opening(*servers.back(), now);
    return *servers.back();
  }
  // Opened for a client, logged in, leased to it.
  TestServer& lease(base::Time now) {
    TestWaiter waiter;
    const Pool::Answer a = pool.acquire(waiter, 0, now);
    if (a.kind == Pool::Kind::kLease) return static_cast<TestServer&>(*a.server);
    if (a.kind != Pool::Kind::kOpen) std::abort();
    TestServer& server = open(now);
    bool close_it = false;
    if (pool.ready(server, now, close_it).waiter != &waiter || close_it) std::abort();
    return server;
  }
  // Closed because it had to, or idle.
  bool release(Server& server, base::Time now) {
    bool close_it = false;
    const Pool::Grant grant = pool.ready(server, now, close_it);
    if (grant.waiter != nullptr) std::abort();
    if (close_it) pool.closed(server);
    return close_it;
  }
};

}  // namespace pool
