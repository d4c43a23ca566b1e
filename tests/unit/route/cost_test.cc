// What it costs to find out where a statement goes: its analysis and the choice of a host.
#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "fixture.h"
#include "route/router.h"
#include "sql/analyzer.h"

using namespace route;

namespace {

// The promise is made for a processor that is not instrumented. Sanitizers take some ten times as
// long, and the promise holds with a wide margin without.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kStretch = 20;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr double kStretch = 20;
#else
constexpr double kStretch = 1;
#endif
#else
constexpr double kStretch = 1;
#endif

// Of this thread: what else runs on the machine does not count.
double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

// The least of many short runs: a cold cache, or another one's use of it, is no cost of ours.
double us_each(const std::vector<std::string>& texts) {
  constexpr int kRuns = 50;
  Scene scene(3);
  std::vector<HostLoad> load(4);
  for (std::size_t i = 1; i < load.size(); ++i) {
    load[i] = {.active = static_cast<std::uint32_t>(i), .latency = {.peak = 300, .typical = 300}};
  }
  SessionView session;
  session.now = at(300);
  session.as_of = at(50);  // it has written: a position is looked up
  Router router(scene.config, 1);
  sql::Analyzer analyzer({});
  analyzer.analyze(texts[0], nullptr, sql::Names::kDefaultPath);
  analyzer.analyze(texts[0], nullptr, sql::Names::kDefaultPath);
  double least = 1e9;
  std::size_t replicas = 0;
  const std::size_t each = texts.size() / kRuns;
  for (std::size_t run = 0; run < kRuns; ++run) {
    const double began = cpu_us();
    for (std::size_t i = run * each; i < (run + 1) * each; ++i) {
      const auto analysis = analyzer.analyze(texts[i], nullptr, sql::Names::kDefaultPath);
      replicas +=
          router.decide(analysis->access, analysis->hints.route, session, scene.snapshot, load)
              .target == Target::kReplica;
    }
    least = std::min(least, (cpu_us() - began) / static_cast<double>(each));
  }
  CHECK(replicas == texts.size());
  return least;
}

std::vector<std::string> point_reads(bool new_literals) {
  std::vector<std::string> texts;
  for (int i = 0; i < 10'000; ++i) {
    texts.push_back("SELECT abalance FROM pgbench_accounts WHERE aid = " +
                    std::to_string(new_literals ? 1'000'000 + i : 1'000'000) + ";");
  }
  return texts;
}

}  // namespace

TEST_CASE("cost: a repeated text takes at most 1 us, a known shape with new literals 2 us") {
  const double repeated = us_each(point_reads(false)), new_literals = us_each(point_reads(true));
  MESSAGE("repeated text: " << repeated << " us, new literals: " << new_literals << " us");
  CHECK(repeated <= 1 * kStretch);
  CHECK(new_literals <= 2 * kStretch);
}
