#include "protocol/buffer.h"

#include <doctest/doctest.h>

#include <deque>

#include "feed.h"

using namespace feed;
using protocol::Buffer;
using protocol::MessageWriter;

TEST_CASE("Buffer owns no memory until it holds something, and none after release()") {
  Buffer buffer;
  CHECK(buffer.capacity() == 0);
  CHECK(buffer.view().empty());
  buffer.append("abc");
  CHECK(buffer.capacity() > 0);
  buffer.clear();
  CHECK(buffer.empty());
  CHECK(buffer.capacity() > 0);
  buffer.release();
  CHECK(buffer.capacity() == 0);
  buffer.append("again");
  CHECK(written(buffer) == "again");
}

TEST_CASE("Buffer: moving leaves an empty, usable buffer behind") {
  Buffer from;
  from.append("abc");
  Buffer to(std::move(from));
  CHECK(written(to) == "abc");
  CHECK(from.empty());  // NOLINT(bugprone-use-after-move): the contract is tested
  CHECK(from.capacity() == 0);
  from.append("x");
  to = std::move(from);
  CHECK(written(to) == "x");
}

TEST_CASE("Buffer: reserve and commit") {
  Buffer buffer;
  const auto space = buffer.reserve(1000);
  REQUIRE(space.size() >= 1000);
  space[0] = 'a';
  space[1] = 'b';
  buffer.commit(2);
  CHECK(written(buffer) == "ab");
  buffer.truncate(1);
  CHECK(written(buffer) == "a");
  buffer.truncate(5);  // no more than there is
  CHECK(written(buffer) == "a");
}

TEST_CASE("Buffer: consumed space is used again instead of growing") {
  Buffer buffer;
  buffer.append(std::string(256, 'a'));
  const std::size_t capacity = buffer.capacity();
  for (int i = 0; i < 10'000; ++i) {
    buffer.consume(100);
    buffer.append(std::string(100, 'b'));
  }
  CHECK(buffer.capacity() == capacity);
  CHECK(buffer.size() == 256);
}

TEST_CASE("Buffer behaves as a queue of bytes under random use") {
  std::mt19937 random(7);
  Buffer buffer;
  std::deque<std::uint8_t> model;
  std::uint8_t next = 0;
  for (int i = 0; i < 20'000; ++i) {
    switch (random() % 4) {
      case 0: {
        std::string piece;
        for (auto n = random() % 100; n > 0; --n) piece.push_back(static_cast<char>(next++));
        buffer.append(piece);
        model.insert(model.end(), piece.begin(), piece.end());
        break;
      }
      case 1:
        buffer.push_back(next);
        model.push_back(next++);
        break;
      case 2: {
        const std::size_t n = random() % (model.size() + 1);
        buffer.consume(n);
        model.erase(model.begin(), model.begin() + static_cast<long>(n));
        break;
      }
      default: {
        const auto space = buffer.reserve(random() % 300 + 1);
        space[0] = next;
        buffer.commit(1);
        model.push_back(next++);
        break;
      }
    }
    REQUIRE(buffer.size() == model.size());
    REQUIRE(std::equal(model.begin(), model.end(), buffer.view().begin()));
  }
}

TEST_CASE("MessageWriter fills in the length, also behind other bytes") {
  Buffer out;
  out.append("xx");
  {
    MessageWriter message(out, 'D');
    message.i16(-1);
    message.i32(5);
    message.u8(7);
    message.cstring("ab");
    message.text("cd");
  }
  CHECK(written(out) ==
        "xxD\0\0\0\x10\xff\xff\0\0\0\x05\x07"
        "ab\0cd"_wire);
}

TEST_CASE("MessageWriter: the length survives growth and compaction in the middle") {
  Buffer out;
  out.append(std::string(200, 'x'));
  out.consume(150);
  {
    MessageWriter message(out, 'C');
    message.text(std::string(70'000, 'y'));
  }
  out.consume(50);
  CHECK(written(out).substr(0, 5) == "C\0\x01\x11\x74"_wire);  // 70,004
  CHECK(out.size() == 70'005);
}

TEST_CASE("MessageWriter: a NUL inside a string cannot start another field") {
  Buffer out;
  {
    MessageWriter(out, 'C').cstring("ab\0cd"_wire);
  }
  CHECK(written(out) ==
        "C\0\0\0\x07"
        "ab\0"_wire);
}
