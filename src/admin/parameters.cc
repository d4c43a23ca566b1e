#include "admin/parameters.h"

#include <bit>
#include <string>

#include "admin/text.h"
#include "protocol/bytes.h"

namespace admin {
namespace {

// pg_type
constexpr std::uint32_t kBool = 16, kName = 19, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25,
                        kFloat8 = 701, kUnknown = 705, kBpchar = 1042, kVarchar = 1043;

std::uint64_t load64(protocol::Bytes b) {
  return std::uint64_t{protocol::load32(b.data())} << 32 | protocol::load32(b.data() + 4);
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
    case kFloat8:
      if (bytes.size() != 8) return std::nullopt;
      return std::bit_cast<double>(load64(bytes));
    default:
      return std::nullopt;
  }
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
      values.emplace_back(std::string(protocol::as_text(bytes)));
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
