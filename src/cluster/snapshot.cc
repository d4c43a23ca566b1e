#include "cluster/snapshot.h"

#include <algorithm>

namespace cluster {

Lsn Snapshot::position_after(Time commit) const {
  const auto first = std::lower_bound(primary_history.begin(), primary_history.end(), commit,
                                      [](const PrimarySample& s, Time t) { return s.asked < t; });
  return first == primary_history.end() ? 0 : first->lsn;
}

}  // namespace cluster
