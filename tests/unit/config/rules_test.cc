#include "config/describe.h"
#include "config/diff.h"
#include "testing.h"

using namespace config;
using config_testing::kMinimal;
using config_testing::loaded;
using config_testing::problems;

namespace {

// The first line is line 5.
std::string with(std::string_view lines) { return std::string(kMinimal) + std::string(lines); }

}  // namespace

TEST_CASE("rules: everything that one can say") {
  const Config config = loaded(
      with("[[rules]]\nname = \"reports\"\nuser = \"reporter\"\ndatabase = [\"app\", \"shop_*\"]\n"
           "application_name = \"metabase*\"\ntable = [\"orders\", \"app.items\"]\n"
           "function = \"app.total\"\nshape = \"9f86d081884c7d65\"\nregex = \"^select\"\n"
           "route = \"replica\"\nhosts = \"10.0.0.1:5432\"\nconsistency = \"eventual\"\n"
           "max_lag = \"200ms\"\n[[rules]]\nroute = \"primary\"\n"));
  REQUIRE(config.rules.size() == 2);
  CHECK(config.rules[0] == Rule{.name = "reports",
                                .users = {"reporter"},
                                .databases = {"app", "shop_*"},
                                .application_names = {"metabase*"},
                                .tables = {"orders", "app.items"},
                                .functions = {"app.total"},
                                .shapes = {"9f86d081884c7d65"},
                                .regex = "^select",
                                .route = Route::kReplica,
                                .hosts = {"10.0.0.1:5432"},
                                .consistency = Consistency::kEventual,
                                .max_lag = milliseconds(200)});
  CHECK(config.rules[1] == Rule{.name = "2", .route = Route::kPrimary});
}

TEST_CASE("rules: what is wrong with one") {
  CHECK(problems(with("[[rules]]\nname = \"x\"\n")) ==
        "weir.toml:5: rules[0]: expected at least one of route, hosts, consistency, max_lag: the "
        "rule does nothing\n");
  CHECK(problems(with("[[rules]]\nroute = \"replicas\"\n[[rules]]\nuser = []\nroute = "
                      "\"replica\"\n")) ==
        "weir.toml:6: rules[0].route: expected one of \"primary\", \"replica\", found "
        "\"replicas\"; did you mean \"replica\"?\n"
        "weir.toml:8: rules[1].user: expected 1 to 1000 elements, found a list\n");
  CHECK(problems(with("[[rules]]\nhost = [\"x\"]\nroute = \"replica\"\n")) ==
        "weir.toml:6: rules[0].host: unknown key \"host\"; did you mean \"hosts\"?\n");
  CHECK(problems(with("[[rules]]\ntable = [\"orders\", \"a, b\"]\nroute = \"replica\"\n")) ==
        "weir.toml:6: rules[0].table[1]: expected \"name\" or \"schema.name\", as in the catalog, "
        "or a list of them, found \"a, b\"\n");
  CHECK(problems(with("[[rules]]\nshape = \"9F\"\nroute = \"replica\"\n")) ==
        "weir.toml:6: rules[0].shape: expected a shape, 16 hexadecimal digits in lower case, or a "
        "list of them, found \"9F\"\n");
  CHECK(problems(with("[rules]\nroute = \"replica\"\n")) ==
        "weir.toml:5: rules: expected at most 1000 tables, each [[rules]], found a table\n");
}

TEST_CASE("rules: what refers to something") {
  CHECK(problems(with("[[rules]]\nregex = \"(a\"\nroute = \"replica\"\n")) ==
        "weir.toml:6: rules[0].regex: expected a regular expression as RE2 knows it, found "
        "\"(a\": missing ): (a\n");
  CHECK(problems(with("[[rules]]\nhosts = [\"10.0.0.2:5432\"]\n")) ==
        "weir.toml:6: rules[0].hosts: expected the name of a cluster's host, found "
        "\"10.0.0.2:5432\"; did you mean \"10.0.0.1:5432\"?\n");
  CHECK(problems(with("[databases.shop]\n[[rules]]\ndatabase = \"shap\"\nroute = \"replica\"\n")) ==
        "weir.toml:7: rules[0].database: expected a database that clients can ask for, found "
        "\"shap\"; did you mean \"shop\"?\n");
  CHECK(problems(with("[[rules]]\nroute = \"primary\"\nmax_lag = \"1s\"\n")) ==
        "weir.toml:7: rules[0].max_lag: expected none, since the rule's route is \"primary\"\n");
  CHECK(problems(with("[[rules]]\nname = \"a\"\nroute = \"primary\"\n[[rules]]\nname = \"a\"\n"
                      "route = \"replica\"\n")) ==
        "weir.toml:9: rules[1].name: expected a name of its own, found \"a\" again\n");
}

TEST_CASE("rules: at most 64 on statements, more on sessions") {
  std::string text(kMinimal);
  for (int i = 0; i < 64; ++i) text += "[[rules]]\ntable = \"t\"\nroute = \"primary\"\n";
  for (int i = 0; i < 64; ++i) text += "[[rules]]\nuser = \"u\"\nroute = \"primary\"\n";
  CHECK(loaded(text).rules.size() == 128);
  CHECK(problems(text + "[[rules]]\nregex = \"x\"\nroute = \"primary\"\n")
            .find("rules[128]: expected at most 64 rules with table, function, shape or regex, "
                  "found another one") != std::string::npos);
}

TEST_CASE("rules: --check says what they do, and which lag does not matter") {
  const std::string text =
      describe(loaded(with("[[rules]]\nname = \"reports\"\nuser = [\"a\", \"b\"]\nregex = \"x\"\n"
                           "hosts = \"10.0.0.1:5432\"\nmax_lag = \"5s\"\n[[rules]]\n"
                           "consistency = \"strong\"\n")));
  CHECK(text.find("rule reports: user a or b, text like x -> hosts 10.0.0.1:5432, lag up to 5s\n"
                  "rule 2: everything -> strong consistency\n") != std::string::npos);
  CHECK(text.find("note: max_lag of rule reports is not below any cluster's lag_max\n") !=
        std::string::npos);
}

TEST_CASE("rules: SHOW CONFIG and a reload's difference") {
  const std::string a = "[[rules]]\nname = \"a\"\nroute = \"primary\"\n";
  const std::string b = "[[rules]]\nname = \"b\"\nroute = \"replica\"\n";
  bool shown = false;
  for (const ConfigRow& row : explain(loaded(with(a)))) {
    shown = shown || (row.key == "rules.a.route" && row.value == "primary");
  }
  CHECK(shown);
  CHECK(summary(diff(loaded(with("")), loaded(with(a + b)))) == "rules: +a +b");
  CHECK(summary(diff(loaded(with(a)), loaded(with(b)))) == "rules: +b -a");
  CHECK(summary(diff(loaded(with(a + b)), loaded(with(b + a)))) == "rules");
  CHECK(summary(diff(loaded(with(a)), loaded(with(a + "user = \"u\"\n")))) == "rules: a changed");
  CHECK(diff(loaded(with(a + b)), loaded(with(a + b))).empty());
}
