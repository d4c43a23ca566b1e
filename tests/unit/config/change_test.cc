#include "config/change.h"

#include "config/command_line.h"
#include "config/describe.h"
#include "config/diff.h"
#include "config/pgbouncer_settings.h"
#include "config/settings.h"
#include "testing.h"

using namespace config;
using config_testing::kMinimal;
using config_testing::loaded;
using What = Meant::What;
using Path = std::vector<std::string>;

namespace {

Path path_of(std::string_view key) {
  Path path(1);
  for (const char c : key) {
    if (c == '.') {
      path.emplace_back();
    } else {
      path.back() += c;
    }
  }
  return path;
}

What what(std::string_view name) { return what_is_meant(path_of(name)).what; }

}  // namespace

TEST_CASE("change: every key of the file is a setting, or needs a restart") {
  for (const std::string& key : known_keys()) {
    CAPTURE(key);
    const bool restart =
        key == "listen" || key == "workers" || key == "peer_id" || key == "admin.http";
    CHECK(what(key) == (restart ? What::kRestart : What::kSetting));
  }
}

TEST_CASE("change: names keep their case, keys do not mind theirs") {
  CHECK(what_is_meant({"Databases", "MyDB", "Pool", "SIZE"}).path ==
        Path{"databases", "MyDB", "pool", "size"});
  CHECK(what_is_meant({"Default_Pool_Size"}).path == Path{"pool", "size"});
}

TEST_CASE("change: PgBouncer's settings have their counterpart, or say why not") {
  for (const auto& theirs : pgbouncer_settings()) {
    CAPTURE(theirs.name);
    const Meant meant = what_is_meant({std::string(theirs.name)});
    CHECK(meant.what != What::kSession);
    if (meant.what == What::kUnknown) {
      CHECK(meant.hint != "");
    } else {
      CHECK(path_of(theirs.ours) == meant.path);
      CHECK(meant.in_seconds == (theirs.kind == PgBouncerKind::kSeconds));
    }
  }
  CHECK(what("server_lifetime") == What::kSetting);
  CHECK(what("listen_addr") == What::kRestart);
  // Values that would mean something else.
  for (const char* name : {"verbose", "syslog", "server_login_retry", "tcp_keepalive",
                           "log_connections", "max_db_connections", "stats_period"}) {
    CAPTURE(name);
    CHECK(what(name) == What::kUnknown);
  }
}

TEST_CASE("change: an override that the loader takes as it is meant") {
  const auto value = [](const Path& name, std::string_view text, bool quoted) {
    const Change change = change_of(what_is_meant(name), text, quoted);
    for (const std::string& override : change.overrides) {
      const LoadResult result = config_testing::load(kMinimal, {override});
      if (!result.config) continue;
      for (const ConfigRow& row : explain(*result.config)) {
        if (row.key == change.key) return row.value;
      }
    }
    return std::string("refused");
  };
  for (const bool quoted : {false, true}) {
    CAPTURE(quoted);
    CHECK(value({"pool", "size"}, "50", quoted) == "50");
    CHECK(value({"timeouts", "query"}, "10s", quoted) == "10s");
    CHECK(value({"timeouts", "query"}, "1500", quoted) == "1500ms");
    CHECK(value({"query_timeout"}, "2", quoted) == "2s");
    CHECK(value({"query_timeout"}, "0.0015", quoted) == "2ms");
    CHECK(value({"query_timeout"}, "10s", quoted) == "10s");
    CHECK(value({"routing", "split_reads"}, "false", quoted) == "false");
    CHECK(value({"routing", "lag_recover_ratio"}, "0.25", quoted) == "0.25");
    CHECK(value({"routing", "zone"}, "7", quoted) == "7");
    CHECK(value({"users", "app", "pool_mode"}, "session", quoted) == "session");
    CHECK(value({"databases", "*", "dbname"}, "a'b \"c\\", quoted) == "a'b \"c\\");
    CHECK(value({"databases", "*", "pool", "size"}, "3", quoted) == "3");
    CHECK(value({"max_packet_size"}, "65536", quoted) == "64kB");
    CHECK(value({"pool", "size"}, "many", quoted) == "refused");
    CHECK(value({"pool", "size"}, "-1", quoted) == "refused");
    CHECK(value({"query_timeout"}, "-1", quoted) == "refused");
    CHECK(value({"pool", "sise"}, "1", quoted) == "refused");
  }
  CHECK(value({"routing", "harmless_functions"}, "[\"f\", 'g']", false) == "f, g");
  CHECK(value({"databases", "*", "dbname"}, "", true) == "");
}

TEST_CASE("change: only values of known settings that are no secrets may be shown") {
  const auto shown = [](const Path& name) {
    return may_be_shown(change_of(what_is_meant(name), "x", true));
  };
  for (const std::string& key : known_keys()) {
    CAPTURE(key);
    if (what(key) != What::kSetting) continue;
    const bool is_secret =
        key.find("password") != std::string::npos ||
        (key.find("token") != std::string::npos && !key.ends_with("without_token"));
    CHECK(shown(path_of(key)) == !is_secret);
  }
  CHECK(shown({"databases", "shop", "pool", "size"}));
  CHECK_FALSE(shown({"users", "ann", "pasword"}));
  CHECK_FALSE(shown({"users", "ann"}));
  CHECK_FALSE(shown({"rules"}));
}

TEST_CASE("change: of what the configuration names") {
  const Config config = loaded(kMinimal);
  const auto applies = [&](const Path& name) {
    return applies_to(reset_of(what_is_meant(name)), config).ok();
  };
  CHECK(applies({"pool", "size"}));
  CHECK(applies({"users", "app", "pool", "size"}));
  CHECK(applies({"clusters", "main", "routing", "lag_max"}));
  CHECK(applies({"databases", "*", "pool", "size"}));
  CHECK_FALSE(applies({"databases", "app", "pool", "size"}));
  CHECK_FALSE(applies({"users", "App", "pool", "size"}));
  CHECK_FALSE(applies({"clusters", "other", "routing", "lag_max"}));
}

TEST_CASE("change: the file as it was is loaded again, under --set and what came after it") {
  const config_testing::TemporaryDirectory directory;
  const std::string file = directory.write("weir.toml", kMinimal);
  const CommandLine line{.config_file = file, .overrides = {"pool.size=3", "pool.min=1"}};
  const LoadResult first = config_from_command_line(line);
  REQUIRE(first.config);
  REQUIRE(first.text);
  CHECK(*first.text == kMinimal);
  directory.write("weir.toml", std::string(kMinimal) + "[limits]\nclients = 7\n");
  const LoadResult same =
      config_from_command_line(line, {.overrides = {"pool.size=4"}, .text = first.text});
  REQUIRE(same.config);
  CHECK(same.config->pool.size == 4);
  CHECK(same.config->pool.min == 1);
  CHECK(same.config->limits.clients == Limits{}.clients);
  const LoadResult next = config_from_command_line(line, {.overrides = {"pool.size=4"}});
  REQUIRE(next.config);
  CHECK(next.config->pool.size == 4);
  CHECK(next.config->limits.clients == 7);
}
