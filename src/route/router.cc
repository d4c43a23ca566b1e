#include "route/router.h"

#include <algorithm>

namespace route {
namespace {

using cluster::Lsn;
using cluster::Snapshot;

Decision primary(const char* why, const Snapshot& snapshot) {
  if (snapshot.primary < 0) return {Target::kNoPrimary, -1, why};
  return {Target::kPrimary, snapshot.primary, why};
}

bool any_serves_reads(const Snapshot& snapshot) {
  return std::any_of(snapshot.hosts.begin(), snapshot.hosts.end(),
                     [](const cluster::Host& host) { return host.reads; });
}

// A lone host is the primary, unless it is said to be a replica.
bool has_replicas(const config::Cluster& config) {
  const auto n = std::count_if(config.hosts.begin(), config.hosts.end(), [](const auto& host) {
    return host.role != config::HostRole::kPrimary;
  });
  return config.hosts.size() > 1 ? n > 0 : n > 0 && config.hosts[0].role != config::HostRole::kAuto;
}

}  // namespace

Router::Router(const config::Cluster& config, std::uint64_t seed)
    : config_(config), replicas_configured_(has_replicas(config)), balancer_(config, seed) {}

Decision Router::decide(sql::Access access, sql::Hint hint, const SessionView& session,
                        const Snapshot& snapshot, std::span<const HostLoad> load) {
  const bool may_write = access == sql::Access::kWrite;
  switch (hint) {
    case sql::Hint::kPrimary:
      return primary(reason::kHint, snapshot);
    case sql::Hint::kReplica:
      return replica(access, reason::kHint, session, snapshot, load);
    case sql::Hint::kNone:
      break;
  }
  if (may_write && !session.read_only_transaction) return primary(reason::kWrite, snapshot);
  switch (session.route) {
    case sql::Hint::kPrimary:
      return primary(reason::kRoute, snapshot);
    case sql::Hint::kReplica:
      return replica(access, reason::kRoute, session, snapshot, load);
    case sql::Hint::kNone:
      break;
  }
  if (!config_.routing.split_reads) return primary(reason::kNoSplit, snapshot);
  const char* why = access == sql::Access::kNone ? reason::kNoData
                    : may_write                  ? reason::kReadOnly
                                                 : reason::kRead;
  return replica(access, why, session, snapshot, load);
}

Decision Router::replica(sql::Access access, const char* why, const SessionView& session,
                         const Snapshot& snapshot, std::span<const HostLoad> load) {
  Lsn own = 0;
  const bool wrote = session.last_commit != base::Time{} &&
                     config_.routing.consistency == config::Consistency::kSession;
  if (wrote) own = snapshot.position_after(session.last_commit);
  if (!wrote || own != 0) {
    const Lsn at_least = std::max(own, session.min_lsn);
    const int host = balancer_.pick(snapshot, load, at_least, session.client_hash);
    if (host >= 0) return {Target::kReplica, host, why};
  }
  if (any_serves_reads(snapshot)) {
    const bool by_own = wrote && (own == 0 || own >= session.min_lsn);
    return primary(by_own ? reason::kOwnWrites : reason::kMinLsn, snapshot);
  }
  if (!replicas_configured_) return primary(reason::kNoneConfigured, snapshot);
  if (config_.routing.no_replica == config::NoReplica::kError && access != sql::Access::kNone) {
    return {Target::kNoReplica, -1, reason::kNoReplica};
  }
  return primary(reason::kNoReplica, snapshot);
}

}  // namespace route
