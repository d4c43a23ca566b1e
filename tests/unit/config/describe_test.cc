#include "config/describe.h"

#include <algorithm>

#include "testing.h"

using namespace config;
using config_testing::kMinimal;
using config_testing::loaded;

namespace {

ConfigRow row(const Config& config, std::string_view key) {
  const std::vector<ConfigRow> rows = explain(config);
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const ConfigRow& one) { return one.key == key; });
  REQUIRE_MESSAGE(found != rows.end(), key);
  return *found;
}

const char* const kRich = R"(
listen = ["*:6432", "unix:/run/weir"]
workers = 2
[clusters.main]
hosts = ["10.0.0.1", { host = "10.0.0.2", role = "replica", weight = 2, name = "two", zone = "b" }]
monitor = { user = "mon", password = "hidden1" }
[databases.app]
dbname = "prod"
user = "owner"
password = "hidden2"
auth_user = "lookup"
auth_password = "hidden3"
pool.size = 5
[users."a.b"]
password = "hidden4"
admin = true
[auth]
method = "password"
user = "lookup"
password = "hidden5"
)";

}  // namespace

TEST_CASE("explain: keys as in the file, value, default, changeable") {
  const Config config = loaded(kRich, {"timeouts.query_wait=10s"});
  const ConfigRow wait = row(config, "timeouts.query_wait");
  CHECK(wait.value == "10s");
  CHECK(wait.default_value == "2min");
  CHECK(wait.changeable);
  const ConfigRow listen = row(config, "listen");
  CHECK(listen.value == "0.0.0.0:6432, [::]:6432, unix:/run/weir:6432");
  CHECK(listen.default_value == "127.0.0.1:6432");
  CHECK_FALSE(listen.changeable);
  CHECK_FALSE(row(config, "workers").changeable);
  CHECK_FALSE(row(config, "admin.http").changeable);
  CHECK(row(config, "limits.message_bytes").value == "1GB");
  CHECK(row(config, "routing.lag_recover_ratio").value == "0.5");
  CHECK(row(config, "auth.method").value == "password");
}

TEST_CASE("explain: clusters, databases, users") {
  const Config config = loaded(kRich);
  CHECK(row(config, "clusters.main.hosts").value ==
        "10.0.0.1:5432, 10.0.0.2:5432 replica weight 2 zone b");
  CHECK(row(config, "clusters.main.monitor.interval").default_value == "100ms");
  CHECK(row(config, "databases.app.dbname").value == "prod");
  CHECK(row(config, "databases.app.pool.size").value == "5");
  CHECK(row(config, "databases.app.pool.size").default_value == "20");
  CHECK(row(config, "users.\"a.b\".admin").value == "true");
  CHECK(row(config, "users.\"a.b\".pool.size").value == "20");
}

TEST_CASE("secrets are never shown") {
  const Config config = loaded(kRich);
  CHECK(row(config, "auth.password").value == "********");
  CHECK(row(config, "users.\"a.b\".password").value == "********");
  CHECK(row(loaded(kMinimal), "auth.password").value.empty());
  for (const ConfigRow& one : explain(config)) {
    CHECK(one.value.find("hidden") == std::string::npos);
    CHECK(one.default_value.find("hidden") == std::string::npos);
  }
  CHECK(describe(config).find("hidden") == std::string::npos);
}

TEST_CASE("describe: what was understood") {
  const std::string text = describe(loaded(kRich, {"timeouts.query_wait=10s"}));
  for (const char* line : {
           "source: weir.toml\n",
           "listens on 0.0.0.0:6432, [::]:6432, unix:/run/weir:6432\n",
           "workers: 2; pools: transaction mode, size 20; clients: password, TLS disable\n",
           "cluster main: reads on replicas within 1s and 64MB, least_connections, session "
           "consistency, with none left on the primary\n",
           "  host 10.0.0.1:5432, role auto\n",
           "  host 10.0.0.2:5432, role replica, named two, weight 2, zone b\n",
           "  TLS disable; watched every 100ms as mon in database postgres\n",
           "database app: cluster main, there called prod, always as owner, pool 5, users looked "
           "up as lookup\n",
           "user a.b: password, commands the console\n",
           "  timeouts.query_wait = 10s (default 2min)\n",
           "note: auth.method is password without [tls.client]: only Unix sockets can log in\n",
       }) {
    INFO(text);
    CHECK_MESSAGE(text.find(line) != std::string::npos, line);
  }
}

TEST_CASE("describe: what an operator may not have meant") {
  const char* const open = "anybody there may log in";
  const char* const console = "nobody may use the console";
  const char* const zone = "note: no host of cluster main is in routing.zone, c\n";
  CHECK(describe(loaded(kRich, {"routing.zone=c"})).find(zone) != std::string::npos);
  CHECK(describe(loaded(kRich, {"routing.zone=b"})).find("note: no host") == std::string::npos);
  CHECK(describe(loaded(kRich)).find("note: no host") == std::string::npos);
  const std::string trust = "auth.method=trust";
  CHECK(describe(loaded(kMinimal, {trust, "listen=*"})).find(open) != std::string::npos);
  CHECK(describe(loaded(kMinimal, {trust, "listen=[::1]:1"})).find(open) == std::string::npos);
  const std::string token = "admin.token=0123456789abcdef", here = "admin.http=127.0.0.1:1",
                    everywhere = "admin.http=0.0.0.0:1", all = "admin.view_without_token=true";
  const auto says = [](const std::vector<std::string>& settings, const char* note) {
    return describe(loaded(kMinimal, settings)).find(note) != std::string::npos;
  };
  CHECK(says({here}, "note: the dashboard is closed"));
  CHECK_FALSE(says({}, "note: the dashboard is closed"));
  CHECK_FALSE(says({here, token}, "note: the dashboard is closed"));
  CHECK_FALSE(says({here, token, all}, "note: admin.http"));
  CHECK(says({everywhere, token}, "may read the tokens"));
  CHECK(says({everywhere, all}, "anybody there may look"));
  CHECK_FALSE(says({everywhere, token}, "0123456789abcdef"));
  CHECK(describe(loaded(kMinimal)).find(console) != std::string::npos);
  CHECK(describe(loaded(kMinimal, {"users.app.stats=true"})).find(console) == std::string::npos);
}
