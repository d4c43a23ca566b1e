#include "admin/result.h"

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include "protocol/backend.h"

namespace admin {
namespace {

constexpr std::int16_t kBinary = 1;

void put16(std::string& out, std::uint16_t v) {
  out.push_back(static_cast<char>(v >> 8));
  out.push_back(static_cast<char>(v));
}
void put32(std::string& out, std::uint32_t v) {
  put16(out, static_cast<std::uint16_t>(v >> 16));
  put16(out, static_cast<std::uint16_t>(v));
}
void put64(std::string& out, std::uint64_t v) {
  put32(out, static_cast<std::uint32_t>(v >> 32));
  put32(out, static_cast<std::uint32_t>(v));
}

// numeric_send of PostgreSQL: digit count, weight, sign, scale, digits of base 10000.
std::string binary_numeric(std::int64_t value) {
  std::uint64_t rest = static_cast<std::uint64_t>(value);
  if (value < 0) rest = 0 - rest;
  std::vector<std::uint16_t> digits;  // least significant first
  for (; rest != 0; rest /= 10'000) digits.push_back(static_cast<std::uint16_t>(rest % 10'000));
  const std::size_t weight = digits.empty() ? 0 : digits.size() - 1;
  std::size_t zeros = 0;  // trailing ones are not sent
  while (zeros < digits.size() && digits[zeros] == 0) ++zeros;
  std::string out;
  put16(out, static_cast<std::uint16_t>(digits.size() - zeros));
  put16(out, static_cast<std::uint16_t>(weight));
  put16(out, value < 0 ? 0x4000 : 0);
  put16(out, 0);
  for (std::size_t i = digits.size(); i > zeros; --i) put16(out, digits[i - 1]);
  return out;
}

std::string float_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  std::array<char, 32> text{};
  int size = std::snprintf(text.data(), text.size(), "%.15g", value);
  if (std::strtod(text.data(), nullptr) != value) {
    size = std::snprintf(text.data(), text.size(), "%.17g", value);
  }
  return std::string(text.data(), static_cast<std::size_t>(size));
}

std::optional<std::string> encode_integer(std::int64_t value, Type type, std::int16_t format) {
  if (type == Type::kInt4 && (value < std::numeric_limits<std::int32_t>::min() ||
                              value > std::numeric_limits<std::int32_t>::max())) {
    // A gauge that outgrew PgBouncer's type: the greatest is nearer the truth than an error.
    value = value < 0 ? std::numeric_limits<std::int32_t>::min()
                      : std::numeric_limits<std::int32_t>::max();
  }
  if (type == Type::kTimestamp || type == Type::kTimeText) return std::nullopt;
  if (type == Type::kBool && format != kBinary) return value != 0 ? "t" : "f";
  if (format != kBinary || type == Type::kText) return std::to_string(value);
  std::string out;
  switch (type) {
    case Type::kInt4:
      put32(out, static_cast<std::uint32_t>(value));
      break;
    case Type::kInt8:
      put64(out, static_cast<std::uint64_t>(value));
      break;
    case Type::kNumeric:
      out = binary_numeric(value);
      break;
    case Type::kFloat8:
      put64(out, std::bit_cast<std::uint64_t>(static_cast<double>(value)));
      break;
    case Type::kBool:
      out.push_back(value != 0 ? 1 : 0);
      break;
    case Type::kText:
    case Type::kTimestamp:
    case Type::kTimeText:
      break;
  }
  return out;
}

std::optional<std::string> encode_float(double value, Type type, std::int16_t format) {
  switch (type) {
    case Type::kInt4:
    case Type::kInt8:
    case Type::kBool:
    case Type::kTimestamp:
    case Type::kTimeText:
      return std::nullopt;
    case Type::kNumeric:
      return format == kBinary ? std::nullopt : std::optional(float_text(value));
    case Type::kText:
      return float_text(value);
    case Type::kFloat8:
      break;
  }
  if (format != kBinary) return float_text(value);
  std::string out;
  put64(out, std::bit_cast<std::uint64_t>(value));
  return out;
}

// What timestamp() has made.
std::optional<std::string> encode_time(const std::string& value, Type type, std::int16_t format) {
  constexpr std::size_t kSecondsEnd = 19;
  if (type == Type::kTimeText) return value.substr(0, kSecondsEnd) + " UTC";
  if (format != kBinary) return value + "+00";
  int year = 0, month = 0, day = 0, hour = 0, minute = 0;
  double second = 0;
  if (std::sscanf(value.c_str(), "%d-%d-%d %d:%d:%lf", &year, &month, &day, &hour, &minute,
                  &second) != 6) {
    return std::nullopt;
  }
  using std::chrono::sys_days;
  const sys_days date = std::chrono::year(year) / month / day;
  const sys_days epoch = std::chrono::year(2000) / 1 / 1;  // PostgreSQL's
  const std::int64_t minutes = (date - epoch).count() * std::int64_t{1440} + hour * 60 + minute;
  std::string out;
  put64(out, static_cast<std::uint64_t>(minutes * 60'000'000 + std::llround(second * 1e6)));
  return out;
}

std::optional<std::string> encode(const Value& value, Type type, std::int16_t format) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return encode_integer(*number, type, format);
  }
  if (const auto* number = std::get_if<double>(&value)) return encode_float(*number, type, format);
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && (type == Type::kTimestamp || type == Type::kTimeText)) {
    return encode_time(*text, type, format);
  }
  if (text == nullptr || type != Type::kText) return std::nullopt;
  return *text;
}

}  // namespace

WireType wire_type(Type type) {
  switch (type) {
    case Type::kText:
      return {25, -1};
    case Type::kInt4:
      return {23, 4};
    case Type::kInt8:
      return {20, 8};
    case Type::kNumeric:
      return {1700, -1};
    case Type::kFloat8:
      return {701, 8};
    case Type::kBool:
      return {16, 1};
    case Type::kTimestamp:
      return {1184, 8};
    case Type::kTimeText:
      break;
  }
  return {25, -1};
}

Result failure(std::string_view code, std::string message, std::string hint) {
  Result result;
  result.error.emplace();
  result.error->code = code;
  result.error->message = std::move(message);
  result.error->hint = std::move(hint);
  return result;
}

std::int16_t format_of(std::span<const std::int16_t> formats, std::size_t column) {
  if (formats.empty()) return 0;
  return formats.size() == 1 ? formats[0] : formats[column];
}

void write_columns(protocol::Buffer& out, std::span<const ResultColumn> columns,
                   std::span<const std::int16_t> formats) {
  std::vector<protocol::Column> described;
  described.reserve(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const WireType type = wire_type(columns[i].type.value_or(Type::kText));
    described.push_back({.name = columns[i].name,
                         .type_oid = type.oid,
                         .type_size = type.size,
                         .format = format_of(formats, i)});
  }
  protocol::write_row_description(out, described);
}

bool write_row(protocol::Buffer& out, std::span<const ResultColumn> columns,
               std::span<const std::int16_t> formats, std::span<const Value> values,
               std::size_t& column) {
  const std::size_t start = out.size();
  bool fits = true;
  {
    protocol::MessageWriter message(out, protocol::backend::kDataRow);
    message.i16(static_cast<std::int16_t>(values.size()));
    for (std::size_t i = 0; i < values.size() && fits; ++i) {
      if (std::holds_alternative<std::monostate>(values[i])) {
        message.i32(-1);
        continue;
      }
      const auto cell =
          encode(values[i], columns[i].type.value_or(Type::kText), format_of(formats, i));
      if (cell) {
        message.i32(static_cast<std::int32_t>(cell->size()));
        message.text(*cell);
      } else {
        fits = false;
        column = i;
      }
    }
  }
  if (!fits) out.truncate(start);
  return fits;
}

}  // namespace admin
