#include "config/diff.h"

#include "config/settings.h"
#include "testing.h"

using namespace config;
using config_testing::kMinimal;
using config_testing::loaded;
using Names = std::vector<std::string>;

namespace {

Diff changed(std::vector<std::string> overrides) {
  return diff(loaded(kMinimal), loaded(kMinimal, std::move(overrides)));
}

}  // namespace

TEST_CASE("diff: nothing") {
  CHECK(changed({}).empty());
  CHECK(summary(changed({})).empty());
}

TEST_CASE("diff: what needs a restart") {
  const Diff found =
      changed({"listen=*:7000", "workers=2", "peer_id=3", "admin.http=127.0.0.1:9127"});
  CHECK(found.needs_restart == Names{"admin.http", "listen", "peer_id", "workers"});
  CHECK(found.settings.empty());
  CHECK_FALSE(found.empty());
  CHECK(summary(found) == "admin.http, listen, peer_id, workers (after a restart)");
}

TEST_CASE("diff: names added, removed and changed") {
  const Config before = loaded(
      "[clusters.a]\nhosts = [\"h\"]\n[clusters.b]\nhosts = [\"i\"]\n"
      "[databases.x]\ncluster = \"a\"\n[databases.y]\ncluster = \"a\"\n"
      "[users.u]\npassword = \"p\"\n[users.w]\npassword = \"p\"\n");
  const Config after = loaded(
      "[clusters.c]\nhosts = [\"j\"]\n[clusters.a]\nhosts = [\"h\", \"k\"]\n"
      "[databases.y]\ncluster = \"c\"\n[databases.z]\ncluster = \"a\"\n"
      "[users.w]\npassword = \"p\"\n[users.u]\npassword = \"q\"\n");
  const Diff found = diff(before, after);
  CHECK(found.clusters.added == Names{"c"});
  CHECK(found.clusters.removed == Names{"b"});
  CHECK(found.clusters.changed == Names{"a"});
  CHECK(found.databases.added == Names{"z"});
  CHECK(found.databases.removed == Names{"x"});
  CHECK(found.databases.changed == Names{"y"});
  CHECK(found.users.added.empty());
  CHECK(found.users.removed.empty());
  CHECK(found.users.changed == Names{"u"});
  CHECK(found.settings.empty());
  CHECK(summary(found) ==
        "clusters: +c -b a changed; databases: +z -x y changed; users: u changed");
}

TEST_CASE("diff: a general table changes the clusters that start from it") {
  const Diff found = changed({"routing.lag_max=5s"});
  CHECK(found.clusters.changed == Names{"main"});
  CHECK(found.settings == Names{"routing.lag_max"});
}

TEST_CASE("diff: other settings, secrets too") {
  CHECK(changed({"timeouts.query=1s", "pool.size=3"}).settings ==
        Names{"pool.size", "timeouts.query"});
  const Config before = loaded(kMinimal, {"auth.user=l", "auth.password=one"});
  const Config after = loaded(kMinimal, {"auth.user=l", "auth.password=two"});
  CHECK(diff(before, after).settings == Names{"auth.password"});
  const auto tokens = [](const std::string& end) {
    return loaded(kMinimal, {"admin.token=0123456789abcdef-t" + end,
                             "admin.view_token=0123456789abcdef-v" + end});
  };
  CHECK(diff(tokens("1"), tokens("2")).settings == Names{"admin.token", "admin.view_token"});
  Config next = tokens("2");
  keep_until_restart(next, tokens("1"));
  CHECK(next.admin.token == "0123456789abcdef-t2");
}

TEST_CASE("diff: what needs a restart stays as it is") {
  const Config running = loaded(kMinimal);
  Config next = loaded(kMinimal, {"listen=*:7000", "workers=2", "peer_id=3",
                                  "admin.http=127.0.0.1:9127", "pool.size=3"});
  CHECK(diff(running, next).needs_restart.size() == std::size(kRestartKeys));
  keep_until_restart(next, running);
  const Diff found = diff(running, next);
  CHECK(found.needs_restart.empty());
  CHECK(found.settings == Names{"pool.size"});
}
