#include "route/router.h"

#include <algorithm>
#include <limits>

namespace route {
namespace {

using cluster::Lsn;
using cluster::Snapshot;

Decision primary(const char* why, const Snapshot& snapshot) {
  const auto host = static_cast<std::size_t>(snapshot.primary);
  if (snapshot.primary < 0 || snapshot.hosts[host].paused) {
    return {.target = Target::kNoPrimary, .reason = why};
  }
  return {.target = Target::kPrimary, .host = snapshot.primary, .reason = why};
}

// In place of a replica: a banned primary serves only what nobody else may.
Decision stand_in(sql::Access access, const char* why, const Snapshot& snapshot) {
  const bool banned =
      snapshot.primary >= 0 && snapshot.hosts[static_cast<std::size_t>(snapshot.primary)].banned;
  if (banned && access != sql::Access::kNone) return {.target = Target::kNoPrimary, .reason = why};
  return primary(why, snapshot);
}

bool is_in(std::uint64_t hosts, std::size_t host) { return (hosts >> host & 1) != 0; }

bool any_serves_reads(const Snapshot& snapshot, std::uint64_t allowed) {
  for (std::size_t i = 0; i < snapshot.hosts.size(); ++i) {
    if (snapshot.hosts[i].reads && is_in(allowed, i)) return true;
  }
  return false;
}

// Which of the rules that spoke made the decision what it is.
Decision by_rule(Decision decision, const Terms& rules) {
  if (decision.reason == reason::kRule) {
    decision.rule = rules.route_rule;
  } else if (is_for_freshness(decision.reason) && rules.consistency_rule != kNoRule) {
    decision.rule = rules.consistency_rule;
  } else {
    decision.rule = rules.replica_rule != kNoRule ? rules.replica_rule : rules.consistency_rule;
  }
  return decision;
}

// A lone host is the primary, unless it is said to be a replica.
bool configures_replicas(const config::Cluster& config) {
  const auto n = std::count_if(config.hosts.begin(), config.hosts.end(), [](const auto& host) {
    return host.role != config::HostRole::kPrimary;
  });
  return config.hosts.size() > 1 ? n > 0 : n > 0 && config.hosts[0].role != config::HostRole::kAuto;
}

}  // namespace

std::string to_text(const Decision& decision, const config::Config& config) {
  if (decision.rule == kNoRule) return decision.reason;
  const std::string rule = "rule " + config.rules[static_cast<std::size_t>(decision.rule)].name;
  const std::string why = decision.reason;
  return why == reason::kRule ? rule : why + " (" + rule + ")";
}

std::optional<config::Consistency> level_of(sql::Level level) {
  switch (level) {
    case sql::Level::kEventual:
      return config::Consistency::kEventual;
    case sql::Level::kSession:
      return config::Consistency::kSession;
    case sql::Level::kStrong:
      return config::Consistency::kStrong;
    case sql::Level::kNone:
      break;
  }
  return std::nullopt;
}

bool may_begin_on_replica(const sql::Statement& begin, bool read_only_by_default,
                          std::string_view isolation_by_default) {
  const std::string_view isolation =
      begin.isolation ? std::string_view(*begin.isolation) : isolation_by_default;
  return begin.read_only.value_or(read_only_by_default) && isolation != "serializable";
}

Router::Router(const config::Cluster& config, std::uint64_t seed)
    : config_(config), replicas_configured_(configures_replicas(config)), balancer_(config, seed) {}

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
  switch (session.rules.route) {
    case sql::Hint::kPrimary:
      return by_rule(primary(reason::kRule, snapshot), session.rules);
    case sql::Hint::kReplica:
      return replica(access, reason::kRule, session, snapshot, load);
    case sql::Hint::kNone:
      break;
  }
  if (!config_.routing.split_reads) return primary(reason::kNoSplit, snapshot);
  const char* why = access == sql::Access::kNone ? reason::kNoData
                    : may_write                  ? reason::kReadOnly
                                                 : reason::kRead;
  return replica(access, why, session, snapshot, load);
}

Router::Needs Router::needs_of(const SessionView& session, const Snapshot& snapshot) {
  Needs needs{.at_least = session.min_lsn, .why = reason::kMinLsn};
  if (session.consistency == config::Consistency::kEventual) return needs;
  if (session.as_of != base::Time{}) {
    const Lsn then =
        session.as_of_lsn != 0 ? session.as_of_lsn : snapshot.position_after(session.as_of);
    needs.known = then != 0;
    if (then == 0 || then >= needs.at_least) {
      const bool strong = session.consistency == config::Consistency::kStrong;
      needs.why = strong ? reason::kStrong : reason::kOwnWrites;
    }
    needs.at_least = std::max(needs.at_least, then);
  }
  needs.of_primary = needs.at_least;
  const auto host = static_cast<std::size_t>(session.host);
  if (session.host < 0 || host >= snapshot.hosts.size()) return needs;
  const cluster::Host& its = snapshot.hosts[host];
  const Lsn there = session.host_lsn != 0               ? session.host_lsn
                    : its.sampled >= session.host_as_of ? its.lsn
                                                        : 0;
  const Lsn primary = snapshot.position_after(session.host_as_of);
  const Lsn seen = there != 0 && primary != 0 ? std::min(there, primary) : std::max(there, primary);
  needs.only_its_host = seen == 0;
  if (needs.known && (seen == 0 || seen > needs.at_least)) needs.why = reason::kEarlierReads;
  needs.at_least = std::max(needs.at_least, seen);
  return needs;
}

// The host, and whether the session is kept there. -1 = none is known to be fresh enough.
std::pair<int, bool> Router::pick(const Needs& needs, const SessionView& session,
                                  const Snapshot& snapshot, std::span<const HostLoad> load,
                                  bool stays, std::uint64_t allowed) {
  if (!needs.known) return {-1, false};
  if (!needs.only_its_host) {
    const int any = balancer_.pick(snapshot, load, needs.at_least, session.client_hash,
                                   stays ? session.now : base::Time{}, allowed);
    if (any >= 0) return {any, false};
  }
  const auto host = static_cast<std::size_t>(session.host);
  const bool eventual = session.consistency == config::Consistency::kEventual;
  if (eventual || session.host < 0 || host >= snapshot.hosts.size()) return {-1, false};
  const cluster::Host& its = snapshot.hosts[host];
  // A probe is one read, not a session's.
  const bool half_open = its.breaker == cluster::Breaker::State::kHalfOpen;
  const bool fits = its.reads && !half_open && is_in(allowed, host) && its.lsn >= needs.of_primary;
  return {fits ? session.host : -1, true};
}

// A session that is kept, and has just been told how far its replica is, asks the others now and
// then whether they are, too.
bool Router::should_look(const SessionView& session, const Snapshot& snapshot) {
  if (session.host_lsn == 0 || session.now - session.kept_since < kLook ||
      session.now < session.no_await_before) {
    return false;
  }
  return session.awaiting_since == base::Time{} ||
         (session.now - session.awaiting_since < kProof &&
          std::ranges::any_of(
              snapshot.hosts,
              [&](const cluster::Host& host) {
                return host.reads && host.sampled < session.awaiting_since;
              }));
}

bool Router::should_await(const SessionView& session, const Needs& needs, const Snapshot& snapshot,
                          std::uint64_t allowed) const {
  if (session.now < session.no_await_before) return false;
  std::int64_t lag_ms = std::numeric_limits<std::int64_t>::max();
  bool looked = needs.known && session.awaiting_since != base::Time{};  // sampled since, all
  for (std::size_t i = 0; i < snapshot.hosts.size(); ++i) {
    const cluster::Host& host = snapshot.hosts[i];
    if (!host.reads || !is_in(allowed, i)) continue;
    if (host.lag_ms >= 0) lag_ms = std::min(lag_ms, host.lag_ms);
    looked = looked && host.sampled >= session.awaiting_since;
  }
  const base::Duration waited = session.awaiting_since == base::Time{}
                                    ? base::Duration{}
                                    : session.now - session.awaiting_since;
  const base::Time of = std::max(session.as_of, session.host_as_of);
  const base::Duration age = session.now - of;
  if (lag_ms <= base::to_ms(age)) return !looked && waited < kProof;
  const base::Duration wait = config_.routing.consistency_wait;
  if (lag_ms > base::to_ms(wait)) return false;
  const base::Duration rest = base::milliseconds(lag_ms) - age;
  const bool paid =
      session.on_primary_since != base::Time{} && session.now - session.on_primary_since >= rest;
  return paid && waited < wait;
}

Decision Router::replica(sql::Access access, const char* why, const SessionView& session,
                         const Snapshot& snapshot, std::span<const HostLoad> load) {
  return by_rule(any_replica(access, why, session, snapshot, load), session.rules);
}

Decision Router::any_replica(sql::Access access, const char* why, const SessionView& session,
                             const Snapshot& snapshot, std::span<const HostLoad> load) {
  const std::uint64_t allowed = allowed_hosts(session.rules, snapshot);
  const Needs needs = needs_of(session, snapshot);
  const bool stays =
      access != sql::Access::kNone && session.consistency != config::Consistency::kEventual;
  const auto [host, kept] = pick(needs, session, snapshot, load, stays, allowed);
  if (host >= 0) {
    if (kept && should_look(session, snapshot)) return {.target = Target::kAwait, .reason = why};
    return {.target = Target::kReplica, .host = host, .kept = kept, .reason = why};
  }
  if (any_serves_reads(snapshot, allowed)) {
    if (access != sql::Access::kNone && should_await(session, needs, snapshot, allowed)) {
      return {.target = Target::kAwait, .reason = needs.why};
    }
    return stand_in(access, needs.why, snapshot);
  }
  if (!replicas_configured_) return stand_in(access, reason::kNoneConfigured, snapshot);
  if (config_.routing.no_replica == config::NoReplica::kError && access != sql::Access::kNone) {
    return {.target = Target::kNoReplica, .reason = reason::kNoReplica};
  }
  return stand_in(access, reason::kNoReplica, snapshot);
}

}  // namespace route
