// Client: EXPLAIN ROUTE, and the notices of weir.explain.
#include <string>
#include <utility>
#include <vector>

#include "proxy/client.h"
#include "proxy/explain.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "sql/lexer.h"

namespace proxy {
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
    lines.append(lines.empty() ? "" : ",").append(sql::quote_literal(line));
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
  auto lines = explain({worker_.config(), analysis, decision, session, snapshot});
  strong_as_of_ = {};
  return lines;
}

}  // namespace proxy
