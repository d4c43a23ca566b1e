// What a reload has to do: the difference of two configurations.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace config {

struct NamedChanges {  // names, in the order of the configuration that has them
  std::vector<std::string> added, removed, changed;

  bool empty() const { return added.empty() && removed.empty() && changed.empty(); }
};

struct Diff {
  // Keys that a running process cannot change (settings.h: kRestartKeys); everything else applies.
  std::vector<std::string> needs_restart;
  NamedChanges clusters;  // changed: hosts, monitor, routing or tls of the cluster
  NamedChanges databases;
  NamedChanges users;
  NamedChanges peers;
  NamedChanges rules;                 // "rules" in `settings`: their order
  std::vector<std::string> settings;  // keys of all other settings, "timeouts.query_wait"

  bool empty() const;
};

// The files that a configuration names (certificates) may have changed even when this is empty.
Diff diff(const Config& before, const Config& after);

// What only a restart changes stays in `next` as it is in the running process.
void keep_until_restart(Config& next, const Config& running);

// For a log line: "clusters: main changed; users: +app -old; timeouts.query_wait", "" = nothing.
std::string summary(const Diff& diff);

}  // namespace config
