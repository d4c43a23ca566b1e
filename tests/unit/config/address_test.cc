#include "config/address.h"

#include <doctest/doctest.h>

using namespace config;

namespace {

void check_endpoint(std::string_view text, std::string_view host, int port) {
  INFO(text);
  const auto endpoint = parse_endpoint(text);
  REQUIRE(endpoint);
  CHECK(endpoint->host == host);
  CHECK(endpoint->port.value_or(0) == port);
}

void check_listener(std::string_view text, const std::vector<Listener>& expected) {
  INFO(text);
  const auto listeners = parse_listener(text);
  REQUIRE(listeners);
  CHECK(*listeners == expected);
}

}  // namespace

TEST_CASE("endpoints: every form") {
  check_endpoint("10.0.0.1", "10.0.0.1", 0);
  check_endpoint("10.0.0.1:5433", "10.0.0.1", 5433);
  check_endpoint("db-1.example_x.net:65535", "db-1.example_x.net", 65535);
  check_endpoint("[::1]", "::1", 0);
  check_endpoint("[2001:db8::1]:5432", "2001:db8::1", 5432);
  check_endpoint("2001:db8::1", "2001:db8::1", 0);
  check_endpoint("/run/postgresql", "/run/postgresql", 0);
  check_endpoint("/run/postgresql:5433", "/run/postgresql", 5433);
}

TEST_CASE("endpoints: what is none") {
  for (const char* text :
       {"", ":5432", "host:", "host:0", "host:65536", "host:5432x", "host:-1", "a b", "[::1",
        "[::1]5432", "[localhost]:1", "[10.0.0.1]:1", "::1:x", "h\xc3\xb6st", "a/b", "run:1:2"}) {
    INFO(text);
    CHECK_FALSE(parse_endpoint(text));
  }
  CHECK_FALSE(parse_endpoint(std::string(256, 'a')));
  CHECK(parse_endpoint(std::string(255, 'a')));
  // sockaddr_un holds 108 bytes, "/.s.PGSQL.65535" and its zero take 16.
  CHECK(parse_endpoint("/" + std::string(91, 'a')));
  CHECK_FALSE(parse_endpoint("/" + std::string(92, 'a')));
}

TEST_CASE("listeners: every form") {
  check_listener("127.0.0.1:7000", {{"127.0.0.1", 7000, ""}});
  check_listener("[::1]:7000", {{"::1", 7000, ""}});
  check_listener("localhost", {{"127.0.0.1", 0, ""}});
  check_listener("*:7000", {{"0.0.0.0", 7000, ""}, {"::", 7000, ""}});
  check_listener("*", {{"0.0.0.0", 0, ""}, {"::", 0, ""}});
  check_listener("unix:/run/weir", {{"", 0, "/run/weir"}});
  check_listener("unix:/run/weir:7001", {{"", 7001, "/run/weir"}});
}

TEST_CASE("listeners: what is none") {
  for (const char* text :
       {"", "db.example.net:6432", "/run/weir", "unix:run", "unix:", "*x", "**", "*:0", "6432"}) {
    INFO(text);
    CHECK_FALSE(parse_listener(text));
  }
}

TEST_CASE("ports: 6432 for TCP, that of the first TCP listener for Unix sockets") {
  std::vector<Listener> listeners{{"", 0, "/a"}, {"127.0.0.1", 7000, ""}, {"::1", 0, ""}};
  fill_ports(listeners);
  CHECK(listeners[0].port == 7000);
  CHECK(listeners[1].port == 7000);
  CHECK(listeners[2].port == 6432);

  std::vector<Listener> only_unix{{"", 0, "/a"}};
  fill_ports(only_unix);
  CHECK(only_unix[0].port == 6432);
}

TEST_CASE("formats read back") {
  CHECK(format_endpoint("::1", 5432) == "[::1]:5432");
  CHECK(format_endpoint("/run/pg", 5432) == "/run/pg:5432");
  for (const char* text : {"127.0.0.1:7000", "[::1]:7000", "unix:/run/weir:7001"}) {
    CHECK(format_listener(parse_listener(text)->front()) == text);
  }
}
