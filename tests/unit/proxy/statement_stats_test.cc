#include "proxy/statement_stats.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "proxy/statement_meter.h"

namespace proxy {
namespace {

using namespace std::chrono_literals;

const base::Time kStart = base::Time(1000s);
const auto kAnn = std::make_shared<StatementOwner>(StatementOwner{"shop", "ann"});
const auto kBob = std::make_shared<StatementOwner>(StatementOwner{"shop", "bob"});

std::vector<StatementRow> rows_of(const StatementStats& stats) {
  std::vector<StatementRow> rows;
  stats.add_rows(rows, kStart,
                 [](const StatementStats::Route& route) { return std::string(route.reason); });
  merge_statements(rows);
  return rows;
}

TEST_CASE("quantiles are those of the sorted values, within a bucket's width") {
  std::mt19937_64 random(4711);
  std::lognormal_distribution<double> times(7, 2.5);  // some us to minutes
  LogHistogram histogram, half, other;
  CHECK(histogram.quantile(0.5) == 0);
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(static_cast<std::uint64_t>(times(random)));
    histogram.add(values.back());
    (i % 2 == 0 ? half : other).add(values.back());
  }
  half += other;
  std::ranges::sort(values);
  for (const double share : {0.01, 0.5, 0.9, 0.95, 0.99, 0.999}) {
    const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size()));
    const auto exact = static_cast<double>(values[at]);
    CAPTURE(share);
    CHECK(std::abs(histogram.quantile(share) - exact) <= 1 + exact / 4);
    CHECK(half.quantile(share) == histogram.quantile(share));
  }
  LogHistogram longest;
  longest.add(UINT64_MAX);
  CHECK(longest.quantile(1) == doctest::Approx(4294967296.0));
}

TEST_CASE("a shape counts for each user, and what was dropped meanwhile for none") {
  StatementStats stats(10);
  CHECK(stats.find(7, kAnn.get()) == 0);
  const auto anns = stats.add(7, kAnn, "select $", kStart);
  const auto bobs = stats.add(7, kBob, "select $", kStart);
  CHECK(stats.find(7, kAnn.get()) == anns);
  stats.count(anns, {.rows = 3, .server_us = 100, .on_primary = true}, kStart + 1s);
  stats.count(bobs, {.rows = 4, .failed = true}, kStart);
  stats.count(0, {.rows = 5}, kStart);
  auto rows = rows_of(stats);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].user == "ann");
  CHECK(rows[0].totals.rows == 3);
  CHECK(rows[0].totals.on_primary == 1);
  CHECK(rows[0].last_seen - rows[0].first_seen >= 1s);
  CHECK(rows[0].last_seen - rows[0].first_seen < 2s);
  CHECK(rows[1].totals.errors == 1);
  CHECK(rows[1].totals.on_replica == 1);

  CHECK(stats.bytes() > 2 * sizeof(StatementTotals));
  stats.clear();
  CHECK(stats.bytes() == 0);
  const auto again = stats.add(8, kAnn, "delete", kStart);  // where one of them was
  stats.count(anns, {.rows = 6}, kStart);
  stats.count(bobs, {.rows = 6}, kStart);
  stats.count(again, {.rows = 1}, kStart);
  rows = rows_of(stats);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].totals.rows == 1);
  CHECK(rows[0].totals.errors == 0);
}

TEST_CASE("what a statement takes as a rule is known after some calls, and follows them") {
  StatementStats stats(10);
  CHECK(stats.usual_us(0) == 0);
  const auto what = stats.add(1, kAnn, "SELECT $1", kStart);
  const auto call = [&](int times, std::uint64_t wait, std::uint64_t server) {
    for (int i = 0; i < times; ++i) {
      stats.count(what, {.wait_us = wait, .server_us = server}, kStart);
    }
  };
  call(19, 0, 1000);
  CHECK(stats.usual_us(what) == 0);
  call(1, 0, 1000);
  CHECK(stats.usual_us(what) >= 900);
  CHECK(stats.usual_us(what) <= 1100);
  call(1, 50'000, 50'000);  // a twentieth may be late
  CHECK(stats.usual_us(what) <= 1100);
  call(200, 50'000, 50'000);
  CHECK(stats.usual_us(what) >= 80'000);  // a quantile is one of a bucket
  CHECK(stats.usual_us(what) <= 125'000);
  stats.clear();
  CHECK(stats.usual_us(what) == 0);
}

TEST_CASE("a statement is short by its latest calls on a server, not by their waits") {
  StatementStats stats(10);
  CHECK_FALSE(stats.is_short(0));
  const auto what = stats.add(1, kAnn, "SELECT $1", kStart);
  const auto call = [&](int times, std::uint64_t server) {
    for (int i = 0; i < times; ++i) {
      stats.count(what, {.wait_us = 500'000, .server_us = server}, kStart);
    }
  };
  call(19, 100);
  CHECK_FALSE(stats.is_short(what));  // it is not known well enough
  call(1, 100);
  CHECK(stats.is_short(what));
  call(1, 20'000);
  CHECK_FALSE(stats.is_short(what));
  call(30, 100);  // which was an exception
  CHECK(stats.is_short(what));
  call(30, 10'000);
  CHECK_FALSE(stats.is_short(what));
  stats.clear();
  CHECK_FALSE(stats.is_short(what));
}

TEST_CASE("rows of several workers are one") {
  StatementStats one(10), two(10);
  one.count(one.add(7, kAnn, "select $", kStart), {.rows = 1}, kStart);
  const auto late = two.add(7, std::make_shared<StatementOwner>(*kAnn), "select $", kStart);
  two.note_route(late, {.to_primary = true, .reason = "a write"}, "why");
  two.count(late, {.rows = 2}, kStart + 5s);
  std::vector<StatementRow> rows;
  for (const auto* stats : {&one, &two}) {
    stats->add_rows(rows, kStart, [](const auto& route) { return std::string(route.reason); });
  }
  merge_statements(rows);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].totals.rows == 3);
  CHECK(rows[0].totals.calls == 2);
  CHECK(rows[0].totals.to_primary == 1);
  CHECK(rows[0].reason == "a write");
}

TEST_CASE("what weighs most stays, and nothing is lost from the sums") {
  constexpr std::size_t kShapes = 100;
  StatementStats stats(kShapes);
  std::uint64_t calls = 0;
  for (std::uint64_t i = 1; i <= 50'000; ++i) {
    // Ten heavy shapes come again and again; all others once.
    const bool heavy = i % 20 < 10 && i % 200 < 20;
    const std::uint64_t shape = heavy ? i % 10 + 1 : 1000 + i;
    auto what = stats.find(shape, kAnn.get());
    if (what == 0) what = stats.add(shape, kAnn, "select " + std::to_string(shape), kStart);
    stats.count(what, {.server_us = heavy ? 2000u : 100u}, kStart);
    ++calls;
  }
  const auto rows = rows_of(stats);
  CHECK(rows.size() <= kShapes + 1);
  std::uint64_t found = 0, heavy = 0;
  for (const auto& row : rows) {
    found += row.totals.calls;
    if (row.shape >= 1 && row.shape <= 10) ++heavy;
    if (row.shape >= 1 && row.shape <= 10) CHECK(row.totals.calls > 200);
  }
  CHECK(heavy == 10);
  CHECK(found == calls);
  CHECK(stats.bytes() < kShapes * 2000);

  stats.set_max(20);
  CHECK(rows_of(stats).size() <= 21);
  stats.set_max(0);
  CHECK(rows_of(stats).size() == 1);
  CHECK(stats.add(5, kAnn, "select", kStart) == 0);
}

TEST_CASE("a text is cut between characters") {
  StatementStats stats(10);
  std::string text(StatementStats::kTextMax - 1, 'a');
  text += "\xc3\xa9";
  stats.add(7, kAnn, text, kStart);
  CHECK(rows_of(stats)[0].text == std::string(StatementStats::kTextMax - 1, 'a'));
}

TEST_CASE("the statements of a batch share its time") {
  using Ended = StatementMeter::Ended;
  StatementStats stats(10);
  StatementMeter meter;
  const auto a = stats.add(1, kAnn, "a", kStart), b = stats.add(2, kAnn, "b", kStart);
  const StatementMeter::Server server{.busy_since = kStart, .slow_us = 2501};
  struct Told {
    StatementStats::Ref what;
    std::uint64_t wait_us, server_us;
    std::string sqlstate;
    bool operator==(const Told&) const = default;
  };
  std::vector<Told> told;
  const auto slow = [&](const StatementMeter::Slow& it) {
    told.push_back({it.what, it.end.wait_us, it.end.server_us, std::string(it.sqlstate)});
  };
  meter.on_wait(500);
  meter.on_end(stats, a, Ended::kExecute, {.rows = 1, .bytes = 10}, server, kStart + 2ms, slow);
  meter.on_end(stats, b, Ended::kExecute, {.rows = 2, .bytes = 20}, server, kStart + 5ms, slow);
  CHECK(told.empty());  // 2.5 ms with its wait: just not so long
  meter.on_ready(stats, {.bytes = 6}, server, kStart + 9ms, true, slow);
  auto rows = rows_of(stats);
  CHECK(rows[0].totals.wait_us == 500);
  CHECK(rows[0].totals.server_us == 2000);
  CHECK(rows[1].totals.wait_us == 0);
  CHECK(rows[1].totals.server_us == 7000);  // with the commit
  CHECK(rows[1].totals.bytes == 26);

  CHECK(told == std::vector<Told>{{b, 0, 7000, ""}});

  // A batch that was sent before the first had ended.
  meter.on_end(stats, a, Ended::kFailed, {.sqlstate = "57014"}, server, kStart + 10ms, slow);
  meter.on_ready(stats, {}, server, kStart + 10ms, true, slow);
  CHECK(told.size() == 1);
  rows = rows_of(stats);
  CHECK(rows[0].totals.server_us == 3000);
  CHECK(rows[0].totals.errors == 1);

  // With its code, and what comes next has none.
  meter.on_end(stats, a, Ended::kFailed, {.sqlstate = "57014"}, server, kStart + 12ms, slow);
  meter.on_ready(stats, {}, server, kStart + 13ms, true, slow);
  meter.on_end(stats, b, Ended::kInQuery, {}, server, kStart + 20ms, slow);
  meter.on_ready(stats, {}, server, kStart + 20ms, true, slow);
  CHECK(told == std::vector<Told>{{b, 0, 7000, ""}, {a, 0, 3000, "57014"}, {b, 0, 7000, ""}});
  const StatementMeter::Server off{.busy_since = kStart};
  meter.on_end(stats, b, Ended::kInQuery, {}, off, kStart + 1h, slow);
  meter.on_ready(stats, {}, off, kStart + 1h, true, slow);
  CHECK(told.size() == 3);
}

}  // namespace
}  // namespace proxy
