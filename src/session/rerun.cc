#include "session/rerun.h"

namespace session {

void Rerun::sent(protocol::Bytes request, Request kind) {
  if (!kept_) return;
  if (alone_ || bytes_.size() + request.size() > kMaxBytes) return sent_other();
  bytes_.append(request);
  ends_.push_back(bytes_.size());
  reads_ = reads_ && kind.read;
  leaves_nothing_ = leaves_nothing_ && (kind.read || kind.undone);
  bound_ = bound_ || kind.bound;
  alone_ = kind.alone;
}

void Rerun::sent_other() {
  bytes_.clear();
  ends_.clear();
  kept_ = false;
}

void Rerun::answered() { answered_ = true; }

void Rerun::ended() {
  answered_ = false;
  if (ends_.empty()) return;
  const std::size_t first = ends_.front();
  ends_.erase(ends_.begin());
  for (std::size_t& end : ends_) end -= first;
  bytes_.consume(first);
}

void Rerun::clear() {
  bytes_.clear();
  ends_.clear();
  kept_ = reads_ = leaves_nothing_ = true;
  answered_ = bound_ = alone_ = false;
}

}  // namespace session
