#include "session/pins.h"

#include <algorithm>

#include "base/utf8.h"

namespace session {
namespace {

constexpr std::size_t kStatementBytes = 200;

constexpr sql::Residue kAll[] = {
    sql::kTempObject,  sql::kAdvisoryLock,  sql::kHoldCursor, sql::kListening,
    sql::kSqlPrepared, sql::kSequenceState, sql::kRandomSeed, sql::kLoadedLibrary,
    sql::kOpaque,      sql::kUnreadable,    sql::kBackendPid, sql::kUnnamedSetting,
};

// `word` is lower case.
bool contains(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

}  // namespace

std::uint16_t Pins::reasons() const {
  unsigned joined = 0;
  for (const Pin& pin : pins_) joined |= pin.reason;
  return static_cast<std::uint16_t>(joined);
}

void Pins::add(std::uint16_t residue, base::Time now, std::string_view statement) {
  const std::uint16_t present = reasons();
  for (const sql::Residue reason : kAll) {
    if ((residue & reason) == 0 || (present & reason) != 0) continue;
    pins_.push_back({reason, now, std::string(base::utf8_front(statement, kStatementBytes))});
  }
}

void Pins::remove(std::uint16_t residue) {
  std::erase_if(pins_, [&](const Pin& pin) { return (pin.reason & residue) != 0; });
}

const char* reason_name(sql::Residue reason) {
  switch (reason) {
    case sql::kNoResidue:
      return "nothing";
    case sql::kTempObject:
      return "temporary object";
    case sql::kAdvisoryLock:
      return "advisory lock";
    case sql::kHoldCursor:
      return "cursor with hold";
    case sql::kListening:
    case sql::kChannelsAsk:
      return "listen";
    case sql::kSqlPrepared:
      return "prepared statement";
    case sql::kSequenceState:
    case sql::kSequenceAsk:
      return "sequence state";
    case sql::kRandomSeed:
      return "random seed";
    case sql::kLoadedLibrary:
      return "loaded library";
    case sql::kOpaque:
      return "opaque code";
    case sql::kUnreadable:
      return "unreadable statement";
    case sql::kBackendPid:
      return "backend pid";
    case sql::kUnnamedSetting:
      return "unnamed setting";
    case sql::kSessionsAsk:
      break;
  }
  return "unknown";
}

const char* reason_ends(sql::Residue reason) {
  switch (reason) {
    case sql::kNoResidue:
      return "at once";
    case sql::kTempObject:
      return "DISCARD TEMP or DISCARD ALL";
    case sql::kAdvisoryLock:
      return "pg_advisory_unlock_all() or DISCARD ALL";
    case sql::kHoldCursor:
      return "CLOSE ALL or DISCARD ALL";
    case sql::kListening:
    case sql::kChannelsAsk:
      return "UNLISTEN * or DISCARD ALL";
    case sql::kSqlPrepared:
      return "DEALLOCATE ALL or DISCARD ALL";
    case sql::kSequenceState:
    case sql::kSequenceAsk:
      return "DISCARD SEQUENCES or DISCARD ALL";
    case sql::kUnnamedSetting:
      return "RESET ALL or DISCARD ALL";
    case sql::kRandomSeed:
    case sql::kLoadedLibrary:
    case sql::kOpaque:
    case sql::kUnreadable:
    case sql::kBackendPid:
    case sql::kSessionsAsk:
      return "DISCARD ALL";
  }
  return "DISCARD ALL";
}

bool may_remove_residue(const sql::Statement& statement) {
  switch (statement.verb) {
    case sql::Verb::kDdl:
    case sql::Verb::kCloseCursor:
    case sql::Verb::kUnlisten:
    case sql::Verb::kDeallocate:
    case sql::Verb::kDiscardOther:
      return true;
    default:
      return statement.verb == sql::Verb::kSelect && statement.access == sql::Access::kWrite;
  }
}

std::uint16_t residue_removed_by(const sql::Statement& statement, std::string_view tag) {
  switch (statement.verb) {
    case sql::Verb::kDiscardAll: {
      unsigned all = 0;
      for (const sql::Residue reason : kAll) all |= reason;
      return static_cast<std::uint16_t>(all);
    }
    case sql::Verb::kDiscardOther: {
      const std::string_view what = tag.empty() ? std::string_view(statement.name) : tag;
      if (contains(what, "temp")) return sql::kTempObject;
      if (contains(what, "sequences")) return sql::kSequenceState;
      return sql::kNoResidue;
    }
    case sql::Verb::kResetAll:
      return sql::kUnnamedSetting;
    case sql::Verb::kUnlistenAll:
      return sql::kListening;
    case sql::Verb::kDeallocateAll:
      return sql::kSqlPrepared;
    case sql::Verb::kCloseAllCursors:
      return sql::kHoldCursor;
    case sql::Verb::kOther:
    case sql::Verb::kSelect:
    case sql::Verb::kBegin:
    case sql::Verb::kCommit:
    case sql::Verb::kRollback:
    case sql::Verb::kSavepoint:
    case sql::Verb::kRelease:
    case sql::Verb::kRollbackTo:
    case sql::Verb::kPrepareTransaction:
    case sql::Verb::kSetTransaction:
    case sql::Verb::kSet:
    case sql::Verb::kReset:
    case sql::Verb::kShow:
    case sql::Verb::kPrepare:
    case sql::Verb::kExecute:
    case sql::Verb::kDeallocate:
    case sql::Verb::kDeclareHold:
    case sql::Verb::kCloseCursor:
    case sql::Verb::kListen:
    case sql::Verb::kUnlisten:
    case sql::Verb::kNotify:
    case sql::Verb::kCopyIn:
    case sql::Verb::kCopyOut:
    case sql::Verb::kCreateTemp:
    case sql::Verb::kLoad:
    case sql::Verb::kDdl:
    case sql::Verb::kVacuumLike:
    case sql::Verb::kCall:
      return sql::kNoResidue;
  }
  return sql::kNoResidue;
}

}  // namespace session
