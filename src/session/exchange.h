// The ledger of what one leased server connection still owes: every message sent to it is expected
// to be answered, and each answer is forwarded to the client, swallowed, or made up by us.
//
// Flow of calls: expect() for each message *before* it is written to the server; on_server() for
// each message the server sends; after every call of either, take_made_up() until it is empty.
//
// The rules are those of PostgreSQL's main loop (postgres.c, PostgresMain) and of its reader of
// copy data (copyfromparse.c, CopyGetData):
// - After an error in Parse, Bind, Describe, Execute or Close the server reads and ignores all up
//   to the next Sync, a Query included.
// - While COPY FROM STDIN reads, Flush and Sync are ignored, and anything else but CopyData,
//   CopyDone and CopyFail is the end of the connection. A driver that sends Sync together with
//   the Execute of a COPY therefore gets no ReadyForQuery for it.
// - CopyData, CopyDone and CopyFail outside of a COPY are ignored.
// - If such a COPY fails, whether it had read the Syncs sent so far cannot be known from outside:
//   each may or may not be answered. Until that shows itself the exchange is uncertain(). With
//   other messages behind them (which would have cost the client its connection, had the COPY not
//   failed) even what is owed for those is unknown, and the connection is given up.
// Replication (CopyBothResponse) is not for this ledger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/bytes.h"
#include "sql/analysis.h"

namespace session {

enum class Expect : std::uint8_t {
  kParse,
  kBind,
  kDescribe,
  kExecute,
  kClose,
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
  // kQuery, kExecute, kDescribe of a portal: null when plain (nothing to track)
  sql::AnalysisPtr analysis;
  std::uint32_t note = 0;     // the caller's own mark
  std::uint64_t counted = 0;  // likewise: what its answer counts for
  // kMakeUp of a kParse ... kClose: the reply will be an ErrorResponse, so that from here to the
  // next kSync everything is skipped. The server knows nothing of it: what was sent before it in
  // the same batch stays done, and a transaction does not fail. Where that matters, let the
  // server itself fail instead.
  bool error = false;
  bool single = false;     // kQuery: known to be one statement
  bool may_write = false;  // it may change what others see; of a kSync: or what its batch did
};

// What a server's message means.
struct Step {
  bool forward = false;  // relay it to the client
  bool ready = false;    // it was a ReadyForQuery; status() is new
  // It was an ErrorResponse; dropped() holds what it cancelled. With no entry: the server says
  // why it is going to close (a timeout while idle in a transaction, a shutdown).
  bool failed = false;
  // Nothing owed could be answered by this, or what is owed cannot be known any more: close the
  // server (an error may still be the client's: forward).
  bool unexpected = false;
  // A CommandComplete, EmptyQueryResponse or PortalSuspended that ended statement number
  // `statement_index` of entry's text (0 for an Execute); -1 for all other messages.
  int statement_index = -1;
  // The entry it belongs to, for a notice the one being worked on; null for a message outside
  // any (notice while idle ...). Valid until the next non-const call.
  const Entry* entry = nullptr;
  bool entry_done = false;  // the entry has left the ledger
};

class Exchange {
 public:
  // False: a failure before it has already cancelled it, do not send the message. Always true
  // for a kSync. (A kCopyEnd when nothing is owed is refused too: the server would ignore it.)
  // Behind a failed COPY it may be unknown whether the server skips what precedes the client's
  // next Sync. To send it then costs the connection: the next answer is unexpected.
  bool expect(Entry&& entry);

  // type and body of a server's message. The body is looked at for ReadyForQuery only; DataRow
  // and CopyData may be passed with a body that is not complete, or empty. ParameterStatus and
  // notices follow the fate of the entry being worked on, notifications are always forwarded.
  Step on_server(char type, protocol::Bytes body);

  // The next entry whose reply must now be written by the caller, in order; nullopt = none.
  std::optional<Entry> take_made_up();
  bool made_up_next() const { return count_ != 0 && at(0).fate == Fate::kMakeUp; }

  // Entries that the last failing Step skipped (up to, not with, the next kSync), in order.
  const std::vector<Entry>& dropped() const { return dropped_; }

  char status() const { return status_; }  // 'I', 'T', 'E': of the latest ReadyForQuery
  // From CopyInResponse to CopyDone, CopyFail or an error: the client's CopyData is awaited.
  bool in_copy_in() const { return copy_in_; }
  // The copy data of an Execute has ended, its result is not here. It comes with the next Flush or
  // Sync that the server reads: those sent before the end it has ignored.
  bool copy_in_ended() const {
    return phase_ == Phase::kCopyIn && !copy_in_ && at(0).what == Expect::kExecute;
  }
  // The same, and nothing was sent behind it that would make the server say so.
  bool copy_in_unsaid() const { return copy_in_ended() && count_ == 2 + copy_syncs(); }
  // A client has sent more than Syncs behind an Execute whose COPY reads: the server takes none of
  // it for what it is.
  bool copy_in_overrun() const {
    return copy_in_ && at(0).what == Expect::kExecute && count_ != 1 + copy_syncs();
  }
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }  // bounded by the caller: it stops reading
  // What is owed, oldest first.
  const Entry& owed(std::size_t i) const { return at(i); }
  // Of the oldest: nothing of its answer has come; only ReadyForQuery is left of it, behind an
  // error; how many statements of its text have ended.
  bool head_untouched() const { return phase_ == Phase::kFresh && statement_index_ == 0; }
  bool head_failed() const { return phase_ == Phase::kFailed; }
  int statements_ended() const { return statement_index_; }
  // So many Syncs right behind an Execute at the head are ignored, for its COPY reads.
  std::size_t ignored_syncs() const;
  // From a failure (seen, or to be made up) in a batch until its kSync is expected.
  bool skipping() const { return skip_ != Skip::kNothing; }
  // Messages of a batch were sent and no Sync behind them yet.
  bool batch_open() const { return batch_open_ || skipping(); }
  // Nothing owed, no batch open, not in a transaction: the server may serve another client.
  bool releasable() const;
  // The same, but that answers may be owed which the client will not see (Fate::kSwallow).
  bool client_answered() const;
  // Up to so many more ReadyForQuery than owed may come. Any answer to a later message settles
  // it; to settle it at once send an empty Query and expect it with Fate::kSwallow. Make nothing
  // up meanwhile: its turn is not known.
  bool uncertain() const { return maybe_ready_ > 0; }
  // What is owed is not known any more: the next answer will be unexpected, close the server.
  bool lost() const { return lost_; }
  // True while what is at the head of the ledger is swallowed: the client did not ask for it.
  bool swallowing() const;
  void reset();  // as new; for a server that was lost
  void invariants() const;

 private:
  enum class Phase : std::uint8_t {
    kFresh,     // nothing has answered the head yet
    kAnswered,  // a statement of it, or the function call, has ended
    kCopyIn,    // CopyInResponse was its last word: the server reads copy data
    kCopyOut,   // CopyOutResponse was its last word
    kFailed,    // a kQuery, kFunctionCall or kSync of which only ReadyForQuery is left
  };
  enum class Skip : std::uint8_t {
    kNothing,
    kByServer,  // it failed: it ignores all up to the next Sync
    kByUs,      // an error of ours is in the ledger, or was taken from it
  };
  enum class Answer : std::uint8_t { kWrong, kMore, kStatementEnd, kEntryEnd };

  Entry& at(std::size_t i) { return ring_[(head_ + i) & (ring_.size() - 1)]; }
  const Entry& at(std::size_t i) const { return ring_[(head_ + i) & (ring_.size() - 1)]; }
  void push(Entry&& entry);
  void pop();         // the head, into finished_
  void start_head();  // a new head: nothing is known of it
  void grow();

  Step on_error();
  Step on_ready(protocol::Bytes body);
  Step on_notice(char type) const;
  Answer classify(char type) const;
  void note_phase(char type);
  std::size_t copy_syncs() const;  // kSyncs right behind the head
  void remove_behind_head(std::size_t n);
  bool end_copy_in();  // CommandComplete of a COPY; false = impossible
  void fail_copy_in();
  bool ends_batch() const;  // some entry does
  void fail_batch();

  std::vector<Entry> ring_;  // power of two; grows; no allocation in steady state
  std::size_t head_ = 0, count_ = 0;
  std::vector<Entry> dropped_;
  Entry finished_;               // what Step::entry points at once it left the ring
  std::size_t maybe_ready_ = 0;  // Syncs that a failed COPY may or may not have read

  // The head of the ledger.
  Phase phase_ = Phase::kFresh;
  int statement_index_ = 0;  // statements of it that have ended

  char status_ = 'I';
  bool batch_open_ = false, copy_in_ = false;
  bool batch_may_write_ = false;  // something of the batch that is being sent
  Skip skip_ = Skip::kNothing;
  bool lost_ = false;  // what is owed is unknown: the connection must be closed
};

}  // namespace session
