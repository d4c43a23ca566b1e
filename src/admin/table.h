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

enum class Type : std::uint8_t { kText, kInt4, kInt8, kNumeric, kFloat8 };

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
};

// All of them; static.
std::span<const Table> tables();
const Table* find_table(std::string_view name);  // any case; null = no such table

// The parts of tables(), each in its own file.
std::span<const Table> pool_tables();        // pools, databases, users
std::span<const Table> connection_tables();  // clients, servers, sockets, pins
std::span<const Table> stats_tables();       // stats, stats_totals, totals, routes ...
std::span<const Table> cluster_tables();     // hosts, host_pools, workers
std::span<const Table> instance_tables();    // lists, config, version, mem, state ...

// A count as SQL has it: capped at the greatest int8.
Value count(std::uint64_t n);
// NULL when empty.
Value text_or_null(std::string_view text);
// "2024-05-06 07:08:09 UTC", as PgBouncer prints times; NULL for the epoch.
Value timestamp(base::WallTime time);

}  // namespace admin
