#include "admin/console.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "two_logins.h"

namespace {

using admin_test::Client;
using admin_test::Console;
using admin_test::FakeControl;
using admin_test::Reply;
using admin_test::Row;

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    const auto end = std::min(text.find(", "), text.size());
    list.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  return list;
}

// The columns and types of PgBouncer 1.25's src/admin.c and src/stats.c, in wire order.
// i = int4, q = int8, s = text, N = numeric.
struct Expected {
  const char* table;
  const char* types;
  const char* columns;
};
constexpr const char* kConnection =
    "type, user, database, replication, state, addr, port, local_addr, local_port, connect_time, "
    "request_time, wait, wait_us, close_needed, ptr, link, remote_pid, tls, application_name, "
    "prepared_statements, id";
const Expected kPgBouncer[] = {
    {"STATS", "sNNNNNNNNNNNNNNNNNNNNNNNN",
     "database, total_server_assignment_count, total_xact_count, total_query_count, "
     "total_received, total_sent, total_xact_time, total_query_time, total_wait_time, "
     "total_client_parse_count, total_server_parse_count, total_bind_count, "
     "total_client_login_count, avg_server_assignment_count, avg_xact_count, avg_query_count, "
     "avg_recv, avg_sent, avg_xact_time, avg_query_time, avg_wait_time, avg_client_parse_count, "
     "avg_server_parse_count, avg_bind_count, avg_client_login_count"},
    {"STATS_TOTALS", "sNNNNNNNNNNNN",
     "database, server_assignment_count, xact_count, query_count, bytes_received, bytes_sent, "
     "xact_time, query_time, wait_time, client_parse_count, server_parse_count, bind_count, "
     "client_login_count"},
    {"STATS_AVERAGES", "sNNNNNNNNNNNN",
     "database, server_assignment_count, xact_count, query_count, bytes_received, bytes_sent, "
     "xact_time, query_time, wait_time, avg_client_parse_count, avg_server_parse_count, "
     "avg_bind_count, avg_client_login_count"},
    {"TOTALS", "sN", "name, value"},
    {"POOLS", "ssiiiiiiiiiiiiiss",
     "database, user, cl_active, cl_waiting, cl_active_cancel_req, cl_waiting_cancel_req, "
     "sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, sv_tested, sv_login, "
     "maxwait, maxwait_us, pool_mode, load_balance_hosts"},
    {"PEER_POOLS", "iiiii",
     "peer_id, cl_active_cancel_req, cl_waiting_cancel_req, sv_active_cancel, sv_login"},
    // Our id is an int8: an int4 wraps.
    {"CLIENTS", "ssssssisissiiississiq", kConnection},
    {"SERVERS", "ssssssisissiiississiq", kConnection},
    {"DATABASES", "ssissiiiissiiiiii",
     "name, host, port, database, force_user, pool_size, min_pool_size, reserve_pool_size, "
     "server_lifetime, pool_mode, load_balance_hosts, max_connections, current_connections, "
     "max_client_connections, current_client_connections, paused, disabled"},
    {"USERS", "ssssiiii",
     "name, pool_size, reserve_pool_size, pool_mode, max_user_connections, current_connections, "
     "max_user_client_connections, current_client_connections"},
    {"PEERS", "isii", "peer_id, host, port, pool_size"},
    {"LISTS", "si", "list, items"},
    {"CONFIG", "ssss", "key, value, default, changeable"},
    {"MEM", "siiii", "name, size, used, free, memtotal"},
    {"STATE", "ss", "key, value"},
    {"DNS_HOSTS", "sqs", "hostname, ttl, addrs"},
    {"DNS_ZONES", "sqi", "zonename, serial, count"},
    {"VERSION", "s", "version"},
};

std::string type_letters(const Reply& reply) {
  const std::map<std::uint32_t, char> letters = {
      {23, 'i'}, {20, 'q'}, {25, 's'}, {1700, 'N'}, {701, 'f'}};
  std::string types;
  for (std::uint32_t oid : reply.oids()) types += letters.at(oid);
  return types;
}

TEST_CASE("SHOW answers with PgBouncer's columns") {
  Console console;
  for (const Expected& expected : kPgBouncer) {
    CAPTURE(expected.table);
    const Reply reply = console.stats.query(std::string("SHOW ") + expected.table + ";");
    CHECK(reply.code() == "");
    CHECK(reply.columns() == words(expected.columns));
    CHECK(type_letters(reply) == expected.types);
    CHECK(reply.tag() == "SHOW");
    CHECK(reply.status() == 'I');
  }
  for (const char* table : {"SOCKETS", "active_sockets"}) {
    auto expected = words(kConnection);
    for (const char* more : {"recv_pos", "pkt_pos", "pkt_remain", "send_pos", "send_remain",
                             "pkt_avail", "send_avail"}) {
      expected.emplace_back(more);
    }
    CHECK(console.stats.query(std::string("show ") + table).columns() == expected);
  }
}

TEST_CASE("SHOW POOLS joins the hosts of a pool") {
  Console console;
  const auto rows = console.admin.query("SHOW POOLS").rows();
  REQUIRE(rows.size() == 2);
  // blog/bob, then shop/ann: clients and servers added, the longest wait of both hosts.
  CHECK(rows[0][0] == "blog");
  CHECK(rows[0][9] == "7");
  CHECK(rows[1] == Row{"shop", "ann", "7", "1", "0", "0", "6", "0", "0", "6", "0", "0", "0", "1",
                       "250000", "transaction", std::nullopt});
}

TEST_CASE("rows of clients, databases, users and lists") {
  Console console;
  auto rows = console.admin.query("SHOW CLIENTS").rows();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0] == Row{"C",          "ann",   "shop",     "none", "active",
                       "10.1.2.3",   "40000", "10.1.2.4", "6432", "2023-11-14 22:13:20 UTC",
                       std::nullopt, "2",     "500001",   "0",    "0xb",
                       "0x15",       "0",     "",         "it's", "0",
                       "11"});
  rows = console.admin.query("SHOW DATABASES").rows();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0] == Row{"shop", "db1.example", "5433", "shopdb", std::nullopt, "20", "0", "0",
                       "3600", "transaction", std::nullopt, "0", "8", "0", "0", "0", "0"});
  CHECK(rows[1][15] == "1");  // paused
  rows = console.admin.query("SHOW USERS").rows();
  REQUIRE(rows.size() == 1);
  CHECK(rows[0] == Row{"ann", "5", std::nullopt, std::nullopt, "0", "0", "0", "0"});
  rows = console.admin.query("SHOW LISTS").rows();
  REQUIRE(rows.size() == 14);
  CHECK(rows[0] == Row{"databases", "2"});
  CHECK(rows[3] == Row{"pools", "2"});
  CHECK(rows[6] == Row{"used_clients", "2"});
  CHECK(rows[7] == Row{"login_clients", "1"});
  CHECK(rows[9] == Row{"used_servers", "1"});
}

TEST_CASE("statistics: totals, and averages since the start of a short life") {
  Console console;
  const auto rows = console.admin.query("SHOW STATS").rows();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0][2] == "1000");
  CHECK(rows[0][4] == "12345678901");
  CHECK(rows[0][14] == "10");    // 1000 transactions in 100 s
  CHECK(rows[0][15] == "40");    // 4000 queries
  CHECK(rows[0][19] == "2000");  // 8 s of query time over 4000 queries, in microseconds
  const auto totals = console.admin.query("SHOW TOTALS WHERE name = 'total_query_count'").rows();
  CHECK(totals == std::vector<Row>{{"total_query_count", "4005"}});
}

TEST_CASE("hosts, pins, workers, routes") {
  Console console;
  const Reply hosts = console.admin.query("SHOW HOSTS");
  REQUIRE(hosts.rows().size() == 2);
  CHECK(hosts.columns()[0] == "cluster");
  CHECK(hosts.rows()[0] == Row{"main",       "alpha",       "db1.example:5433",
                               "primary",    "up",          "0",
                               "0",          "16/B374D848", std::nullopt,
                               "3",          "0",           std::nullopt,
                               "2",          "10",          "150",
                               "20",         "1",           "0",
                               std::nullopt, "0",           "closed",
                               "3000",       "0",           ""});
  CHECK(hosts.rows()[1] == Row{"main",
                               "beta",
                               "db2.example:5434",
                               "replica",
                               "lagging",
                               "1500",
                               "2120",
                               "16/B374D000",
                               "16/B374D848",
                               "3",
                               "0",
                               std::nullopt,
                               "4",
                               "9",
                               std::nullopt,
                               "30",
                               "2.5",
                               "1",
                               "2023-11-14 22:15:05 UTC",
                               "0",
                               "closed",
                               "40",
                               "2",
                               "banned by ann; lag 1500 ms over 1000 ms"});
  CHECK(console.admin.query("SHOW PINS").rows() ==
        std::vector<Row>{{"11", "shop", "ann", "it's", "advisory lock", "2023-11-14 22:14:55 UTC",
                          "5000", "21", "alpha", "SELECT lock($1)"}});
  CHECK(console.admin.query("SHOW WORKERS").rows().size() == 2);
  CHECK(console.admin.query("SHOW HOST_POOLS").rows().size() == 3);
  CHECK(console.admin.query("SELECT host FROM host_pools WHERE share_from = 6").rows() ==
        std::vector<Row>{{"beta"}});
  CHECK(console.admin.query("SELECT host FROM host_pools WHERE share_from IS NULL").rows().size() ==
        2);
  const auto routes =
      console.admin.query("SELECT reads_on_replica, writes FROM route_totals").rows();
  CHECK(routes == std::vector<Row>{{"30", "5"}, {"0", "0"}});
}

TEST_CASE("SQL over the same rows") {
  Console console;
  Reply reply = console.stats.query(
      "SELECT c.id, s.remote_pid, count(*) AS n FROM clients c JOIN servers s ON s.ptr = c.link "
      "GROUP BY 1, 2");
  CHECK(reply.columns() == std::vector<std::string>{"id", "remote_pid", "n"});
  CHECK(type_letters(reply) == "qiq");
  CHECK(reply.rows() == std::vector<Row>{{"11", "4242", "1"}});
  CHECK(reply.tag() == "SELECT 1");
  reply = console.stats.query("show pools where sv_idle > 6 order by database limit 1");
  CHECK(reply.rows().size() == 1);
  CHECK(reply.tag() == "SHOW");
  CHECK(console.stats.query("WITH p AS (SELECT * FROM pools) SELECT sum(sv_idle) FROM p").rows() ==
        std::vector<Row>{{"13"}});
  CHECK(console.stats.query("SELECT 1").rows() == std::vector<Row>{{"1"}});
  CHECK(console.stats.query("SELECT version()").rows() ==
        std::vector<Row>{{"PostgreSQL 15.0 (Weir console), Weir 0.1.0"}});
  CHECK(console.stats.query("SELECT 1.5, NULL, 'a;b' -- ; c\n").rows() ==
        std::vector<Row>{{"1.5", std::nullopt, "a;b"}});
}

TEST_CASE("several statements: all answers, nothing after an error") {
  Console console;
  Reply reply = console.stats.query("SELECT 1; SHOW VERSION;; SET a = 'x;y';");
  CHECK(reply.types() == "TDCTDCCZ");
  CHECK(reply.tag() == "SET");
  reply = console.stats.query("SELECT 1; SELECT nope; SELECT 2");
  CHECK(reply.types() == "TDCEZ");
  CHECK(reply.code() == "42703");
  CHECK(console.stats.query("").types() == "IZ");
  CHECK(console.stats.query(" ; -- nothing\n ; /* ; */").types() == "IZ");
}

TEST_CASE("a long script neither recurses nor passes its limit") {
  Console console;
  console.control.set([&](auto& a) { a.how = FakeControl::Answer::kAtOnce; });
  std::string script;
  for (int i = 0; i < 1000; ++i) script += "SET a=1;";
  CHECK(console.stats.query(script).messages.size() == 1001);
  const Reply reply = console.stats.query(script + "SET a=1");
  CHECK(reply.types() == "EZ");
  CHECK(reply.code() == "54000");
}

TEST_CASE("commands reach Control") {
  Console console;
  const std::pair<const char*, const char*> commands[] = {
      {"RELOAD", "reload"},
      {"pause", "pause "},
      {"PAUSE shop;", "pause shop"},
      {"Resume \"My \"\"DB\"\"\"", "resume My \"DB\""},
      {"RESUME", "resume "},
      {"RECONNECT my-db", "reconnect my-db"},
      {"DISABLE shop", "disable shop"},
      {"ENABLE 'shop'", "enable shop"},
      {"KILL shop", "kill shop"},
      {"KILL_CLIENT 12", "kill_client 12"},
      {"RESET STATEMENTS", "reset_statements"},
      {"WAIT_CLOSE", "wait_close "},
      {"wait_close shop", "wait_close shop"},
      {"SHUTDOWN", "shutdown now"},
      {"SHUTDOWN WAIT_FOR_CLIENTS", "shutdown drain"},
      {"shutdown wait_for_servers", "shutdown drain"},
  };
  std::size_t count = 0;
  for (const auto& [sql, call] : commands) {
    CAPTURE(sql);
    const Reply reply = console.admin.query(sql);
    CHECK(reply.types() == "CZ");
    const auto calls = console.control.calls();
    REQUIRE(calls.size() == ++count);
    CHECK(calls.back() == call);
  }
  CHECK(console.admin.query("UPGRADE").notice() == "process 4711 accepts clients");
  CHECK(console.control.calls().back() == "upgrade");
  CHECK(console.admin.query("KILL_CLIENT 12").tag() == "KILL_CLIENT");
  CHECK(console.admin.query("KILL_CLIENT 99").code() == "42704");
  CHECK(console.control.calls().back() == "kill_client 12");
}

TEST_CASE("what Control refuses becomes a PostgreSQL error") {
  Console console;
  console.control.set(
      [&](auto& a) { a.status = absl::NotFoundError("database \"x\" does not exist"); });
  for (auto answer : {FakeControl::Answer::kAtOnce, FakeControl::Answer::kFromThread}) {
    console.control.set([&](auto& a) { a.how = answer; });
    Reply reply = console.admin.query("PAUSE x");
    CHECK(reply.types() == "EZ");
    CHECK(reply.code() == "3D000");
    CHECK(reply.message() == "database \"x\" does not exist");
    CHECK(console.admin.query("RESUME x").code() == "3D000");
    CHECK(console.admin.query("KILL_CLIENT 12").code() == "42704");
  }
  console.control.set(
      [&](auto& a) { a.status = absl::FailedPreconditionError("database \"x\" is not paused"); });
  CHECK(console.admin.query("RESUME x").code() == "55000");
  console.control.set(
      [&](auto& a) { a.status = absl::InvalidArgumentError("weir.toml:3: unknown key"); });
  Reply reply = console.admin.query("RELOAD");
  CHECK(reply.code() == "F0000");
  console.control.set([&](auto& a) { a.status = absl::OkStatus(); });
  console.control.set([&](auto& a) { a.loaded.needs_restart = "workers"; });
  reply = console.admin.query("RELOAD");
  CHECK(reply.types() == "NCZ");
  CHECK(reply.notice() == "a restart is needed for: workers");
}

TEST_CASE("what is not understood says what is") {
  Console console;
  Reply reply = console.admin.query("FROBNICATE everything");
  CHECK(reply.code() == "42601");
  CHECK(reply.message() == "syntax error at or near \"FROBNICATE\"");
  CHECK(reply.hint().find("RELOAD") != std::string::npos);
  CHECK(console.admin.query("SHOW NONSENSE").code() == "42704");
  CHECK(console.admin.query("SHOW").message() == "syntax error at end of input");
  CHECK(console.admin.query("SHOW POOLS nonsense").code() == "42601");
  CHECK(console.admin.query("SHOW POOLS WHERE").code() == "42601");
  CHECK(console.admin.query("SELECT * FROM nowhere").code() == "42P01");
  CHECK(console.admin.query("SELECT nofunction()").code() == "42883");
  CHECK(console.admin.query("SELECT $1").code() == "42P02");
  CHECK(console.admin.query("SELECT ?").code() == "42601");
  CHECK(console.admin.query("KILL_CLIENT x").code() == "22023");
  CHECK(console.admin.query("KILL_CLIENT").code() == "42601");
  CHECK(console.admin.query("KILL_CLIENT 99999999999999999999999").code() == "22023");
  CHECK(console.admin.query("DISABLE").code() == "42601");
  CHECK(console.admin.query("RELOAD now").code() == "42601");
  CHECK(console.admin.query("SUSPEND").code() == "0A000");
  CHECK(console.control.calls().empty());
}

TEST_CASE("the tables are read-only and nothing else is there") {
  Console console;
  for (const char* sql :
       {"WITH x AS (SELECT 1) DELETE FROM pools", "WITH x AS (SELECT 1) INSERT INTO pools SELECT 1",
        "SELECT load_extension('x')", "SELECT * FROM pragma_table_info('pools')",
        "SELECT writefile('/tmp/x', 'y')", "SELECT readfile('/etc/passwd')",
        "SELECT 1 UNION SELECT zeroblob(100000000)"}) {
    CAPTURE(sql);
    CHECK(console.admin.query(sql).code() != "");
  }
  for (const char* sql : {"ATTACH 'x' AS y", "PRAGMA user_version", "VACUUM INTO '/tmp/x'",
                          "INSERT INTO pools VALUES (1)", "DROP TABLE pools"}) {
    CAPTURE(sql);
    CHECK(console.admin.query(sql).code() == "42601");
  }
  CHECK(console.admin.query("SHOW POOLS").rows().size() == 2);
}

TEST_CASE("what drivers say at start and at end") {
  Console console;
  const std::pair<const char*, const char*> statements[] = {
      {"SET extra_float_digits = 3", "SET"},
      {"SET application_name TO 'psql'", "SET"},
      {"RESET ALL", "RESET"},
      {"DISCARD ALL", "DISCARD ALL"},
      {"DEALLOCATE ALL", "DEALLOCATE ALL"},
      {"CLOSE ALL", "CLOSE CURSOR ALL"},
      {"UNLISTEN *", "UNLISTEN"},
      {"SHOW client_encoding", "SHOW"},
      {"SHOW TRANSACTION ISOLATION LEVEL", "SHOW"},
      {"select pg_advisory_unlock_all()", "SELECT 1"},
  };
  for (const auto& [sql, tag] : statements) {
    CAPTURE(sql);
    const Reply reply = console.stats.query(sql);
    CHECK(reply.code() == "");
    CHECK(reply.tag() == tag);
  }
  CHECK(console.stats.query("SHOW client_encoding").rows() == std::vector<Row>{{"UTF8"}});
  CHECK(console.stats.query("SHOW server_version").columns() ==
        std::vector<std::string>{"server_version"});
}

TEST_CASE("transactions are followed, though nothing is transactional") {
  Console console;
  Client& client = console.stats;
  CHECK(client.query("BEGIN").status() == 'T');
  CHECK(client.query("BEGIN").notice() == "there is already a transaction in progress");
  CHECK(client.query("SHOW VERSION").status() == 'T');
  CHECK(client.query("SELECT nope").status() == 'E');
  Reply reply = client.query("SHOW VERSION");
  CHECK(reply.code() == "25P02");
  CHECK(reply.status() == 'E');
  reply = client.query("COMMIT");
  CHECK(reply.tag() == "ROLLBACK");
  CHECK(reply.status() == 'I');
  reply = client.query("ROLLBACK");
  CHECK(reply.tag() == "ROLLBACK");
  CHECK(reply.notice() == "there is no transaction in progress");
  CHECK(client.query("START TRANSACTION READ ONLY").tag() == "START TRANSACTION");
  CHECK(client.query("END").tag() == "COMMIT");
  CHECK(client.query("SAVEPOINT a").code() == "25P01");
  CHECK(client.query("ROLLBACK TO a").code() == "25P01");
  client.query("BEGIN");
  CHECK(client.query("SAVEPOINT a").tag() == "SAVEPOINT");
  client.query("SELECT nope");
  CHECK(client.query("RELEASE a").code() == "25P02");
  reply = client.query("ROLLBACK TRANSACTION TO SAVEPOINT a");
  CHECK(reply.tag() == "ROLLBACK");
  CHECK(reply.status() == 'T');
  CHECK(client.query("RELEASE SAVEPOINT a").tag() == "RELEASE");
  CHECK(client.query("COMMIT").status() == 'I');
}

TEST_CASE("cursors") {
  Console console;
  Client& client = console.stats;
  CHECK(client.query("DECLARE c CURSOR FOR SELECT 1").code() == "25P01");
  CHECK(client.query("FETCH c").code() == "34000");
  client.query("BEGIN");
  CHECK(client
            .query("DECLARE c INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR WITH RECURSIVE n(i) "
                   "AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n")
            .tag() == "DECLARE CURSOR");
  const auto fetch = [&](std::string_view how) {
    const Reply reply = client.query(admin::concat("FETCH ", how, " c"));
    std::string rows;
    for (const Row& row : reply.rows()) rows += row[0].value_or("NULL");
    CHECK(reply.tag() == admin::concat("FETCH ", rows.size()));
    return rows;
  };
  const std::pair<const char*, const char*> steps[] = {{"", "1"},
                                                       {"FROM", "2"},
                                                       {"PRIOR IN", "1"},
                                                       {"BACKWARD FROM", ""},
                                                       {"2", "12"},
                                                       {"0", "2"},
                                                       {"FORWARD ALL", "345"},
                                                       {"NEXT", ""},
                                                       {"BACKWARD 2", "54"},
                                                       {"-2", "32"},
                                                       {"ABSOLUTE 4 FROM", "4"},
                                                       {"RELATIVE -1", "3"},
                                                       {"RELATIVE 0", "3"},
                                                       {"LAST", "5"},
                                                       {"FIRST", "1"},
                                                       {"ABSOLUTE -2", "4"},
                                                       {"ABSOLUTE 9", ""},
                                                       {"BACKWARD ALL", "54321"},
                                                       {"ABSOLUTE 0", ""},
                                                       {"99999999999999", "12345"},
                                                       {"-99999999999999", "54321"}};
  for (const auto& [how, rows] : steps) {
    CAPTURE(how);
    CHECK(fetch(how) == rows);
  }
  CHECK(client.query("MOVE FORWARD 3 FROM c").tag() == "MOVE 3");
  CHECK(fetch("NEXT FROM") == "4");
  CHECK(client.query("CLOSE c").tag() == "CLOSE CURSOR");
  CHECK(client.query("FETCH c").code() == "34000");
  CHECK(client.query("ROLLBACK").status() == 'I');
  for (const char* sql :
       {"DECLARE", "DECLARE c CURSOR FOR", "DECLARE c CURSOR FOR RELOAD",
        "DECLARE c CURSOR WITH FOR SELECT 1", "FETCH", "FETCH ABSOLUTE c", "FETCH c d", "MOVE",
        "CLOSE", "CLOSE a b", "DECLARE c CURSOR WITH HOLD FOR SELECT"}) {
    CAPTURE(sql);
    CHECK(client.query(sql).code() == "42601");
  }
  CHECK(client.query("DECLARE \"a b\" CURSOR WITH HOLD FOR SHOW POOLS").code() == "");
  CHECK(client.query("DECLARE \"a b\" CURSOR WITH HOLD FOR SHOW POOLS").code() == "42P03");
  CHECK(client.query("SELECT nope").code() != "");
  CHECK(client.query("FETCH ALL \"a b\"").rows().size() == 2);
  CHECK(client.query("CLOSE ALL").tag() == "CLOSE CURSOR ALL");
  CHECK(client.query("FETCH \"a b\"").code() == "34000");
}

TEST_CASE("SHOW HELP is a notice, as in PgBouncer") {
  Console console;
  const Reply reply = console.stats.query("SHOW HELP");
  CHECK(reply.types() == "NCZ");
  CHECK(reply.notice() == "Console usage");
  CHECK(reply.tag() == "SHOW");
}

TEST_CASE("SHOW CONFIG has PgBouncer's exporter's keys, and no secret") {
  Console console;
  const auto rows = console.stats.query("SHOW CONFIG").rows();
  CHECK(rows.size() > 20);
  CHECK(std::any_of(rows.begin(), rows.end(), [](const Row& row) {
    return row[0] == "max_client_conn" && row[1] == "10000";
  }));
}

TEST_CASE("a PAUSE that waits holds up nobody else, and its client may go") {
  Console console;
  console.control.set([&](auto& a) { a.hold_pause = true; });
  protocol::Buffer out;
  out.append("PAUSE");
  out.push_back(0);
  console.admin.start('Q', out.view());
  CHECK_FALSE(console.admin.wait(std::chrono::milliseconds(20)));
  CHECK(console.stats.query("SHOW VERSION").tag() == "SHOW");
  Client other(console.factory({.user = "root", .may_command = true}));
  CHECK(other.query("RESUME").tag() == "RESUME");

  SUBCASE("it ends") {
    console.control.held[0](absl::OkStatus());
    REQUIRE(console.admin.wait(std::chrono::seconds(5)));
    CHECK(console.admin.take().tag() == "PAUSE");
  }
  SUBCASE("its client leaves") {
    console.admin.leave();
    console.control.held[0](absl::OkStatus());
  }
  SUBCASE("everything goes before it ends") {
    console.admin.leave();
    console.stats.leave();
    other.leave();
    console.factory = nullptr;
    console.control.held[0](absl::OkStatus());
  }
}

TEST_CASE("clients leave at any moment") {
  for (int round = 0; round < 30; ++round) {
    Console console;
    protocol::Buffer out;
    out.append("SHOW POOLS; SHOW CLIENTS; PAUSE; SHOW CONFIG");
    out.push_back(0);
    console.admin.start('Q', out.view());
    console.stats.start('Q', out.view());
    std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
    console.admin.leave();
    console.stats.leave();
  }
}

TEST_CASE("hostile rows are shown whole") {
  Console console;
  console.control.set([](auto& answers) {
    auto& clients = answers.inspection.clients;
    clients[0].application_name = std::string("\xff\xfe'); DROP\0x", 12);
    clients[0].user = "\"; DROP TABLE pools; --";
    clients[1].application_name = std::string(1 << 20, 'x');
    clients[1].id = ~std::uint64_t{0};
    clients[1].wait_us = ~std::uint64_t{0};
  });
  const auto rows = console.admin.query("SHOW CLIENTS").rows();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0][18] == std::string("\xff\xfe'); DROP\0x", 12));
  CHECK(rows[0][1] == "\"; DROP TABLE pools; --");
  CHECK(rows[1][18]->size() == 4096);
  CHECK(rows[1][20] == "9223372036854775807");
  CHECK(rows[1][11] == "2147483647");
}

TEST_CASE("hostile bytes: every message type with odd bodies gets one answer") {
  Console console;
  const std::string bodies[] = {"",
                                std::string(1, '\0'),
                                std::string(2, '\0'),
                                std::string(64, '\0'),
                                std::string(64, '\xff'),
                                "SELECT",
                                std::string("S\0", 2),
                                std::string("\0SELECT 1\0\xff\xff", 12)};
  for (int type = 0; type < 256; ++type) {
    for (const std::string& body : bodies) {
      Client client(console.factory({.user = "eye", .may_command = false}));
      const Reply reply = client.send(static_cast<char>(type), protocol::as_bytes(body));
      if (reply.close) continue;
      // It still talks: a Sync brings it back from any error.
      CHECK(client.send('S', {}).status() == 'I');
    }
  }
  const Reply reply = console.stats.send('@', {});
  CHECK(reply.close);
  CHECK(reply.code() == "08P01");
  CHECK(console.admin.send('X', {}).close);
}

TEST_CASE("texts that are hard to take apart") {
  Console console;
  const std::string deep = "SELECT " + std::string(100'000, '(') + "1";
  CHECK(console.stats.query(deep).code() == "42601");
  std::string terms = "SELECT 1";
  for (int i = 0; i < 50'000; ++i) terms += "+1";
  CHECK(console.stats.query(terms).code() == "42601");
  std::string unions = "SELECT 1";
  for (int i = 0; i < 5'000; ++i) unions += " UNION SELECT 1";
  CHECK(console.stats.query(unions).code() == "42601");
  CHECK(console.stats.query("SELECT '" + std::string(300'000, 'x') + "'").code() == "54000");
  CHECK(console.stats.query("SELECT 'x").code() == "42601");
  CHECK(console.stats.query("SELECT /* x").code() == "42601");
  CHECK(console.stats.query("\"; SHOW POOLS").code() == "42601");
  CHECK(console.stats.query(std::string(10'000, ';')).types() == "IZ");
}

}  // namespace
