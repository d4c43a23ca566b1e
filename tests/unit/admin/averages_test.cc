#include "admin/averages.h"

#include <doctest/doctest.h>

#include <chrono>

namespace {

using admin::Averages;
using namespace std::chrono_literals;

const base::Time kStart = base::Time(1h);

proxy::Inspection at(std::chrono::seconds age, std::uint64_t queries, std::uint64_t query_time) {
  proxy::Inspection in;
  in.taken = kStart + age;
  in.started_wall = base::WallTime(1000h);
  in.taken_wall = in.started_wall + age;
  proxy::DatabaseRow row;
  row.name = "db";
  row.stats.query_count = queries;
  row.stats.query_time_us = query_time;
  in.databases = {row};
  return in;
}

proxy::Stats of(const Averages& averages, const proxy::Inspection& in) {
  return averages.of("db", in.databases[0].stats, in.taken);
}

TEST_CASE("averages over the last minute") {
  Averages averages;
  CHECK(of(averages, at(10s, 100, 0)).query_count == 0);  // nothing observed yet
  averages.observe(at(0s, 0, 0));
  CHECK(of(averages, at(0s, 0, 0)).query_count == 0);  // no time has passed
  // A young process: since its start.
  CHECK(of(averages, at(10s, 100, 5000)).query_count == 10);
  CHECK(of(averages, at(10s, 100, 5000)).query_time_us == 50);
  // 10 a second for five minutes, then 100 a second for one.
  for (int s = 5; s <= 300; s += 5) averages.observe(at(std::chrono::seconds(s), s * 10u, 0));
  CHECK(of(averages, at(300s, 3000, 0)).query_count == 10);
  for (int s = 305; s <= 360; s += 5) {
    averages.observe(at(std::chrono::seconds(s), 3000 + (s - 300) * 100u, 0));
  }
  CHECK(of(averages, at(360s, 9000, 0)).query_count == 100);
}

TEST_CASE("a counter that restarted counts as nothing, a new database from zero") {
  Averages averages;
  for (int s = 0; s <= 120; s += 10) averages.observe(at(std::chrono::seconds(s), 50'000, 0));
  CHECK(of(averages, at(120s, 10, 0)).query_count == 0);
  proxy::Stats fresh;
  fresh.query_count = 600;
  CHECK(averages.of("new", fresh, kStart + 120s).query_count == 10);
}

}  // namespace
