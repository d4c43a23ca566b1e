// Client: what is counted of its statements.
#include <algorithm>

#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

// The number at the end of a tag: "SELECT 5", "INSERT 0 1".
std::uint64_t rows_of(std::string_view tag) {
  constexpr std::size_t kDigitsMax = 19;
  const std::size_t space = tag.rfind(' ');
  if (space == std::string_view::npos || tag.size() - space - 1 > kDigitsMax) return 0;
  std::uint64_t rows = 0;
  for (const char c : tag.substr(space + 1)) {
    if (c < '0' || c > '9') return 0;
    rows = rows * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return rows;
}

}  // namespace

// text: of a message, maybe with the byte that ends it there.
void Client::count_as(const sql::Analysis& analysis, std::string_view text) {
  if (&analysis == worker_.explain_analysis().get()) return;
  auto& stats = worker_.statement_stats();
  meter_.sending = stats.find(analysis.shape, pools_->owner.get());
  if (meter_.sending != 0) return;
  if (text.ends_with('\0')) text.remove_suffix(1);
  const std::string shown = analysis.shape == 0 ? analysis.why : worker_.analyzer().shown(text);
  meter_.sending = stats.add(analysis.shape, pools_->owner, shown, worker_.loop().now());
}

void Client::note_routed(const sql::Analysis& analysis) {
  if (gathered_.reason == nullptr) return;
  const bool primary = server->on_primary();
  if (misrouted_ && primary) analysis.refused = true;
  worker_.statement_stats().note_route(
      meter_.sending, {.to_primary = primary, .reason = gathered_.reason, .rule = gathered_.rule},
      analysis.why);
}

void Client::count_end(StatementStats::Ref what, StatementMeter::Ended how, std::string_view tag) {
  auto answer = server->take_answer();
  // What comes in pieces says how many rows its last piece had; all others say it in their tags.
  if (how != StatementMeter::Ended::kSuspended) answer.rows = rows_of(tag);
  meter_.on_end(worker_.statement_stats(), what, how, answer,
                {.busy_since = server->busy_since, .on_primary = server->on_primary()},
                worker_.loop().now());
}

void Client::count_ready(char status) {
  meter_.on_ready(worker_.statement_stats(), server->take_answer(),
                  {.busy_since = server->busy_since, .on_primary = server->on_primary()},
                  worker_.loop().now(), status == 'I');
}

// What is owed by a server that is lost: of each request the statement that it had come to.
void Client::count_loss(Server& lost, const session::Loss& loss) {
  const StatementMeter::Server from{.busy_since = lost.busy_since, .on_primary = lost.on_primary()};
  const auto now = worker_.loop().now();
  for (const session::Reply& reply : loss.replies) {
    const bool fails =
        reply.outcome != session::Outcome::kTold && reply.outcome != session::Outcome::kEnded;
    for (std::size_t i = reply.first; fails && i < reply.end; ++i) {
      const auto counted = lost.exchange.owed(i).counted;
      if (counted == 0) continue;
      meter_.on_end(worker_.statement_stats(), counted, StatementMeter::Ended::kFailed,
                    lost.take_answer(), from, now);
      break;
    }
    meter_.on_ready(worker_.statement_stats(), lost.take_answer(), from, now, true);
  }
}

// A request that is answered with an error of ours: it has waited only. `in` begins with it.
void Client::count_refusal(protocol::Bytes in) {
  protocol::Frame frame;
  sql::AnalysisPtr analysis = gathered_.analysis;
  std::string_view text;
  if (protocol::read_frame(in, worker_.config().limits.message_bytes, frame) !=
      protocol::HeaderStatus::kOk) {
    return;
  }
  if (frame.type == protocol::frontend::kQuery) {
    text = protocol::decode_query(frame.body).value_or("");
  } else if (frame.type == protocol::frontend::kParse) {
    const auto parse = protocol::decode_parse(frame.body);
    text = parse ? parse->query : std::string_view();
    analysis = gathered_.last_parse;
  } else if (frame.type == protocol::frontend::kBind) {
    const auto bind = protocol::decode_bind(frame.body);
    const session::StatementPtr* known = bind ? statements_.find(bind->statement) : nullptr;
    if (known == nullptr) return;
    text = (*known)->query;
    analysis = analysis_of(**known);
  }
  if (analysis == nullptr) return;
  count_as(*analysis, text);
  const auto now = worker_.loop().now();
  const auto waited = std::max<std::int64_t>(0, base::to_us(now - request_since_));
  worker_.statement_stats().count(
      meter_.sending, {.wait_us = static_cast<std::uint64_t>(waited), .failed = true, .ran = false},
      now);
}

}  // namespace proxy
