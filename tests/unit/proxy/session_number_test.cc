#include "proxy/session_number.h"

#include <doctest/doctest.h>

#include <set>

using proxy::SessionNumbers;

TEST_CASE("session numbers: found by the Weir that gave them, and by no other") {
  for (const std::uint32_t workers : {1u, 2u, 3u, 4u, 255u, 256u}) {
    std::set<std::uint32_t> seen;
    for (const std::uint32_t peer : {0u, 1u, 2u, 127u}) {
      const SessionNumbers numbers(peer, workers);
      CHECK(std::uint64_t{numbers.slots()} * workers <= 1u << 24);
      CHECK(numbers.slots() >= 1u << 16);
      for (const std::uint32_t worker : {0u, workers / 2, workers - 1}) {
        for (const std::uint32_t slot : {1u, 77u, numbers.slots() - 1}) {
          const std::uint32_t number = numbers.of({.worker = worker, .slot = slot});
          seen.insert(number);
          CHECK(number != 0);
          CHECK(number <= 0x7fffffff);  // a process id, for clients
          CHECK(SessionNumbers::peer_of(number) == peer);
          for (const std::uint32_t sent : {number, SessionNumbers::passed_on(number)}) {
            const auto place = numbers.find(sent);
            REQUIRE(place);
            CHECK(place->worker == worker);
            CHECK(place->slot == slot);
            CHECK_FALSE(SessionNumbers(peer ^ 3, workers).find(sent));
          }
        }
      }
    }
    const std::size_t places = workers == 1 ? 1 : workers == 2 ? 2 : 3;
    CHECK(seen.size() == 4 * places * 3);
  }
}

TEST_CASE("session numbers: passed on once") {
  const std::uint32_t number = SessionNumbers(5, 4).of({.worker = 3, .slot = 9});
  CHECK_FALSE(SessionNumbers::is_passed_on(number));
  CHECK(SessionNumbers::is_passed_on(SessionNumbers::passed_on(number)));
  CHECK(SessionNumbers::passed_on(SessionNumbers::passed_on(number)) ==
        SessionNumbers::passed_on(number));
}
