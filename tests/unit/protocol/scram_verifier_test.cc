#include <doctest/doctest.h>

#include <set>

#include "protocol/base64.h"
#include "protocol/scram.h"

using namespace protocol;  // NOLINT: every name here is SCRAM's

namespace {

// Made by PostgreSQL 15: create role r_ascii password 'Tr0ub4dor&3'.
constexpr std::string_view kPassword = "Tr0ub4dor&3";
constexpr std::string_view kVerifier =
    "SCRAM-SHA-256$4096:1kzDbVzbE8IbdTopGkilEw==$GYqCktQXuufYjHNa4W7vAlkTvF9nsFGyjixiDTwI8j4=:"
    "LiCkHKT37w7q79QhS/PBcxxOalt8IYcVxDea9jD7Iuo=";

}  // namespace

TEST_CASE("a verifier of PostgreSQL's is parsed and printed") {
  const auto verifier = parse_scram_verifier(kVerifier);
  REQUIRE(verifier);
  CHECK(verifier->iterations == 4096);
  CHECK(verifier->salt.size() == 16);
  CHECK(format_scram_verifier(*verifier) == kVerifier);
}

TEST_CASE("the password makes PostgreSQL's verifier again") {
  const std::string salt = *base64_decode("1kzDbVzbE8IbdTopGkilEw==");
  CHECK(format_scram_verifier(make_scram_verifier(kPassword, salt, 4096)) == kVerifier);
  CHECK(format_scram_verifier(make_scram_verifier("other", salt, 4096)) != kVerifier);
}

TEST_CASE("odd input makes a verifier that still parses") {
  CHECK(parse_scram_verifier(format_scram_verifier(make_scram_verifier("", "salt", 1))));
  CHECK(make_scram_verifier("x", "salt", 0).iterations == 1);
}

TEST_CASE("what is not a verifier is refused") {
  for (std::size_t n = 0; n < kVerifier.size(); ++n) {
    CAPTURE(n);
    CHECK_FALSE(parse_scram_verifier(kVerifier.substr(0, n)));
  }
  const auto changed = [](std::string_view from, std::string_view to) {
    std::string text(kVerifier);
    return parse_scram_verifier(text.replace(text.find(from), from.size(), to));
  };
  CHECK(changed("4096", "1"));
  CHECK_FALSE(changed("4096", "0"));
  CHECK_FALSE(changed("4096", "-1"));
  CHECK_FALSE(changed("4096", ""));
  CHECK_FALSE(changed("4096", "4096x"));
  CHECK_FALSE(changed("4096", "2147483648"));
  CHECK_FALSE(changed("4096", "99999999999999999999"));
  CHECK_FALSE(changed("SHA-256", "SHA-1"));
  CHECK_FALSE(changed("1kzDbVzbE8IbdTopGkilEw==", ""));
  CHECK_FALSE(changed("1kzDbVzbE8IbdTopGkilEw==", "1kzD!"));
  CHECK_FALSE(changed("GYqC", ""));
  CHECK_FALSE(parse_scram_verifier(std::string(kVerifier) + " "));
  CHECK_FALSE(parse_scram_verifier("md57541d4e65fae11bd07f18dc6fe2b02bc"));
  CHECK_FALSE(parse_scram_verifier("a plain password"));
}

TEST_CASE("mock verifiers look real, stay the same, and differ by name and seed") {
  const auto text = [](std::string_view user, std::string_view seed) {
    return format_scram_verifier(mock_scram_verifier(user, seed));
  };
  CHECK(text("alice", "seed") == text("alice", "seed"));
  CHECK(std::set<std::string>{text("alice", "seed"), text("bob", "seed"), text("alice", "seed2"),
                              text("", "seed"), text("alice", "")}
            .size() == 5);
  const ScramVerifier mock = mock_scram_verifier("alice", "seed");
  CHECK(mock.salt.size() == 16);                    // as PostgreSQL's
  CHECK(mock.salt == scram_salt("alice", "seed"));  // who has a password looks the same
  CHECK(mock.iterations == 4096);
  CHECK(mock.stored_key != mock.server_key);
  CHECK(parse_scram_verifier(format_scram_verifier(mock)));
}
