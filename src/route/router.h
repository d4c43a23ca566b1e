// Where a request goes, and why.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/time.h"
#include "cluster/snapshot.h"
#include "config/config.h"
#include "route/balance.h"
#include "route/rules.h"
#include "sql/analysis.h"

namespace route {

enum class Target : std::uint8_t {
  kPrimary,
  kReplica,    // Decision::host
  kNoPrimary,  // needs the primary and there is none, or it is paused, or banned and could only
               // stand in
  kNoReplica,  // may only go to a replica and none is fit
  kAwait,      // look again when the hosts were sampled anew: a replica may prove fresh enough
};

// The level that a statement's comment asks for; nullopt = none.
std::optional<config::Consistency> level_of(sql::Level level);

// Whether a replica may serve the transaction that a BEGIN begins, by what it says and by the
// session's defaults. A standby knows no serializable ones.
bool may_begin_on_replica(const sql::Statement& begin, bool read_only_by_default,
                          std::string_view isolation_by_default);

// What the session adds to the statement's own needs.
struct SessionView {
  bool read_only_transaction = false;  // BEGIN READ ONLY, or default_transaction_read_only
  sql::Hint route = sql::Hint::kNone;  // SET weir.route, or the startup option
  config::Consistency consistency = config::Consistency::kSession;
  base::Time now{};
  Terms rules{};  // their consistency is in `consistency` already, or overruled: then unset
  cluster::Lsn min_lsn = 0;       // reads must see at least this, whatever the consistency
  std::uint64_t client_hash = 0;  // of its address, for kClientAddressHash

  // Of kSession and kStrong. {} = never, none.
  base::Time as_of{};          // reads must see what the primary had then: of the session's last
                               // commit or read there, or, if strong, of the request
  cluster::Lsn as_of_lsn = 0;  // how far the primary was behind that; 0 = not asked
  int host = -1;               // the replica where it read last, and when; later reads must not see
  base::Time host_as_of{};     // an earlier state
  cluster::Lsn host_lsn = 0;   // how far that replica was after that read; 0 = not asked
  base::Time kept_since{};     // since when its reads stay at that replica
  base::Time on_primary_since{};  // since when they go to the primary because they must be fresh
  base::Time awaiting_since{};    // since when this request has been answered kAwait
  base::Time no_await_before{};   // waiting was in vain lately
};

// All texts that Decision::reason can be. Arrays: a pointer to a literal would be another one in
// each source file, and they are compared by address.
namespace reason {
inline constexpr char kRead[] = "read";
inline constexpr char kNoData[] = "no data";  // SET, SHOW, BEGIN ...: any host will do
inline constexpr char kWrite[] = "write";
inline constexpr char kReadOnly[] = "read-only transaction";  // of a text that may write
inline constexpr char kHint[] = "hint";                       // the statement's own
inline constexpr char kRoute[] = "weir.route";                // the session's
inline constexpr char kRule[] = "rule";                       // Decision::rule's
inline constexpr char kNoSplit[] = "split_reads is off";
inline constexpr char kOwnWrites[] = "own writes";  // no replica is known to have them, or
                                                    // what the session has read on the primary
inline constexpr char kEarlierReads[] = "earlier reads";  // nor what it has read on a replica
inline constexpr char kStrong[] = "strong consistency";
inline constexpr char kMinLsn[] = "weir.min_lsn";  // no fit replica has replayed it yet
inline constexpr char kNoReplica[] = "no replica is fit";
inline constexpr char kNoneConfigured[] = "no replica is configured";
}  // namespace reason

struct Decision {
  Target target = Target::kPrimary;
  int host = -1;      // index into Snapshot::hosts; -1 for kNo... and kAwait
  bool kept = false;  // at the replica where it read last: the others are not known to be as far
  const char* reason = "";  // one of namespace reason; for kNoPrimary, why it needs the primary
  int rule = kNoRule;       // index into Config::rules of the one that had a say in it
};

// For people: "read", "rule reports", "no replica is fit (rule reports)".
std::string to_text(const Decision& decision, const config::Config& config);

// Whether the primary serves a read only because no replica is known to be as fresh as it must be.
inline bool is_for_freshness(const char* why) {
  return why == reason::kOwnWrites || why == reason::kEarlierReads || why == reason::kStrong ||
         why == reason::kMinLsn;
}

// One per worker and cluster: holds the round robin position and the random state. The config
// outlives it.
//
// The rules, first match decides:
// 1. The statement's own hint, an explicit word: primary; or a replica, whatever the statement
//    is. PostgreSQL refuses it there (25006) if it does write.
// 2. What may write: the primary. Except in a read-only transaction, where it cannot.
// 3. The session's route: primary, or a replica.
// 4. The first of the configuration's rules that says a route: the primary, or a replica.
// 5. split_reads off: the primary.
// 6. A replica.
// "A replica" is one that serves reads, is one of the hosts and within the lag that the rules say,
// and is known to be as fresh as the session's consistency and min_lsn demand. If replicas serve
// reads but none is known to be fresh enough: the primary, or first kAwait, see there. If none
// serves: the primary, or kNoReplica when NoReplica::kError says so, replicas are configured, and
// the request touches data. A primary that an operator has banned does not take a replica's place.
//
// Freshness is proven by positions alone. What was committed, or read on the primary, by a time is
// replayed where the first position that the primary was asked for after it is. What was read on a
// replica is there, and where its position after it is, or that of the primary. So a session that
// reads without a pause stays where it is, unless that host is asked for its position behind a
// read.
//
// kAwait, for at most kProof, when by its lag a replica should be fresh enough by now and only the
// proof is missing. Longer, up to consistency_wait, for a session that has read from the primary
// for as long as the rest of the wait would take: so waiting never costs more than twice what is
// best.
class Router {
 public:
  static constexpr base::Duration kProof = base::milliseconds(20);
  static constexpr base::Duration kLook = base::seconds(1);

  Router(const config::Cluster& config, std::uint64_t seed);

  bool has_replicas() const { return replicas_configured_; }

  struct Needs {
    cluster::Lsn at_least = 0;
    bool known = true;  // at_least says all but what was read on a replica
    // The replica where the session read last needs no more than this, and alone is known to be as
    // far as it was if `only_its_host`.
    cluster::Lsn of_primary = 0;
    bool only_its_host = false;
    const char* why = "";  // of the most demanding part
  };
  // How fresh a read of the session's must be.
  static Needs needs_of(const SessionView& session, const cluster::Snapshot& snapshot);

  // access, hint: the request's most demanding statement (joined over a batch). Never allocates.
  Decision decide(sql::Access access, sql::Hint hint, const SessionView& session,
                  const cluster::Snapshot& snapshot, std::span<const HostLoad> load);

 private:
  Decision replica(sql::Access access, const char* why, const SessionView& session,
                   const cluster::Snapshot& snapshot, std::span<const HostLoad> load);
  Decision any_replica(sql::Access access, const char* why, const SessionView& session,
                       const cluster::Snapshot& snapshot, std::span<const HostLoad> load);
  std::pair<int, bool> pick(const Needs& needs, const SessionView& session,
                            const cluster::Snapshot& snapshot, std::span<const HostLoad> load,
                            bool stays, std::uint64_t allowed);
  static bool should_look(const SessionView& session, const cluster::Snapshot& snapshot);
  bool should_await(const SessionView& session, const Needs& needs,
                    const cluster::Snapshot& snapshot, std::uint64_t allowed) const;

  const config::Cluster& config_;
  bool replicas_configured_;
  Balancer balancer_;
};

}  // namespace route
