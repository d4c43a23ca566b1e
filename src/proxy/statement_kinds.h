// Kinds of statements that sessions treat in their own way.
#pragma once

#include <string_view>

#include "session/own_settings.h"
#include "sql/analysis.h"

namespace proxy {

// PREPARE, EXECUTE, DEALLOCATE, CREATE TABLE ... AS EXECUTE.
inline bool names_prepared(const sql::Statement& statement) {
  const bool defines =
      statement.verb == sql::Verb::kDdl || statement.verb == sql::Verb::kCreateTemp;
  return statement.verb == sql::Verb::kPrepare || statement.verb == sql::Verb::kExecute ||
         statement.verb == sql::Verb::kDeallocate || (defines && !statement.name.empty());
}
inline std::string_view begin_tag(const sql::Statement& begin) {
  return begin.start ? "START TRANSACTION" : "BEGIN";
}
inline bool asks_lsn(const sql::Statement& statement) {
  return statement.verb == sql::Verb::kShow && statement.name == session::kLsnSetting;
}

}  // namespace proxy
