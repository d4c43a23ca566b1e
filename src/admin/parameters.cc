#include "admin/parameters.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "admin/statement.h"
#include "admin/text.h"
#include "protocol/bytes.h"

namespace admin {
namespace {

// pg_type
constexpr std::uint32_t kBool = 16, kName = 19, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25,
                        kOid = 26, kFloat4 = 700, kFloat8 = 701, kUnknown = 705, kBpchar = 1042,
                        kVarchar = 1043, kTimestamp = 1114, kTimestamptz = 1184, kNumeric = 1700;

std::uint64_t load64(protocol::Bytes b) {
  return std::uint64_t{protocol::load32(b.data())} << 32 | protocol::load32(b.data() + 4);
}

// As columns of Type::kTimestamp have it.
std::optional<Value> binary_time(std::int64_t us) {
  using std::chrono::microseconds;
  constexpr microseconds kEpoch = std::chrono::seconds(946'684'800);  // 2000, PostgreSQL's
  // timestamp() writes years of four digits; "infinity" is none.
  constexpr microseconds kMax = std::chrono::hours(24) * 365 * 5000;
  if (us <= -kEpoch.count() || us > kMax.count()) return std::nullopt;
  return timestamp(base::WallTime(kEpoch + microseconds(us)));
}

bool digits(std::string_view text, std::size_t at, std::size_t count) {
  if (text.size() < at + count) return false;
  const auto part = text.substr(at, count);
  return std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
}

// The offset in "+05:30", "-08", "Z"; nullopt: none of these.
std::optional<std::chrono::seconds> zone_offset(std::string_view zone) {
  if (zone.empty() || zone == "Z") return std::chrono::seconds(0);
  const bool west = zone[0] == '-';
  std::array<int, 3> parts{};  // hours, minutes, seconds
  std::size_t at = 0;
  for (int& part : parts) {
    if (at == zone.size()) break;
    if (!digits(zone, at + 1, 2) || (at > 0 && zone[at] != ':')) return std::nullopt;
    part = parse_number<int>(zone.substr(at + 1, 2)).value_or(0);
    at += 3;
  }
  if (at != zone.size() || (zone[0] != '+' && !west)) return std::nullopt;
  const std::chrono::seconds offset(parts[0] * 3600 + parts[1] * 60 + parts[2]);
  return west ? -offset : offset;
}

// Where the zone of "2024-05-06 07:08:09.25+02" begins; nullopt: not such a text.
std::optional<std::size_t> zone_at(std::string_view text) {
  constexpr std::size_t kSecondsEnd = 19;
  static constexpr std::string_view kForm = "dddd-dd-dd dd:dd:dd";
  for (std::size_t i = 0; i < kSecondsEnd; ++i) {
    if (i >= text.size()) return std::nullopt;
    const bool fits = kForm[i] == 'd'   ? digits(text, i, 1)
                      : kForm[i] == ' ' ? text[i] == ' ' || text[i] == 'T'
                                        : text[i] == kForm[i];
    if (!fits) return std::nullopt;
  }
  std::size_t at = kSecondsEnd;
  if (text.substr(at, 1) == ".") {
    for (++at; digits(text, at, 1);) ++at;
  }
  return at;
}

bool zoned_time(std::string_view text) {
  const auto at = zone_at(text);
  return at && *at < text.size() && zone_offset(text.substr(*at)).has_value();
}

// As columns of Type::kTimestamp have it, so that they compare. nullopt: another form.
std::optional<Value> text_time(std::string_view text) {
  const auto zone = zone_at(text);
  if (!zone) return std::nullopt;
  const auto offset = zone_offset(text.substr(*zone));
  if (!offset) return std::nullopt;
  int year = 0, month = 0, day = 0, hour = 0, minute = 0;
  double second = 0;
  if (std::sscanf(std::string(text.substr(0, *zone)).c_str(), "%d-%d-%d%*c%d:%d:%lf", &year, &month,
                  &day, &hour, &minute, &second) != 6) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  const std::chrono::microseconds of_day(std::int64_t{hour * 60 + minute} * 60'000'000 +
                                         std::llround(second * 1e6));
  return timestamp(
      base::WallTime(std::chrono::sys_days(date).time_since_epoch() + of_day - *offset));
}

// nullopt: not a value of that type, or a type not known here.
std::optional<Value> binary_value(protocol::Bytes bytes, std::uint32_t type) {
  switch (type) {  // an open set
    case kName:
    case kText:
    case kUnknown:
    case kBpchar:
    case kVarchar:
      return std::string(protocol::as_text(bytes));
    case kBool:
      if (bytes.size() != 1) return std::nullopt;
      return std::int64_t{bytes[0] != 0};
    case kInt2:
      if (bytes.size() != 2) return std::nullopt;
      return std::int64_t{static_cast<std::int16_t>(protocol::load16(bytes.data()))};
    case kInt4:
      if (bytes.size() != 4) return std::nullopt;
      return std::int64_t{static_cast<std::int32_t>(protocol::load32(bytes.data()))};
    case kInt8:
      if (bytes.size() != 8) return std::nullopt;
      return static_cast<std::int64_t>(load64(bytes));
    case kOid:
      if (bytes.size() != 4) return std::nullopt;
      return std::int64_t{protocol::load32(bytes.data())};
    case kFloat4:
      if (bytes.size() != 4) return std::nullopt;
      return double{std::bit_cast<float>(protocol::load32(bytes.data()))};
    case kFloat8:
      if (bytes.size() != 8) return std::nullopt;
      return std::bit_cast<double>(load64(bytes));
    case kTimestamp:
    case kTimestamptz:
      if (bytes.size() != 8) return std::nullopt;
      return binary_time(static_cast<std::int64_t>(load64(bytes)));
    default:
      return std::nullopt;
  }
}

std::optional<Value> text_bool(std::string_view text) {
  const std::string word = lower(text);
  for (std::string_view yes : {"t", "true", "y", "yes", "on", "1"}) {
    if (word == yes) return std::int64_t{1};
  }
  for (std::string_view no : {"f", "false", "n", "no", "off", "0"}) {
    if (word == no) return std::int64_t{0};
  }
  return std::nullopt;
}

std::optional<Value> text_number(const std::string& text) {
  if (const auto whole = parse_number<std::int64_t>(text)) return *whole;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size()) return std::nullopt;
  return number;
}

// nullopt: not of that type.
std::optional<Value> text_value(std::string_view text, std::uint32_t type) {
  switch (type) {  // an open set
    case kBool:
      return text_bool(text);
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid:
      if (const auto number = parse_number<std::int64_t>(text)) return *number;
      return std::nullopt;
    case kFloat4:
    case kFloat8:
    case kNumeric:
      return text_number(std::string(text));
    default:
      break;
  }
  // A timestamp's type is often left open (JDBC). Its zone tells it from other texts.
  const bool open = type == 0 || type == kText || type == kUnknown;
  const bool time = type == kTimestamp || type == kTimestamptz || (open && zoned_time(text));
  if (auto shown = time ? text_time(text) : std::nullopt) return *std::move(shown);
  return std::string(text);
}

bool fail(protocol::Error& error, std::string_view code, std::string message) {
  error.code = code;
  error.message = std::move(message);
  return false;
}

}  // namespace

std::optional<std::vector<std::uint32_t>> parameter_types(const protocol::Parse& parse) {
  protocol::Reader reader(parse.types);
  const std::size_t count = reader.u16();
  if (!reader.ok() || reader.left() != count * 4) return std::nullopt;
  std::vector<std::uint32_t> types(count);
  for (std::uint32_t& type : types) type = reader.u32();
  return types;
}

bool bind_parameters(const protocol::Bind& bind, std::span<const std::uint32_t> types,
                     std::vector<Value>& values, protocol::Error& error) {
  namespace sqlstate = protocol::sqlstate;
  protocol::Reader reader(bind.rest);
  std::vector<std::uint16_t> formats(reader.u16());
  for (std::uint16_t& format : formats) format = reader.u16();
  const std::size_t count = reader.u16();
  if (!reader.ok()) return fail(error, sqlstate::kProtocolViolation, "invalid message format");
  if (count != types.size()) {
    return fail(error, sqlstate::kProtocolViolation,
                concat("bind message supplies ", count, " parameters, but prepared statement \"",
                       bind.statement, "\" requires ", types.size()));
  }
  if (formats.size() > 1 && formats.size() != count) {
    return fail(error, sqlstate::kProtocolViolation,
                concat("bind message has ", formats.size(), " parameter formats but ", count,
                       " parameters"));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t size = reader.i32();
    if (size == -1) {
      values.emplace_back();
      continue;
    }
    const protocol::Bytes bytes = reader.bytes(size < 0 ? 0 : static_cast<std::size_t>(size));
    if (!reader.ok() || size < 0) {
      return fail(error, sqlstate::kProtocolViolation, "invalid message format");
    }
    const std::uint16_t format = formats.empty()       ? 0
                                 : formats.size() == 1 ? formats[0]
                                                       : formats[i];
    if (format == 0) {
      auto value = text_value(protocol::as_text(bytes), types[i]);
      if (!value) {
        return fail(error, "22P02",  // invalid_text_representation
                    concat("invalid input for bind parameter ", i + 1, ": \"",
                           excerpt(protocol::as_text(bytes)), "\""));
      }
      values.push_back(*std::move(value));
      continue;
    }
    auto value = binary_value(bytes, types[i]);
    if (format != 1 || !value) {
      return fail(error, "22P03",  // invalid_binary_representation
                  concat("incorrect binary data format in bind parameter ", i + 1));
    }
    values.push_back(*std::move(value));
  }
  return true;
}

}  // namespace admin
