#include "cluster/snapshot.h"

#include <algorithm>

namespace cluster {

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kUnknown:
      return "unknown";
    case Role::kPrimary:
      return "primary";
    case Role::kReplica:
      return "replica";
  }
  return "";
}

std::string_view state_name(HostState state) {
  switch (state) {
    case HostState::kUnknown:
      return "unknown";
    case HostState::kUp:
      return "up";
    case HostState::kLagging:
      return "lagging";
    case HostState::kDown:
      return "down";
    case HostState::kRefused:
      return "refused";
    case HostState::kFenced:
      return "fenced";
  }
  return "";
}

Lsn Snapshot::position_after(Time commit) const {
  const auto first = std::lower_bound(primary_history.begin(), primary_history.end(), commit,
                                      [](const PrimarySample& s, Time t) { return s.asked < t; });
  return first == primary_history.end() ? 0 : first->lsn;
}

}  // namespace cluster
