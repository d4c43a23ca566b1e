#include "protocol/frontend.h"

#include <limits>

namespace protocol {
namespace {

// A count of 16 bits and that many items of item_bytes each. The server reads counts unsigned.
Bytes counted(Reader& in, std::size_t item_bytes) {
  const std::size_t count = in.u16();
  return in.bytes(count * item_bytes);
}

// Skips the parameter values of a Bind; false when one of them is malformed.
bool skip_values(Reader& in) {
  const std::size_t count = in.u16();
  if (count * 4 > in.left()) return false;
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    const std::int32_t length = in.i32();
    if (length < -1) return false;
    if (length > 0) in.bytes(static_cast<std::size_t>(length));
  }
  return in.ok();
}

void write_kind_and_name(Buffer& out, char type, char kind, std::string_view name) {
  MessageWriter message(out, type);
  message.u8(static_cast<std::uint8_t>(kind));
  message.cstring(name);
}

void write_string(Buffer& out, char type, std::string_view text) {
  MessageWriter message(out, type);
  message.cstring(text);
}

}  // namespace

bool is_frontend_type(char type) {
  switch (type) {
    case frontend::kBind:
    case frontend::kClose:
    case frontend::kCopyData:
    case frontend::kCopyDone:
    case frontend::kCopyFail:
    case frontend::kDescribe:
    case frontend::kExecute:
    case frontend::kFlush:
    case frontend::kFunctionCall:
    case frontend::kParse:
    case frontend::kPassword:
    case frontend::kQuery:
    case frontend::kSync:
    case frontend::kTerminate:
      return true;
    default:
      return false;  // any other byte: not an enumeration
  }
}

std::optional<Parse> decode_parse(Bytes body) {
  Reader in(body);
  Parse parse;
  parse.statement = in.cstring();
  parse.query = in.cstring();
  parse.types = in.rest();
  Reader types(parse.types);
  counted(types, 4);
  if (!in.done() || !types.done()) return std::nullopt;
  return parse;
}

std::optional<Bind> decode_bind(Bytes body) {
  Reader in(body);
  Bind bind;
  bind.portal = in.cstring();
  bind.statement = in.cstring();
  bind.rest = in.rest();
  if (!in.done()) return std::nullopt;
  return bind;
}

std::optional<Describe> decode_describe(Bytes body) {
  Reader in(body);
  Describe describe;
  describe.kind = static_cast<char>(in.u8());
  describe.name = in.cstring();
  if (!in.done() || (describe.kind != 'S' && describe.kind != 'P')) return std::nullopt;
  return describe;
}

std::optional<Execute> decode_execute(Bytes body) {
  Reader in(body);
  Execute execute;
  execute.portal = in.cstring();
  execute.max_rows = in.u32();
  if (!in.done()) return std::nullopt;
  // The server takes zero and less for "all".
  if (execute.max_rows > std::numeric_limits<std::int32_t>::max()) execute.max_rows = 0;
  return execute;
}

std::optional<std::string_view> decode_query(Bytes body) {
  Reader in(body);
  const std::string_view sql = in.cstring();
  if (!in.done()) return std::nullopt;
  return sql;
}

std::optional<std::vector<std::optional<std::string_view>>> bind_text_parameters(const Bind& bind) {
  Reader in(bind.rest);
  const std::size_t format_count = in.u16();
  for (std::size_t i = 0; i < format_count && in.ok(); ++i) {
    if (in.u16() != 0) return std::nullopt;
  }
  const std::size_t count = in.u16();
  if (!in.ok() || count * 4 > in.left()) return std::nullopt;
  if (format_count > 1 && format_count != count) return std::nullopt;
  std::vector<std::optional<std::string_view>> values;
  values.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t length = in.i32();
    if (length < -1) return std::nullopt;
    if (length == -1) {
      values.emplace_back(std::nullopt);
    } else {
      values.emplace_back(as_text(in.bytes(static_cast<std::size_t>(length))));
    }
    if (!in.ok()) return std::nullopt;
  }
  return values;
}

std::optional<std::vector<std::int16_t>> bind_result_formats(const Bind& bind) {
  Reader in(bind.rest);
  counted(in, 2);
  if (!skip_values(in)) return std::nullopt;
  Reader formats(counted(in, 2));
  if (!in.done()) return std::nullopt;
  std::vector<std::int16_t> codes;
  codes.reserve(formats.left() / 2);
  while (formats.left() > 0) codes.push_back(formats.i16());
  return codes;
}

void write_query(Buffer& out, std::string_view sql) { write_string(out, frontend::kQuery, sql); }

void write_parse(Buffer& out, std::string_view statement, std::string_view query, Bytes types) {
  MessageWriter message(out, frontend::kParse);
  message.cstring(statement);
  message.cstring(query);
  message.bytes(types);
}

void write_bind(Buffer& out, std::string_view portal, std::string_view statement, Bytes rest) {
  MessageWriter message(out, frontend::kBind);
  message.cstring(portal);
  message.cstring(statement);
  message.bytes(rest);
}

void write_describe(Buffer& out, char kind, std::string_view name) {
  write_kind_and_name(out, frontend::kDescribe, kind, name);
}

void write_close(Buffer& out, char kind, std::string_view name) {
  write_kind_and_name(out, frontend::kClose, kind, name);
}

void write_execute(Buffer& out, std::string_view portal, std::uint32_t max_rows) {
  MessageWriter message(out, frontend::kExecute);
  message.cstring(portal);
  message.u32(max_rows);
}

void write_sync(Buffer& out) { MessageWriter message(out, frontend::kSync); }
void write_terminate(Buffer& out) { MessageWriter message(out, frontend::kTerminate); }

void write_password(Buffer& out, std::string_view password) {
  write_string(out, frontend::kPassword, password);
}

}  // namespace protocol
