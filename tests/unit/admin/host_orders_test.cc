#include "admin/host_orders.h"

#include <doctest/doctest.h>

#include "admin/statement.h"
#include "two_logins.h"

namespace {

using admin::Action;
using admin::parse;
using admin_test::Client;
using admin_test::Console;
using admin_test::FakeControl;
using admin_test::Reply;
using What = proxy::HostOrder::What;

TEST_CASE("host orders: what they say reaches Control, with who says it") {
  Console console;
  const std::pair<const char*, const char*> commands[] = {
      {"CHOOSE PRIMARY db2", "choose host=db2 cluster= by=root"},
      {"choose primary 10.0.0.2:5432 main;", "choose host=10.0.0.2:5432 cluster=main by=root"},
      {"CHOOSE PRIMARY [::1]:5432", "choose host=[::1]:5432 cluster= by=root"},
      {"CHOOSE PRIMARY /run/pg:5433 -- the new one", "choose host=/run/pg:5433 cluster= by=root"},
      {"CHOOSE PRIMARY auto", "choose by rules host= cluster= by=root"},
      {"CHOOSE PRIMARY AUTO main", "choose by rules host= cluster=main by=root"},
      {"CHOOSE PRIMARY \"auto\" 'my main'", "choose host=auto cluster=my main by=root"},
      {"BAN db2", "ban for ever host=db2 cluster= by=root"},
      {"BAN db2 60", "ban for 60 host=db2 cluster= by=root"},
      {"BAN db2 main /* long */ 60", "ban for 60 host=db2 cluster=main by=root"},
      {"BAN db2 \"60\"", "ban for ever host=db2 cluster=60 by=root"},
      {"BAN 60", "ban for ever host=60 cluster= by=root"},
      {"UNBAN db2", "unban host=db2 cluster= by=root"},
      {"UNBAN db2 main", "unban host=db2 cluster=main by=root"},
      {"WEIGHT db2 2.5", "weight 2.500000 host=db2 cluster= by=root"},
      {"WEIGHT db2 main 0.5", "weight 0.500000 host=db2 cluster=main by=root"},
      {"WEIGHT db2 default", "weight 0.000000 host=db2 cluster= by=root"},
      {"WEIGHT db2 main DEFAULT", "weight 0.000000 host=db2 cluster=main by=root"},
      {"PAUSE HOST db2", "pause host=db2 cluster= by=root"},
      {"pause host \"Db 2\" main", "pause host=Db 2 cluster=main by=root"},
      {"RESUME HOST 10.0.0.2:5432", "resume host=10.0.0.2:5432 cluster= by=root"},
      {"WEIGHT db2 -3", "weight -3.000000 host=db2 cluster= by=root"},
  };
  std::size_t count = 0;
  for (const auto& [sql, call] : commands) {
    CAPTURE(sql);
    CHECK(console.admin.query(sql).types() == "CZ");
    const auto calls = console.control.calls();
    REQUIRE(calls.size() == ++count);
    CHECK(calls.back() == call);
  }
  CHECK(console.admin.query("CHOOSE PRIMARY db2").tag() == "CHOOSE PRIMARY");
  CHECK(console.admin.query("weight db2 1").tag() == "WEIGHT");
}

TEST_CASE("host orders: 0 is no weight, and not the word for the configured one") {
  const auto statement = parse("WEIGHT db2 0");
  REQUIRE(statement.action == Action::kHostOrder);
  CHECK(statement.order.what == What::kWeight);
  CHECK(statement.order.weight < 0);
}

TEST_CASE("host orders: what is missing or too much") {
  const std::pair<const char*, const char*> texts[] = {
      {"CHOOSE", "at end of input"},
      {"CHOOSE SECONDARY db2", "at or near \"SECONDARY\""},
      {"CHOOSE PRIMARY", "at end of input"},
      {"CHOOSE PRIMARY db2 main x", "at or near \"x\""},
      {"BAN", "at end of input"},
      {"PAUSE HOST db2 main x", "at or near \"x\""},
      {"BAN db2 60 main", "at or near \"main\""},
      {"BAN db2 main 60s", "at or near \"60s\""},
      {"BAN db2 main -1", "at or near \"-1\""},
      {"UNBAN db2 main 60", "at or near \"60\""},
      {"WEIGHT db2", "at end of input"},
      {"WEIGHT db2 heavy", "at or near \"heavy\""},
      {"WEIGHT db2 1e3", "at or near \"1e3\""},
      {"WEIGHT db2 nan", "at or near \"nan\""},
      {"WEIGHT db2 main 2 x", "at or near \"x\""},
      {"WEIGHT db2 \"2\"", "at or near \"2\""},
      {"\"BAN\" db2", "at or near \"BAN\""},
      {"BANNED db2", "at or near \"BANNED\""},
  };
  for (const auto& [text, where] : texts) {
    CAPTURE(text);
    const auto statement = parse(text);
    CHECK(statement.action == Action::kInvalid);
    CHECK(statement.error.code == "42601");
    CHECK(statement.error.message == std::string("syntax error ") + where);
  }
}

TEST_CASE("host orders: cut anywhere they are an order or an error") {
  for (const std::string text :
       {"BAN \"db \"\"2\" 'my main' /* a */ 60 -- b", "CHOOSE PRIMARY [::1]:5432/*x*/main",
        "WEIGHT /run/pg main 0.25"}) {
    for (std::size_t size = 1; size <= text.size(); ++size) {
      CAPTURE(text.substr(0, size));
      const Action action = parse(text.substr(0, size)).action;
      CHECK((action == Action::kHostOrder || action == Action::kInvalid));
    }
    CHECK(parse(text).action == Action::kHostOrder);
  }
  const auto ban = parse("BAN \"db \"\"2\" 'my main' /* a */ 60 -- b").order;
  CHECK(ban.host == "db \"2");
  CHECK(ban.cluster == "my main");
  CHECK(ban.seconds == 60);
  CHECK(parse("CHOOSE PRIMARY [::1]:5432/*x*/main").order.cluster == "main");
}

TEST_CASE("host orders: are for those who may command") {
  Console console;
  for (const char* sql :
       {"CHOOSE PRIMARY db2", "CHOOSE PRIMARY AUTO", "BAN db2", "UNBAN db2", "WEIGHT db2 2"}) {
    CAPTURE(sql);
    const Reply reply = console.stats.query(sql);
    CHECK(reply.types() == "EZ");
    CHECK(reply.code() == "42501");
  }
  CHECK(console.control.calls().empty());
}

TEST_CASE("host orders: what Control says of them") {
  Console console;
  for (auto how : {FakeControl::Answer::kAtOnce, FakeControl::Answer::kFromThread}) {
    console.control.set([&](auto& a) {
      a.how = how;
      a.status = absl::OkStatus();
      a.order_note = "for 60 s";
    });
    Reply reply = console.admin.query("BAN db2 60");
    CHECK(reply.types() == "NCZ");
    CHECK(reply.notice() == "for 60 s");
    console.control.set([](auto& a) { a.status = absl::NotFoundError("no such host: db9"); });
    reply = console.admin.query("BAN db9");
    CHECK(reply.types() == "EZ");
    CHECK(reply.code() == "42704");
    CHECK(reply.message() == "no such host: db9");
    console.control.set([](auto& a) { a.status = absl::FailedPreconditionError("it is down"); });
    CHECK(console.admin.query("CHOOSE PRIMARY db2").code() == "55000");
    console.control.set([](auto& a) { a.status = absl::InvalidArgumentError("too heavy"); });
    CHECK(console.admin.query("WEIGHT db2 5000").code() == "22023");
  }
}

TEST_CASE("host orders: SHOW HELP tells of them") {
  const std::string help = admin::help_text();
  for (const char* line :
       {"\tCHOOSE PRIMARY <host>|AUTO [<cluster>]\n", "\tBAN <host> [<cluster>] [<seconds>]\n",
        "\tUNBAN <host> [<cluster>]\n", "\tWEIGHT <host> [<cluster>] <number>|DEFAULT\n"}) {
    CAPTURE(line);
    CHECK(help.find(line) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("host orders: a database may be called HOST") {
  const auto pause = parse("PAUSE host");
  CHECK(pause.action == Action::kPause);
  CHECK(pause.argument == "host");
  CHECK(parse("RESUME HOST").action == Action::kResume);
  CHECK(parse("PAUSE HOST db2").action == Action::kHostOrder);
  CHECK(parse("PAUSE app").action == Action::kPause);
}
