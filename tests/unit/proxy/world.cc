#include "world.h"

#include <doctest/doctest.h>

namespace proxy_test {

World::World() {
  for (const char* sql : {
           "SET password_encryption = 'scram-sha-256'; CREATE ROLE alice LOGIN PASSWORD 'sesame'",
           "CREATE ROLE plain LOGIN PASSWORD 'plain'",
           "CREATE ROLE watcher LOGIN PASSWORD 'watch' IN ROLE pg_monitor",
           "CREATE ROLE nologin NOLOGIN PASSWORD 'x'",
           "CREATE ROLE nosecret LOGIN",
           "CREATE ROLE expired LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01'",
           "CREATE SEQUENCE asked",
       }) {
    primary.ask(sql);
  }
  replica = std::make_unique<LivePostgres>(primary);
}

World* world() {
  static std::unique_ptr<World> made;
  if (postgres_bin().empty()) {
    MESSAGE("skipped: no PostgreSQL found, set WEIR_POSTGRES_BIN");
    return nullptr;
  }
  if (!made) made = std::make_unique<World>();
  return made.get();
}

proxy::ServerLogin superuser_of(const LivePostgres& server) {
  return {.host = "127.0.0.1",
          .port = server.port(),
          .tls = {},
          .dbname = "postgres",
          .user = "postgres",
          .password = "",
          .application_name = "weir test",
          .timeout = std::chrono::seconds(5)};
}

}  // namespace proxy_test
