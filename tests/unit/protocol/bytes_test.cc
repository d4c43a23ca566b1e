#include "protocol/bytes.h"

#include <doctest/doctest.h>

#include <limits>

#include "feed.h"

using namespace feed;
using protocol::as_bytes;
using protocol::as_text;
using protocol::Reader;

TEST_CASE("Reader reads big endian numbers front to back") {
  const std::string_view wire = "\x01\x02\x03\xff\xfe\xff\xff\xff\xff\x80\x00\x00\x00"_wire;
  Reader in(as_bytes(wire));
  CHECK(in.u8() == 1);
  CHECK(in.u16() == 0x0203);
  CHECK(in.i16() == -2);
  CHECK(in.i32() == -1);
  CHECK(in.u32() == 0x80000000u);
  CHECK(in.done());
}

TEST_CASE("Reader: strings end at their NUL, and rest() takes what is left") {
  const std::string_view wire = "one\0\0two"_wire;
  Reader in(as_bytes(wire));
  CHECK(in.cstring() == "one");
  CHECK(in.cstring() == "");
  CHECK(in.left() == 3);
  CHECK(as_text(in.rest()) == "two");
  CHECK(in.done());
}

TEST_CASE("Reader: a string without NUL is an error") {
  Reader in(as_bytes("abc"));
  CHECK(in.cstring().empty());
  CHECK_FALSE(in.ok());
  CHECK(in.left() == 0);
}

TEST_CASE("Reader: a read past the end fails for good and answers zero") {
  const std::string_view wire = "\x07\x07\x07"_wire;
  Reader in(as_bytes(wire));
  CHECK(in.u32() == 0);
  CHECK_FALSE(in.ok());
  CHECK(in.u8() == 0);  // there were three bytes, but nothing may be believed any more
  CHECK(in.u16() == 0);
  CHECK(in.cstring().empty());
  CHECK(in.bytes(1).empty());
  CHECK(in.rest().empty());
  CHECK_FALSE(in.done());
}

TEST_CASE("Reader: a huge size is refused, whatever is added to it") {
  Reader in(as_bytes("abc"));
  CHECK(in.bytes(std::numeric_limits<std::size_t>::max()).empty());
  CHECK_FALSE(in.ok());
}

TEST_CASE("Reader: nothing of nothing is fine") {
  Reader in{protocol::Bytes()};
  CHECK(in.bytes(0).empty());
  CHECK(in.rest().empty());
  CHECK(in.done());
  CHECK(in.cstring().empty());
  CHECK_FALSE(in.ok());
}
