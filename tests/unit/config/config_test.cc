#include "config/config.h"

#include "config/words.h"
#include "testing.h"

using namespace config;
using config_testing::loaded;

TEST_CASE("find: the exact database, then \"*\"") {
  Config config;
  config.databases = {{.name = "*", .cluster = "a"}, {.name = "app", .cluster = "b"}};
  CHECK(find_database(config, "app")->cluster == "b");
  CHECK(find_database(config, "other")->cluster == "a");
  config.databases.erase(config.databases.begin());
  CHECK(find_database(config, "other") == nullptr);
}

TEST_CASE("find: users and clusters have no fallback") {
  Config config;
  config.users = {{.name = "app"}};
  config.clusters = {{.name = "main"}};
  CHECK(find_user(config, "app") == &config.users[0]);
  CHECK(find_user(config, "*") == nullptr);
  CHECK(find_cluster(config, "main") == &config.clusters[0]);
  CHECK(find_cluster(config, "mai") == nullptr);
}

TEST_CASE("pool mode and sizes: the user's, the database's, the general one") {
  Config config;
  config.pool.size = 7;
  Database database;
  User user;
  CHECK(pool_mode(config, database, nullptr) == PoolMode::kTransaction);
  CHECK(pool_sizes(config, database, &user).size == 7);

  database.pool_mode = PoolMode::kSession;
  database.pool = PoolSizes{.size = 8};
  CHECK(pool_mode(config, database, &user) == PoolMode::kSession);
  CHECK(pool_sizes(config, database, nullptr).size == 8);

  user.pool_mode = PoolMode::kStatement;
  user.pool = PoolSizes{.size = 9};
  CHECK(pool_mode(config, database, &user) == PoolMode::kStatement);
  CHECK(pool_sizes(config, database, &user).size == 9);
  CHECK(pool_sizes(config, database, nullptr).size == 8);
}

TEST_CASE("words: each enumerator its own") {
  CHECK(word(PoolMode::kTransaction) == "transaction");
  CHECK(word(PoolMode::kSession) == "session");
  CHECK(word(HostRole::kAuto) == "auto");
  CHECK(word(HostRole::kPrimary) == "primary");
  CHECK(word(AuthMethod::kTrust) == "trust");
  CHECK(word(AuthMethod::kPassword) == "password");
  CHECK(word(AuthMethod::kMd5) == "md5");
  CHECK(word(SslMode::kDisable) == "disable");
  CHECK(word(SslMode::kAllow) == "allow");
  CHECK(word(SslMode::kPrefer) == "prefer");
  CHECK(word(SslMode::kRequire) == "require");
  CHECK(word(SslMode::kVerifyCa) == "verify-ca");
  CHECK(word(Balancing::kLeastConnections) == "least_connections");
  CHECK(word(Balancing::kRoundRobin) == "round_robin");
  CHECK(word(Balancing::kRandom) == "random");
  CHECK(word(Balancing::kLeastLatency) == "least_latency");
  CHECK(word(Consistency::kEventual) == "eventual");
  CHECK(word(NoReplica::kPrimary) == "primary");
  CHECK(word(LogLevel::kTrace) == "trace");
  CHECK(word(LogLevel::kDebug) == "debug");
  CHECK(word(LogLevel::kInfo) == "info");
  CHECK(word(LogLevel::kWarn) == "warn");
  CHECK(word(LogFormat::kText) == "text");
}
