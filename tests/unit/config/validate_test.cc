#include "config/validate.h"

#include "testing.h"

using namespace config;
using config_testing::kMinimal;
using config_testing::loaded;
using config_testing::problems;
using config_testing::TemporaryDirectory;

namespace {

std::string minimal(std::string_view before) { return std::string(before) + std::string(kMinimal); }
// Lines after a valid file; the first is line 5.
std::string after(std::string_view lines) { return std::string(kMinimal) + std::string(lines); }

const char* const kVerifier =
    "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$"
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

}  // namespace

TEST_CASE("clusters: at least one, with hosts") {
  CHECK(problems("[users.app]\npassword = \"x\"\n") ==
        "weir.toml: clusters: expected at least one cluster: [clusters.main] with hosts = "
        "[\"10.0.0.1:5432\"]\n");
  CHECK(problems("[clusters.main]\n[users.app]\npassword = \"x\"\n") ==
        "weir.toml:1: clusters.main.hosts: expected a list of hosts such as "
        "[\"10.0.0.1:5432\", \"10.0.0.2\"]\n");
}

TEST_CASE("hosts: no duplicates, one fixed primary") {
  const std::string users = "[users.app]\npassword = \"x\"\n";
  CHECK(problems("[clusters.main]\nhosts = [\"h\",\n\"h:5432\"]\n" + users) ==
        "weir.toml:3: clusters.main.hosts[1]: expected each host once, found \"h:5432\" again\n");
  CHECK(problems("[clusters.main]\nhosts = [{host = \"a\", name = \"x\"},\n"
                 "{host = \"b\", name = \"x\"}]\n" +
                 users) ==
        "weir.toml:3: clusters.main.hosts[1].name: expected a name of its own, found \"x\" "
        "again\n");
  CHECK(problems("[[clusters.main.hosts]]\nhost = \"a\"\nrole = \"primary\"\n"
                 "[[clusters.main.hosts]]\nhost = \"b\"\nrole = \"primary\"\n" +
                 users) ==
        "weir.toml:6: clusters.main.hosts[1].role: expected at most one host with role "
        "\"primary\", found a second one\n");
}

TEST_CASE("databases: \"*\" in the only cluster, an error when there are several") {
  CHECK(loaded(kMinimal).databases == std::vector<Database>{{.name = "*", .cluster = "main"}});
  const std::string two = after("[clusters.other]\nhosts = [\"h\"]\n");
  CHECK(problems(two) ==
        "weir.toml: databases.\"*\".cluster: expected the name of a cluster, since there are "
        "several (\"main\", \"other\"), found nothing\n");
  CHECK(problems(two + "[databases.app]\n") ==
        "weir.toml:7: databases.app.cluster: expected the name of a cluster, since there are "
        "several (\"main\", \"other\"), found nothing\n");
  CHECK(loaded(after("[databases.app]\n")).databases[0].cluster == "main");
}

TEST_CASE("databases: references, reserved names, passwords without users") {
  CHECK(problems(after("[databases.app]\ncluster = \"mian\"\n")) ==
        "weir.toml:6: databases.app.cluster: expected the name of a cluster, found \"mian\"; did "
        "you mean \"main\"?\n");
  for (const char* name : {"weir", "pgbouncer"}) {
    CHECK(problems(after("[databases." + std::string(name) + "]\n"))
              .ends_with("expected another name: this one is the admin console's\n"));
  }
  CHECK(problems(after("[databases.app]\npassword = \"x\"\nauth_password = \"y\"\n")) ==
        "weir.toml:5: databases.app.user: expected the user that the password belongs to, found "
        "nothing\n"
        "weir.toml:5: databases.app.auth_user: expected the user that auth_password belongs to, "
        "found nothing\n");
}

TEST_CASE("pools: min within size") {
  CHECK(problems(minimal("pool = { size = 2, min = 3 }\n")) ==
        "weir.toml:1: pool.min: expected at most pool.size, 2, found 3\n");
  CHECK(loaded(minimal("pool = { size = 0, min = 3 }\n")).pool.min == 3);
  // Twenty is the general size.
  CHECK(problems(after("pool.min = 21\n[databases.a.pool]\nsize = 1\nmin = 2\n")) ==
        "weir.toml:5: users.app.pool.min: expected at most pool.size, 20, found 21\n"
        "weir.toml:8: databases.a.pool.min: expected at most pool.size, 1, found 2\n");
}

TEST_CASE("a wrong value does not cause a second complaint") {
  const std::string text = problems("[clusters.main]\nhosts = []\n[users.app]\npassword = 5\n");
  CHECK(text ==
        "weir.toml:2: clusters.main.hosts: expected a list of 1 to 64 hosts, found a list\n"
        "weir.toml:4: users.app.password: expected text in quotes of at most 1024 bytes\n");
}

TEST_CASE("users: somebody must be able to log in") {
  CHECK(problems("[clusters.main]\nhosts = [\"h\"]\nmonitor.user = \"m\"\n") ==
        "weir.toml: users: expected somebody who can log in: a [users.NAME] with a password, or "
        "auth.user to look users up, or auth.method = \"trust\"\n");
  CHECK(problems("[clusters.main]\nhosts = [\"h\"]\n[users.app]\n") ==
        "weir.toml:3: users.app.password: expected a password, since auth.method is not "
        "\"trust\" and there is no auth.user to look it up, found nothing\n");
  loaded(
      "auth = { user = \"lookup\", password = \"x\" }\n[clusters.main]\nhosts = [\"h\"]\n"
      "[users.app]\n");
  loaded("auth.method = \"trust\"\n[clusters.main]\nhosts = [\"h\"]\nmonitor.user = \"m\"\n");
}

TEST_CASE("users: an md5 hash cannot serve SCRAM") {
  const std::string md5 = "md5" + std::string(32, 'a');
  const std::string users = "[users.app]\npassword = \"" + md5 + "\"\n";
  const std::string cluster = "[clusters.main]\nhosts = [\"h\"]\nmonitor.user = \"m\"\n";
  CHECK(problems(cluster + users)
            .starts_with("weir.toml:5: users.app.password: expected a plain "
                         "password or a SCRAM-SHA-256 verifier"));
  loaded("auth.method = \"md5\"\n" + cluster + users);
  loaded(cluster + "[users.app]\npassword = \"" + md5 + "a\"\n");  // plain: not 32 digits
  loaded(cluster + "[users.app]\npassword = \"" + kVerifier + "\"\n");
}

TEST_CASE("auth: passwords without users, queries without $1") {
  CHECK(problems(minimal("auth.password = \"x\"\n")) ==
        "weir.toml:1: auth.user: expected the user that the password belongs to, found nothing\n");
  CHECK(problems(minimal("auth.query = \"SELECT 1\"\n")) ==
        "weir.toml:1: auth.query: expected a query with $1, the user's name, found none\n");
  CHECK(problems(after("[databases.a]\nauth_query = \"x\"\n"))
            .starts_with("weir.toml:6: databases.a.auth_query: "));
}

TEST_CASE("monitor: the first login that the file knows") {
  const auto login = [](const Config& config) {
    return config.clusters[0].monitor_user + "/" + config.clusters[0].monitor_password;
  };
  const std::string cluster = "[clusters.main]\nhosts = [\"h\"]\n";
  const std::string verifier_user = "[users.v]\npassword = \"" + std::string(kVerifier) + "\"\n";
  CHECK(login(loaded(cluster + "monitor = { user = \"m\", password = \"mp\" }\n" +
                     "[users.app]\npassword = \"p\"\n")) == "m/mp");
  CHECK(login(loaded(cluster + verifier_user + "[users.app]\npassword = \"p\"\n" +
                     "[databases.a]\nuser = \"d\"\npassword = \"dp\"\n")) == "d/dp");
  CHECK(login(loaded(cluster + verifier_user + "[users.app]\npassword = \"p\"\n")) == "app/p");
  CHECK(login(loaded(cluster + verifier_user + "[auth]\nuser = \"l\"\npassword = \"lp\"\n")) ==
        "l/lp");
  CHECK(login(loaded("auth.method = \"trust\"\n" + cluster + "[users.t]\n")) == "t/");
  CHECK(problems(cluster + verifier_user) ==
        "weir.toml:1: clusters.main.monitor.user: expected a login for the monitor, since the "
        "configuration names no other one whose password it knows, found nothing\n");
  CHECK(problems(cluster + "monitor.password = \"x\"\n[users.app]\npassword = \"p\"\n")
            .ends_with("expected the user that monitor.password belongs to, found nothing\n"));
}

TEST_CASE("monitor: its timeout covers its interval") {
  CHECK(problems("[clusters.main]\nhosts = [\"h\"]\nmonitor.interval = \"2s\"\n"
                 "[users.app]\npassword = \"p\"\n") ==
        "weir.toml:3: clusters.main.monitor.timeout: expected at least monitor.interval, 2s, "
        "found 1s\n");
}

TEST_CASE("TLS to clients: needs files that can be read") {
  const TemporaryDirectory directory;
  const std::string cert = directory.write("cert.pem", "x");
  const std::string key = directory.write("key.pem", "x");
  CHECK(problems(minimal("tls.client.mode = \"require\"\n")) ==
        "weir.toml:1: tls.client.cert_file: expected the file of our certificate, since mode is "
        "\"require\", found nothing\n"
        "weir.toml:1: tls.client.key_file: expected the file of our private key, since mode is "
        "\"require\", found nothing\n");
  const std::string files = "cert_file = \"" + cert + "\"\nkey_file = \"" + key + "\"\n";
  const Config config = loaded(after("[tls.client]\nmode = \"allow\"\n" + files));
  CHECK(config.client_tls == Tls{SslMode::kAllow, cert, key, ""});
  CHECK(problems(after("[tls.client]\nmode = \"verify-full\"\n" + files))
            .starts_with("weir.toml:5: tls.client.ca_file: expected a file of certificates to "
                         "trust, since mode is \"verify-full\", found nothing\n"));
  CHECK(problems(after("[tls.client]\nmode = \"disable\"\nca_file = \"" + directory.path() +
                       "/none\"\n"))
            .ends_with("/none\": No such file or directory\n"));
}

TEST_CASE("TLS to servers: verify needs ca_file, a certificate needs its key") {
  const TemporaryDirectory directory;
  const std::string pem = directory.write("a.pem", "x");
  // Said once, although the cluster has it too.
  CHECK(problems(minimal("tls.server.mode = \"verify-ca\"\n")) ==
        "weir.toml:1: tls.server.ca_file: expected a file of certificates to trust, since mode "
        "is \"verify-ca\", found nothing\n");
  CHECK(problems("[clusters.main]\nhosts = [\"h\"]\ntls.mode = \"verify-full\"\n"
                 "[users.app]\npassword = \"p\"\n")
            .starts_with("weir.toml:3: clusters.main.tls.ca_file: "));
  loaded(minimal("tls.server = { mode = \"verify-ca\", ca_file = \"" + pem + "\" }\n"));
  loaded(minimal("tls.server.mode = \"require\"\n"));
  CHECK(problems(minimal("tls.server.cert_file = \"" + pem + "\"\n")) ==
        "weir.toml:1: tls.server.key_file: expected cert_file and key_file together, found one "
        "of them\n");
}

TEST_CASE("TLS files: relative to the configuration") {
  const TemporaryDirectory directory;
  directory.write("ca.pem", "x");
  const std::string file = directory.write(
      "weir.toml", minimal("tls.server = { mode = \"verify-ca\", ca_file = \"ca.pem\" }\n"));
  const LoadResult result = load_file(file, {});
  REQUIRE_MESSAGE(result.config, to_string(result.problems));
  CHECK(result.config->clusters[0].tls.ca_file == directory.path() + "/ca.pem");
}

TEST_CASE("addresses: each once") {
  CHECK(problems(minimal("listen = [\"127.0.0.1\", \"localhost:6432\"]\n")) ==
        "weir.toml:1: listen: expected each address once, found \"127.0.0.1:6432\" again\n");
  CHECK(problems(minimal("admin.http = \"127.0.0.1:6432\"\n")) ==
        "weir.toml:1: admin.http: expected an address that listen does not use, found "
        "\"127.0.0.1:6432\"\n");
}

TEST_CASE("tokens of the API: long, plain, not the same") {
  const std::string good = "0123456789abcdef";
  CHECK(problems(minimal("admin.token = \"" + good + "\"\n")).empty());
  CHECK(problems(minimal("admin.token = \"0123456789abcde\"\n")) ==
        "weir.toml:1: admin.token: expected from 16 to 256 letters, digits or any of -._~+/=, "
        "found 15\n");
  CHECK(problems(minimal("admin.view_token = \"0123456789 abcdef\"\n")) ==
        "weir.toml:1: admin.view_token: expected from 16 to 256 letters, digits or any of "
        "-._~+/=, found others\n");
  CHECK(
      problems(minimal("admin = { token = \"" + good + "\", view_token = \"" + good + "\" }\n")) ==
      "weir.toml:1: admin.view_token: expected another one than admin.token, found the same\n");
}

TEST_CASE("validate: peers") {
  const auto with = [](std::string_view peers) {
    return config_testing::problems("peer_id = 1\n" + std::string(config_testing::kMinimal) +
                                    std::string(peers));
  };
  CHECK(with("[peers]\n1.host = \"10.0.0.1\"\n127.host = \"weir-2.example:6433\"\n").empty());
  for (const char* name : {"0", "128", "01", "x", "1x", "4294967297"}) {
    CAPTURE(name);
    const std::string found = with("[peers." + std::string(name) + "]\nhost = \"h\"\n");
    CHECK(found.find("expected as name of a peer its number") != std::string::npos);
  }
  CHECK(with("[peers.2]\nport = 1\n").find("peers.2.host: expected the address") !=
        std::string::npos);
  CHECK(with("[peers]\n2.host = \"h\"\n3.host = \"h:6432\"\n").find("each address once") !=
        std::string::npos);
  CHECK(
      config_testing::problems(std::string(config_testing::kMinimal) + "[peers.2]\nhost = \"h\"\n")
          .find("peer_id: expected the number of this Weir") != std::string::npos);
}

TEST_CASE("validate: a peer is found by its number, at 6432 unless it says otherwise") {
  const config::Config config =
      config_testing::loaded("peer_id = 1\n" + std::string(config_testing::kMinimal) +
                             "[peers]\n2.host = \"a\"\n3.host = \"b:7000\"\n"
                             "4 = {host = \"c\", port = 7001}\n");
  REQUIRE(config.peers.size() == 3);
  CHECK(config::find_peer(config, 2)->address.port == 6432);
  CHECK(config::find_peer(config, 3)->address.port == 7000);
  CHECK(config::find_peer(config, 4)->address.host == "c");
  CHECK(config::find_peer(config, 4)->address.port == 7001);
  CHECK(config::find_peer(config, 1) == nullptr);
  CHECK(config::find_peer(config, 0) == nullptr);
}
