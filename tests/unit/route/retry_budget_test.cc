#include "route/retry_budget.h"

#include <doctest/doctest.h>

using route::RetryBudget;

namespace {

int all_of(RetryBudget& budget) {
  int taken = 0;
  while (budget.take()) ++taken;
  return taken;
}

}  // namespace

TEST_CASE("retry budget: a reserve for a replica's death, then a share of the reads") {
  RetryBudget budget;
  CHECK(all_of(budget) == 1000);
  for (int i = 0; i < 1000; ++i) budget.on_read(0.25);
  CHECK(all_of(budget) == 250);
  for (int i = 0; i < 1000; ++i) budget.on_read(0);
  CHECK(all_of(budget) == 0);
}

TEST_CASE(
    "retry budget: of who reads little it asks for time, and it saves no more than the reserve") {
  RetryBudget budget;
  all_of(budget);
  CHECK_FALSE(budget.take());
  budget.on_tick();
  CHECK(all_of(budget) == 1);
  for (int i = 0; i < 100'000; ++i) budget.on_read(1);
  for (int i = 0; i < 100'000; ++i) budget.on_tick();
  CHECK(all_of(budget) == 1000);
}
