#include "route/rules.h"

#include <doctest/doctest.h>

#include <string>

#include "fixture.h"
#include "route/router.h"

using namespace route;
using config::Consistency;
using sql::Access;
using sql::Hint;

namespace {

using Rules = std::vector<config::Rule>;

SessionRules of_session(Rules rules, std::string_view user = "app",
                        std::string_view database = "shop", std::string_view application = "psql") {
  config::Config config;
  config.rules = std::move(rules);
  return SessionRules(config, Scene(3).config, user, database, application);
}

Terms terms(Rules rules, std::uint64_t patterns = 0, std::string_view user = "app",
            std::string_view database = "shop", std::string_view application = "psql") {
  return of_session(std::move(rules), user, database, application).terms(patterns);
}

struct Case {
  Scene scene{3};
  SessionView session;

  Decision decide(Access access, Hint hint = Hint::kNone) {
    Router router(scene.config, 7);
    return router.decide(access, hint, session, scene.snapshot, {});
  }
  int only(std::uint64_t hosts) {  // -1: it is another one now and then
    session.rules.hosts = hosts;
    session.rules.replica_rule = 4;
    Router router(scene.config, 7);
    int host = -2;
    for (int i = 0; i < 50; ++i) {
      const Decision d = router.decide(Access::kRead, Hint::kNone, session, scene.snapshot, {});
      CHECK(d.rule == 4);
      host = host == -2 || host == d.host ? d.host : -1;
    }
    return host;
  }
};

void check(const Decision& d, Target target, const char* reason, int rule) {
  CHECK(d.target == target);
  CHECK(std::string(d.reason) == reason);
  CHECK(d.rule == rule);
}

}  // namespace

TEST_CASE("rules: conditions on the session") {
  const auto primary = config::Route::kPrimary;
  CHECK(terms({}) == Terms{});
  CHECK(terms({{.route = primary}}).route == Hint::kPrimary);
  CHECK(terms({{.users = {"x", "app"}, .route = primary}}).route == Hint::kPrimary);
  CHECK(terms({{.users = {"x", "ap"}, .route = primary}}).route == Hint::kNone);
  CHECK(terms({{.users = {"ap*"}, .route = primary}}).route == Hint::kPrimary);
  CHECK(terms({{.databases = {"shop"}, .route = primary}}).route == Hint::kPrimary);
  CHECK(terms({{.users = {"x"}, .databases = {"shop"}, .route = primary}}).route == Hint::kNone);
  const Rules named{{.application_names = {"metabase*"}, .route = primary}};
  CHECK(terms(named, 0, "app", "shop", "metabase 0.50").route == Hint::kPrimary);
  CHECK(terms(named, 0, "app", "shop", "meta").route == Hint::kNone);
}

TEST_CASE("rules: conditions on the statement are bits, in order, whatever the session") {
  const Rules rules{{.users = {"x"}, .tables = {"t"}, .route = config::Route::kPrimary},
                    {.consistency = Consistency::kEventual},
                    {.regex = "r", .route = config::Route::kReplica}};
  CHECK(terms(rules, 0).route == Hint::kNone);
  CHECK(terms(rules, 1).route == Hint::kNone);
  CHECK(terms(rules, 1, "x").route == Hint::kPrimary);
  CHECK(terms(rules, 2).route == Hint::kReplica);
  CHECK(terms(rules, 2).route_rule == 2);
  CHECK(terms(rules, 3, "x").route_rule == 0);
  CHECK(terms(rules, 0).consistency == Consistency::kEventual);
  CHECK(terms(rules, 0).consistency_rule == 1);

  config::Config config;
  config.rules = rules;
  config.rules[0].shapes = {"00000000000000ff", "9f86d081884c7d65"};
  const auto patterns = patterns_of(config);
  REQUIRE(patterns.size() == 2);
  CHECK(patterns[0].relations == std::vector<std::string>{"t"});
  CHECK(patterns[0].shapes == std::vector<std::uint64_t>{0xff, 0x9f86d081884c7d65});
  CHECK(patterns[1].regex == "r");
}

TEST_CASE("rules: the first that says something counts, later ones fill what is open") {
  using base::milliseconds;
  const Terms found =
      terms({{.max_lag = milliseconds(100)},
             {.hosts = {"h2", "h3"}, .max_lag = milliseconds(200)},
             {.hosts = {"h1"}, .consistency = Consistency::kStrong},
             {.route = config::Route::kReplica, .consistency = Consistency::kEventual}});
  CHECK(found == Terms{.hosts = 0b1100,
                       .max_lag = milliseconds(100),
                       .route = Hint::kReplica,
                       .consistency = Consistency::kStrong,
                       .route_rule = 3,
                       .consistency_rule = 2,
                       .replica_rule = 1});
  CHECK(terms({{.hosts = {"of another cluster"}}}) == Terms{});
}

TEST_CASE("rules: the highest consistency that a statement of the session may be asked for") {
  const Rules rules = {{.tables = {"a"}, .consistency = Consistency::kSession},
                       {.users = {"other"}, .consistency = Consistency::kStrong},
                       {.route = config::Route::kReplica}};
  CHECK(of_session({}).highest() == Consistency::kEventual);
  CHECK(of_session(rules).highest() == Consistency::kSession);
  CHECK(of_session(rules, "other").highest() == Consistency::kStrong);
}

TEST_CASE("rules: a route moves reads, never what may write") {
  Case c;
  c.session.rules.route = Hint::kPrimary;
  c.session.rules.route_rule = 1;
  check(c.decide(Access::kRead), Target::kPrimary, "rule", 1);
  check(c.decide(Access::kWrite), Target::kPrimary, "write", kNoRule);
  check(c.decide(Access::kRead, Hint::kReplica), Target::kReplica, "hint", kNoRule);
  c.session.route = Hint::kReplica;
  check(c.decide(Access::kRead), Target::kReplica, "weir.route", kNoRule);
  c.session.route = Hint::kNone;
  c.session.rules.route = Hint::kReplica;
  c.scene.config.routing.split_reads = false;
  check(c.decide(Access::kRead), Target::kReplica, "rule", 1);
  check(c.decide(Access::kWrite), Target::kPrimary, "write", kNoRule);
}

TEST_CASE("rules: hosts, for reads and for hints, under every balancing") {
  for (int balancing = 0; balancing <= static_cast<int>(config::Balancing::kClientAddressHash);
       ++balancing) {
    Case c;
    c.scene.config.routing.balancing = static_cast<config::Balancing>(balancing);
    CHECK(c.only(0b0100) == 2);
    c.session.consistency = Consistency::kEventual;
    CHECK(c.only(0b1000) == 3);
    const Decision d = c.decide(Access::kRead, Hint::kReplica);
    CHECK(d.host == 3);
  }
}

TEST_CASE("rules: hosts of which none is fit") {
  Case c;
  c.session.rules.hosts = 0b0100;
  c.session.rules.replica_rule = 0;
  c.scene.snapshot.hosts[2].reads = false;
  check(c.decide(Access::kRead), Target::kPrimary, "no replica is fit", 0);
  c.scene.config.routing.no_replica = config::NoReplica::kError;
  check(c.decide(Access::kRead), Target::kNoReplica, "no replica is fit", 0);
  check(c.decide(Access::kNone), Target::kPrimary, "no replica is fit", 0);
}

TEST_CASE("rules: a session's last replica serves no read that a rule keeps from it") {
  Case c;
  c.session.host = 1;
  c.session.host_as_of = at(500);  // its position then is not known
  c.session.now = at(501);
  CHECK(c.decide(Access::kRead).host == 1);
  c.session.rules.hosts = 0b0100;
  c.session.no_await_before = base::Time::max();
  check(c.decide(Access::kRead), Target::kPrimary, "earlier reads", kNoRule);
}

TEST_CASE("rules: max_lag is a limit of its own") {
  Case c;
  c.session.rules.max_lag = base::milliseconds(200);
  c.session.rules.replica_rule = 3;
  c.scene.snapshot.hosts[1].lag_ms = 201;
  c.scene.snapshot.hosts[2].lag_ms = 200;
  c.scene.snapshot.hosts[3].lag_ms = -1;  // not known
  CHECK(c.only(kAllHosts) == 2);
  c.scene.snapshot.hosts[2].lag_ms = 900;
  c.session.rules.replica_rule = 3;
  check(c.decide(Access::kRead), Target::kPrimary, "no replica is fit", 3);
}

TEST_CASE("rules: what people are told") {
  config::Config config;
  config.rules = {{.name = "a"}, {.name = "reports"}};
  CHECK(to_text({.reason = reason::kRead}, config) == "read");
  CHECK(to_text({.reason = reason::kRule, .rule = 1}, config) == "rule reports");
  CHECK(to_text({.reason = reason::kRead, .rule = 1}, config) == "read (rule reports)");
}
