// The servers that all live tests share: made by the first one that needs them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "config/config.h"
#include "live_postgres.h"
#include "proxy/libpq_connection.h"

namespace proxy_test {

struct World {
  LivePostgres primary;
  std::unique_ptr<LivePostgres> replica;
  World();
};

// Null, with a message, where there is no PostgreSQL to be run.
World* world();

proxy::ServerLogin superuser_of(const LivePostgres& server);

inline bool eventually(const std::function<bool()>& condition,
                       std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace proxy_test
