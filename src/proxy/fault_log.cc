#include "proxy/fault_log.h"

#include <algorithm>

namespace proxy {

void FaultLog::add(Fault::Severity severity, const char* kind, std::string_view subject,
                   std::string_view what, base::WallTime now) {
  what = what.substr(0, kTextMax);
  const std::lock_guard lock(mutex_);
  const auto looked_at = static_cast<std::ptrdiff_t>(std::min(kLookedAt, faults_.size()));
  const auto same = std::find_if(
      faults_.rbegin(), faults_.rbegin() + looked_at,
      [&](const Fault& f) { return f.kind == kind && f.subject == subject && f.what == what; });
  if (same != faults_.rbegin() + looked_at) {
    ++same->times;
    same->last = now;
    return;
  }
  if (faults_.size() == kMax) faults_.pop_front();
  faults_.push_back({.severity = severity,
                     .kind = kind,
                     .subject = std::string(subject),
                     .what = std::string(what),
                     .times = 1,
                     .first = now,
                     .last = now});
}

std::vector<Fault> FaultLog::list() const {
  const std::lock_guard lock(mutex_);
  return {faults_.begin(), faults_.end()};
}

}  // namespace proxy
