#include "proxy/fault_log.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace proxy {
namespace {

using namespace std::chrono_literals;
using Severity = Fault::Severity;

const base::WallTime kStart(1'700'000'000s);

TEST_CASE("what happens again is counted, what is long ago is not looked at") {
  FaultLog log;
  log.add(Severity::kWarning, "login", "main/db1", "refused", kStart);
  log.add(Severity::kWarning, "login", "main/db2", "refused", kStart + 1s);
  log.add(Severity::kWarning, "login", "main/db1", "refused", kStart + 2s);
  auto faults = log.list();
  REQUIRE(faults.size() == 2);
  CHECK(faults[0].times == 2);
  CHECK(faults[0].first == kStart);
  CHECK(faults[0].last == kStart + 2s);
  CHECK(faults[1].times == 1);
  for (std::size_t i = 0; i < FaultLog::kLookedAt; ++i) {
    log.add(Severity::kInfo, "host", "main/db1", std::to_string(i), kStart);
  }
  log.add(Severity::kWarning, "login", "main/db1", "refused", kStart + 3s);
  CHECK(log.list().size() == FaultLog::kLookedAt + 3);
}

TEST_CASE("the oldest goes first, and no text is kept whole") {
  FaultLog log;
  for (std::size_t i = 0; i < 2 * FaultLog::kMax; ++i) {
    log.add(Severity::kInfo, "host", std::to_string(i), std::string(100'000, 'x'), kStart);
  }
  const auto faults = log.list();
  REQUIRE(faults.size() == FaultLog::kMax);
  CHECK(faults.front().subject == std::to_string(FaultLog::kMax));
  CHECK(faults.back().what.size() == FaultLog::kTextMax);
}

}  // namespace
}  // namespace proxy
