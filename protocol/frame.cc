#include "protocol/frame.h"

#include <limits>

namespace protocol {

HeaderStatus read_header(Bytes in, std::size_t max_body, Header& header) {
  if (in.size() < kHeaderBytes) return HeaderStatus::kNeedMore;
  // The length counts itself but not the type byte. On the wire it is signed.
  const std::uint32_t length = load32(in.data() + 1);
  if (length < 4 || length > std::numeric_limits<std::int32_t>::max()) return HeaderStatus::kBad;
  const std::size_t body = length - 4;
  if (body > max_body) return HeaderStatus::kBad;
  header.type = static_cast<char>(in[0]);
  header.total = body + kHeaderBytes;
  return HeaderStatus::kOk;
}

HeaderStatus read_frame(Bytes in, std::size_t max_body, Frame& frame) {
  Header header;
  const HeaderStatus status = read_header(in, max_body, header);
  if (status != HeaderStatus::kOk) return status;
  if (in.size() < header.total) return HeaderStatus::kNeedMore;
  frame.type = header.type;
  frame.raw = in.first(header.total);
  frame.body = frame.raw.subspan(kHeaderBytes);
  return HeaderStatus::kOk;
}

}  // namespace protocol
