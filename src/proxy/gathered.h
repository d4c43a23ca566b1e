// What is known of the request that a client sends, once its messages are looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "route/rules.h"
#include "sql/analysis.h"

namespace proxy {

// It is at the front of the client's input.
struct Gathered {
  std::size_t bytes = 0;  // whole messages looked at
  sql::Access access = sql::Access::kNone;
  sql::Hints hints;
  std::uint64_t patterns = 0;     // Analysis::patterns, joined,
  std::uint64_t patterns_of = 0;  // and of which they are
  const char* reason = nullptr;   // why it goes where it goes; null = it was not routed
  int rule = route::kNoRule;      // that had a say in it, as Decision has it
  bool begins = false;            // has a BEGIN,
  bool does_more = false;         // and something else,
  bool reads = false;             // which takes a snapshot
  bool primary_only = false;      // as Analysis has it,
  bool may_advance = false;       // likewise
  bool needs_primary = false;     // whatever it accesses: opens a transaction that may write
  bool plain = true;              // no message changes session state
  bool only_set = false;          // one SET and nothing else
  bool needs_new = false;         // to be on a connection that nobody has used
  bool asks_sequence = false;     // where this session wrote last
  bool asks_lsn = false;          // SHOW weir.lsn
  bool raises = false;            // sets what reads behind it are to be fresher by
  bool listens = false;           // has a LISTEN,
  bool does_else = false;         // and what is none
  bool only_listens() const { return listens && !does_else; }
  bool complete = false;             // ends with Query, Sync, FunctionCall or Flush
  bool attached = false;             // the server at hand was found for it
  bool large = false;                // must be sent before it is whole
  bool flush = false, sync = false;  // what it ends with
  bool empty_batch = false;          // a Sync or Flush and nothing else
  bool runs = false;                 // has a Bind or an Execute
  bool closes = false;               // a named statement
  bool names = false;                // prepares a named one
  bool judged = true;                // all it has by what the database says of its objects
  std::uint32_t binds = 0, executes = 0;
  std::uint64_t shape = 0;     // of the statement that was looked at last
  std::uint64_t bound_id = 0;  // the named statement that was bound last; 0 = none of ours
  bool old_unnamed = false;    // binds an unnamed statement that it did not parse
  sql::AnalysisPtr analysis;   // of a Query
  sql::AnalysisPtr bound;      // of a BEGIN that was prepared before
  sql::AnalysisPtr last_parse;
  std::string last_parse_name;
};

}  // namespace proxy
