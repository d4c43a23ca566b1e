// A primary and its replicas as a test says they are.
#pragma once

#include <cstdint>
#include <string>

#include "cluster/snapshot.h"
#include "config/config.h"

namespace route {

inline base::Time at(std::int64_t ms) { return base::Time{} + base::milliseconds(1'000'000 + ms); }

// Host 0 is the primary, at 1000; the replicas have replayed all.
struct Scene {
  config::Cluster config;
  cluster::Snapshot snapshot;

  explicit Scene(std::size_t replicas) {
    for (std::size_t i = 0; i <= replicas; ++i) {
      config::Host host;
      host.name = "h" + std::to_string(i);
      config.hosts.push_back(host);
      cluster::Host seen;
      seen.name = host.name;
      seen.role = i == 0 ? cluster::Role::kPrimary : cluster::Role::kReplica;
      seen.state = cluster::HostState::kUp;
      seen.lsn = 1000;
      seen.reads = i != 0;
      snapshot.hosts.push_back(seen);
    }
    snapshot.primary = 0;
    snapshot.primary_history = {{at(0), 500}, {at(100), 800}, {at(200), 1000}};
  }
};

}  // namespace route
