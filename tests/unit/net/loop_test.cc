#include "net/loop.h"

#include <doctest/doctest.h>

#include <string>

#include "protocol/bytes.h"

namespace net {
namespace {

TEST_CASE("memory of small buffers is used again, of large ones and of too many it is given back") {
  Loop loop;
  CHECK(loop.spare().capacity() == 0);
  protocol::Buffer small, large;
  small.append(std::string(100, 'x'));
  large.append(std::string(100'000, 'x'));
  const auto capacity = small.capacity();
  const void* memory = small.view().data();
  loop.give(large);
  loop.give(small);
  CHECK(small.capacity() == 0);
  CHECK(large.capacity() == 0);
  protocol::Buffer spare = loop.spare();
  CHECK(spare.empty());
  CHECK(spare.capacity() == capacity);
  CHECK(spare.view().data() == memory);
  CHECK(loop.spare().capacity() == 0);
  for (int i = 0; i < 1000; ++i) {
    protocol::Buffer one;
    one.append("x");
    loop.give(one);
    CHECK(one.capacity() == 0);
  }
  int kept = 0;
  while (loop.spare().capacity() != 0) ++kept;
  CHECK(kept > 0);
  CHECK(kept < 100);
}

}  // namespace
}  // namespace net
