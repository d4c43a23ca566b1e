// Where the primary's WAL position was, and when: what lag is measured against.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "cluster/snapshot.h"

namespace cluster {

// Bounded: kSamplesMax samples that reach back at least `cover`, the older ones further apart.
// Between two samples the position is taken to grow evenly.
class History {
 public:
  static constexpr std::size_t kSamplesMax = 512;

  explicit History(Duration cover) : cover_(cover) {}

  // A sample not asked for after the newest one is ignored. One with a lower position than the
  // newest means that WAL was lost: all that was known before is forgotten.
  void add(PrimarySample sample);
  void clear() { samples_.clear(); }

  bool empty() const { return samples_.empty(); }
  std::size_t size() const { return samples_.size(); }
  const PrimarySample& oldest() const { return samples_.front(); }  // not empty
  const PrimarySample& newest() const { return samples_.back(); }   // not empty

  // The latest moment at which the primary had written no more than `lsn`, as far as known: the
  // age of this moment is the lag of a replica that has replayed `lsn`. nullopt: `lsn` lies before
  // all that is known, or nothing is.
  std::optional<Time> reached(Lsn lsn) const;
  // The primary's position at `when`, the nearest known one outside the history; 0 when empty.
  Lsn position_at(Time when) const;
  // At most `count` (>= 2) of the samples, oldest first: the newest half of them as they are, the
  // rest spread over what is older.
  std::vector<PrimarySample> excerpt(std::size_t count) const;

 private:
  void thin();

  Duration cover_;
  std::deque<PrimarySample> samples_;  // asked grows strictly, lsn never falls
};

}  // namespace cluster
