#include "config/url.h"

#include <doctest/doctest.h>

using namespace config;

namespace {

std::string error(std::string_view text) {
  const auto url = parse_url(text);
  REQUIRE_FALSE(url.ok());
  return std::string(url.status().message().data(), url.status().message().size());
}

}  // namespace

TEST_CASE("url: all parts") {
  const auto url = parse_url("postgres://user:pw@host:5433/db?sslmode=require&connect_timeout=5");
  REQUIRE(url.ok());
  CHECK(url->user == "user");
  CHECK(url->password == "pw");
  REQUIRE(url->hosts.size() == 1);
  CHECK(url->hosts[0].host == "host");
  CHECK(url->hosts[0].port == 5433);
  CHECK(url->database == "db");
  CHECK(url->sslmode == "require");
  CHECK(url->connect_timeout == "5");
}

TEST_CASE("url: the least") {
  const auto url = parse_url("postgresql://user@host");
  REQUIRE(url.ok());
  CHECK_FALSE(url->password);
  CHECK(url->database.empty());
  CHECK_FALSE(url->hosts[0].port);
}

TEST_CASE("url: percent-decoding in every part") {
  const auto url = parse_url("postgres://u%40x:p%3a%2f%25w@%2Fvar%2Frun:5433/d%20b?sslcert=a%26b");
  REQUIRE(url.ok());
  CHECK(url->user == "u@x");
  CHECK(url->password == "p:/%w");
  CHECK(url->hosts[0].host == "/var/run");
  CHECK(url->hosts[0].port == 5433);
  CHECK(url->database == "d b");
  CHECK(url->sslcert == "a&b");
}

TEST_CASE("url: several hosts, IPv6, and no host") {
  const auto url = parse_url("postgres://u:p@[::1]:5433,b,c:1/db");
  REQUIRE(url.ok());
  REQUIRE(url->hosts.size() == 3);
  CHECK(url->hosts[0].host == "::1");
  CHECK(url->hosts[0].port == 5433);
  CHECK(url->hosts[1].host == "b");
  CHECK(url->hosts[2].port == 1);
  CHECK(parse_url("postgres://u:p@")->hosts[0].host == "localhost");
  CHECK(parse_url("postgres://u:p@a@host")->password == "p@a");
}

TEST_CASE("url: what is wrong is said, and the password never") {
  CHECK(error("mysql://u@h") == "the URL does not start with postgres:// or postgresql://");
  CHECK(error("postgres://host/db") == "the URL names no user: postgres://user:password@host:port");
  CHECK(error("postgres://u:hidden%4@h") == "the password in the URL has a bad percent-encoding");
  CHECK(error("postgres://u:hidden%zz@h") == "the password in the URL has a bad percent-encoding");
  CHECK(error("postgres://u:hidden%00@h") == "the password in the URL has a bad percent-encoding");
  CHECK(error("postgres://u:hidden@h:0") == "the URL has a bad host: \"h:0\"");
  CHECK(error("postgres://u:hidden@h/d?sslmode") == "the URL parameter \"sslmode\" has no value");
  CHECK(error("postgres://u:hidden@h?application_name=x") ==
        "unknown URL parameter \"application_name\"; known are sslmode, sslrootcert, sslcert, "
        "sslkey and connect_timeout");
}
