#include "admin/result.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include "protocol/backend.h"

namespace admin {
namespace {

constexpr std::int16_t kBinary = 1;

struct WireType {
  std::uint32_t oid;
  std::int16_t size;
};

WireType wire_type(Type type) {  // pg_type
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
  }
  return {25, -1};
}

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
    case Type::kText:
      break;
  }
  return out;
}

std::optional<std::string> encode_float(double value, Type type, std::int16_t format) {
  switch (type) {
    case Type::kInt4:
    case Type::kInt8:
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

std::optional<std::string> encode(const Value& value, Type type, std::int16_t format) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return encode_integer(*number, type, format);
  }
  if (const auto* number = std::get_if<double>(&value)) return encode_float(*number, type, format);
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr || type != Type::kText) return std::nullopt;
  return *text;
}

}  // namespace

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
