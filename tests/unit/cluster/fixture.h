// A cluster's hosts as a test says they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/tracker.h"

namespace cluster {

using base::milliseconds;

inline Time at(std::int64_t ms) { return Time{} + milliseconds(1'000'000 + ms); }

inline config::Cluster make_config(std::size_t hosts) {
  config::Cluster config;
  config.name = "main";
  for (std::size_t i = 0; i < hosts; ++i) {
    config::Host host;
    host.name = std::string(1, static_cast<char>('a' + i));
    config.hosts.push_back(host);
  }
  config.routing.lag_max = milliseconds(1000);
  config.routing.lag_bytes_max = 0;
  config.routing.lag_recover_ratio = 0.5;
  config.monitor_interval = milliseconds(100);
  config.monitor_timeout = milliseconds(1000);
  return config;
}

struct Said {
  std::uint32_t timeline = 1;
  std::uint64_t system_identifier = 77;
};

inline Sample primary(std::int64_t ms, Lsn lsn, Said said = {}) {
  Sample s;
  s.asked = at(ms);
  s.answered = at(ms + 1);
  s.timeline = said.timeline;
  s.system_identifier = said.system_identifier;
  s.lsn = lsn;
  return s;
}

inline Sample replica(std::int64_t ms, Lsn lsn, Said said = {}) {
  Sample s = primary(ms, lsn, said);
  s.in_recovery = true;
  s.received_lsn = lsn + 1;
  return s;
}

}  // namespace cluster
