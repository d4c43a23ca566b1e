// Where a request goes, and why.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "cluster/snapshot.h"
#include "config/config.h"
#include "route/balance.h"
#include "sql/analysis.h"

namespace route {

enum class Target : std::uint8_t {
  kPrimary,
  kReplica,    // Decision::host
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

// All texts that Decision::reason can be.
namespace reason {
inline constexpr const char* kRead = "read";
inline constexpr const char* kNoData = "no data";  // SET, SHOW, BEGIN ...: any host will do
inline constexpr const char* kWrite = "write";
inline constexpr const char* kReadOnly = "read-only transaction";  // of a text that may write
inline constexpr const char* kHint = "hint";                       // the statement's own
inline constexpr const char* kRoute = "weir.route";                // the session's
inline constexpr const char* kNoSplit = "split_reads is off";
inline constexpr const char* kOwnWrites = "own writes";  // no fit replica has replayed them yet
inline constexpr const char* kMinLsn = "weir.min_lsn";   // no fit replica has replayed it yet
inline constexpr const char* kNoReplica = "no replica is fit";
inline constexpr const char* kNoneConfigured = "no replica is configured";
}  // namespace reason

struct Decision {
  Target target = Target::kPrimary;
  int host = -1;            // index into Snapshot::hosts; -1 for kNo...
  const char* reason = "";  // one of namespace reason; for kNoPrimary, why it needs the primary
};

// One per worker and cluster: holds the round robin position and the random state. The config
// outlives it.
//
// The rules, first match decides:
// 1. The statement's own hint, an explicit word: primary; or a replica, whatever the statement
//    is. PostgreSQL refuses it there (25006) if it does write.
// 2. What may write: the primary. Except in a read-only transaction, where it cannot.
// 3. The session's route: primary, or a replica.
// 4. split_reads off: the primary.
// 5. A replica.
// "A replica" is one that serves reads, has replayed what the session wrote (Consistency
// kSession) and min_lsn. If replicas serve reads but none is as far: the primary. If none serves:
// the primary, or kNoReplica when NoReplica::kError says so, replicas are configured, and the
// request touches data.
class Router {
 public:
  Router(const config::Cluster& config, std::uint64_t seed);

  // access, hint: the request's most demanding statement (joined over a batch). Never allocates.
  Decision decide(sql::Access access, sql::Hint hint, const SessionView& session,
                  const cluster::Snapshot& snapshot, std::span<const HostLoad> load);

 private:
  Decision replica(sql::Access access, const char* why, const SessionView& session,
                   const cluster::Snapshot& snapshot, std::span<const HostLoad> load);

  const config::Cluster& config_;
  bool replicas_configured_;
  Balancer balancer_;
};

}  // namespace route
