// What a client is told when the server connection is lost on which its requests run: of each as
// much as is known, and what becomes of its transaction. Then the session may go on elsewhere.
//
// Sources: postgres.c (PostgresMain, exec_execute_message: only Sync commits a batch) and xact.c
// for what a transaction block that has failed still takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "session/exchange.h"
#include "sql/analysis.h"

namespace session {

enum class Outcome : std::uint8_t {
  // Errors:
  kUnknown,     // it may have been carried out: 08007
  kNotDone,     // it changed nothing: 08006
  kRolledBack,  // it was in a transaction block, nothing of which is left: 40001
  kSkipped,     // behind that, or behind an earlier error, in the same block: 25P02
  // And not:
  kTold,   // it has been answered, but for ReadyForQuery
  kEnded,  // the block's end, which has come: answered as a ROLLBACK
  // A lone BEGIN, answered as if it had been done and the loss had come just behind it: its client
  // rolls back for an error of what runs in a transaction, but few do for one of BEGIN itself.
  kBegun,
};
constexpr bool is_error(Outcome outcome) { return outcome < Outcome::kTold; }

// To one request, which is owed(first) ... owed(end - 1).
struct Reply {
  Outcome outcome{};
  bool ready = true;  // followed by ReadyForQuery
  char status = 'I';  // of it
  std::size_t first = 0, end = 0;
};

struct Loss {
  std::vector<Reply> replies;
  bool in_block = false;  // the session stays in a transaction block that is lost
  bool told = false;      // and knows
  bool skips = false;  // it has been told in an open batch: all up to its Sync counts for nothing
  // A batch is open all of whose messages were answered: it is told with its next one.
  bool untold_batch = false;
  bool unknown = false;  // some outcome is
};

// `in_block`: a transaction block is open, as far as was answered. Not for an exchange that is
// lost() or uncertain().
Loss judge_loss(const Exchange& exchange, bool in_block);

// COMMIT, ROLLBACK, PREPARE TRANSACTION: what ends a block for good, also one that has failed.
bool ends_block(const sql::Statement& statement);

}  // namespace session
