#include "net/address.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <string>

using net::Address;
using net::literal_address;

TEST_CASE("an IPv4 literal") {
  const auto address = literal_address("192.0.2.7", 5432);
  REQUIRE(address);
  CHECK(address->text() == "192.0.2.7");
  CHECK(address->port() == 5432);
  CHECK_FALSE(address->is_unix());
  sockaddr_in in;
  REQUIRE(address->length == sizeof in);
  std::memcpy(&in, &address->storage, sizeof in);
  CHECK(in.sin_family == AF_INET);
  CHECK(in.sin_port == htons(5432));
  CHECK(in.sin_addr.s_addr == htonl(0xC0000207));
}

TEST_CASE("an IPv6 literal") {
  const auto address = literal_address("2001:db8::1", 6432);
  REQUIRE(address);
  CHECK(address->text() == "2001:db8::1");
  CHECK(address->port() == 6432);
  CHECK(address->storage.ss_family == AF_INET6);
  CHECK(address->length == sizeof(sockaddr_in6));
  CHECK(literal_address("::", 1)->text() == "::");
}

TEST_CASE("an IPv6 literal with a scope") {
  const auto address = literal_address("fe80::1%lo", 1);
  REQUIRE(address);
  CHECK(address->text() == "fe80::1%lo");
  CHECK_FALSE(literal_address("fe80::1%no-such-interface", 1));
}

TEST_CASE("a Unix socket's directory") {
  const auto address = literal_address("/run/postgresql", 5433);
  REQUIRE(address);
  CHECK(address->is_unix());
  CHECK(address->text() == "unix");
  CHECK(address->port() == 0);
  sockaddr_un un;
  std::memcpy(&un, &address->storage, sizeof un);
  CHECK(std::string(un.sun_path) == "/run/postgresql/.s.PGSQL.5433");
}

TEST_CASE("a Unix socket's path fits or is refused") {
  const std::size_t room = sizeof(sockaddr_un::sun_path) - 1;  // and the terminating zero
  const std::size_t tail = std::string("/.s.PGSQL.5432").size();
  const std::string longest = "/" + std::string(room - tail - 1, 'd');
  const auto address = literal_address(longest, 5432);
  REQUIRE(address);
  CHECK(address->length == sizeof(sockaddr_un));
  CHECK_FALSE(literal_address(longest + "d", 5432));
}

TEST_CASE("names are not literals") {
  for (const char* host : {"", "localhost", "db.example.com", "127.1", "1", "0x7f.0.0.1",
                           "1.2.3.4.5", "1.2.3.256", "[::1]", "::1::", "1.2.3.4 ", ":"}) {
    CAPTURE(host);
    CHECK_FALSE(literal_address(host, 5432));
  }
  CHECK_FALSE(literal_address(std::string("127.0.0.1\0.example.com", 22), 5432));
  CHECK_FALSE(literal_address(std::string("::1\0x", 5), 5432));
}

TEST_CASE("the hash is of the IP only") {
  const auto hash = [](const char* host, std::uint16_t port) {
    return literal_address(host, port)->hash();
  };
  CHECK(hash("192.0.2.7", 1) == hash("192.0.2.7", 65535));
  CHECK(hash("2001:db8::1", 1) == hash("2001:db8::1", 2));
  CHECK(hash("192.0.2.7", 1) == hash("::ffff:192.0.2.7", 1));  // a dual-stack listener's view
  CHECK(hash("192.0.2.7", 1) != hash("192.0.2.8", 1));
  CHECK(hash("2001:db8::1", 1) != hash("2001:db8::2", 1));
  CHECK(hash("/a", 1) == hash("/b", 2));
}

TEST_CASE("the hash deals neighbours evenly") {
  int even = 0;
  for (int i = 0; i < 256; ++i) {
    even += literal_address("10.0.0." + std::to_string(i), 1)->hash() % 2 == 0;
  }
  CHECK(even > 96);  // four standard deviations
  CHECK(even < 160);
}

TEST_CASE("the port can be set, where there is one") {
  Address address = *literal_address("::1", 1);
  address.set_port(5432);
  CHECK(address.port() == 5432);
  CHECK(address.text() == "::1");
  Address local = *literal_address("/tmp", 1);
  local.set_port(2);
  CHECK(local.port() == 0);
}
