#include "admin/access.h"

#include <doctest/doctest.h>

namespace {

using admin::Access;
using admin::access_of;

const std::string kToken = "command-0123456789", kView = "view-0123456789abc";

config::Admin with_tokens() { return {.token = kToken, .view_token = kView}; }

TEST_CASE("tokens say what may be done") {
  const config::Admin both = with_tokens();
  CHECK(access_of(both, "Bearer " + kToken, "x") == Access::kCommand);
  CHECK(access_of(both, "bearer   " + kView, "x") == Access::kLook);
  CHECK(access_of(both, "", "x") == Access::kNobody);
  for (const std::string& wrong : {std::string(), kToken + "x", kToken.substr(1), "x" + kView}) {
    CHECK_MESSAGE(access_of(both, "Bearer " + wrong, "x") == Access::kWrong, wrong);
  }
  for (const std::string& none : {kToken, "Basic " + kToken, std::string("Bearer")}) {
    CHECK_MESSAGE(access_of(both, none, "x") == Access::kNobody, none);
  }
  // What is not configured is no token, not the empty one.
  CHECK(access_of({.view_token = kView}, "Bearer ", "x") == Access::kWrong);
  CHECK(access_of({.view_token = kView}, "", "x") == Access::kNobody);
}

TEST_CASE("nothing goes without a token unless the configuration says so") {
  CHECK(access_of({}, "", "127.0.0.1") == Access::kClosed);
  CHECK(access_of({}, "Bearer " + kToken, "127.0.0.1") == Access::kWrong);
  config::Admin open = with_tokens();
  open.view_without_token = true;
  CHECK(access_of(open, "Bearer " + kToken, "evil.example") == Access::kCommand);
  CHECK(access_of(open, "Bearer wrong", "127.0.0.1") == Access::kWrong);
  CHECK(access_of(open, "Basic dXNlcjpwYXNz", "127.0.0.1") == Access::kLook);
}

TEST_CASE("without a token only an address may be asked for: names may be made to mean ours") {
  const config::Admin open{.view_without_token = true};
  for (const char* host : {"127.0.0.1", "127.0.0.1:9127", "10.1.2.3:80", "[::1]:9127", "localhost",
                           "LocalHost:9127"}) {
    CHECK_MESSAGE(access_of(open, "", host) == Access::kLook, host);
  }
  for (const char* host : {"", "evil.example", "evil.example:9127", "localhost.evil.example",
                           "127.0.0.1.evil.example", "localhost.", ":9127"}) {
    CHECK_MESSAGE(access_of(open, "", host) == Access::kNameNeeds, host);
  }
}

TEST_CASE("secrets are compared whole") {
  CHECK(admin::same_secret("abc", "abc"));
  for (const char* other : {"", "ab", "abcd", "abd", "xbc", "abcabc"}) {
    CHECK_FALSE(admin::same_secret(other, "abc"));
  }
  CHECK_FALSE(admin::same_secret("", ""));
}

}  // namespace
