// Cutting a byte stream into messages, after the startup packet.
// https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS
#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol/bytes.h"

namespace protocol {

inline constexpr std::size_t kHeaderBytes = 5;  // type, length

enum class HeaderStatus : std::uint8_t {
  kNeedMore,  // fewer than kHeaderBytes
  kOk,
  kBad,  // a length under 4 or over the limit: the stream cannot be followed any more
};
struct Header {
  char type = 0;
  std::size_t total = 0;  // bytes of the whole message with its type byte: body + 5
};

// Looks at the first bytes of `in`; takes nothing. max_body: greatest allowed body in bytes.
HeaderStatus read_header(Bytes in, std::size_t max_body, Header& header);

struct Frame {
  char type = 0;
  Bytes raw;   // all of it
  Bytes body;  // behind type and length
};
// The first whole message of `in`, a view into it; kNeedMore also when its body is incomplete.
HeaderStatus read_frame(Bytes in, std::size_t max_body, Frame& frame);

}  // namespace protocol
