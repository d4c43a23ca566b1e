#include "cluster/patroni.h"

#include <doctest/doctest.h>

#include <string>

using cluster::hosts_of_patroni;
using config::Host;

namespace {

// As Patroni 3.0 answers.
constexpr const char* kAnswer = R"({"members": [
  {"name": "pg2", "role": "replica", "state": "streaming",
   "api_url": "http://10.0.0.2:8008/patroni",
   "host": "10.0.0.2", "port": 5432, "timeline": 3, "lag": 0, "tags": {"nofailover": true}},
  {"name": "pg1", "role": "leader", "state": "running", "api_url": "http://10.0.0.1:8008/patroni",
   "host": "10.0.0.1", "port": 5433, "timeline": 3, "tags": {"noloadbalance": true}},
  {"name": "pg3", "role": "replica", "state": "streaming", "host": "10.0.0.3", "port": 5432,
   "tags": {"noloadbalance": true}},
  {"name": "pg4", "role": "replica", "state": "uninitialized"}
 ], "scope": "main"})";

std::string names(const absl::StatusOr<std::vector<Host>>& hosts) {
  std::string all;
  if (!hosts.ok()) return "none";
  for (const Host& host : *hosts) {
    all += host.name + "=" + host.host + ":" + std::to_string(host.port) + " ";
  }
  return all;
}

std::string answer(const std::string& members) { return "{\"members\":[" + members + "]}"; }
std::string member(const std::string& name, const std::string& rest) {
  return "{\"name\":\"" + name + "\",\"role\":\"replica\"," + rest + "}";
}

}  // namespace

TEST_CASE("patroni: members with an address, but who takes no reads") {
  CHECK(names(hosts_of_patroni(kAnswer, {})) == "pg1=10.0.0.1:5433 pg2=10.0.0.2:5432 ");
}

TEST_CASE("patroni: what is configured of a host stays") {
  const std::vector<Host> configured = {
      {.name = "near", .host = "10.0.0.2", .port = 5432, .weight = 3, .zone = "a"},
      {.name = "gone", .host = "10.0.0.9", .port = 5432}};
  const auto hosts = hosts_of_patroni(kAnswer, configured);
  REQUIRE(hosts.ok());
  REQUIRE(hosts->size() == 2);
  CHECK((*hosts)[0] == configured[0]);
  CHECK((*hosts)[1].name == "pg1");
  CHECK((*hosts)[1].role == config::HostRole::kAuto);
}

TEST_CASE("patroni: each name and each address once") {
  const auto hosts = hosts_of_patroni(
      answer(member("a", R"("host":"h1","port":1)") + "," + member("a", R"("host":"h2","port":1)") +
             "," + member("b", R"("host":"h1","port":1)")),
      {});
  CHECK(names(hosts) == "a=h1:1 ");
}

TEST_CASE("patroni: what is none") {
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"),
        std::string("{\"members\":{}}"), std::string("{\"members\":[]}"), answer("1,\"a\",null"),
        std::string(100'000, '['), answer(member("a", R"("host":"h","port":0)")),
        answer(member("a", R"("host":"h","port":65536)")), answer(member("a", R"("host":"h")")),
        answer(member("a", R"("host":"h","port":"5432")")),
        answer(member("a", R"("host":"h","port":-1)")),
        answer(member("a", R"("host":"h h","port":1)")),
        answer(member("", R"("host":"h","port":1)")), answer(member("a", R"("host":5,"port":1)")),
        answer(member(std::string(64, 'n'), R"("host":"h","port":1)")),
        answer(member("a", "\"host\":\"" + std::string(256, 'h') + "\",\"port\":1"))}) {
    CHECK_MESSAGE(!hosts_of_patroni(text, {}).ok(), text.substr(0, 80));
  }
  std::string many;
  for (int i = 1; i <= 65; ++i) {
    many += (i == 1 ? "" : ",") +
            member("m" + std::to_string(i), "\"host\":\"h\",\"port\":" + std::to_string(i));
  }
  CHECK_FALSE(hosts_of_patroni(answer(many), {}).ok());
}
