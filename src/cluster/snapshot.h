// What is known about the hosts of one cluster at one moment: immutable, published to all workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "cluster/breaker.h"
#include "config/config.h"
#include "protocol/lsn.h"

namespace cluster {

using base::Duration;
using base::Time;
using protocol::Lsn;

enum class Role : std::uint8_t { kUnknown, kPrimary, kReplica };
enum class HostState : std::uint8_t {
  kUnknown,  // never answered yet
  kUp,
  kLagging,  // a replica beyond the lag limits, or not yet back within the lower ones
  kDown,     // refused, timed out, or broke off
  kRefused,  // answers, but must not be used: wrong role for its config, an old timeline, ...
  kFenced,   // the same of one that would take writes: an old or a second primary, a host of
             // another cluster. Workers close what is open there.
};

// The words that logs, the console and the metrics use for them.
std::string_view role_name(Role role);         // "primary", "replica", "unknown"
std::string_view state_name(HostState state);  // "up", "lagging", "down" ...

struct Host {
  std::string name;            // as configured, same order and index as config::Cluster::hosts
  Role role = Role::kUnknown;  // what it last said it is, also while down or refused
  HostState state = HostState::kUnknown;
  std::string why;       // for people: "lag 1500 ms over 1000 ms", "connection refused"
  Lsn lsn = 0;           // primary: current WAL position; replica: replayed position
  Lsn received_lsn = 0;  // replica only
  std::uint32_t timeline = 0;
  std::int64_t lag_ms = -1;  // -1 = unknown, never treated as fresh; primary: 0
  std::int64_t lag_bytes = -1;
  Time sampled{};      // when the last good answer was asked for
  bool reads = false;  // a replica that may serve reads now
  double share = 1;    // of its weight, 0..1: less behind, and while its return is recent
  Breaker::State breaker = Breaker::State::kClosed;  // half-open: one read at a time
  // An operator's words.
  bool banned = false;               // no new reads; as the primary none in place of a replica
  std::optional<Time> banned_until;  // nullopt = not banned, or without an end
  bool paused = false;  // no new requests at all; as the primary it is as if there were none
  double weight = 0;    // counts in place of the configured one; 0 = none was set
};

// One position of the primary: it had written (at least) lsn when asked at `asked`.
struct PrimarySample {
  Time asked{};
  Lsn lsn = 0;
};

struct Snapshot {
  std::uint64_t version = 0;  // grows with each publication
  std::vector<Host> hosts;
  int primary = -1;  // index into hosts; -1 = none usable
  int chosen = -1;   // the one that an operator chose, be it usable or not; -1 = none
  // Positions of the primary, or of the last one while there is none, oldest first: the latest as
  // they came, older ones spread over at least max(10 s, 4 * lag_max). At most kHistoryShown.
  static constexpr std::size_t kHistoryShown = 32;
  std::vector<PrimarySample> primary_history;

  // The first position in primary_history that was not asked for before `commit`: a replica that
  // has replayed it shows everything committed by then. 0 = no such sample yet.
  Lsn position_after(Time commit) const;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace cluster
