#include "admin/database.h"

#include <doctest/doctest.h>

#include <chrono>

#include "admin/text.h"
#include "fake_control.h"

namespace {

using admin::Query;
using admin::QueryLimits;
using admin::Result;

struct Rows {
  proxy::Inspection inspection = admin_test::sample_inspection();
  config::ConfigPtr config = admin_test::sample_config();
  admin::Averages averages;

  Result run(std::string sql, const QueryLimits& limits = {}) {
    return admin::run({.sql = std::move(sql)}, {inspection, *config, averages}, limits);
  }
  std::string code(std::string sql, const QueryLimits& limits = {}) {
    const Result result = run(std::move(sql), limits);
    return result.error ? std::string(result.error->code) : "";
  }
};

TEST_CASE("a query that would not end is ended") {
  Rows rows;
  const auto start = std::chrono::steady_clock::now();
  CHECK(rows.code("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
                  "SELECT count(*) FROM n",
                  {.steps = 1'000'000}) == "54000");
  // Work that hides in single steps.
  CHECK(rows.code("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
                  "SELECT count(instr(printf('%.60000c','a'), printf('%.30000c','a')||'b')) "
                  "FROM n",
                  {.time = std::chrono::milliseconds(500)}) == "54000");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
  CHECK(rows.code("SELECT count(*) FROM clients a, pools b, lists c, lists d, lists e",
                  {.steps = 10}) == "54000");
}

TEST_CASE("memory is bounded") {
  Rows rows;
  CHECK(rows.code("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 1000000) "
                  "SELECT hex(zeroblob(30000)) FROM n") == "54000");
  CHECK(rows.code("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 1000000) "
                  "SELECT i, hex(zeroblob(30000)) FROM n ORDER BY 2, 1",
                  {.heap_bytes = 32 << 20}) == "53200");
  CHECK(rows.code("SELECT zeroblob(70000)") == "54000");
  CHECK(rows.code("SELECT 1") == "");  // and the next one is well
}

TEST_CASE("describe says what it can without running") {
  const auto description = admin::describe("SELECT user AS u, 1+1, total_sent FROM users, stats");
  // `user` is in neither: users has name, stats has database.
  REQUIRE(description.error);
  CHECK(description.error->code == "42703");
  const auto good = admin::describe(
      "SELECT name AS u, 1+1 AS two, total_sent FROM users, stats "
      "WHERE name = $1 OR name = $3");
  REQUIRE_FALSE(good.error);
  CHECK(good.parameters == 3);
  REQUIRE(good.columns.size() == 3);
  CHECK(good.columns[0].name == "u");
  CHECK(good.columns[0].type == admin::Type::kText);
  CHECK_FALSE(good.columns[1].type);
  CHECK(good.columns[2].type == admin::Type::kNumeric);
  CHECK(admin::describe("SELECT $0").error->code == "42601");
  CHECK(admin::describe("SELECT $99999999999").error->code == "42601");
  CHECK(admin::describe("SELECT :name").error->code == "42601");
  CHECK(admin::describe("SELECT 1; SELECT 2").error->code == "42601");
  CHECK(admin::describe("").error->code == "42601");
}

TEST_CASE("every table can be selected, and each row has its columns") {
  Rows rows;
  for (const admin::Table& table : admin::tables()) {
    CAPTURE(table.name);
    const Result result = rows.run("SELECT * FROM \"" + std::string(table.name) + "\"");
    REQUIRE_FALSE(result.error);
    CHECK(result.columns.size() == table.columns.size());
    table.fill(
        {rows.inspection, *rows.config, rows.averages},
        admin::Emit([&](admin::Emit::Row row) { CHECK(row.size() == table.columns.size()); }));
  }
}

TEST_CASE("an empty inspection and one without snapshots are well") {
  Rows rows;
  rows.inspection = {};
  rows.inspection.clusters.emplace_back();
  rows.inspection.databases.emplace_back();
  rows.inspection.databases[0].cluster = "gone";
  for (const admin::Table& table : admin::tables()) {
    CAPTURE(table.name);
    CHECK_FALSE(rows.run("SELECT * FROM \"" + std::string(table.name) + "\"").error);
  }
}

TEST_CASE("a hundred thousand clients") {
  Rows rows;
  const auto one = rows.inspection.clients[0];
  rows.inspection.clients.assign(100'000, one);
  for (std::size_t i = 0; i < rows.inspection.clients.size(); ++i) {
    rows.inspection.clients[i].id = i;
  }
  const Result result =
      rows.run("SELECT * FROM clients ORDER BY id DESC", {.time = std::chrono::seconds(60)});
  CAPTURE((result.error ? result.error->message : ""));
  CHECK_FALSE(result.error);
  CHECK(result.row_ends.size() == 100'000);
}

TEST_CASE("a whole table is the same with SQLite and without") {
  proxy::Inspection inspection = admin_test::sample_inspection();
  inspection.clients.front().application_name.assign(5000, 'x');
  const auto config = admin_test::sample_config();
  const admin::Averages averages;
  const admin::Source source{inspection, *config, averages};
  for (const admin::Table& table : admin::tables()) {
    const std::string sql = admin::concat("SELECT * FROM ", table.name, " ");
    CAPTURE(sql);
    for (const auto style : {admin::Style::kShown, admin::Style::kTyped}) {
      for (const auto format : {std::int16_t{0}, std::int16_t{1}}) {
        const auto whole = admin::run({.sql = sql, .style = style, .formats = {format}}, source);
        const auto rows =
            admin::run({.sql = sql + "WHERE 1", .style = style, .formats = {format}}, source);
        REQUIRE(!whole.error);
        REQUIRE(!rows.error);
        CHECK(protocol::as_text(whole.rows.view()) == protocol::as_text(rows.rows.view()));
        CHECK(whole.row_ends == rows.row_ends);
        REQUIRE(whole.columns.size() == rows.columns.size());
        for (std::size_t i = 0; i < rows.columns.size(); ++i) {
          CHECK(whole.columns[i].name == rows.columns[i].name);
          CHECK(whole.columns[i].type == rows.columns[i].type);
        }
      }
    }
  }
}

}  // namespace
