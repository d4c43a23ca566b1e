// What a statement text is: what it may do, what it does to session state, what it names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sql {

// Ordered: a text of several statements counts as its most demanding one.
enum class Access : std::uint8_t {
  kNone,   // touches no data: SET, SHOW of a setting, BEGIN, empty text
  kRead,   // cannot write, by grammar and by the list of functions
  kWrite,  // writes, may write, is not understood, or asks about the primary itself
};

enum class Verb : std::uint8_t {  // of one statement; only what someone acts upon has its own
  kOther,
  kSelect,
  kBegin,     // BEGIN, START TRANSACTION
  kCommit,    // COMMIT, END (also AND CHAIN)
  kRollback,  // ROLLBACK, ABORT (also AND CHAIN)
  kSavepoint,
  kRelease,
  kRollbackTo,
  kPrepareTransaction,
  kSetTransaction,  // SET TRANSACTION, SET SESSION CHARACTERISTICS
  kSet,             // SET name TO value; also SET TIME ZONE, SET NAMES, SET ROLE ...
  kReset,
  kResetAll,
  kShow,
  kDiscardAll,
  kDiscardOther,  // DISCARD PLANS | SEQUENCES | TEMP
  kPrepare,
  kExecute,  // SQL level
  kDeallocate,
  kDeallocateAll,
  kDeclareHold,  // DECLARE ... WITH HOLD
  kCloseCursor,
  kCloseAllCursors,
  kListen,
  kUnlisten,
  kUnlistenAll,
  kNotify,
  kCopyIn,
  kCopyOut,
  kCreateTemp,  // temporary table, view, sequence; SELECT INTO TEMP
  kLoad,
  kDdl,         // CREATE, ALTER, DROP ...: catalogs change
  kVacuumLike,  // cannot run inside a transaction block (VACUUM, CREATE DATABASE, ...)
  kCall,        // CALL, DO: the only others that may commit by themselves
};

// State that a statement may leave behind on its server connection beyond its transaction, and
// which Weir cannot carry to another one. Bits.
enum Residue : std::uint16_t {
  kNoResidue = 0,
  kTempObject = 1 << 0,
  kAdvisoryLock = 1 << 1,  // session level: pg_advisory_lock and friends
  kHoldCursor = 1 << 2,
  kListening = 1 << 3,
  kSqlPrepared = 1 << 4,    // PREPARE
  kSequenceState = 1 << 5,  // nextval, setval: a later currval or lastval asks for it
  kRandomSeed = 1 << 6,     // setseed
  kLoadedLibrary = 1 << 7,  // LOAD
  kOpaque = 1 << 8,         // DO, CALL, a function that is no built-in: may have set anything
  kUnreadable = 1 << 9,     // text not analysed whose words hint at state
  kBackendPid = 1 << 10,    // pg_backend_pid() was told: it shall stay true
  kSequenceAsk = 1 << 11,   // currval, lastval: of what this session did last
  kChannelsAsk = 1 << 12,   // pg_listening_channels: likewise of the session
  kSessionsAsk = 1 << 14,   // pg_stat_database: how many sessions there were, this one among them
  // Beside kOpaque: may have set what no source names; if the call's own text and parameters do
  // not either, nobody can ask for it.
  kUnnamedSetting = 1 << 13,
};

struct SetStatement {
  std::string name;    // lower case; "role", "session_authorization", "timezone" ...
  bool local = false;  // SET LOCAL, set_config(..., true)
  bool reset = false;  // RESET name, SET name TO DEFAULT
  // What sets it again on another connection: the text behind "SET name", e.g.
  // "TO 'a', b" or "FROM CURRENT" never (that is residue kOpaque). Quoted so that it can be
  // replayed as it stands: "SET <quoted name> <value_sql>". "" when reset.
  std::string value_sql;
  // The same as one plain string when it is one constant (SET x TO 'v' gives v), else nullopt.
  std::optional<std::string> value;
};

struct Statement {
  Verb verb = Verb::kOther;
  Access access = Access::kWrite;
  std::uint16_t residue = kNoResidue;
  bool may_advance = true;  // a sequence, if it writes: in a default, a trigger ...
  // DEALLOCATE, PREPARE, EXECUTE and CREATE TABLE AS it, DECLARE, CLOSE, LISTEN, SAVEPOINT...
  std::string name;
  std::vector<SetStatement> sets;  // SET, RESET, or SELECT set_config('a', 'b', false)
  // BEGIN, SET TRANSACTION: what they say; nullopt = not said.
  std::optional<bool> read_only, deferrable;
  std::optional<std::string> isolation;  // lower case: "serializable" ...
  bool chain = false;                    // COMMIT AND CHAIN
  bool start = false;                    // START TRANSACTION, which is a BEGIN of another tag
  bool sets_defaults = false;            // ALTER ROLE or ALTER DATABASE ... SET, RESET
  // Of one that leaves a residue, for people: the beginning of its text, "$" for literals.
  static constexpr std::size_t kShownMax = 120;
  std::string shown;
};

enum class Hint : std::uint8_t { kNone, kPrimary, kReplica };  // /* weir: primary */
enum class Level : std::uint8_t {
  kNone,
  kEventual,
  kSession,
  kStrong
};  // weir: consistency=strong

// What a statement says of its own reading, in comments.
struct Hints {
  Hint route = Hint::kNone;
  Level level = Level::kNone;
  std::uint64_t min_lsn = 0;  // weir: min_lsn=0/16B3748; 0 = not said

  // Of several the most demanding one counts: the primary, the highest level and position.
  void join(const Hints& other);
  bool operator==(const Hints&) const = default;
};

struct Analysis {
  Access access = Access::kWrite;      // of the whole text
  std::uint16_t residue = kNoResidue;  // of the whole text, joined
  Hints hints;
  bool parsed = false;                // libpg_query understood it
  std::uint64_t shape = 0;            // equal for texts that differ in literals only; never 0
  std::string why;                    // for people: "INSERT", "function nextval may write" ...
  std::vector<Statement> statements;  // as written; empty for an empty text
  // What it names, as written, "schema.name" or "name"; each once, kNamesMax at most.
  static constexpr std::size_t kNamesMax = 64;
  std::vector<std::string> relations, functions;
  std::uint64_t catalog = 0;  // Catalog::key() of the one that it was judged by; 0 = none
  // Of AnalyzerOptions::patterns, those that it matches; and Patterns::id() of these.
  std::uint64_t patterns = 0, patterns_of = 0;
  // Also in a READ ONLY transaction: a standby refuses it (an unlogged table, LISTEN), answers it
  // otherwise (pg_is_in_recovery()), or would keep what it leaves (an advisory lock).
  bool primary_only = false;
  bool may_advance = true;        // as Statement has it, of one that writes
  bool unknown_function = false;  // names one that is neither built in nor in that catalog
  // Nothing but what `access` says: no transaction command, set, residue, deallocate ... so that
  // the hot path needs to look at nothing else.
  bool plain = false;

  // A replica has refused it: it counts as a write from then on. Kept by the one thread that has
  // it.
  mutable bool refused = false;

  const Statement* single() const { return statements.size() == 1 ? &statements[0] : nullptr; }
};

using AnalysisPtr = std::shared_ptr<const Analysis>;

}  // namespace sql
