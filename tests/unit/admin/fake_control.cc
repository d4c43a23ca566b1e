#include "fake_control.h"

#include <chrono>

namespace admin_test {

using namespace std::chrono_literals;

namespace {

proxy::PoolRow pool(std::string database, std::string user, std::string host) {
  proxy::PoolRow row;
  row.database = std::move(database);
  row.user = std::move(user);
  row.host = std::move(host);
  row.pool_mode = "transaction";
  return row;
}

cluster::SnapshotPtr snapshot(base::Time taken) {
  auto s = std::make_shared<cluster::Snapshot>();
  s->primary = 0;
  s->hosts.resize(2);
  s->hosts[0] = {.name = "alpha",
                 .role = cluster::Role::kPrimary,
                 .state = cluster::HostState::kUp,
                 .lsn = 0x16B374D848,
                 .timeline = 3,
                 .lag_ms = 0,
                 .lag_bytes = 0,
                 .sampled = taken - 20ms};
  s->hosts[1] = {.name = "beta",
                 .role = cluster::Role::kReplica,
                 .state = cluster::HostState::kLagging,
                 .why = "banned by ann; lag 1500 ms over 1000 ms",
                 .lsn = 0x16B374D000,
                 .received_lsn = 0x16B374D848,
                 .timeline = 3,
                 .lag_ms = 1500,
                 .lag_bytes = 2120,
                 .sampled = taken - 30ms,
                 .banned = true,
                 .banned_until = taken + 5s,
                 .weight = 2.5};
  return s;
}

proxy::ConnectionRow client(std::uint64_t id, std::string database, std::string user) {
  proxy::ConnectionRow row;
  row.id = id;
  row.user = std::move(user);
  row.database = std::move(database);
  row.state = "active";
  row.addr = "10.1.2.3";
  row.port = 40'000;
  row.local_addr = "10.1.2.4";
  row.local_port = 6432;
  row.connect_time = base::WallTime(std::chrono::seconds(1'700'000'000));  // 2023-11-14 22:13:20
  row.application_name = "it's";
  row.wait_us = 2'500'001;
  return row;
}

void add_pools(proxy::Inspection& in) {
  auto one = pool("shop", "ann", "alpha");
  one.cl_active = 3;
  one.cl_waiting = 1;
  one.sv_active = 2;
  one.sv_idle = 1;
  one.maxwait_us = 1'250'000;
  auto two = pool("shop", "ann", "beta");
  two.cl_active = 4;
  two.sv_active = 4;
  two.sv_idle = 5;
  two.maxwait_us = 300;
  two.share_from = 6;
  auto three = pool("blog", "bob", "alpha");
  three.sv_idle = 7;
  in.pools = {one, two, three};
}

void add_databases(proxy::Inspection& in) {
  proxy::DatabaseRow shop;
  shop.name = "shop";
  shop.cluster = "main";
  shop.dbname = "shopdb";
  shop.pool_mode = "transaction";
  shop.pool_size = 20;
  shop.current_connections = 8;
  shop.stats.xact_count = 1000;
  shop.stats.query_count = 4000;
  shop.stats.query_time_us = 8'000'000;
  shop.stats.bytes_received = 12'345'678'901;
  shop.stats.reads_on_replica = 30;
  shop.stats.writes = 5;
  proxy::DatabaseRow blog;
  blog.name = "blog";
  blog.cluster = "main";
  blog.paused = true;
  blog.stats.query_count = 5;
  in.databases = {shop, blog};
}

}  // namespace

proxy::Inspection sample_inspection() {
  proxy::Inspection in;
  in.taken = base::Time(1'000'000s);
  in.taken_wall = base::WallTime(1'700'000'100s);
  in.started_wall = base::WallTime(1'700'000'000s);  // 100 s of life

  add_pools(in);
  in.clients = {client(11, "shop", "ann"), client(12, "blog", "bob")};
  in.clients[0].link = 21;
  in.clients[0].host = "alpha";
  in.clients[0].memory = 1000;
  in.clients[0].pins.push_back(
      {.reason = sql::kAdvisoryLock, .since = in.taken - 5s, .statement = "SELECT lock($1)"});
  in.servers = {client(21, "shop", "ann")};
  in.servers[0].link = 11;
  in.servers[0].remote_pid = 4242;
  in.login_clients = 1;
  in.client_count = 2;
  in.server_count = 1;
  in.pins_by_reason["advisory lock"] = 1;

  add_databases(in);

  proxy::UserRow ann;
  ann.name = "ann";
  ann.pool_size = 5;
  in.users = {ann};
  in.workers = {proxy::WorkerRow{.clients = 1, .servers = 1, .loops = 10},
                proxy::WorkerRow{.clients = 1}};

  proxy::ClusterRow main;
  main.name = "main";
  main.snapshot = snapshot(in.taken);
  main.active = {2, 4};
  main.open = {10, 9};
  main.answered = {3000, 40};
  main.failed = {0, 2};
  main.latency_us = {150.4, 0};
  main.address = {"db1.example:5433", "db2.example:5434"};
  main.weight = {1, 3};
  in.clusters = {main};

  in.query_time.counts[0] = 2;   // up to 100 us
  in.query_time.counts[3] = 1;   // up to 1 ms
  in.query_time.counts[14] = 1;  // beyond 30 s
  in.query_time.count = 4;
  in.query_time.sum_us = 40'000'900;
  return in;
}

std::shared_ptr<const config::Config> sample_config() {
  auto config = std::make_shared<config::Config>();
  config->listeners.emplace_back();
  config::Cluster cluster;
  cluster.name = "main";
  cluster.hosts.push_back({.name = "alpha", .host = "db1.example", .port = 5433});
  config->clusters.push_back(cluster);
  return config;
}

void FakeControl::order(proxy::HostOrder order, proxy::ConsoleLogin by,
                        absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) {
  using What = proxy::HostOrder::What;
  std::string what;
  switch (order.what) {
    case What::kChoosePrimary:
      what = "choose";
      break;
    case What::kChooseByRules:
      what = "choose by rules";
      break;
    case What::kBan:
      what = "ban for " + (order.seconds ? std::to_string(*order.seconds) : "ever");
      break;
    case What::kUnban:
      what = "unban";
      break;
    case What::kWeight:
      what = "weight " + std::to_string(order.weight);
      break;
    case What::kPause:
      what = "pause";
      break;
    case What::kResume:
      what = "resume";
      break;
  }
  note(what + " host=" + order.host + " cluster=" + order.cluster + " by=" + by.user);
  later([answers = now(), done = std::move(done)]() mutable {
    if (!answers.status.ok()) return done(answers.status);
    done(answers.order_note);
  });
}

}  // namespace admin_test
