#include "admin/json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <vector>

#include "admin/text.h"
#include "base/utf8.h"

namespace admin {
namespace {

constexpr std::size_t kTextBytes = 4096;  // of one value, as in the console's SQL

void append_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), end);
}

// What timestamp() has made: "2024-05-06 07:08:09.5".
void append_time(std::string& out, std::string_view time) {
  const std::size_t blank = time.find(' ');
  if (blank == std::string_view::npos) return append_json(out, time);
  append(out, "\"", time.substr(0, blank), "T", time.substr(blank + 1), "Z\"");
}

void append_columns(std::string& out, const Table& table) {
  out += '[';
  for (const ColumnDef& column : table.columns) {
    append(out, &column == table.columns.data() ? "" : ",", "{\"name\":\"", column.name,
           "\",\"type\":\"", type_name(column.type), "\"}");
  }
  out += ']';
}

void append_row(std::string& out, const Table& table, Emit::Row row) {
  out += '{';
  for (std::size_t i = 0; i < row.size(); ++i) {
    append(out, i == 0 ? "\"" : ",\"", table.columns[i].name, "\":");
    append_json(out, row[i], table.columns[i].type);
  }
  out += '}';
}

using Row = std::vector<Value>;

// Indices of the rows in the order of `column`, NULL behind all; equal ones stay as they came.
std::vector<std::size_t> in_order(const std::vector<Row>& rows, std::size_t column,
                                  bool descending) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    const Value &x = rows[a][column], &y = rows[b][column];
    if (x == y) return a < b;
    const bool x_null = std::holds_alternative<std::monostate>(x),
               y_null = std::holds_alternative<std::monostate>(y);
    if (x_null || y_null) return y_null;
    return descending ? y < x : x < y;
  });
  return order;
}

std::size_t column_index(const Table& table, std::string_view name) {
  const auto found = std::ranges::find(table.columns, name, &ColumnDef::name);
  return static_cast<std::size_t>(found - table.columns.begin());
}

}  // namespace

std::string_view type_name(Type type) {
  switch (type) {
    case Type::kText:
    case Type::kTimeText:
      return "text";
    case Type::kInt4:
      return "int4";
    case Type::kInt8:
      return "int8";
    case Type::kNumeric:
      return "numeric";
    case Type::kFloat8:
      return "float8";
    case Type::kBool:
      return "bool";
    case Type::kTimestamp:
      return "timestamptz";
  }
  return "text";
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = base::utf8_length(text.substr(i));
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else if (c < 0x20 || c == 0x7f) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", c);
      out += escaped.data();
    } else if (length == 0) {
      out += "\xef\xbf\xbd";
    } else {
      out += text.substr(i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  out += '"';
}

void append_json(std::string& out, const Value& value, Type type) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    if (type == Type::kBool) {
      out += *number != 0 ? "true" : "false";
    } else {
      append(out, *number);
    }
  } else if (const auto* fraction = std::get_if<double>(&value)) {
    append_number(out, *fraction);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    if (type == Type::kTimestamp) return append_time(out, *text);
    append_json(out, std::string_view(*text).substr(0, kTextBytes));
  } else {
    out += "null";
  }
}

bool has_column(const Table& table, std::string_view name) {
  return column_index(table, name) < table.columns.size();
}

std::size_t append_rows(std::string& out, const Table& table, const Source& source,
                        const Selection& selection) {
  out += '[';
  const std::size_t column = column_index(table, selection.order_by);
  const bool ordered = column < table.columns.size();
  std::size_t all = 0;
  std::vector<Row> rows;  // when they are ordered
  const auto take = [&](Emit::Row row) {
    ++all;
    if (ordered) {
      rows.emplace_back(row.begin(), row.end());
    } else if (all <= selection.limit) {
      if (all > 1) out += ',';
      append_row(out, table, row);
    }
  };
  table.fill(source, Emit(take));
  const std::vector<std::size_t> order = in_order(rows, column, selection.descending);
  for (std::size_t i = 0; i < std::min(selection.limit, order.size()); ++i) {
    if (i != 0) out += ',';
    append_row(out, table, rows[order[i]]);
  }
  out += ']';
  return all;
}

std::string table_json(const Table& table, const Source& source, const Selection& selection) {
  std::string out = concat("{\"table\":\"", table.name, "\",\"columns\":");
  append_columns(out, table);
  out += ",\"rows\":";
  const std::size_t all = append_rows(out, table, source, selection);
  append(out, ",\"count\":", all, "}");
  return out;
}

std::string table_list_json() {
  std::string out = "{\"tables\":[";
  for (const Table& table : tables()) {
    append(out, &table == tables().data() ? "" : ",", "{\"name\":\"", table.name, "\",\"help\":");
    append_json(out, table.help);
    out += ",\"columns\":";
    append_columns(out, table);
    out += '}';
  }
  return out + "]}";
}

}  // namespace admin
