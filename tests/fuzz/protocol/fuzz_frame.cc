// Cuts a stream into frames, whole and in pieces: both must agree, and nothing may be lost.
#include <cstdlib>
#include <string>

#include "protocol/buffer.h"
#include "protocol/error.h"
#include "protocol/frame.h"

namespace {

using protocol::Bytes;
using protocol::HeaderStatus;

constexpr std::size_t kMaxBody = 4096;

void require(bool holds) {
  if (!holds) std::abort();
}

// The types and bodies of all frames, then how the stream ended.
std::string cut_up(Bytes in) {
  std::string log;
  protocol::Frame frame;
  HeaderStatus status;
  while ((status = read_frame(in, kMaxBody, frame)) == HeaderStatus::kOk) {
    require(frame.raw.size() == frame.body.size() + protocol::kHeaderBytes);
    require(frame.body.size() <= kMaxBody);
    log += frame.type;
    log += protocol::as_text(frame.body);
    in = in.subspan(frame.raw.size());
  }
  return log + (status == HeaderStatus::kBad ? "bad" : "more");
}

std::string cut_up_in_pieces(Bytes in, std::size_t piece) {
  std::string log;
  protocol::Buffer queue;
  protocol::Frame frame;
  HeaderStatus status = HeaderStatus::kNeedMore;
  while (!in.empty() && status != HeaderStatus::kBad) {
    const Bytes now = in.first(std::min(piece, in.size()));
    queue.append(now);
    in = in.subspan(now.size());
    while ((status = read_frame(queue.view(), kMaxBody, frame)) == HeaderStatus::kOk) {
      log += frame.type;
      log += protocol::as_text(frame.body);
      queue.consume(frame.raw.size());
    }
    require(queue.size() <= kMaxBody + protocol::kHeaderBytes + piece ||
            status == HeaderStatus::kBad);
  }
  return log + (status == HeaderStatus::kBad ? "bad" : "more");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes in(data + 1, size - 1);
  require(cut_up(in) == cut_up_in_pieces(in, std::size_t{data[0]} + 1));
  return 0;
}
