// The ledger of what one leased server connection still owes: every message sent to it is expected
// to be answered, and each answer is forwarded to the client, swallowed, or made up by us.
//
// Flow of calls: expect() for each message *before* it is written to the server; on_server() for
// each message the server sends; after every call of either, take_made_up() until it is empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/bytes.h"
#include "sql/analysis.h"

namespace session {

enum class Expect : std::uint8_t {
  kParse, kBind, kDescribe, kExecute, kClose,
  kSync,          // ends a batch; answered by ReadyForQuery
  kQuery,         // simple; ends with ReadyForQuery
  kFunctionCall,  // ends with ReadyForQuery
  kCopyEnd,       // CopyDone or CopyFail; no answer of its own
};
enum class Fate : std::uint8_t {
  kForward,  // the client sees the answer
  kSwallow,  // injected by us: the client sees nothing of it, not even an error
  kMakeUp,   // never sent: we answer in its turn (ParseComplete, CloseComplete, or an error)
};

struct Entry {
  Expect what{};
  Fate fate = Fate::kForward;
  std::uint64_t statement = 0;  // kParse, kClose: PreparedStatement::id; 0 = none of ours
  sql::AnalysisPtr analysis;    // kQuery, kExecute: null when plain (nothing to track)
  std::uint32_t note = 0;       // the caller's own mark
};

// What a server's message means.
struct Step {
  bool forward = false;   // relay it to the client
  bool ready = false;     // it was a ReadyForQuery; status() is new
  bool failed = false;    // it was an ErrorResponse; dropped() holds what it cancelled
  bool unexpected = false;  // nothing owed could be answered by this: close the server
  // A CommandComplete, EmptyQueryResponse or PortalSuspended that ended statement number
  // `statement_index` of entry's text (0 for an Execute); -1 for all other messages.
  int statement_index = -1;
  // The entry it belongs to; null for a message outside any (notice while idle ...). Valid until
  // the next non-const call.
  const Entry* entry = nullptr;
  bool entry_done = false;  // the entry has left the ledger
};

class Exchange {
 public:
  void expect(Entry entry);

  // type and body of a server's message. The body is looked at for ReadyForQuery only; DataRow
  // and CopyData may be passed with a body that is not complete, or empty.
  Step on_server(char type, protocol::Bytes body);

  // The next entry whose reply must now be written by the caller, in order; nullopt = none.
  std::optional<Entry> take_made_up();

  // Entries that the last failing Step skipped (up to, not with, the next kSync), in order.
  const std::vector<Entry>& dropped() const { return dropped_; }

  char status() const { return status_; }  // 'I', 'T', 'E': of the latest ReadyForQuery
  bool in_copy_in() const { return copy_in_; }
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }
  // Messages of a batch were sent and no Sync behind them yet.
  bool batch_open() const { return batch_open_; }
  // Nothing owed, no batch open, not in a transaction: the server may serve another client.
  bool releasable() const;
  // True while what is at the head of the ledger is swallowed: the client did not ask for it.
  bool swallowing() const;
  void reset();  // as new; for a server that was lost
  void invariants() const;

 private:
  Entry& at(std::size_t i) { return ring_[(head_ + i) & (ring_.size() - 1)]; }
  const Entry& at(std::size_t i) const { return ring_[(head_ + i) & (ring_.size() - 1)]; }

  std::vector<Entry> ring_;  // power of two; grows; no allocation in steady state
  std::size_t head_ = 0, count_ = 0;
  std::vector<Entry> dropped_;
  Entry finished_;           // what Step::entry points at once it left the ring
  int statement_index_ = 0;  // statements of the head kQuery that have ended
  char status_ = 'I';
  bool batch_open_ = false, copy_in_ = false, failed_ = false;
};

}  // namespace session
