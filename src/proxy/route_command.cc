#include "proxy/route_command.h"

#include <algorithm>
#include <thread>

#include "net/loop.h"
#include "proxy/explain.h"
#include "proxy/shared.h"

namespace proxy {
namespace {

template <typename Holds>
void wait_for(base::Duration most, Holds holds) {
  const base::Time until = net::read_clock() + most;
  while (!holds() && net::read_clock() < until) {
    std::this_thread::sleep_for(base::milliseconds(10));
  }
}

// As Client::note_statements, for a session that has set nothing.
sql::Access access_of(const sql::Analysis& analysis) {
  const bool begins = std::ranges::any_of(analysis.statements, [](const sql::Statement& s) {
    return s.verb == sql::Verb::kBegin && !route::may_begin_on_replica(s, false, "");
  });
  return begins ? sql::Access::kWrite : analysis.access;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> offline_route(const config::Config& config,
                                                       const config::CommandLine::Route& asked) {
  const config::Database* database = config::find_database(config, asked.database);
  if (database == nullptr) {
    return absl::NotFoundError("no database \"" + asked.database + "\" is configured: --database");
  }
  const auto cluster =
      std::ranges::find(config.clusters, database->cluster, &config::Cluster::name);
  ClusterRuntime runtime(*cluster, nullptr, nullptr, nullptr);
  runtime.start({});
  const auto feed =
      runtime.catalogs.feed(database->dbname.empty() ? asked.database : database->dbname);
  wait_for(cluster->monitor_timeout + base::seconds(1), [&] {
    const auto now = runtime.monitor.snapshot();
    return std::ranges::none_of(now->hosts, [](const cluster::Host& host) {
      return host.state == cluster::HostState::kUnknown || host.why.starts_with("lag unknown");
    });
  });
  const auto snapshot = runtime.monitor.snapshot();
  if (snapshot->primary >= 0) {
    wait_for(base::seconds(3), [&] { return feed->get() != nullptr; });
  }
  const sql::CatalogPtr catalog = feed->get();
  sql::Analyzer analyzer(analyzer_options(config));
  const auto analysis = analyzer.analyze(asked.sql, catalog.get(), sql::Names::kDefaultPath);
  const config::User* user = config::find_user(config, asked.user);
  const route::SessionRules rules(config, *cluster, asked.user, asked.database, "");
  route::SessionView session{.consistency = config::consistency(*cluster, *database, user),
                             .now = net::read_clock(),
                             .rules = rules.terms(analysis->patterns),
                             .min_lsn = analysis->hints.min_lsn};
  if (session.rules.consistency) session.consistency = *session.rules.consistency;
  session.consistency = route::level_of(analysis->hints.level).value_or(session.consistency);
  route::Router router(*cluster, /*seed=*/1);
  const auto decision =
      router.decide(access_of(*analysis), analysis->hints.route, session, *snapshot, {});
  auto lines = explain({config, *analysis, decision, session, *snapshot});
  runtime.stop();
  return lines;
}

}  // namespace proxy
