#include "session/settings.h"

#include <doctest/doctest.h>

namespace session {
namespace {

TEST_CASE("names are case-insensitive and old names are the new ones") {
  Settings s;
  s.set("TimeZone", "TO 'UTC'");
  REQUIRE(s.find("timezone") != nullptr);
  CHECK(*s.find("TIMEZONE") == "TO 'UTC'");
  s.set("timezone", "TO 'GMT'");
  CHECK(s.entries().size() == 1);
  CHECK(*s.find("timezone") == "TO 'GMT'");
  s.set("sort_mem", "TO '1MB'");
  CHECK(s.find("work_mem") != nullptr);
  CHECK(s.bytes() == 8 + 8 + 8 + 8);
  s.erase("TIMEZONE");
  s.erase("work_mem");
  s.erase("nothing");
  CHECK(s.empty());
  CHECK(s.hash() == 0);
}

TEST_CASE("the hash is of the content, not of its history") {
  Settings a, b;
  a.set("a", "TO 1");
  a.set("b", "TO 2");
  b.set("b", "TO 3");
  b.set("c", "TO 4");
  b.set("a", "TO 1");
  b.set("b", "TO 2");
  CHECK(a.hash() != b.hash());
  CHECK_FALSE(a == b);
  b.erase("c");
  CHECK(a.hash() == b.hash());
  CHECK(a == b);
  CHECK(a.hash() != 0);
  Settings swapped;
  swapped.set("a", "TO 2");
  swapped.set("b", "TO 1");
  CHECK(swapped.hash() != a.hash());
}

TEST_CASE("the difference of equal settings is nothing") {
  Settings a, b;
  CHECK(difference_sql(a, b).empty());
  a.set("a", "TO 1");
  b.set("A", "TO 1");
  CHECK(difference_sql(a, b).empty());
}

TEST_CASE("reset what is too much, set what is missing or other") {
  Settings from, to;
  from.set("timezone", "TO 'UTC'");
  from.set("work_mem", "TO '8MB'");
  from.set("jit", "TO 'off'");
  to.set("work_mem", "TO '9MB'");
  to.set("jit", "TO 'off'");
  to.set("datestyle", "TO 'ISO', 'DMY'");
  to.set("app.user", "TO 'x'");
  CHECK(difference_sql(from, to) ==
        "BEGIN ISOLATION LEVEL READ COMMITTED;RESET \"timezone\";"
        "SET \"app\".\"user\" TO 'x';SET \"datestyle\" TO 'ISO', 'DMY';SET \"work_mem\" TO '9MB';"
        "COMMIT");
  CHECK(difference_sql(to, {}) ==
        "BEGIN ISOLATION LEVEL READ COMMITTED;RESET \"app\".\"user\";RESET \"datestyle\";"
        "RESET \"jit\";RESET \"work_mem\";COMMIT");
}

TEST_CASE("what was only named needs no RESET, and is named where it has not been") {
  Settings from, to;
  from.set("app.user", kNamedOnly);
  CHECK(difference_sql(from, to).empty());
  CHECK(difference_sql(to, from) ==
        "BEGIN ISOLATION LEVEL READ COMMITTED;SET \"app\".\"user\" TO DEFAULT;COMMIT");
  to.set("app.user", "TO 'x'");
  CHECK(difference_sql(to, from) ==
        "BEGIN ISOLATION LEVEL READ COMMITTED;SET \"app\".\"user\" TO DEFAULT;COMMIT");
}

TEST_CASE("role and session authorization are left first and taken last") {
  Settings from, to;
  from.set("role", "TO 'a'");
  from.set("session_authorization", "TO 'b'");
  to.set("role", "TO 'a'");
  to.set("session_authorization", "TO 'c'");
  to.set("zzz.z", "TO 1");
  CHECK(difference_sql(from, to) ==
        "BEGIN ISOLATION LEVEL READ COMMITTED;RESET \"role\";RESET \"session_authorization\";"
        "SET \"zzz\".\"z\" TO 1;SET \"session_authorization\" TO 'c';SET \"role\" TO 'a';COMMIT");
  CHECK(difference_sql(to, from).find("RESET \"zzz\".\"z\"") != std::string::npos);
}

TEST_CASE("names and plain values cannot break out of their quotes") {
  CHECK(set_sql("a\"; DROP TABLE t; --", "TO 1") == "SET \"a\"\"; DROP TABLE t; --\" TO 1");
  CHECK(reset_sql("a\".b") == "RESET \"a\"\"\".\"b\"");
  CHECK(set_sql("search_path", quote_value("a, \"$user\"")) ==
        "SELECT pg_catalog.set_config(E'search_path',E'a, \"$user\"',false)");
  CHECK(set_sql("x", quote_value("o'b\\',true); --")) ==
        "SELECT pg_catalog.set_config(E'x',E'o''b\\\\'',true); --',false)");
  CHECK(set_sql("x", quote_value("")) == "SELECT pg_catalog.set_config(E'x',E'',false)");
}

}  // namespace
}  // namespace session

TEST_CASE("settings: the plain value of one constant") {
  CHECK(session::plain_value("TO 'On'") == "on");
  CHECK(session::plain_value("TO 1") == "1");
  CHECK(session::plain_value(session::quote_value("serializable")) == "serializable");
  CHECK(session::plain_value("TO 'a', 'b'").empty());
  CHECK(session::plain_value("TO '").empty());
  CHECK(session::plain_value("").empty());
}
