// Where a request goes, and why.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "cluster/snapshot.h"
#include "config/config.h"
#include "sql/analysis.h"

namespace route {

enum class Target : std::uint8_t {
  kPrimary,
  kReplica,  // Decision::host
  kNoPrimary,  // needs the primary and there is none
  kNoReplica,  // may only go to a replica and none is fit
};

// What the session adds to the statement's own needs.
struct SessionView {
  bool read_only_transaction = false;  // BEGIN READ ONLY, or default_transaction_read_only
  sql::Hint route = sql::Hint::kNone;  // SET weir.route, or the startup option
  base::Time last_commit{};            // when its last write was acknowledged; {} = never wrote
  cluster::Lsn min_lsn = 0;            // reads must see at least this
  std::uint64_t client_hash = 0;       // of its address, for kClientAddressHash
};

struct Decision {
  Target target = Target::kPrimary;
  int host = -1;         // index into Snapshot::hosts; -1 for kNo...
  const char* reason = "";  // static text, for people: "read", "write", "hint", "own writes" ...
};

// Load of one host as this process sees it; index as Snapshot::hosts.
struct HostLoad {
  std::uint32_t active = 0;          // server connections executing for a client, all workers
  double latency_us = 0;             // moving average of its replies; 0 = not measured
};

// One per worker and cluster: holds the round robin position and the random state.
class Router {
 public:
  Router(const config::Cluster& config, std::uint64_t seed);

  // access, hint: the request's most demanding statement (joined over a batch).
  Decision decide(sql::Access access, sql::Hint hint, const SessionView& session,
                  const cluster::Snapshot& snapshot, std::span<const HostLoad> load);

 private:
  int pick_replica(const SessionView& session, const cluster::Snapshot& snapshot,
                   std::span<const HostLoad> load, cluster::Lsn at_least);

  const config::Cluster& config_;
  std::uint64_t state_;
  std::uint32_t next_ = 0;
};

}  // namespace route
