#include "config/suggest.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "config/load.h"

using namespace config;

TEST_CASE("edit distance") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("size", "sise") == 1);
  CHECK(edit_distance("size", "szie") == 1);  // neighbours swapped
  CHECK(edit_distance("ca", "abc") == 3);     // optimal string alignment, not Damerau-Levenshtein
  CHECK(edit_distance(std::string(64, 'a'), std::string(64, 'b')) == 64);
}

TEST_CASE("nearest: only what is near") {
  const std::vector<std::string> words{"size", "min", "reserve"};
  CHECK(nearest("sise", words) == "size");
  CHECK(nearest("resreve", words) == "reserve");
  CHECK(nearest("mni", words) == "min");
  CHECK(nearest("workers", words).empty());
  CHECK(nearest("x", words).empty());
  CHECK(nearest(std::string(65, 'a'), words).empty());
  CHECK(nearest("abc", std::vector<std::string>{std::string(65, 'a')}).empty());
}

TEST_CASE("PgBouncer's keys lead to keys that exist") {
  for (const char* key : {"default_pool_size", "max_client_conn", "auth_type", "listen_port",
                          "query_wait_timeout", "admin_users", "server_tls_sslmode"}) {
    INFO(key);
    const std::string ours(for_pgbouncer_key(key));
    CHECK(std::count(known_keys().begin(), known_keys().end(), ours) == 1);
  }
  CHECK(for_pgbouncer_key("no_such_key").empty());
}
