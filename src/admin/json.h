// Tables of the console as JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "admin/table.h"

namespace admin {

// In quotes. Bytes that are not UTF-8 become U+FFFD; it holds no line break.
void append_json(std::string& out, std::string_view text);
// Times as RFC 3339 has them, in UTC; what JSON has no number for is null.
void append_json(std::string& out, const Value& value, Type type);

// Which rows, and in which order: of a table that is smaller, all.
struct Selection {
  std::size_t limit = 1000;
  std::string_view order_by;  // a column, which the table must have; "" = as they come
  bool descending = false;    // NULL last either way
};

bool has_column(const Table& table, std::string_view name);

// An array of objects. Returns how many rows there are, with those that were left out.
std::size_t append_rows(std::string& out, const Table& table, const Source& source,
                        const Selection& selection);

// {"table": ..., "columns": [{"name": ..., "type": ...}], "rows": [...], "count": of all}
std::string table_json(const Table& table, const Source& source, const Selection& selection);

// {"tables": [{"name": ..., "help": ..., "columns": [...]}]}
std::string table_list_json();

std::string_view type_name(Type type);  // as PostgreSQL calls it

}  // namespace admin
