#include <doctest/doctest.h>

#include "admin/console.h"
#include "admin/text.h"
#include "client.h"
#include "fake_control.h"

namespace {

using admin_test::Client;
using admin_test::FakeControl;
using admin_test::Reply;
using admin_test::Row;
using protocol::Buffer;

struct Console {
  FakeControl control;
  proxy::ConsoleFactory factory =
      admin::make_console(std::make_shared<admin::EngineOwner>(control));
  Client client{factory({.user = "root", .may_command = true})};
};

struct BindWith {
  std::vector<std::int16_t> formats;
  std::vector<std::optional<std::string>> values;
  std::vector<std::int16_t> results;
};

void put16(std::string& out, std::size_t v) {
  out += static_cast<char>(v >> 8);
  out += static_cast<char>(v);
}

void put_parse(Buffer& out, std::string_view name, std::string_view sql,
               std::vector<std::uint32_t> types = {}) {
  std::string wire;
  put16(wire, types.size());
  for (std::uint32_t type : types) {
    put16(wire, type >> 16);
    put16(wire, type & 0xffff);
  }
  protocol::write_parse(out, name, sql, protocol::as_bytes(wire));
}

void put_bind(Buffer& out, std::string_view portal, std::string_view statement,
              const BindWith& with = {}) {
  std::string rest;
  put16(rest, with.formats.size());
  for (auto format : with.formats) put16(rest, static_cast<std::size_t>(format));
  put16(rest, with.values.size());
  for (const auto& value : with.values) {
    if (!value) {
      rest += "\xff\xff\xff\xff";
      continue;
    }
    put16(rest, value->size() >> 16);
    put16(rest, value->size() & 0xffff);
    rest += *value;
  }
  put16(rest, with.results.size());
  for (auto format : with.results) put16(rest, static_cast<std::size_t>(format));
  protocol::write_bind(out, portal, statement, protocol::as_bytes(rest));
}

TEST_CASE("parse, bind, describe, execute, sync") {
  Console console;
  for (auto answer : {FakeControl::Answer::kAtOnce, FakeControl::Answer::kFromThread}) {
    console.control.set([&](auto& a) { a.how = answer; });
    Buffer out;
    put_parse(out, "", "SHOW DATABASES");
    put_bind(out, "", "");
    protocol::write_describe(out, 'P', "");
    protocol::write_execute(out, "", 0);
    protocol::write_sync(out);
    const Reply reply = console.client.send(out);
    CHECK(reply.types() == "12TDDCZ");
    CHECK(reply.columns()[0] == "name");
    CHECK(reply.rows()[0][0] == "shop");
    CHECK(reply.tag() == "SHOW");
    CHECK(reply.status() == 'I');
  }
}

TEST_CASE("a statement is described with its parameters and columns") {
  Console console;
  Buffer out;
  put_parse(out, "s",
            "SELECT name, pool_size, count(*) AS n, 1.5, 'x' FROM databases WHERE name = $2 "
            "AND pool_size > $1 GROUP BY 1",
            {23});
  protocol::write_describe(out, 'S', "s");
  protocol::write_sync(out);
  const Reply reply = console.client.send(out);
  REQUIRE(reply.types() == "1tTZ");
  // $1 as declared, $2 text.
  CHECK(reply.messages[1].body == std::vector<std::uint8_t>{0, 2, 0, 0, 0, 23, 0, 0, 0, 25});
  CHECK(reply.columns() ==
        std::vector<std::string>{"name", "pool_size", "n", "?column?", "?column?"});
  // No row without parameters: expressions are taken for text.
  CHECK(reply.oids() == std::vector<std::uint32_t>{25, 23, 25, 25, 25});
}

TEST_CASE("an expression's type comes from its value and stays") {
  Console console;
  Buffer out;
  put_parse(out, "s",
            "SELECT count(*) AS n, avg(sv_idle) AS a FROM host_pools WHERE sv_idle >= $1");
  protocol::write_describe(out, 'S', "s");
  put_bind(out, "", "s", {.formats = {1}, .values = {"5"}, .results = {1}});
  protocol::write_describe(out, 'P', "");
  protocol::write_execute(out, "", 0);
  protocol::write_sync(out);
  const Reply reply = console.client.send(out);
  REQUIRE(reply.types() == "1tT2TDCZ");
  CHECK(reply.oids()[0] == 20);
  REQUIRE(reply.rows().size() == 1);
  CHECK(reply.rows()[0][0] == std::string("\0\0\0\0\0\0\0\2", 8));
}

TEST_CASE("binary results") {
  Console console;
  console.control.set(
      [&](auto& a) { a.inspection.databases[0].stats.bytes_received = 1'000'020'000; });
  Buffer out;
  put_parse(out, "",
            "SELECT d.name, d.pool_size, s.total_received, c.id, 0.5 AS half, NULL AS none, "
            "s.total_sent FROM databases d JOIN stats s ON s.database = d.name "
            "JOIN clients c ON c.database = d.name WHERE d.name = 'shop'");
  put_bind(out, "", "", {.results = {1}});
  protocol::write_describe(out, 'P', "");
  protocol::write_execute(out, "", 0);
  protocol::write_sync(out);
  const Reply reply = console.client.send(out);
  REQUIRE(reply.types() == "12TDCZ");
  CHECK(reply.oids() == std::vector<std::uint32_t>{25, 23, 1700, 20, 701, 25, 1700});
  CHECK(reply.column_formats() == std::vector<std::int16_t>(7, 1));
  const Row row = reply.rows()[0];
  CHECK(row[0] == "shop");
  CHECK(row[1] == std::string("\0\0\0\x14", 4));
  // numeric_send(1000020000): digits 10, 2, 0 of base 10000: two sent, weight 2.
  CHECK(row[2] == std::string("\0\2\0\2\0\0\0\0\0\x0a\0\2", 12));
  CHECK(row[3] == std::string("\0\0\0\0\0\0\0\x0b", 8));
  CHECK(row[4] == std::string("\x3f\xe0\0\0\0\0\0\0", 8));  // IEEE 754
  CHECK(row[5] == std::nullopt);
  CHECK(row[6] == std::string("\0\0\0\0\0\0\0\0", 8));
}

TEST_CASE("parameters in text and in binary") {
  Console console;
  struct Case {
    std::uint32_t type;
    std::int16_t format;
    std::string value;
  };
  const Case cases[] = {{0, 0, "20"},
                        {0, 1, "20"},
                        {23, 0, "20"},
                        {23, 1, std::string("\0\0\0\x14", 4)},
                        {21, 1, std::string("\0\x14", 2)},
                        {20, 1, std::string("\0\0\0\0\0\0\0\x14", 8)},
                        {701, 1, std::string("\x40\x34\0\0\0\0\0\0", 8)}};
  for (const Case& c : cases) {
    CAPTURE(c.type);
    CAPTURE(c.format);
    Buffer out;
    put_parse(out, "", "SELECT name FROM databases WHERE pool_size = $1", {c.type});
    put_bind(out, "", "", {.formats = {c.format}, .values = {c.value}});
    protocol::write_execute(out, "", 0);
    protocol::write_sync(out);
    const Reply reply = console.client.send(out);
    CHECK(reply.rows() == std::vector<Row>{{"shop"}});
  }
  Buffer out;
  put_parse(out, "", "SHOW DATABASES WHERE name = $1 OR $1 IS NULL");
  put_bind(out, "", "", {.values = {std::nullopt}});
  protocol::write_execute(out, "", 0);
  protocol::write_sync(out);
  CHECK(console.client.send(out).rows().size() == 2);
}

TEST_CASE("texts compare with columns of the type that is declared for them") {
  Console console;
  const auto echo = [&](std::string value, std::uint32_t type, std::int16_t format = 0) {
    Buffer out;
    put_parse(out, "", "SELECT $1", {type});
    put_bind(out, "", "", {.formats = {format}, .values = {std::move(value)}});
    protocol::write_execute(out, "", 0);
    protocol::write_sync(out);
    const Reply reply = console.client.send(out);
    return reply.code().empty() ? reply.rows()[0][0].value_or("NULL") : reply.code();
  };
  CHECK(echo("TRUE", 16) == "1");
  CHECK(echo("f", 16) == "0");
  CHECK(echo("perhaps", 16) == "22P02");
  CHECK(echo("-7", 23) == "-7");
  CHECK(echo("7.5", 23) == "22P02");
  CHECK(echo("1e3", 1700) == "1000");
  CHECK(echo("x", 701) == "22P02");
  CHECK(echo("", 701) == "22P02");
  CHECK(echo(std::string("\x3f\xc0\0\0", 4), 700, 1) == "1.5");
  CHECK(echo("TRUE", 25) == "TRUE");

  const std::string noon = "2024-05-06 12:00:00";
  CHECK(echo(noon + "+00", 1184) == noon);
  CHECK(echo("2024-05-06 14:00:00+02", 0) == noon);
  CHECK(echo("2024-05-06T06:30:00.250-05:30", 1184) == noon + ".25");
  CHECK(echo("2024-05-07 00:00:00+12:00:00", 1043) == "2024-05-07 00:00:00+12:00:00");
  CHECK(echo(noon + "Z", 0) == noon);
  CHECK(echo(noon, 1114) == noon);
  CHECK(echo(noon + ".25", 0) == noon + ".25");
  for (const char* other : {"2024-05-06", "2024-13-06 12:00:00+00", "2024-05-06 12:00:00+2",
                            "2024-05-06 12:00:00+02:", "2024-05-06 12:00:00 UTC", "infinity"}) {
    CHECK(echo(other, 0) == other);
  }
  // timestamptz_send: microseconds since 2000.
  CHECK(echo(std::string("\0\x02\xba\xc6\x93\xd6\x30\0", 8), 1184, 1) == noon);
  CHECK(echo(std::string("\x7f\xff\xff\xff\xff\xff\xff\xff", 8), 1184, 1) == "22P03");
}

TEST_CASE("wrong parameters") {
  Console console;
  const auto code = [&](const BindWith& with, std::uint32_t type = 0) {
    Buffer out;
    put_parse(out, "", "SELECT $1", {type});
    put_bind(out, "", "", with);
    protocol::write_execute(out, "", 0);
    protocol::write_sync(out);
    const Reply reply = console.client.send(out);
    CHECK(reply.types() == "1EZ");
    return reply.code();
  };
  CHECK(code({}) == "08P01");
  CHECK(code({.values = {"a", "b"}}) == "08P01");
  CHECK(code({.formats = {0, 0}, .values = {"a"}}) == "08P01");
  CHECK(code({.formats = {1}, .values = {"abc"}}, 23) == "22P03");
  CHECK(code({.formats = {1}, .values = {"abc"}}, 600) == "22P03");
  CHECK(code({.formats = {2}, .values = {"abc"}}) == "22P03");
  CHECK(code({.values = {"a"}, .results = {2}}) == "22023");
  CHECK(code({.values = {"a"}, .results = {0, 0}}) == "08P01");
}

TEST_CASE("rows in portions") {
  Console console;
  Buffer out;
  protocol::write_query(out, "BEGIN");
  put_parse(out, "", "SELECT host FROM host_pools");
  put_bind(out, "p", "");
  protocol::write_execute(out, "p", 2);
  protocol::write_execute(out, "p", 2);
  protocol::write_execute(out, "p", 2);
  protocol::write_sync(out);
  protocol::write_execute(out, "p", 0);  // the transaction keeps it
  protocol::write_sync(out);
  protocol::write_query(out, "COMMIT");
  protocol::write_execute(out, "p", 0);
  const Reply reply = console.client.send(out);
  CHECK(reply.types() == "CZ12DDsDCCZCZCZE");
  CHECK(reply.rows().size() == 3);
  out.clear();
  protocol::write_sync(out);
  protocol::write_execute(out, "p", 0);  // a Sync outside of one ended it
  protocol::write_sync(out);
  CHECK(console.client.send(out).code() == "34000");
}

TEST_CASE("after an error everything is skipped until Sync") {
  Console console;
  Buffer out;
  put_parse(out, "a", "SELECT nope");
  put_bind(out, "", "a");
  protocol::write_describe(out, 'P', "");
  protocol::write_execute(out, "", 0);
  protocol::write_close(out, 'S', "a");
  {
    protocol::MessageWriter flush(out, 'H');
  }
  protocol::write_query(out, "SELECT 1");
  protocol::write_sync(out);
  put_parse(out, "b", "SELECT 1 AS one");
  put_bind(out, "", "b");
  protocol::write_execute(out, "", 0);
  protocol::write_sync(out);
  const Reply reply = console.client.send(out);
  CHECK(reply.types() == "EZ12DCZ");
  CHECK(reply.code() == "42703");
}

TEST_CASE("commands run when executed, once, and not when described") {
  Console console;
  Buffer out;
  put_parse(out, "s", "KILL shop");
  protocol::write_describe(out, 'S', "s");
  put_bind(out, "", "s");
  protocol::write_describe(out, 'P', "");
  const Reply described = console.client.send(out);
  CHECK(described.types() == "1tn2n");
  CHECK(console.control.calls().empty());
  out.clear();
  protocol::write_execute(out, "", 0);
  protocol::write_sync(out);
  CHECK(console.client.send(out).types() == "CZ");
  CHECK(console.control.calls() == std::vector<std::string>{"kill shop"});

  Client eye(console.factory({.user = "eye", .may_command = false}));
  out.clear();
  put_parse(out, "", "KILL shop");
  put_bind(out, "", "");
  protocol::write_execute(out, "", 0);
  protocol::write_sync(out);
  const Reply refused = eye.send(out);
  CHECK(refused.types() == "EZ");
  CHECK(refused.code() == "42501");
  CHECK(console.control.calls().size() == 1);
}

TEST_CASE("names of statements and portals") {
  Console console;
  const auto after = [&](auto write) {
    Buffer out;
    write(out);
    protocol::write_sync(out);
    return console.client.send(out);
  };
  CHECK(after([](Buffer& o) { put_bind(o, "", "none"); }).code() == "26000");
  CHECK(after([](Buffer& o) { protocol::write_describe(o, 'S', "none"); }).code() == "26000");
  CHECK(after([](Buffer& o) { protocol::write_describe(o, 'P', "none"); }).code() == "34000");
  CHECK(after([](Buffer& o) { protocol::write_execute(o, "none", 0); }).code() == "34000");
  CHECK(after([](Buffer& o) { protocol::write_describe(o, 'X', ""); }).code() == "08P01");
  CHECK(after([](Buffer& o) { protocol::write_close(o, 'S', "none"); }).types() == "3Z");
  CHECK(after([](Buffer& o) { put_parse(o, "s", "SELECT 1"); }).types() == "1Z");
  CHECK(after([](Buffer& o) { put_parse(o, "s", "SELECT 1"); }).code() == "42P05");
  CHECK(after([](Buffer& o) { protocol::write_close(o, 'S', "s"); }).types() == "3Z");
  CHECK(after([](Buffer& o) { put_parse(o, "s", "SELECT 1"); }).types() == "1Z");
  CHECK(console.client.query("DEALLOCATE s").tag() == "DEALLOCATE");
  CHECK(console.client.query("DEALLOCATE s").code() == "26000");
  CHECK(after([](Buffer& o) { put_parse(o, "", "SELECT 1; SELECT 2"); }).code() == "42601");
  CHECK(after([](Buffer& o) { put_parse(o, "", "FROBNICATE"); }).code() == "42601");
  CHECK(after([](Buffer& o) {
          put_parse(o, "", "");
          put_bind(o, "", "");
          protocol::write_execute(o, "", 0);
        }).types() == "12IZ");
}

TEST_CASE("a portal outlives the statement it came from") {
  Console console;
  Buffer out;
  put_parse(out, "s", "SHOW VERSION");
  put_bind(out, "", "s");
  protocol::write_close(out, 'S', "s");
  protocol::write_execute(out, "", 0);
  protocol::write_sync(out);
  const Reply reply = console.client.send(out);
  CHECK(reply.types() == "123DCZ");
}

TEST_CASE("statements and portals are bounded") {
  Console console;
  Buffer out;
  for (int i = 0; i < 201; ++i) put_parse(out, admin::concat("s", i), "RELOAD");
  protocol::write_sync(out);
  Reply reply = console.client.send(out);
  CHECK(reply.types() == std::string(200, '1') + "EZ");
  CHECK(reply.code() == "54000");
  out.clear();
  for (int i = 0; i < 65; ++i) put_bind(out, admin::concat("p", i), "s1");
  protocol::write_sync(out);
  reply = console.client.send(out);
  CHECK(reply.types() == std::string(64, '2') + "EZ");
  CHECK(reply.code() == "54000");
}

TEST_CASE("values of different types in one column are an error, not a wrong answer") {
  Console console;
  const Reply reply =
      console.client.query("SELECT CASE name WHEN 'shop' THEN 1 ELSE 'x' END AS c FROM databases");
  CHECK(reply.code() == "42804");
  CHECK(reply.rows().empty());
}

}  // namespace
