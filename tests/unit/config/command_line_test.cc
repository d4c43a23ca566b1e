#include "config/command_line.h"

#include "testing.h"

using namespace config;
using config_testing::TemporaryDirectory;

namespace {

absl::StatusOr<CommandLine> parse(std::vector<const char*> args) {
  return parse_command_line(args);
}
std::string error(std::vector<const char*> args) {
  const auto line = parse(std::move(args));
  REQUIRE_FALSE(line.ok());
  return std::string(line.status().message().data(), line.status().message().size());
}
Config from(std::vector<const char*> args) {
  const auto line = parse(std::move(args));
  REQUIRE(line.ok());
  const LoadResult result = config_from_command_line(*line);
  REQUIRE_MESSAGE(result.config, to_string(result.problems));
  return *result.config;
}

}  // namespace

TEST_CASE("command line: actions") {
  CHECK(parse({"--help"})->action == CommandLine::Action::kHelp);
  CHECK(parse({"-c", "x", "-h"})->action == CommandLine::Action::kHelp);
  CHECK(parse({"-V"})->action == CommandLine::Action::kVersion);
  CHECK(parse({"--version", "--check"})->action == CommandLine::Action::kVersion);
  CHECK(parse({"--check", "-c", "x"})->action == CommandLine::Action::kCheck);
  CHECK(parse({"--upgrade", "-c", "x"})->action == CommandLine::Action::kUpgrade);
  CHECK(parse({"--upgrade"})->action == CommandLine::Action::kUpgrade);
  CHECK(parse({"--upgrade", "host=a"})->console == "host=a");
  CHECK(parse({"top", "postgres://a@b"})->console == "postgres://a@b");
  const auto run = parse({"-c", "weir.toml", "--set", "a.b=1", "--set=c=d=e", "--workers=2"});
  REQUIRE(run.ok());
  CHECK(run->action == CommandLine::Action::kRun);
  CHECK(run->config_file == "weir.toml");
  CHECK(run->overrides == std::vector<std::string>{"a.b=1", "c=d=e", "workers=2"});
  CHECK(parse({"--config=x"})->config_file == "x");
}

TEST_CASE("command line: usage errors are one line that leads to the help") {
  const std::string help = "; see weir --help";
  CHECK(error({}) == "expected -c FILE or postgres://user:password@host:port" + help);
  CHECK(error({"weir.toml"}) ==
        "unexpected argument \"weir.toml\" (a configuration file goes after -c)" + help);
  CHECK(error({"--chekc"}) == "unknown option \"--chekc\"" + help);
  CHECK(error({"--port=1"}) == "unknown option \"--port\"" + help);
  CHECK(error({"-c"}) == "-c needs a value" + help);
  CHECK(error({"-c", ""}) == "-c needs the name of a file" + help);
  CHECK(error({"-c", "a", "-c", "b"}) == "more than one configuration file" + help);
  CHECK(error({"-c", "a", "--set", "b"}) == "--set needs section.key=value, not \"b\"" + help);
  CHECK(error({"-c", "a", "--workers", "two"}) ==
        "--workers needs a whole number, not \"two\"" + help);
  CHECK(error({"-c", "a", "--listen", "x y"}) ==
        "--listen needs an address such as 127.0.0.1:6432, *:6432 or unix:/run/weir, not "
        "\"x y\"" +
            help);
  CHECK(error({"--upgrade", "host=a", "host=b"}) ==
        "more than one connection string (quote it)" + help);
  CHECK(error({"--upgrade", "host=a", "-c", "b"}) == "both -c and a connection string" + help);
  CHECK(error({"-c", "a", "--replica", "h"}) == "--replica goes with a URL" + help);
  CHECK(error({"--replica", "h:0"}) == "--replica needs host:port, not \"h:0\"" + help);
  CHECK(error({"-c", "a", "postgres://u@h"}) == "both -c and a URL" + help);
  CHECK(error({"postgres://u@h", "postgres://u@i"}) ==
        "more than one URL (further hosts: --replica)" + help);
  CHECK(error({"postgres://h"}) ==
        "the URL names no user: postgres://user:password@host:port" + help);
}

TEST_CASE("command line: a file, with what overrides it") {
  const TemporaryDirectory directory;
  const std::string file = directory.write(
      "weir.toml", "listen = \"*:1\"\nworkers = 1\n" + std::string(config_testing::kMinimal));
  const Config config = from({"-c", file.c_str(), "--workers", "4", "--listen", "127.0.0.1:7000",
                              "--listen=unix:/run/weir", "--set", "pool.size=3"});
  CHECK(config.source == file);
  CHECK(config.workers == 4);
  CHECK(config.listeners ==
        std::vector<Listener>{{"127.0.0.1", 7000, ""}, {"", 7000, "/run/weir"}});
  CHECK(config.pool.size == 3);
}

TEST_CASE("command line: a URL makes a whole configuration") {
  const Config config = from({"postgres://us%20er:p%22w@host1:5433/app", "--replica", "host2",
                              "--replica=[::1]:5434", "--workers", "2"});
  Config expected;
  expected.workers = 2;
  expected.listeners = {{.host = "127.0.0.1", .port = 6432}};
  expected.server_tls.mode = SslMode::kPrefer;
  expected.clusters = {{.name = "main",
                        .hosts = {{.name = "host1:5433", .host = "host1", .port = 5433},
                                  {.name = "host2:5432", .host = "host2", .port = 5432},
                                  {.name = "[::1]:5434", .host = "::1", .port = 5434}},
                        .tls = {.mode = SslMode::kPrefer},
                        .monitor_user = "us er",
                        .monitor_password = "p\"w",
                        .monitor_database = "app"}};
  expected.databases = {{.name = "*", .cluster = "main", .user = "us er", .password = "p\"w"}};
  expected.users = {{.name = "us er", .password = "p\"w", .admin = true}};
  CHECK(config == expected);
}

TEST_CASE("command line: a URL without a password trusts, for what it is worth") {
  const Config config = from({"postgres://app@host"});
  CHECK(config.auth.method == AuthMethod::kTrust);
  CHECK(config.users == std::vector<User>{{.name = "app", .admin = true}});
  CHECK(config.databases[0].user == "app");
  CHECK(config.databases[0].password.empty());
  CHECK(config.clusters[0].monitor_user == "app");
  CHECK(config.clusters[0].monitor_database == "postgres");
}

TEST_CASE("command line: the URL's parameters") {
  const Config config = from({"postgres://a:b@h?sslmode=disable&connect_timeout=7"});
  CHECK(config.clusters[0].tls.mode == SslMode::kDisable);
  CHECK(config.timeouts.connect == milliseconds(7000));
  const auto wrong = parse({"postgres://a:b@h?sslmode=maybe"});
  REQUIRE(wrong.ok());
  const LoadResult result = config_from_command_line(*wrong);
  CHECK(to_string(result.problems).starts_with("command line: tls.server.mode: expected one of "));
}

TEST_CASE("command line: --set works with a URL") {
  CHECK(from({"postgres://a:b@h", "--set", "users.a.pool.size=3"}).users[0].pool->size == 3);
  const auto line = parse({"postgres://a:b@h", "--set", "pool.size=x"});
  CHECK(to_string(config_from_command_line(*line).problems) ==
        "--set: pool.size: expected a whole number from 0 to 100000, found \"x\"\n");
}

TEST_CASE("help: says everything") {
  const std::string help = help_text();
  for (const char* word :
       {"--config", "--check", "--set", "--listen", "--workers", "--replica", "--help", "--version",
        "SIGHUP", "SIGTERM", "SIGINT", "Exit codes", "postgres://", "sslmode"}) {
    CHECK_MESSAGE(help.find(word) != std::string::npos, word);
  }
}

TEST_CASE("help: the file that it shows loads") {
  const std::string help = help_text();
  const std::size_t start = help.find("  listen = ");
  const std::size_t end = help.find("\n\nSignals:");
  REQUIRE(start < end);
  config_testing::loaded(help.substr(start, end - start) + "\n");
}

TEST_CASE("weir route: a statement and whose it is") {
  const auto line =
      parse({"route", "-c", "weir.toml", "--user=app", "--database", "shop", "SELECT 1"});
  REQUIRE(line.ok());
  CHECK(line->action == CommandLine::Action::kRoute);
  CHECK(line->route.sql == "SELECT 1");
  CHECK(line->route.user == "app");
  CHECK(line->route.database == "shop");
  CHECK(error({"route", "-c", "weir.toml"}).starts_with("weir route needs a statement"));
  CHECK(error({"route", "-c", "weir.toml", "SELECT", "1"}).starts_with("more than one statement"));
  CHECK(error({"-c", "weir.toml", "--user", "app"}).starts_with("--user goes with weir route"));
  CHECK(error({"-c", "weir.toml", "route"}).starts_with("unexpected argument"));
}
