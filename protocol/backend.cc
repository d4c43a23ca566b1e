#include "protocol/backend.h"

#include <algorithm>

#include "protocol/startup.h"

namespace protocol {
namespace {

std::optional<AuthRequest> known_request(std::uint32_t code) {
  switch (static_cast<AuthRequest>(code)) {
    case AuthRequest::kOk:
    case AuthRequest::kKerberosV5:
    case AuthRequest::kCleartext:
    case AuthRequest::kMd5:
    case AuthRequest::kGss:
    case AuthRequest::kGssContinue:
    case AuthRequest::kSspi:
    case AuthRequest::kSasl:
    case AuthRequest::kSaslContinue:
    case AuthRequest::kSaslFinal:
      return static_cast<AuthRequest>(code);
  }
  return std::nullopt;
}

void write_empty(Buffer& out, char type) { MessageWriter message(out, type); }

}  // namespace

bool is_backend_type(char type) {
  switch (type) {
    case backend::kAuthentication:
    case backend::kBackendKeyData:
    case backend::kBindComplete:
    case backend::kCloseComplete:
    case backend::kCommandComplete:
    case backend::kCopyData:
    case backend::kCopyDone:
    case backend::kCopyIn:
    case backend::kCopyOut:
    case backend::kCopyBoth:
    case backend::kDataRow:
    case backend::kEmptyQuery:
    case backend::kError:
    case backend::kFunctionResult:
    case backend::kNegotiateProtocolVersion:
    case backend::kNoData:
    case backend::kNotice:
    case backend::kNotification:
    case backend::kParameterDescription:
    case backend::kParameterStatus:
    case backend::kParseComplete:
    case backend::kPortalSuspended:
    case backend::kReadyForQuery:
    case backend::kRowDescription:
      return true;
    default:
      return false;  // any other byte: not an enumeration
  }
}

std::optional<Authentication> decode_authentication(Bytes body) {
  Reader in(body);
  const auto request = known_request(in.u32());
  if (!in.ok() || !request) return std::nullopt;
  const Authentication answer{*request, in.rest()};
  if (answer.request == AuthRequest::kMd5 && answer.rest.size() != 4) return std::nullopt;
  return answer;
}

std::vector<std::string_view> sasl_mechanisms(Bytes rest) {
  std::vector<std::string_view> names;
  Reader in(rest);
  for (auto name = in.cstring(); !name.empty(); name = in.cstring()) names.push_back(name);
  if (!in.done()) names.clear();
  return names;
}

std::optional<ParameterStatus> decode_parameter_status(Bytes body) {
  Reader in(body);
  ParameterStatus status;
  status.name = in.cstring();
  status.value = in.cstring();
  if (!in.done()) return std::nullopt;
  return status;
}

std::optional<BackendKeyData> decode_backend_key_data(Bytes body) {
  Reader in(body);
  BackendKeyData data;
  data.pid = in.u32();
  data.key = in.rest();
  if (!in.ok() || data.key.size() < 4 || data.key.size() > kMaxCancelKeyBytes) return std::nullopt;
  return data;
}

std::optional<char> decode_ready_for_query(Bytes body) {
  if (body.size() != 1) return std::nullopt;
  const char status = static_cast<char>(body[0]);
  if (status != 'I' && status != 'T' && status != 'E') return std::nullopt;
  return status;
}

std::optional<std::string_view> decode_command_complete(Bytes body) {
  Reader in(body);
  const std::string_view tag = in.cstring();
  if (!in.done()) return std::nullopt;
  return tag;
}

std::optional<std::vector<std::optional<std::string_view>>> decode_data_row(Bytes body) {
  Reader in(body);
  const std::size_t count = in.u16();
  if (!in.ok() || count * 4 > in.left()) return std::nullopt;  // before memory is taken
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
  if (!in.done()) return std::nullopt;
  return values;
}

std::optional<std::string_view> decode_only_value(Bytes body) {
  Reader in(body);
  if (in.u16() != 1) return std::nullopt;
  const std::int32_t length = in.i32();
  if (length < -1) return std::nullopt;
  const Bytes value = in.bytes(static_cast<std::size_t>(std::max(length, 0)));
  if (!in.done()) return std::nullopt;
  return as_text(value);
}

void write_authentication(Buffer& out, AuthRequest request, Bytes rest) {
  MessageWriter message(out, backend::kAuthentication);
  message.u32(static_cast<std::uint32_t>(request));
  message.bytes(rest);
}

void write_sasl_mechanisms(Buffer& out, std::span<const std::string_view> names) {
  MessageWriter message(out, backend::kAuthentication);
  message.u32(static_cast<std::uint32_t>(AuthRequest::kSasl));
  for (const std::string_view name : names) message.cstring(name);
  message.u8(0);
}

void write_parameter_status(Buffer& out, std::string_view name, std::string_view value) {
  MessageWriter message(out, backend::kParameterStatus);
  message.cstring(name);
  message.cstring(value);
}

void write_backend_key_data(Buffer& out, std::uint32_t pid, Bytes key) {
  MessageWriter message(out, backend::kBackendKeyData);
  message.u32(pid);
  message.bytes(key);
}

void write_ready_for_query(Buffer& out, char status) {
  MessageWriter message(out, backend::kReadyForQuery);
  message.u8(static_cast<std::uint8_t>(status));
}

void write_command_complete(Buffer& out, std::string_view tag) {
  MessageWriter message(out, backend::kCommandComplete);
  message.cstring(tag);
}

void write_parse_complete(Buffer& out) { write_empty(out, backend::kParseComplete); }
void write_bind_complete(Buffer& out) { write_empty(out, backend::kBindComplete); }
void write_close_complete(Buffer& out) { write_empty(out, backend::kCloseComplete); }
void write_no_data(Buffer& out) { write_empty(out, backend::kNoData); }
void write_empty_query(Buffer& out) { write_empty(out, backend::kEmptyQuery); }
void write_portal_suspended(Buffer& out) { write_empty(out, backend::kPortalSuspended); }

void write_row_description(Buffer& out, std::span<const Column> columns) {
  MessageWriter message(out, backend::kRowDescription);
  message.i16(static_cast<std::int16_t>(columns.size()));
  for (const Column& column : columns) {
    message.cstring(column.name);
    message.u32(0);  // table: none
    message.i16(0);  // its column: none
    message.u32(column.type_oid);
    message.i16(column.type_size);
    message.i32(-1);  // no type modifier
    message.i16(column.format);
  }
}

void write_data_row(Buffer& out, std::span<const std::optional<std::string>> values) {
  MessageWriter message(out, backend::kDataRow);
  message.i16(static_cast<std::int16_t>(values.size()));
  for (const auto& value : values) {
    if (!value) {
      message.i32(-1);
      continue;
    }
    message.i32(static_cast<std::int32_t>(value->size()));
    message.text(*value);
  }
}

}  // namespace protocol
