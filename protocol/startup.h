// The first packet of a connection, both directions, and version negotiation (3.0 to 3.2).
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/buffer.h"
#include "protocol/bytes.h"
#include "protocol/error.h"

namespace protocol {

inline constexpr std::uint32_t kVersion30 = 3u << 16, kVersion32 = (3u << 16) | 2;
inline constexpr std::uint32_t kSslRequestCode = 80877103, kGssRequestCode = 80877104,
                               kCancelRequestCode = 80877102;
inline constexpr std::size_t kMaxCancelKeyBytes = 256;

struct SslRequest {};
struct GssRequest {};
struct CancelRequest {
  std::uint32_t pid;
  std::string key;  // 4 bytes (3.0) or up to 256 (3.2)
};
struct StartupMessage {
  std::uint32_t version;                                        // as asked, e.g. 3.9999
  std::vector<std::pair<std::string, std::string>> parameters;  // in order, without "_pq_." ones
  std::vector<std::string> protocol_options;                    // the "_pq_." names asked for
  std::string_view parameter(std::string_view name) const;      // "" = absent
  // What to speak: 3.0, or 3.2 when asked for 3.2 or more.
  std::uint32_t spoken() const { return version >= kVersion32 ? kVersion32 : kVersion30; }
  // True when a NegotiateProtocolVersion must be sent (a version we don't speak, or any option).
  bool needs_negotiation() const;
};
using StartupPacket = std::variant<SslRequest, GssRequest, CancelRequest, StartupMessage>;

struct StartupResult {
  enum class Status : std::uint8_t { kNeedMore, kPacket, kError } status;
  std::size_t total = 0;  // bytes of the packet, to consume, when kPacket
  StartupPacket packet;
  Error error;  // FATAL, in PostgreSQL's words, when kError
};
// Reads the packet at the front of `in`. max_bytes: as Limits::startup_bytes. A startup message
// must be major version 3 and name a user.
StartupResult read_startup(Bytes in, std::size_t max_bytes);

// Splits the value of the startup parameter "options" into settings: "-c a=b --c-d=e -k v" as
// PostgreSQL's postgres(1) does (backslash escapes a blank). nullopt: not understood.
std::optional<std::vector<std::pair<std::string, std::string>>> parse_options(
    std::string_view options);

void write_startup(Buffer& out, std::uint32_t version,
                   std::span<const std::pair<std::string, std::string>> parameters);
void write_ssl_request(Buffer& out);
void write_cancel_request(Buffer& out, std::uint32_t pid, Bytes key);
void write_negotiate_protocol_version(Buffer& out, std::uint32_t spoken,
                                      std::span<const std::string> unknown_options);
struct NegotiateProtocolVersion {
  std::uint32_t spoken;
  std::vector<std::string_view> unknown;
};
std::optional<NegotiateProtocolVersion> decode_negotiate(Bytes body);

}  // namespace protocol
