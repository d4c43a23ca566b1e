#include "cluster/history.h"

#include <algorithm>
#include <cstdint>

namespace cluster {
namespace {

double share(std::uint64_t part, std::uint64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

void History::add(PrimarySample sample) {
  if (!samples_.empty()) {
    if (sample.asked <= samples_.back().asked) return;
    if (sample.lsn < samples_.back().lsn) samples_.clear();
  }
  // Of an idle primary only the ends of the idle time matter.
  const std::size_t n = samples_.size();
  if (n >= 2 && samples_[n - 1].lsn == sample.lsn && samples_[n - 2].lsn == sample.lsn) {
    samples_.back().asked = sample.asked;
  } else {
    samples_.push_back(sample);
  }
  while (samples_.size() > 2 && sample.asked - samples_[1].asked > cover_) samples_.pop_front();
  if (samples_.size() > kSamplesMax) thin();
}

// Takes every second sample out of the older half; done again and again, the distances double the
// further back they are, so that any time can be covered.
void History::thin() {
  const std::size_t half = samples_.size() / 2;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    if (i < half && i % 2 == 1) continue;
    samples_[kept++] = samples_[i];
  }
  samples_.resize(kept);
}

std::optional<Time> History::reached(Lsn lsn) const {
  const auto next = std::upper_bound(samples_.begin(), samples_.end(), lsn,
                                     [](Lsn l, const PrimarySample& s) { return l < s.lsn; });
  if (next == samples_.begin()) return std::nullopt;
  const PrimarySample& before = *std::prev(next);
  if (next == samples_.end()) return before.asked;
  const double part = share(lsn - before.lsn, next->lsn - before.lsn);
  const auto gap = static_cast<double>((next->asked - before.asked).count());
  return before.asked + Duration(static_cast<Duration::rep>(part * gap));
}

Lsn History::position_at(Time when) const {
  if (samples_.empty()) return 0;
  const auto next = std::upper_bound(samples_.begin(), samples_.end(), when,
                                     [](Time t, const PrimarySample& s) { return t < s.asked; });
  if (next == samples_.begin()) return samples_.front().lsn;
  const PrimarySample& before = *std::prev(next);
  if (next == samples_.end()) return before.lsn;
  const double part = share(static_cast<std::uint64_t>((when - before.asked).count()),
                            static_cast<std::uint64_t>((next->asked - before.asked).count()));
  // part < 1, yet the product of two rounded numbers may reach one past the end.
  const Lsn written = next->lsn - before.lsn;
  const double grown = part * static_cast<double>(written);
  return grown >= static_cast<double>(written) ? next->lsn : before.lsn + static_cast<Lsn>(grown);
}

std::vector<PrimarySample> History::excerpt(std::size_t count) const {
  const std::size_t size = samples_.size();
  if (size <= count) return {samples_.begin(), samples_.end()};
  std::vector<PrimarySample> result;
  result.reserve(count);
  const std::size_t recent = count - count / 2, older = count / 2;
  const std::size_t rest = size - recent;  // > older
  for (std::size_t i = 0; i < older; ++i) result.push_back(samples_[i * rest / older]);
  for (std::size_t i = rest; i < size; ++i) result.push_back(samples_[i]);
  return result;
}

}  // namespace cluster
