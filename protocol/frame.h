// Cutting a byte stream into messages, after the startup packet.
// https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "protocol/bytes.h"

namespace protocol {

inline constexpr std::size_t kHeaderBytes = 5;  // type, length

enum class HeaderStatus : std::uint8_t {
  kNeedMore,  // fewer than kHeaderBytes
  kOk,
  kBad,  // a length under 4 or over the limit: the stream cannot be followed any more. If it is
         // over the limit the header is filled in
};
struct Header {
  char type = 0;
  std::size_t total = 0;  // bytes of the whole message with its type byte: body + 5
};

// Looks at the first bytes of `in`; takes nothing. max_body: greatest allowed body in bytes.
// Inline, as all that each message goes through.
inline HeaderStatus read_header(Bytes in, std::size_t max_body, Header& header) {
  if (in.size() < kHeaderBytes) return HeaderStatus::kNeedMore;
  // The length counts itself but not the type byte. On the wire it is signed.
  const std::uint32_t length = load32(in.data() + 1);
  if (length < 4 || length > std::numeric_limits<std::int32_t>::max()) return HeaderStatus::kBad;
  const std::size_t body = length - 4;
  header.type = static_cast<char>(in[0]);
  header.total = body + kHeaderBytes;
  return body <= max_body ? HeaderStatus::kOk : HeaderStatus::kBad;
}

struct Frame {
  char type = 0;
  Bytes raw;   // all of it
  Bytes body;  // behind type and length
};
// The message at the front of `in` that has this header; `in` must have all of it.
inline Frame frame_of(Bytes in, const Header& header) {
  const Bytes raw = in.first(header.total);
  return {header.type, raw, raw.subspan(kHeaderBytes)};
}
// The first whole message of `in`, a view into it; kNeedMore also when its body is incomplete.
inline HeaderStatus read_frame(Bytes in, std::size_t max_body, Frame& frame) {
  Header header;
  const HeaderStatus status = read_header(in, max_body, header);
  if (status != HeaderStatus::kOk) return status;
  if (in.size() < header.total) return HeaderStatus::kNeedMore;
  frame = frame_of(in, header);
  return HeaderStatus::kOk;
}
// Calls see(frame) with each message of `in`, which is of whole ones.
template <class See>
void each_frame(Bytes in, See see) {
  Frame frame;
  for (; read_frame(in, in.size(), frame) == HeaderStatus::kOk; in = in.subspan(frame.raw.size())) {
    see(frame);
  }
}

}  // namespace protocol
