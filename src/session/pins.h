// Why a session keeps its server connection beyond its transaction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "sql/analysis.h"

namespace session {

struct Pin {
  sql::Residue reason{};
  base::Time since{};
  std::string statement;  // which one took it; its first 200 bytes, without literals
};

class Pins {
 public:
  bool empty() const { return pins_.empty(); }
  std::uint16_t reasons() const;  // joined sql::Residue
  // One Pin for each bit of `residue` that is not there yet.
  void add(std::uint16_t residue, base::Time now, std::string_view statement);
  void remove(std::uint16_t residue);
  void clear() { pins_.clear(); }
  const std::vector<Pin>& list() const { return pins_; }

 private:
  std::vector<Pin> pins_;
};

// "temporary object", "advisory lock" ... for SHOW PINS, metrics, logs.
const char* reason_name(sql::Residue reason);

// How a session gets rid of it, for people: "DISCARD TEMP or DISCARD ALL" ...
const char* reason_ends(sql::Residue reason);

// The residues that a successful statement takes away from a session, e.g. DISCARD ALL all,
// RESET ALL (once committed) kUnnamedSetting, UNLISTEN * kListening, DEALLOCATE ALL kSqlPrepared,
// CLOSE ALL kHoldCursor, DISCARD TEMP.
// DISCARD TEMP and DISCARD SEQUENCES are told apart by `tag`, the CommandComplete tag, or, when
// there is none, by the statement's name. What names one of several (UNLISTEN x, CLOSE x,
// DROP TABLE) takes nothing away: another may be left.
std::uint16_t residue_removed_by(const sql::Statement& statement, std::string_view tag = {});

// Whether the statement may have taken away the last of something without saying so (DROP TABLE,
// CLOSE x, pg_advisory_unlock): only the server knows.
bool may_remove_residue(const sql::Statement& statement);

}  // namespace session
