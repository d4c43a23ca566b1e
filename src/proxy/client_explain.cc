// Client: EXPLAIN ROUTE, and the notices of weir.explain.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "config/words.h"
#include "protocol/lsn.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "sql/lexer.h"

namespace proxy {
namespace {

std::string quoted(std::string_view text) {
  std::string sql = " E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') sql += c;
    sql += c;
  }
  return sql + "'";
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

std::string_view target_word(route::Target target) {
  switch (target) {
    case route::Target::kPrimary:
      return "primary";
    case route::Target::kReplica:
      return "replica";
    case route::Target::kNoPrimary:
      return "waits for a primary";
    case route::Target::kNoReplica:
      return "error: no replica is fit";
    case route::Target::kAwait:
      return "waits for a replica";
  }
  return "";
}

std::string host_text(const cluster::Host& host, const route::Router::Needs& needs) {
  std::string text = "host " + host.name + ": ";
  text += host.role == cluster::Role::kPrimary   ? "primary"
          : host.role == cluster::Role::kReplica ? "replica"
                                                 : "unknown";
  if (host.role == cluster::Role::kReplica && host.lag_ms >= 0) {
    text += ", lag " + std::to_string(host.lag_ms) + " ms, " + std::to_string(host.lag_bytes) +
            " bytes";
  }
  if (host.lsn != 0) text += ", at " + protocol::format_lsn(host.lsn);
  if (!host.reads) return text + (host.why.empty() ? "" : ": " + host.why);
  if (!needs.known) return text + ": not known to be fresh enough yet";
  if (host.lsn < needs.at_least) {
    return text + ": has not replayed " + protocol::format_lsn(needs.at_least);
  }
  return text + ": fit";
}

}  // namespace

std::string Client::decision_text(const route::Decision& decision) const {
  std::string text(target_word(decision.target));
  if (decision.host >= 0) {
    const auto& hosts = pools_->cluster->config.hosts;
    text += " " + hosts[static_cast<std::size_t>(decision.host)].name;
  }
  return text + ", " + route::to_text(decision, worker_.config());
}

// Where the server itself is made to say it: so every protocol and driver gets it as it should.
std::string Client::explanation(std::string_view text) {
  const std::string_view inner = sql::route_explained(text).value_or("");
  const Gathered asking = std::exchange(gathered_, {});
  const auto analysis = analyze(inner);
  join(analysis.get());
  std::string lines;
  for (const auto& line : explain_route(*analysis)) {
    lines.append(lines.empty() ? "" : ",").append(quoted(line));
  }
  gathered_ = asking;
  return "SELECT line AS \"QUERY ROUTE\" FROM pg_catalog.unnest(ARRAY[" + lines +
         "]::pg_catalog.text[]) WITH ORDINALITY AS route (line, number) ORDER BY number";
}

// Of the request that gathered_ tells of, if it came now.
std::vector<std::string> Client::explain_route(const sql::Analysis& analysis) {
  const cluster::Snapshot& snapshot = pools_->snapshot();
  auto session = view();
  session.no_await_before = base::Time::max();  // what it could be proven to be is not known now
  auto decision = pools_->router.decide(routed_access(), gathered_.hints.route, session, snapshot,
                                        pools_->loads(session.now));
  if (server != nullptr && is_bound()) {
    decision = {.target = server->on_primary() ? route::Target::kPrimary : route::Target::kReplica,
                .host = static_cast<int>(server->pool().host),
                .reason = status_ != 'I'  ? "in a transaction"
                          : !pins.empty() ? "the session is pinned"
                                          : "the session keeps its server"};
  }
  const bool routed = decision.host >= 0;
  std::vector<std::string> lines = {
      "route: " + std::string(target_word(decision.target)),
      "host: " + (routed ? snapshot.hosts[static_cast<std::size_t>(decision.host)].name : "none"),
      "reason: " + route::to_text(decision, worker_.config()), "statement: " + analysis.why};
  if (!analysis.relations.empty()) lines.push_back("tables: " + joined(analysis.relations));
  if (!analysis.functions.empty()) lines.push_back("functions: " + joined(analysis.functions));
  lines.push_back("consistency: " + std::string(config::word(session.consistency)));
  const auto needs = route::Router::needs_of(session, snapshot);
  if (needs.at_least != 0) lines.push_back("needs: " + protocol::format_lsn(needs.at_least));
  if (analysis.catalog == 0) lines.emplace_back("catalog: not known");
  const std::uint64_t allowed = route::allowed_hosts(session.rules, snapshot);
  for (std::size_t i = 0; i < snapshot.hosts.size(); ++i) {
    const cluster::Host& host = snapshot.hosts[i];
    const bool kept_out = host.reads && (allowed >> i & 1) == 0;
    lines.push_back(kept_out ? "host " + host.name + ": kept out by a rule"
                             : host_text(host, needs));
  }
  strong_as_of_ = {};
  return lines;
}

}  // namespace proxy
