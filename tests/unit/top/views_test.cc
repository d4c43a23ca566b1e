#include "top/views.h"

#include <doctest/doctest.h>

using namespace top;

namespace {

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("rates are what came in between") {
  Rates rates;
  std::map<std::string, std::string> values{
      {"clients", "7"}, {"active", "2"},        {"waiting", "1"},         {"pins", "0"},
      {"servers", "5"}, {"busy", "2"},          {"transactions", "1000"}, {"queries", "2000"},
      {"errors", "3"},  {"on_replicas", "600"}, {"on_primary", "200"},    {"writes", "100"}};
  const std::string first = rates.totals(values, 10);
  CHECK(has(first, "clients 7 (2 active, 1 waiting, 0 pinned)"));
  CHECK(has(first, "tx/s -"));
  CHECK_FALSE(has(first, "%"));
  values["transactions"] = "1500";
  values["on_replicas"] = "675";
  values["on_primary"] = "225";
  const std::string second = rates.totals(values, 12);
  CHECK(has(second, "tx/s 250"));
  CHECK(has(second, "reads/s 50 (75% on replicas)"));
  CHECK(has(second, "errors/s 0"));
  values["transactions"] = "10";  // Weir was started again
  CHECK(has(rates.totals(values, 13), "tx/s 0"));
  rates.forget();
  CHECK(has(rates.totals(values, 14), "tx/s -"));
}

TEST_CASE("statements have their calls and time since the last frame") {
  const auto table = [](const char* calls, const char* ms) {
    Table made{{"calls", "ms", "p95_ms", "errors", "on_replica", "on_primary", "database", "user",
                "statement", "shape"},
               {}};
    made.rows.push_back({calls, ms, "9.5", "1", "4", "6", "app", "joe", "select $", "0a"});
    return made;
  };
  Rates rates;
  Table first = table("100", "1000");
  rates.statements(first, 10);
  CHECK(first.columns.size() == first.rows[0].size());
  CHECK(first.rows[0] ==
        std::vector<std::string>{"0.0", "0.0", "", "9.5", "1", "4", "6", "app/joe", "select $"});
  Table second = table("110", "1050");
  rates.statements(second, 12);
  CHECK(second.rows[0][0] == "5.0");
  CHECK(second.rows[0][1] == "25.0");
  CHECK(second.rows[0][2] == "5.00");
}

TEST_CASE("each view has a key of its own, and is sorted by a column") {
  std::string keys;
  for (const View& view : views()) {
    CHECK(keys.find(view.key) == std::string::npos);
    keys += view.key;
    CHECK(view.sql.starts_with("SELECT "));
  }
  CHECK(keys == "pcsnwf");
}
