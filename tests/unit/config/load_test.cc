#include "config/load.h"

#include <sys/stat.h>

#include <algorithm>

#include "testing.h"

using namespace config;
using config_testing::kMinimal;
using config_testing::loaded;
using config_testing::problems;
using config_testing::TemporaryDirectory;

namespace {

std::string minimal(std::string_view before) { return std::string(before) + std::string(kMinimal); }
// The complaint about one line in front of a valid file.
std::string problem(std::string_view line) { return problems(minimal(std::string(line) + "\n")); }

}  // namespace

TEST_CASE("load: the least file, and config.h's defaults for all else") {
  const Config config = loaded(kMinimal);
  Config expected;
  expected.listeners = {{.host = "127.0.0.1", .port = 6432}};
  expected.clusters = {{.name = "main",
                        .hosts = {{.name = "10.0.0.1:5432", .host = "10.0.0.1"}},
                        .monitor_user = "app",
                        .monitor_password = "secret"}};
  expected.databases = {{.name = "*", .cluster = "main"}};
  expected.users = {{.name = "app", .password = "secret"}};
  expected.source = "weir.toml";
  CHECK(config == expected);
}

TEST_CASE("load: top level and sections") {
  const Config config = loaded(R"(
listen = ["*:7000", "unix:/run/weir"]
workers = 3
pool_mode = "session"
pool = { size = 5, min = 1, reserve = 2 }
[routing]
split_reads = false
lag_max = "250ms"
lag_bytes_max = "1MB"
lag_recover_ratio = 1
balancing = "client_address_hash"
consistency = "eventual"
no_replica = "error"
harmless_functions = ["f", "public.g"]
[clusters.main]
hosts = "10.0.0.1"
[auth]
method = "md5"
user = "lookup"
password = "pw"
database = "postgres"
query = "SELECT $1, ''"
query_cache = 0
[timeouts]
login = "0"
connect = "1s"
query_wait = 1500
server_lifetime_jitter = 0
drain = "1d"
[limits]
clients = 5
message_bytes = "64MB"
startup_bytes = 2048
[admin]
http = "[::1]:9127"
)");
  CHECK(config.listeners ==
        std::vector<Listener>{{"0.0.0.0", 7000, ""}, {"::", 7000, ""}, {"", 7000, "/run/weir"}});
  CHECK(config.workers == 3);
  CHECK(config.pool_mode == PoolMode::kSession);
  CHECK(config.pool == PoolSizes{5, 1, 2});
  const Routing routing{.split_reads = false,
                        .lag_max = milliseconds(250),
                        .lag_bytes_max = 1u << 20,
                        .lag_recover_ratio = 1,
                        .balancing = Balancing::kClientAddressHash,
                        .consistency = Consistency::kEventual,
                        .no_replica = NoReplica::kError,
                        .harmless_functions = {"f", "public.g"}};
  CHECK(config.routing == routing);
  CHECK(config.clusters[0].routing == routing);
  const Auth auth{AuthMethod::kMd5, "lookup", "pw", "postgres", "SELECT $1, ''", milliseconds(0)};
  CHECK(config.auth == auth);
  CHECK(config.timeouts.login == milliseconds(0));
  CHECK(config.timeouts.connect == milliseconds(1000));
  CHECK(config.timeouts.query_wait == milliseconds(1500));
  CHECK(config.timeouts.server_lifetime_jitter == 0);
  CHECK(config.timeouts.drain == std::chrono::hours(24));
  CHECK(config.limits.clients == 5);
  CHECK(config.limits.message_bytes == 64u << 20);
  CHECK(config.limits.startup_bytes == 2048);
  CHECK(config.admin.http_host == "::1");
  CHECK(config.admin.http_port == 9127);
}

TEST_CASE("load: the log") {
  const Config config = loaded(minimal(
      "log = { level = \"debug\", format = \"json\", file = \"weir.log\", connections = true }\n"));
  CHECK(config.logging == Logging{LogLevel::kDebug, LogFormat::kJson, "weir.log", true});
}

TEST_CASE("load: hosts in both forms") {
  const Config config = loaded(R"(
[[clusters.main.hosts]]
host = "db1"
port = 5433
name = "one"
role = "primary"
weight = 0.5
zone = "a"
[[clusters.main.hosts]]
host = "[::1]:5434"
[clusters.other]
hosts = ["/run/pg:5435", { host = "db3", role = "replica" }]
[databases.app]
cluster = "other"
[users.app]
password = "x"
)");
  const Host one{"one", "db1", 5433, HostRole::kPrimary, 0.5, "a"};
  const Host two{"[::1]:5434", "::1", 5434, HostRole::kAuto, 1};
  CHECK(config.clusters[0].hosts == std::vector<Host>{one, two});
  const Host three{"/run/pg:5435", "/run/pg", 5435, HostRole::kAuto, 1};
  const Host four{"db3:5432", "db3", 5432, HostRole::kReplica, 1};
  CHECK(config.clusters[1].hosts == std::vector<Host>{three, four});
}

TEST_CASE("load: names keep the file's order; a later override comes last") {
  const Config config = loaded(
      "[users.zoe]\npassword = \"z\"\n[users.amy]\npassword = \"a\"\n" + std::string(kMinimal),
      {"users.aaa.password=x", "users.zoe.admin=true"});
  REQUIRE(config.users.size() == 4);
  CHECK(config.users[0].name == "zoe");
  CHECK(config.users[0].admin);
  CHECK(config.users[1].name == "amy");
  CHECK(config.users[2].name == "app");
  CHECK(config.users[3].name == "aaa");
}

TEST_CASE("load: clusters, databases and users start from the general tables") {
  const Config config = loaded(R"(
pool = { size = 5, reserve = 1 }
routing = { lag_max = "2s", balancing = "random" }
tls.server.mode = "require"
[clusters.main]
hosts = ["h"]
routing.lag_max = "3s"
tls.mode = "prefer"
[clusters.other]
hosts = ["i"]
[databases.app]
cluster = "main"
pool.min = 2
[users.app]
password = "x"
pool.size = 9
)");
  CHECK(config.clusters[0].routing.lag_max == milliseconds(3000));
  CHECK(config.clusters[0].routing.balancing == Balancing::kRandom);
  CHECK(config.clusters[0].tls.mode == SslMode::kPrefer);
  CHECK(config.clusters[1].routing.lag_max == milliseconds(2000));
  CHECK(config.clusters[1].tls.mode == SslMode::kRequire);
  CHECK(config.databases[0].pool == PoolSizes{5, 2, 1});
  CHECK(config.users[0].pool == PoolSizes{9, 0, 1});
  CHECK(config.routing.lag_max == milliseconds(2000));
}

TEST_CASE("load: overrides win, and say where they came from") {
  CHECK(loaded(minimal("pool.size = 3\n"), {"pool.size=4", "pool.size=5"}).pool.size == 5);
  CHECK(loaded(kMinimal, {"timeouts.query=10s"}).timeouts.query == milliseconds(10'000));
  CHECK(problems(minimal("workers = -1\n"), {"pool.size=many", "pol.size=1"}) ==
        "weir.toml:1: workers: expected a whole number from 0 to 256, found -1\n"
        "--set: pool.size: expected a whole number from 0 to 100000, found \"many\"\n"
        "--set: pol: unknown key \"pol\"; did you mean \"pool\"?\n");
  CHECK(problems(kMinimal, {"nonsense"}) ==
        "--set: expected section.key=value, found \"nonsense\"\n");
}

TEST_CASE("problems: numbers") {
  CHECK(problem("workers = \"many\"") ==
        "weir.toml:1: workers: expected a whole number from 0 to 256, found \"many\"\n");
  CHECK(problem("workers = 257").ends_with("found 257\n"));
  CHECK(problem("workers = 1.0").ends_with("found 1\n"));
  CHECK(problem("workers = true").ends_with("found true\n"));
  CHECK(problem("workers = [1]").ends_with("found a list\n"));
  CHECK(problem("workers = {}").ends_with("found a table\n"));
  CHECK(problem("workers = 2024-01-01").ends_with("found a date or time\n"));
  CHECK(problem("limits.clients = 0") ==
        "weir.toml:1: limits.clients: expected a whole number from 1 to 1000000, found 0\n");
}

TEST_CASE("problems: durations, sizes, ratios, flags") {
  CHECK(problem("timeouts.query = \"soon\"") ==
        "weir.toml:1: timeouts.query: expected a duration such as \"1500ms\", \"10s\" or "
        "\"5min\", from 0 to 365d, found \"soon\"\n");
  CHECK(problem("timeouts.connect = \"0\"").ends_with("from 1ms to 1h, found \"0\"\n"));
  CHECK(problem("timeouts.query = -1").ends_with("found -1\n"));
  CHECK(problem("timeouts.query = 9223372036854775807").ends_with("found 9223372036854775807\n"));
  CHECK(problem("limits.message_bytes = \"2GB\"") ==
        "weir.toml:1: limits.message_bytes: expected a number of bytes or a size such as "
        "\"64MB\", from 64kB to 1GB, found \"2GB\"\n");
  CHECK(problem("routing.lag_recover_ratio = 0") ==
        "weir.toml:1: routing.lag_recover_ratio: expected a number greater than 0 and up to 1, "
        "found 0\n");
  CHECK(problem("timeouts.server_lifetime_jitter = 1.5")
            .ends_with("expected a number from 0 to 1, found 1.5\n"));
  CHECK(problem("routing.lag_recover_ratio = nan").ends_with("found nan\n"));
  CHECK(problem("routing.split_reads = \"yes\"") ==
        "weir.toml:1: routing.split_reads: expected true or false, found \"yes\"\n");
}

TEST_CASE("problems: words have a suggestion") {
  CHECK(problem("pool_mode = \"transacton\"") ==
        "weir.toml:1: pool_mode: expected one of \"transaction\", \"session\", \"statement\", "
        "found \"transacton\"; did you mean \"transaction\"?\n");
  CHECK(problem("log.level = 3") ==
        "weir.toml:1: log.level: expected one of \"trace\", \"debug\", \"info\", \"warn\", "
        "\"error\", found 3\n");
}

TEST_CASE("problems: texts") {
  CHECK(problem("auth.user = 5") ==
        "weir.toml:1: auth.user: expected text of at most 63 bytes without control characters, "
        "found 5\n");
  CHECK(problem("auth.user = \"" + std::string(64, 'x') + "\"").find("auth.user") !=
        std::string::npos);
  CHECK(problem("auth.user = \"a\\u0000b\"").ends_with("found \"a?b\"\n"));
  CHECK(problem("log.file = 1") == "weir.toml:1: log.file: expected the name of a file, found 1\n");
  CHECK(problem("routing.harmless_functions = [\"ok\", \"Bad\", 3]") ==
        "weir.toml:1: routing.harmless_functions[1]: expected a function's name in lower case, "
        "\"name\" or \"schema.name\", found \"Bad\"\n"
        "weir.toml:1: routing.harmless_functions[2]: expected a function's name in lower case, "
        "\"name\" or \"schema.name\", found 3\n");
}

TEST_CASE("problems: a secret is not shown") {
  const std::string text =
      problems("[clusters.main]\nhosts = [\"h\"]\n[users.app]\npassword = 12345\n");
  CHECK(text == "weir.toml:4: users.app.password: expected text in quotes of at most 1024 bytes\n");
}

TEST_CASE("problems: addresses") {
  CHECK(problem("listen = [\"127.0.0.1:6432\", \"db.example.net\"]") ==
        "weir.toml:1: listen[1]: expected an address such as \"127.0.0.1:6432\", "
        "\"[::1]:6432\", \"*:6432\" or \"unix:/run/weir\", found \"db.example.net\"\n");
  CHECK(problem("listen = []").ends_with("expected a list of 1 to 64 addresses, found a list\n"));
  CHECK(problem("listen = 6432").find("listen: expected an address") != std::string::npos);
  CHECK(problem("admin.http = \"127.0.0.1\"") ==
        "weir.toml:1: admin.http: expected an address and port such as \"127.0.0.1:9127\", or "
        "\"\" for none, found \"127.0.0.1\"\n");
  CHECK(problems("[clusters.main]\nhosts = [\n\"h\",\n\"h:x\",\n7,\n{ port = 1 },\n"
                 "{ host = \"h:1\", port = 2 }]\nusers.app.password = \"x\"\n")
            .find("weir.toml:4: clusters.main.hosts[1]: expected a host such as ") !=
        std::string::npos);
}

TEST_CASE("problems: every host that is wrong, once") {
  const LoadResult result = config_testing::load(
      "[clusters.main]\nhosts = [\n\"h:x\",\n7,\n{ port = 1 },\n{ host = \"h:1\", port = 2 }\n]\n"
      "[users.app]\npassword = \"x\"\n");
  REQUIRE(result.problems.size() == 4);
  CHECK(result.problems[0].line == 3);
  CHECK(result.problems[0].key == "clusters.main.hosts[0]");
  CHECK(result.problems[1].line == 4);
  CHECK(result.problems[2].line == 5);
  CHECK(result.problems[2].key == "clusters.main.hosts[2].host");
  CHECK(result.problems[3].message ==
        "expected a host without a port, which the key port gives, found \"h:1\"");
}

TEST_CASE("problems: tables and names") {
  CHECK(problem("pool = 5") == "weir.toml:1: pool: expected a table, [pool], found 5\n");
  CHECK(problem("users.bob = \"secret\"") ==
        "weir.toml:1: users.bob: expected a table, [users.bob], found \"secret\"\n");
  CHECK(problem("databases.\"\".user = \"x\"") ==
        "weir.toml:1: databases.\"\": expected a name of 1 to 63 bytes without control "
        "characters, found \"\"\n");
}

TEST_CASE("problems: unknown keys have a suggestion") {
  CHECK(problem("pool_mod = \"session\"") ==
        "weir.toml:1: pool_mod: unknown key \"pool_mod\"; did you mean \"pool_mode\"?\n");
  CHECK(problem("pool.sise = 5") ==
        "weir.toml:1: pool.sise: unknown key \"sise\"; did you mean \"size\"?\n");
  // The right word in the wrong place.
  CHECK(problem("query_wait = 5") ==
        "weir.toml:1: query_wait: unknown key \"query_wait\"; did you mean "
        "\"timeouts.query_wait\"?\n");
  CHECK(problem("default_pool_size = 5") ==
        "weir.toml:1: default_pool_size: unknown key \"default_pool_size\"; did you mean "
        "\"pool.size\"?\n");
  CHECK(problem("xyzzy = 5") == "weir.toml:1: xyzzy: unknown key \"xyzzy\"\n");
  CHECK(problems(std::string(kMinimal) + "\nadmn = true\n") ==
        "weir.toml:6: users.app.admn: unknown key \"admn\"; did you mean \"admin\"?\n");
}

TEST_CASE("problems: all at once, in the file's order") {
  const std::string text = problems(
      "workers = \"x\"\n\n[pool]\nsize = -1\n[clusters.main]\nhosts = [\"h\"]\n[users.app]\n"
      "password = \"x\"\n[log]\nlevel = \"loud\"\n[limits]\nclient = 5\n");
  std::vector<std::string> starts;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    starts.push_back(text.substr(at, text.find(": ", at) - at));
  }
  CHECK(starts ==
        std::vector<std::string>{"weir.toml:1", "weir.toml:4", "weir.toml:10", "weir.toml:12"});
}

TEST_CASE("problems: their number is bounded") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "key" + std::to_string(i) + " = 1\n";
  CHECK(config_testing::load(text).problems.size() == kProblemsMax);
}

TEST_CASE("problems: the number of names is bounded, and messages that list them") {
  std::string text = "[users.a]\npassword = \"p\"\n";
  for (int i = 0; i < 256; ++i) text += "[clusters.c" + std::to_string(i) + "]\nhosts = \"h\"\n";
  CHECK(problems(text) ==
        "weir.toml: databases.\"*\".cluster: expected the name of a cluster, since there are "
        "several (\"c0\", \"c1\", \"c2\", \"c3\", \"c4\", ...), found nothing\n");
  CHECK(problems(text + "[clusters.more]\nhosts = \"h\"\n")
            .find("clusters: expected at most 256 names, found 257\n") != std::string::npos);
}

TEST_CASE("problems: no TOML at all") {
  const LoadResult result = config_testing::load("[clusters.main\nhosts = 1\n");
  REQUIRE(result.problems.size() == 1);
  CHECK(result.problems[0].file == "weir.toml");
  CHECK(result.problems[0].line == 1);
  CHECK(result.problems[0].key.empty());
}

TEST_CASE("password files: one line, relative to the configuration") {
  const TemporaryDirectory directory;
  directory.write("app.password", "se cret\n");
  const std::string file = directory.write(
      "weir.toml",
      "[clusters.main]\nhosts = [\"h\"]\n[users.app]\npassword_file = \"app.password\"\n");
  const LoadResult result = load_file(file, {});
  REQUIRE_MESSAGE(result.config, to_string(result.problems));
  CHECK(result.config->users[0].password == "se cret");
  CHECK(result.config->source == file);
}

TEST_CASE("password files: what is wrong with them") {
  const TemporaryDirectory directory;
  const auto said = [&](std::string_view value) {
    return problems("[clusters.main]\nhosts = [\"h\"]\n[users.app]\npassword_file = " +
                    std::string(value) + "\n");
  };
  const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
  CHECK(said("5") ==
        "weir.toml:4: users.app.password_file: expected the name of a file, found 5\n");
  const std::string missing = directory.path() + "/none";
  CHECK(said(quoted(missing)).ends_with("/none\": No such file or directory\n"));
  CHECK(said(quoted(directory.path())).ends_with(": not a regular file\n"));
  for (const std::string& text : {std::string(), std::string("\n"), std::string("two\nlines\n"),
                                  std::string(1025, 'x'), std::string(5000, 'x')}) {
    const std::string answer = said(quoted(directory.write("secret", text)));
    CHECK(answer.find("users.app.password_file: expected a file with ") != std::string::npos);
    CHECK(answer.find("two") == std::string::npos);
  }
  CHECK(said("\"x\"\npassword = \"y\"") ==
        "weir.toml:4: users.app.password_file: expected either password or password_file, found "
        "both\n");
}

TEST_CASE("load_file: a file that cannot be read") {
  const LoadResult none = load_file("/nonexistent/weir.toml", {});
  CHECK(to_string(none.problems) ==
        "/nonexistent/weir.toml: expected a readable configuration file: No such file or "
        "directory\n");
  const TemporaryDirectory directory;
  CHECK(load_file(directory.path(), {}).problems.size() == 1);
  const std::string large = directory.write("large", std::string(kFileBytesMax + 1, '\n'));
  CHECK(to_string(load_file(large, {}).problems).ends_with("longer than 4194304 bytes\n"));
}

TEST_CASE("known keys: each once") {
  std::vector<std::string> keys = known_keys();
  CHECK(keys.size() > 100);
  for (const char* key :
       {"listen", "pool.size", "clusters.NAME.hosts.weight", "databases.NAME.pool.reserve",
        "users.NAME.password_file", "tls.client.cert_file", "admin.http"}) {
    CHECK(std::count(keys.begin(), keys.end(), std::string(key)) == 1);
  }
  std::sort(keys.begin(), keys.end());
  CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
}
