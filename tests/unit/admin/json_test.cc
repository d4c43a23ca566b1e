#include "admin/json.h"

#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "admin/history.h"
#include "admin/sample.h"
#include "fake_control.h"

namespace {

using admin::Type;
using admin::Value;
using nlohmann::json;

std::string written(const Value& value, Type type = Type::kText) {
  std::string out;
  admin::append_json(out, value, type);
  return out;
}

TEST_CASE("values as JSON has them") {
  CHECK(written(std::int64_t{-7}, Type::kInt8) == "-7");
  CHECK(written(std::int64_t{1}, Type::kBool) == "true");
  CHECK(written(std::int64_t{0}, Type::kBool) == "false");
  CHECK(written(2.5, Type::kFloat8) == "2.5");
  CHECK(written(std::numeric_limits<double>::infinity(), Type::kFloat8) == "null");
  CHECK(written(std::monostate()) == "null");
  CHECK(written(std::string("2024-05-06 07:08:09.5"), Type::kTimestamp) ==
        "\"2024-05-06T07:08:09.5Z\"");
}

TEST_CASE("texts of clients: whatever they hold, JSON stays JSON, on one line") {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  all += "</script>\u2028\xf0\x9f\x90\x98";
  const std::string text = written(all);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find('\r') == std::string::npos);
  const json read = json::parse(text, nullptr, false);
  REQUIRE(read.is_string());
  const auto back = read.get<std::string>();
  CHECK(back.starts_with(all.substr(0, 128)));
  CHECK(back.ends_with("\xf0\x9f\x90\x98"));
  CHECK(json::parse(written(std::string(100'000, 'x'))).get<std::string>().size() == 4096);
}

constexpr auto kColumns = std::to_array<admin::ColumnDef>({{"name"}, {"n", Type::kInt8}});
const admin::Table kNumbers{"numbers", "", kColumns, [](const admin::Source&, admin::Emit emit) {
                              emit({std::string("b"), std::int64_t{2}});
                              emit({std::string("none"), std::monostate()});
                              emit({std::string("c"), std::int64_t{3}});
                              emit({std::string("b2"), std::int64_t{2}});
                            }};

struct Sampled {
  proxy::Inspection inspection = admin_test::sample_inspection();
  std::shared_ptr<const config::Config> config = admin_test::sample_config();
  admin::Averages averages;
  admin::Source source{inspection, *config, averages};
};

std::string names(const admin::Selection& selection) {
  const Sampled sampled;
  const json table = json::parse(admin::table_json(kNumbers, sampled.source, selection));
  CHECK(table["count"] == 4);
  CHECK(table["columns"][1] == json{{"name", "n"}, {"type", "int8"}});
  std::string all;
  for (const json& row : table["rows"]) all += row["name"].get<std::string>() + " ";
  return all;
}

TEST_CASE("rows: bounded, ordered, NULL last, equal ones as they came") {
  CHECK(names({}) == "b none c b2 ");
  CHECK(names({.limit = 2}) == "b none ");
  CHECK(names({.limit = 0}) == "");
  CHECK(names({.order_by = "n"}) == "b b2 c none ");
  CHECK(names({.limit = 3, .order_by = "n", .descending = true}) == "c b b2 ");
}

TEST_CASE("every table is JSON with the columns that it declares") {
  const Sampled sampled;
  const json list = json::parse(admin::table_list_json());
  CHECK(list["tables"].size() == admin::tables().size());
  for (const admin::Table& table : admin::tables()) {
    const json made = json::parse(admin::table_json(table, sampled.source, {}), nullptr, false);
    REQUIRE_MESSAGE(made.is_object(), table.name);
    for (const json& row : made["rows"]) CHECK(row.size() == table.columns.size());
  }
}

TEST_CASE("the overview is what the tables say") {
  const Sampled sampled;
  const json all = json::parse(admin::overview_json(sampled.source, true));
  CHECK(all["draining"] == true);
  CHECK(all["hosts"]["rows"][0]["host"] == "alpha");
  CHECK(all["hosts"]["rows"][1]["lag_ms"] == 1500);
  CHECK(
      all["point"]["hosts"][1] ==
      json{
          {"host", "main/beta"}, {"answered", 40}, {"failed", 2}, {"active", 4}, {"lag_ms", 1500}});
  CHECK(all["point"]["query"]["counts"][0] == 2);
  CHECK(all["bounds_us"].size() + 1 == all["point"]["query"]["counts"].size());
  CHECK(all["pins_by_reason"]["advisory lock"] == 1);
  const json detail = json::parse(admin::detail_json(sampled.source, admin::detail_needs(10)));
  CHECK(detail["pins"]["rows"][0]["statement"] == "SELECT lock($1)");
  const json crowded = json::parse(admin::detail_json(sampled.source, admin::detail_needs(2001)));
  CHECK(crowded["pins"].is_null());
  CHECK(crowded["statements"]["count"] == 0);
}

TEST_CASE("history: an hour, a point in ten seconds") {
  admin::History history;
  Sampled sampled;
  CHECK(history.json() == "{\"points\":[]}");
  for (int second = 0; second < 4000; ++second) {
    history.observe(sampled.inspection);
    sampled.inspection.taken += base::seconds(1);
    sampled.inspection.taken_wall += std::chrono::seconds(1);
  }
  const json points = json::parse(history.json())["points"];
  CHECK(points.size() == admin::History::kPoints);
  CHECK(points[1]["at_ms"].get<long>() - points[0]["at_ms"].get<long>() == 9000);
}

}  // namespace
