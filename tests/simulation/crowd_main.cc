// Runs crowds of clients from seeds, and then each flaw that can be done on purpose until it is
// noticed: one that is not shows that the simulation has gone blind.
//
// Usage: crowd [first seed [number of seeds]]
#include <cstdio>
#include <cstdlib>

#include "crowd.h"

namespace {

using simulation::Flaw;

constexpr std::uint64_t kSeeds = 3'000, kSeedsToNotice = 300;

std::string run(std::uint64_t seed, Flaw flaw, simulation::CrowdTotals& totals) {
  simulation::Random random(seed);
  return simulation::Crowd(random, flaw, totals).run();
}

bool is_noticed(Flaw flaw) {
  simulation::CrowdTotals totals;
  for (std::uint64_t seed = 1; seed <= kSeedsToNotice; ++seed) {
    const std::string what = run(seed, flaw, totals);
    if (what.empty()) continue;
    std::printf("flaw %d: seed %llu: %s\n", static_cast<int>(flaw),
                static_cast<unsigned long long>(seed), what.substr(0, what.find('\n')).c_str());
    return true;
  }
  std::fprintf(stderr, "flaw %d is not noticed\n", static_cast<int>(flaw));
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const std::uint64_t count = argc > 2   ? std::strtoull(argv[2], nullptr, 10)
                              : argc > 1 ? 1
                                         : kSeeds;
  simulation::CrowdTotals totals;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const std::string wrong = run(seed, Flaw::kNone, totals);
    if (wrong.empty()) continue;
    std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), wrong.c_str());
    return 1;
  }
  std::printf(
      "%llu crowds: %zu answers, %zu leases, %zu waits, %zu servers opened, %zu cancels, %zu "
      "clients vanished, %zu servers lost, %zu requests told of that\n",
      static_cast<unsigned long long>(count), totals.answers, totals.leases, totals.waits,
      totals.opened, totals.cancels, totals.vanished, totals.lost, totals.told);
  for (const Flaw flaw : {Flaw::kFreedInTransaction, Flaw::kFreedOwing, Flaw::kShared,
                          Flaw::kPermitKept, Flaw::kSwapped, Flaw::kMisled}) {
    if (!is_noticed(flaw)) return 1;
  }
  return 0;
}
