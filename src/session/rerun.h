// The requests in flight on one server connection, kept as the client sent them: while nothing of
// their answers has reached the client they can be run again elsewhere, unseen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "protocol/buffer.h"
#include "protocol/bytes.h"

namespace session {

class Rerun {
 public:
  static constexpr std::size_t kMaxBytes = 16u << 10;  // of all in flight; beyond it none is kept

  struct Request {
    bool read = false;    // to run it twice changes nothing
    bool bound = false;   // its client asked for just this kind of host
    bool alone = false;   // needs state that does not outlive the next request
    bool undone = false;  // whatever it does is undone when its connection is lost
  };
  // One whole request, which ends with a Query or a Sync, outside of any transaction or with all of
  // its transaction.
  void sent(protocol::Bytes request, Request kind);
  void sent_other();  // something that cannot be run again
  void answered();    // a part of the oldest one's answer goes to the client
  void ended();       // the oldest one's ReadyForQuery does
  void clear();       // nothing is in flight any more

  // All that is in flight is here, and the client has seen nothing of it.
  bool undecided() const { return kept_ && !answered_ && !ends_.empty(); }
  bool only_reads() const { return undecided() && reads_; }
  // May all be run again,
  bool after_loss() const { return undecided() && leaves_nothing_; }  // the connection being lost?
  // the oldest one having failed as a whole?
  bool after_error() const { return undecided() && (reads_ || ends_.size() == 1); }
  // the oldest one having failed for the host that it ran on?
  bool after_refusal() const { return only_reads() && !bound_; }
  protocol::Bytes bytes() const { return bytes_.view(); }

 private:
  protocol::Buffer bytes_;
  std::vector<std::size_t> ends_;  // of each request, counted from the first byte of bytes_
  bool kept_ = true, answered_ = false;
  // Of all together:
  bool reads_ = true, leaves_nothing_ = true, bound_ = false, alone_ = false;
};

}  // namespace session
