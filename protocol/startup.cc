#include "protocol/startup.h"

#include <algorithm>
#include <limits>

namespace protocol {
namespace {

constexpr std::string_view kProtocolOptionPrefix = "_pq_.";

StartupResult fail(std::string_view code, std::string message) {
  StartupResult result{.status = StartupResult::Status::kError, .packet = SslRequest{}};
  result.error = {.severity = Severity::kFatal, .code = code, .message = std::move(message)};
  return result;
}

StartupResult bad_length() {
  return fail(sqlstate::kProtocolViolation, "invalid length of startup packet");
}

StartupResult packet(std::size_t total, StartupPacket what) {
  return {.status = StartupResult::Status::kPacket, .total = total, .packet = std::move(what)};
}

StartupResult read_cancel(Reader in, std::size_t total) {
  CancelRequest cancel{.pid = in.u32(), .key = {}};
  if (!in.ok()) {
    return fail(sqlstate::kProtocolViolation, "invalid length of cancel request packet");
  }
  if (in.left() < 4 || in.left() > kMaxCancelKeyBytes) {
    return fail(sqlstate::kProtocolViolation,
                "invalid length of cancel key in cancel request packet");
  }
  cancel.key = as_text(in.rest());
  return packet(total, std::move(cancel));
}

StartupResult read_message(Reader in, std::uint32_t version, std::size_t total) {
  if (version >> 16 != 3) {
    return fail(sqlstate::kFeatureNotSupported,
                "unsupported frontend protocol " + std::to_string(version >> 16) + "." +
                    std::to_string(version & 0xffff) + ": server supports 3.0 to 3.2");
  }
  StartupMessage message{.version = version, .parameters = {}, .protocol_options = {}};
  for (auto name = in.cstring(); !name.empty(); name = in.cstring()) {
    const std::string_view value = in.cstring();
    if (name.starts_with(kProtocolOptionPrefix)) {
      message.protocol_options.emplace_back(name);
    } else {
      message.parameters.emplace_back(name, value);
    }
  }
  if (!in.done()) {
    return fail(sqlstate::kProtocolViolation,
                "invalid startup packet layout: expected terminator as last byte");
  }
  if (message.parameter("user").empty()) {
    return fail(sqlstate::kInvalidAuthorization,
                "no PostgreSQL user name specified in startup packet");
  }
  return packet(total, std::move(message));
}

void write_code(Buffer& out, std::uint32_t code) {
  MessageWriter message(out);
  message.u32(code);
}

}  // namespace

std::string_view StartupMessage::parameter(std::string_view name) const {
  // Given twice, the last one counts, as in PostgreSQL.
  const auto found = std::find_if(parameters.rbegin(), parameters.rend(),
                                  [&](const auto& pair) { return pair.first == name; });
  return found == parameters.rend() ? std::string_view() : std::string_view(found->second);
}

bool StartupMessage::needs_negotiation() const {
  return version != spoken() || !protocol_options.empty();
}

StartupResult read_startup(Bytes in, std::size_t max_bytes) {
  const StartupResult need_more{.status = StartupResult::Status::kNeedMore, .packet = SslRequest{}};
  if (in.size() < 4) return need_more;
  const std::size_t total = load32(in.data());
  // Told from the length word alone: a peer that speaks HTTP or TLS is not waited for.
  if (total < 8 || total > max_bytes) return bad_length();
  if (in.size() < total) return need_more;
  Reader body(in.subspan(4, total - 4));
  const std::uint32_t code = body.u32();
  switch (code) {
    case kSslRequestCode:
      return body.done() ? packet(total, SslRequest{}) : bad_length();
    case kGssRequestCode:
      return body.done() ? packet(total, GssRequest{}) : bad_length();
    case kCancelRequestCode:
      return read_cancel(body, total);
    default:
      return read_message(body, code, total);  // any other number is a version
  }
}

void write_startup(Buffer& out, std::uint32_t version,
                   std::span<const std::pair<std::string, std::string>> parameters) {
  MessageWriter message(out);
  message.u32(version);
  for (const auto& [name, value] : parameters) {
    message.cstring(name);
    message.cstring(value);
  }
  message.u8(0);
}

void write_ssl_request(Buffer& out) { write_code(out, kSslRequestCode); }

void write_cancel_request(Buffer& out, std::uint32_t pid, Bytes key) {
  MessageWriter message(out);
  message.u32(kCancelRequestCode);
  message.u32(pid);
  message.bytes(key);
}

void write_negotiate_protocol_version(Buffer& out, std::uint32_t spoken,
                                      std::span<const std::string> unknown_options) {
  MessageWriter message(out, 'v');
  message.u32(spoken);
  message.u32(static_cast<std::uint32_t>(unknown_options.size()));
  for (const std::string& name : unknown_options) message.cstring(name);
}

std::optional<NegotiateProtocolVersion> decode_negotiate(Bytes body) {
  Reader in(body);
  NegotiateProtocolVersion answer{.spoken = in.u32(), .unknown = {}};
  const std::size_t count = in.u32();
  if (!in.ok() || count > in.left()) return std::nullopt;  // a name is at least its NUL
  answer.unknown.reserve(count);
  for (std::size_t i = 0; i < count; ++i) answer.unknown.push_back(in.cstring());
  if (!in.done()) return std::nullopt;
  return answer;
}

}  // namespace protocol
