// SQL over the console's tables: an in-memory SQLite made for one statement, read-only, bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/result.h"
#include "admin/table.h"
#include "base/time.h"

namespace admin {

// What one statement may take. Whoever may log into the console is trusted to look, not to stop
// the process.
struct QueryLimits {
  std::int64_t steps = 50'000'000;  // of SQLite's virtual machine
  base::milliseconds time{5000};
  std::size_t result_bytes = 64u << 20;
  int text_bytes = 256 << 10;           // of a statement
  int value_bytes = 64 << 10;           // of one value
  std::int64_t heap_bytes = 256 << 20;  // of SQLite, all statements of the process
};

struct Description {
  std::optional<protocol::Error> error;
  std::vector<ResultColumn> columns;  // type nullopt: an expression
  int parameters = 0;                 // the n of the greatest $n
};

// How columns of a type that PgBouncer does not have are answered.
enum class Style : std::uint8_t {
  kTyped,
  kShown,  // for SHOW: as numbers and texts, as PgBouncer does
};

// Checks `sql` (one SELECT) and says what it answers, without running it.
Description describe(std::string_view sql, Style style = Style::kTyped,
                     const QueryLimits& limits = {});

struct Query {
  std::string sql;  // one SELECT
  Style style = Style::kTyped;
  std::vector<Value> parameters;      // for $1, $2 ...
  std::vector<std::int16_t> formats;  // of the result, as in Bind
  std::vector<ResultColumn> columns;  // as told to the client before; empty = not told yet
};

// Columns that are expressions get the type of their first row's value, text when that is NULL,
// unless Query::columns fixes them. The tag is left to the caller.
Result run(const Query& query, const Source& source, const QueryLimits& limits = {});

}  // namespace admin
