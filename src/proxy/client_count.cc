// Client: what is counted of its statements.
#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <vector>

#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/log.h"
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

StatementMeter::Server Client::measured(const Server& of) const {
  return {.busy_since = of.busy_since,
          .on_primary = of.on_primary(),
          .slow_us = sent_ && sent_->any_traced() ? 0 : worker_.slow_us()};
}

// said: a tag, or of a failure the SQLSTATE.
void Client::count_end(StatementStats::Ref what, StatementMeter::Ended how, std::string_view said) {
  auto answer = server->take_answer();
  // What comes in pieces says how many rows its last piece had; all others say it in their tags.
  if (how == StatementMeter::Ended::kFailed) {
    answer.rows = 0;
    answer.sqlstate = said;
  } else if (how != StatementMeter::Ended::kSuspended) {
    answer.rows = rows_of(said);
  }
  meter_.on_end(worker_.statement_stats(), what, how, answer, measured(*server),
                worker_.loop().now(), [this](const auto& slow) { on_slow(slow, server); });
  if (sent_) sent_->on_end(what);
}

void Client::count_ready(char status) {
  meter_.on_ready(worker_.statement_stats(), server->take_answer(), measured(*server),
                  worker_.loop().now(), status == 'I',
                  [this](const auto& slow) { on_slow(slow, server); });
  if (!sent_) return;
  sent_->forget_ended();
  if (server->exchange.empty()) sent_->clear();
}

// What is owed by a server that is lost: of each request the statement that it had come to.
void Client::count_loss(Server& lost, const session::Loss& loss) {
  const StatementMeter::Server from = measured(lost);
  const auto now = worker_.loop().now();
  const auto tell = [&](const auto& slow) { on_slow(slow, &lost); };
  for (const session::Reply& reply : loss.replies) {
    for (std::size_t i = reply.first; session::is_error(reply.outcome) && i < reply.end; ++i) {
      const auto counted = lost.exchange.owed(i).counted;
      if (counted == 0) continue;
      auto answer = lost.take_answer();
      answer.sqlstate = code_of(reply.outcome);
      meter_.on_end(worker_.statement_stats(), counted, StatementMeter::Ended::kFailed, answer,
                    from, now, tell);
      break;
    }
    meter_.on_ready(worker_.statement_stats(), lost.take_answer(), from, now, true, tell);
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
  const StatementStats::End end{
      .wait_us = static_cast<std::uint64_t>(waited), .failed = true, .ran = false};
  worker_.statement_stats().count(meter_.sending, end, now);
  if (end.wait_us < worker_.slow_us()) return;
  log_slow({.what = meter_.sending, .end = end, .sqlstate = refusal_->code}, nullptr);
}

// Also of one that is traced, however long it took.
void Client::on_slow(const StatementMeter::Slow& slow, Server* on) {
  const auto* sent = sent_ ? sent_->ended(slow.what) : nullptr;
  if (sent != nullptr && sent->trace) tell_spans(slow, *sent, on);
  if (slow.end.wait_us + slow.end.server_us >= worker_.slow_us()) log_slow(slow, on);
}

// on: where it ran; null = nowhere.
void Client::log_slow(const StatementMeter::Slow& slow, Server* on) const {
  const auto shown = worker_.statement_stats().shown(slow.what);
  const auto to_ms = [](std::uint64_t us) { return static_cast<double>(us) / 1000; };
  std::array<char, 17> shape{};
  std::snprintf(shape.data(), shape.size(), "%016" PRIx64, shown.shape);
  std::vector<LogField> fields{
      {"duration_ms", to_ms(slow.end.wait_us + slow.end.server_us)},
      {"wait_ms", to_ms(slow.end.wait_us)},
      {"route", on == nullptr         ? "none"
                : slow.end.on_primary ? "primary"
                                      : "replica"},
      {"host", on == nullptr ? "" : std::string_view(on->pool().target().name)},
      {"database", database_},
      {"user", user_},
      {"application_name", application_name_},
      {"rows", static_cast<std::int64_t>(slow.end.rows)}};
  if (slow.end.failed) fields.push_back({"sqlstate", slow.sqlstate});
  fields.push_back({"shape", shape.data()});
  fields.push_back({"statement", shown.text});
  const auto* sent = sent_ && on != nullptr ? sent_->ended(slow.what) : nullptr;
  if (sent != nullptr && !sent->values.empty()) {
    fields.push_back({sent->is_text ? "text" : "parameters", sent->values});
  }
  log_warning(database_config(), who(), "slow statement", fields);
}

}  // namespace proxy
