#include "net/loop.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "protocol/bytes.h"

namespace net {
namespace {

using std::chrono::milliseconds;

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return false;
}

TEST_CASE("a loop ticks; one that rests does so until there is an event") {
  Loop loop;
  std::atomic<int> ticks{0};
  std::atomic<bool> resting{false};
  loop.set_tick(milliseconds(5), [&] {
    ++ticks;
    if (resting) loop.rest(std::chrono::hours(1));
  });
  std::thread thread([&] { loop.run(); });
  CHECK(eventually([&] { return ticks >= 5; }));
  resting = true;
  std::this_thread::sleep_for(milliseconds(200));
  const int before = ticks;
  std::this_thread::sleep_for(milliseconds(200));
  CHECK(ticks == before);
  loop.post([] {});
  CHECK(eventually([&] { return ticks == before + 1; }));
  // A round that was asked for is as good as an event.
  loop.post([&] { loop.again(); });
  CHECK(eventually([&] { return ticks > before + 1; }));
  resting = false;
  loop.post([] {});
  CHECK(eventually([&] { return ticks >= before + 10; }));
  loop.stop();
  thread.join();
}

TEST_CASE("a rest ends by itself") {
  Loop loop;
  std::atomic<int> ticks{0};
  loop.set_tick(milliseconds(1), [&] {
    ++ticks;
    loop.rest(milliseconds(100));
  });
  const auto begin = read_clock();
  std::thread thread([&] { loop.run(); });
  CHECK(eventually([&] { return ticks >= 4; }));
  CHECK(read_clock() - begin >= milliseconds(300));
  loop.stop();
  thread.join();
}

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
