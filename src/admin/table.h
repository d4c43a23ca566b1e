// The tables of the console: their columns, and the rows that an Inspection fills them with.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "admin/averages.h"
#include "config/config.h"
#include "proxy/inspect.h"

namespace admin {

enum class Type : std::uint8_t {
  kText,
  kInt4,
  kInt8,
  kNumeric,
  kFloat8,
  kBool,       // SHOW has 0 and 1, as PgBouncer
  kTimestamp,  // timestamptz, made by timestamp()
  kTimeText,   // the same as SHOW has it: "2024-05-06 07:08:09 UTC", a text
};

using Value = std::variant<std::monostate, std::int64_t, double, std::string>;  // monostate: NULL

struct ColumnDef {
  std::string_view name;
  Type type = Type::kText;
};

// What rows are made of. Borrowed for the call only.
struct Source {
  const proxy::Inspection& inspection;
  const config::Config& config;
  const Averages& averages;
};

// Takes one row.
class Emit {
 public:
  using Row = std::span<const Value>;
  explicit Emit(absl::FunctionRef<void(Row)> take) : take_(take) {}
  void operator()(Row row) const { take_(row); }
  void operator()(std::initializer_list<Value> row) const { take_(Row(row.begin(), row.size())); }

 private:
  absl::FunctionRef<void(Row)> take_;
};

struct Table {
  std::string_view name;  // lower case; SHOW takes it in any case
  std::string_view help;
  std::span<const ColumnDef> columns;  // in PgBouncer's order where PgBouncer has the table
  void (*fill)(const Source& source, Emit emit);
  proxy::InspectParts needs = {};
};

// All of them; static.
std::span<const Table> tables();
const Table* find_table(std::string_view name);  // any case; null = no such table

// What a SELECT that names some of them needs; a table's name that means something else does no
// harm.
proxy::InspectParts needs_of(std::string_view sql);

// The parts of tables(), each in its own file.
std::span<const Table> pool_tables();        // pools, databases, users
std::span<const Table> connection_tables();  // clients, servers, sockets, pins
std::span<const Table> stats_tables();       // stats, stats_totals, totals ...
std::span<const Table> statement_tables();   // statements, routes
std::span<const Table> cluster_tables();     // hosts, host_pools, workers
std::span<const Table> instance_tables();    // lists, config, version, mem, state ...

// A count as SQL has it: capped at the greatest int8.
Value count(std::uint64_t n);
// NULL when empty.
Value text_or_null(std::string_view text);
// Of a column of kTimestamp: in UTC, to the microsecond, sorts as a text. NULL for the epoch.
Value timestamp(base::WallTime time);

}  // namespace admin
