#include "protocol/frame.h"

#include <doctest/doctest.h>

#include "feed.h"

using namespace feed;
using protocol::as_bytes;
using protocol::as_text;
using protocol::Frame;
using protocol::Header;
using protocol::HeaderStatus;
using protocol::read_frame;
using protocol::read_header;

TEST_CASE("a header is read as soon as its five bytes are there") {
  const std::string_view wire = "Q\0\0\0\x0dselect 1\0"_wire;
  Header header;
  every_prefix(std::string_view(wire).substr(0, 5), [&](protocol::Bytes in) {
    CHECK(read_header(in, 100, header) == HeaderStatus::kNeedMore);
  });
  CHECK(read_header(as_bytes(wire).first(5), 100, header) == HeaderStatus::kOk);
  CHECK(header.type == 'Q');
  CHECK(header.total == 14);
}

TEST_CASE("a frame is whole or not there") {
  const std::string_view wire = "Q\0\0\0\x0dselect 1\0S\0\0\0\x04"_wire;
  Frame frame;
  every_prefix(std::string_view(wire).substr(0, 14), [&](protocol::Bytes in) {
    CHECK(read_frame(in, 100, frame) == HeaderStatus::kNeedMore);
  });
  REQUIRE(read_frame(as_bytes(wire), 100, frame) == HeaderStatus::kOk);
  CHECK(frame.type == 'Q');
  CHECK(as_text(frame.raw) == wire.substr(0, 14));
  CHECK(as_text(frame.body) == "select 1\0"_wire);
  REQUIRE(read_frame(as_bytes(wire).subspan(14), 100, frame) == HeaderStatus::kOk);
  CHECK(frame.type == 'S');
  CHECK(frame.body.empty());
}

TEST_CASE("impossible lengths end the stream, from the header alone") {
  Header header;
  const auto status = [&](std::string_view length, std::size_t max_body) {
    return read_header(as_bytes("Q" + std::string(length)), max_body, header);
  };
  CHECK(status("\0\0\0\x00"_wire, 100) == HeaderStatus::kBad);
  CHECK(status("\0\0\0\x03"_wire, 100) == HeaderStatus::kBad);
  CHECK(status("\0\0\0\x04"_wire, 0) == HeaderStatus::kOk);
  CHECK(status("\0\0\0\x05"_wire, 0) == HeaderStatus::kBad);
  CHECK(status("\0\0\0\x68"_wire, 100) == HeaderStatus::kOk);
  CHECK(status("\0\0\0\x69"_wire, 100) == HeaderStatus::kBad);
  // 1 + 0xffffffff is 0 in 32 bits, and the wire's length is signed.
  CHECK(status("\xff\xff\xff\xff"_wire, SIZE_MAX) == HeaderStatus::kBad);
  CHECK(status("\x80\0\0\0"_wire, SIZE_MAX) == HeaderStatus::kBad);
  CHECK(status("\x7f\xff\xff\xff"_wire, SIZE_MAX) == HeaderStatus::kOk);
  CHECK(header.total == std::size_t{0x80000000});
}

TEST_CASE("a stream in random pieces gives the same frames") {
  std::string wire;
  for (int i = 0; i < 50; ++i) {
    protocol::Buffer out;
    {
      protocol::MessageWriter message(out, static_cast<char>('A' + i % 26));
      message.text(std::string(static_cast<std::size_t>(i), 'x'));
    }
    wire += written(out);
  }
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::string seen;
    int frames = 0;
    random_pieces(wire, seed, [&](protocol::Buffer& queue) {
      Frame frame;
      while (read_frame(queue.view(), 1000, frame) == HeaderStatus::kOk) {
        CHECK(frame.body.size() == static_cast<std::size_t>(frames));
        seen += as_text(frame.raw);
        ++frames;
        queue.consume(frame.raw.size());
      }
    });
    CHECK(frames == 50);
    CHECK(seen == wire);
  }
}
