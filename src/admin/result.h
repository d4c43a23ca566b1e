// What a statement of the console answers, and its rows as DataRow messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "admin/table.h"
#include "protocol/buffer.h"
#include "protocol/error.h"

namespace admin {

struct ResultColumn {
  std::string name;
  std::optional<Type> type;  // nullopt: an expression's, known only once it has a value
};

struct Result {
  std::vector<protocol::Error> notices;
  std::optional<protocol::Error> error;  // then nothing below counts
  std::vector<ResultColumn> columns;     // empty: no rows
  protocol::Buffer rows;                 // DataRow messages
  std::vector<std::size_t> row_ends;     // offsets behind each row in `rows`
  std::string tag;                       // of CommandComplete
};

struct WireType {
  std::uint32_t oid;
  std::int16_t size;
};
WireType wire_type(Type type);  // as pg_type has it

Result failure(std::string_view code, std::string message, std::string hint = "");

// Result format codes as in Bind: none = all text, one = for all columns, else one each.
std::int16_t format_of(std::span<const std::int16_t> formats, std::size_t column);

void write_columns(protocol::Buffer& out, std::span<const ResultColumn> columns,
                   std::span<const std::int16_t> formats);

// Appends one DataRow. False: the value in `column` does not fit its declared type (the row is
// taken back); `column` says which.
bool write_row(protocol::Buffer& out, std::span<const ResultColumn> columns,
               std::span<const std::int16_t> formats, std::span<const Value> values,
               std::size_t& column);

}  // namespace admin
