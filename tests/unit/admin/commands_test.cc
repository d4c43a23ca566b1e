// Commands: the right to them, their lines in the log, SET and RESET.
#include <doctest/doctest.h>

#include <array>
#include <set>
#include <sstream>
#include <utility>

#include "admin/statement.h"
#include "two_logins.h"

namespace {

using admin_test::Client;
using admin_test::Console;
using admin_test::FakeControl;
using admin_test::Reply;

// What SHOW HELP lists besides SHOW and SELECT, with arguments filled in.
std::vector<std::string> all_commands() {
  std::vector<std::string> commands;
  std::istringstream lines(admin::help_text());
  for (std::string line; std::getline(lines, line);) {
    const std::size_t start = line.find_first_not_of('\t');
    if (start == std::string::npos) continue;
    line.erase(0, start);
    if (line.starts_with("SHOW") || line.starts_with("SELECT")) continue;
    for (const auto& [form, example] : std::vector<std::pair<std::string, std::string>>{
             {"[<db>]", "shop"},
             {"<db>", "shop"},
             {"<client id>", "12"},
             {"<value>", "5"},
             {"<setting>", "pool.size"},
             {"<host>|AUTO", "db2"},
             {"<host>", "db2"},
             {"[<cluster>]", "main"},
             {"[<seconds>]", "60"},
             {"<number>|DEFAULT", "2.5"},
             {"[WAIT_FOR_CLIENTS|WAIT_FOR_SERVERS]", ""}}) {
      if (const auto at = line.find(form); at != std::string::npos) {
        line.replace(at, form.size(), example);
      }
    }
    CHECK_MESSAGE(line.find_first_of("<[|") == std::string::npos, line);
    commands.push_back(line);
  }
  CHECK(commands.size() >= 17);
  return commands;
}

TEST_CASE("a statistics user may run no command, and the attempt is logged") {
  Console console;
  std::size_t count = 0;
  for (const std::string& sql : all_commands()) {
    CAPTURE(sql);
    const Reply reply = console.stats.query(sql);
    CHECK(reply.types() == "EZ");
    CHECK(reply.code() == "42501");
    protocol::Buffer messages;
    const std::array<std::uint8_t, 2> no_types{};
    protocol::write_parse(messages, "", sql, no_types);
    protocol::write_sync(messages);
    CHECK(console.stats.send(messages).code() == "42501");
    const auto records = console.control.records();
    REQUIRE(records.size() == count + 2);
    for (std::size_t i = count; i < records.size(); ++i) {
      CHECK(records[i].who == "client 2 weir/eye there");
      CHECK(records[i].command == sql);
      CHECK(records[i].sqlstate == "42501");
    }
    count = records.size();
  }
  CHECK(console.control.calls().empty());
}

TEST_CASE("the list of commands has every action that needs the right") {
  std::set<int> actions;
  for (const std::string& sql : all_commands()) {
    CAPTURE(sql);
    const admin::Statement statement = admin::parse(sql);
    CHECK(statement.command());
    actions.insert(static_cast<int>(statement.action));
  }
  actions.insert(static_cast<int>(admin::parse("SHUTDOWN WAIT_FOR_CLIENTS").action));
  for (int i = static_cast<int>(admin::Action::kSet); i <= static_cast<int>(admin::kLastAction);
       ++i) {
    CAPTURE(i);
    CHECK(actions.contains(i));
  }
}

TEST_CASE("commands are logged with their outcome, once each") {
  Console console;
  std::size_t count = 0;
  for (auto how : {FakeControl::Answer::kAtOnce, FakeControl::Answer::kFromThread}) {
    console.control.set([&](auto& a) { a.how = how; });
    for (const std::string& sql : all_commands()) {
      CAPTURE(sql);
      CHECK(console.admin.query(sql).code() == "");
      REQUIRE(console.control.records().size() == ++count);
      const auto record = console.control.records().back();
      CHECK(record.who == "client 1 weir/root here");
      CHECK(record.command == sql);
      CHECK(record.sqlstate == "");
      CHECK(record.error == "");
    }
  }
  console.control.set([&](auto& a) { a.status = absl::NotFoundError("no such database: x"); });
  console.admin.query("PAUSE\n  x");
  auto record = console.control.records().back();
  CHECK(record.command == "PAUSE   x");
  CHECK(record.sqlstate == "3D000");
  CHECK(record.error == "no such database: x");
  console.admin.query("DISABLE \"" + std::string(1000, 'x') + "\"");
  CHECK(console.control.records().back().command.size() < 250);
  // What changes nothing leaves no line.
  count = console.control.records().size();
  for (const char* sql : {"SHOW POOLS", "SELECT 1", "SET DateStyle = ISO", "BEGIN", "COMMIT"}) {
    CHECK(console.admin.query(sql).code() == "");
  }
  CHECK(console.control.records().size() == count);
}

TEST_CASE("SET and RESET of settings") {
  Console console;
  const auto call = [&](const std::string& sql) {
    CAPTURE(sql);
    CHECK(console.admin.query(sql).code() == "");
    return console.control.calls().back();
  };
  CHECK(call("SET pool.size = 5") == "set pool.size=5 pool.size=\"5\"");
  CHECK(call("set Pool.Size to '5';") == "set pool.size=\"5\" pool.size=5");
  CHECK(call("SET databases.\"My db\".pool.size = 5 -- more\n") ==
        "set databases.\"My db\".pool.size=5 databases.\"My db\".pool.size=\"5\"");
  CHECK(call("SET databases.*.pool_mode = session") ==
        "set databases.\"*\".pool_mode=session databases.\"*\".pool_mode=\"session\"");
  CHECK(call("SET default_pool_size = 7") == "set pool.size=7 pool.size=\"7\"");
  CHECK(call("SET query_timeout = '1.5'") == "set timeouts.query=1500");
  CHECK(call("SET rules = [{user = \"a\"}]").starts_with("set rules=[{user = \"a\"}]"));
  CHECK(call("RESET pool.size") == "reset pool.size");
  CHECK(call("SET pool.size TO DEFAULT") == "reset pool.size");

  Reply reply = console.admin.query("SET pool.size = 5");
  CHECK(reply.types() == "NCZ");
  CHECK(reply.tag() == "SET");
  CHECK(reply.notice() ==
        "a restart loses this, a RELOAD does not: the configuration file does not say it; RESET "
        "pool.size takes it back");
  console.control.set([&](auto& a) { a.loaded.kept = "pool.size"; });
  CHECK(console.admin.query("RELOAD").notice() == "stays as SET has it: pool.size");
  console.control.set([&](auto& a) { a.status = absl::InvalidArgumentError("pool.size: wrong"); });
  reply = console.admin.query("SET pool.size = x");
  CHECK(reply.code() == "22023");
  CHECK(reply.message() == "pool.size: wrong");
}

TEST_CASE("SET of what cannot be set") {
  Console console;
  CHECK(console.admin.query("SET workers = 3").code() == "55P02");
  CHECK(console.admin.query("SET listen_port = 3").code() == "55P02");
  CHECK(console.admin.query("SET admin.http = ''").code() == "55P02");
  CHECK(console.admin.query("SET defualt_pool_size = 3").code() == "42704");
  CHECK(console.admin.query("SET pol.size = 3").hint().find("\"pool\"") != std::string::npos);
  Reply reply = console.admin.query("SET verbose = 1");
  CHECK(reply.code() == "42704");
  CHECK(reply.hint().find("log.level") != std::string::npos);
  CHECK(console.admin.query("SET server_reset_query = 'x'").code() == "42704");
  for (const char* sql :
       {"SET pool.size", "SET pool.size =", "SET pool.size = 'a' b", "SET pool = {size = 3}",
        "SET pool.size = {size = 3}", "RESET pool.size x", "SET LOCAL pool.size = 3"}) {
    CAPTURE(sql);
    CHECK(console.admin.query(sql).code() == "42601");
  }
  CHECK(console.control.calls().empty());
}

TEST_CASE("no secret is logged") {
  Console console;
  console.control.set([&](auto& a) {
    a.status = absl::InvalidArgumentError("users.ann.password: expected text, found 1234");
  });
  for (const char* sql :
       {"SET users.ann.password = 1234", "SET users.ann.pasword = '1234'", "SET users.ann = '1234'",
        "SET default_pool_sise = '1234'", "SET passwords = 1234",
        "SET databases.shop.auth_password TO \"1234\"", "SET clusters.main.monitor.password='1234'",
        "SET auth.password = '1234' /* 1234 */", "SET users.ann.password_file = '1234'"}) {
    CAPTURE(sql);
    console.admin.query(sql);
    console.stats.query(sql);
  }
  const auto records = console.control.records();
  CHECK(records.size() >= 16);
  for (const auto& record : records) {
    CHECK(record.command.find("1234") == std::string::npos);
    CHECK(record.error.find("1234") == std::string::npos);
    CHECK(record.sqlstate != "");
  }
  console.admin.query("SET users.ann.max_connections = 12");
  CHECK(console.control.records().back().command == "SET users.ann.max_connections = 12");
}

TEST_CASE("drivers' own SETs are no settings of ours") {
  Console console;
  for (const char* sql : {"SET a = 'x'",
                          "SET application_name TO 'x'",
                          "SET client_encoding = 'UTF8'",
                          "SET extra_float_digits = 3",
                          "SET DateStyle=ISO",
                          "SET client_min_messages=notice",
                          "SET bytea_output=hex",
                          "SET search_path = public, x",
                          "SET SESSION search_path TO x",
                          "SET TIME ZONE 'UTC'",
                          "SET NAMES 'utf8'",
                          "SET ROLE x",
                          "SET statement_timeout = 0",
                          "SET lock_timeout = 0",
                          "SET idle_in_transaction_session_timeout = 0",
                          "SET row_security = off",
                          "SET standard_conforming_strings = on",
                          "SET intervalstyle = 'iso_8601'",
                          "SET jit = off",
                          "SET default_transaction_read_only TO on",
                          "SET transaction_isolation = 'serializable'",
                          "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                          "SET plpgsql.check_asserts = off",
                          "SET weir.consistency = 'strong'",
                          "SET app.user_id = '7'",
                          "SET LOCAL work_mem = '1MB'",
                          "SET SESSION AUTHORIZATION x",
                          "SET SESSION transaction_timeout = 0",
                          "RESET ALL",
                          "RESET search_path",
                          "RESET SESSION AUTHORIZATION",
                          "SET timezone = 'UTC'",
                          "SET seed = 1"}) {
    CAPTURE(sql);
    CHECK(console.stats.query(sql).types() == "CZ");
  }
  CHECK(console.control.calls().empty());
  CHECK(console.control.records().empty());
}

TEST_CASE("WAIT_CLOSE ends with its client, or when it is cancelled") {
  Console console;
  console.control.set([&](auto& a) { a.hold_pause = true; });
  const auto query = [](std::string_view sql) {
    std::vector<std::uint8_t> body(sql.begin(), sql.end());
    body.push_back(0);
    return body;
  };
  console.admin.start('Q', query("WAIT_CLOSE shop"));
  REQUIRE(console.control.has_given_up);
  CHECK_FALSE(console.control.has_given_up());
  console.admin.cancel();
  CHECK(console.control.has_given_up());
  console.control.held.back()(absl::CancelledError("canceling statement due to user request"));
  REQUIRE(console.admin.wait(std::chrono::seconds(10)));
  CHECK(console.admin.take().code() == "57014");
  // That was for what waited then.
  console.admin.start('Q', query("WAIT_CLOSE shop"));
  CHECK_FALSE(console.control.has_given_up());
  console.admin.leave();
  CHECK(console.control.has_given_up());
  console.control.held.back()(absl::CancelledError("gone"));
}

}  // namespace
