// Client: what is told of a single statement besides its figures: values for the log, and spans.
#include <algorithm>
#include <chrono>
#include <utility>

#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "route/router.h"

namespace proxy {
namespace {

// "SELECT", of a text without constants.
std::string operation_of(std::string_view statement) {
  std::string word(statement.substr(0, statement.find(' ')));
  std::ranges::transform(word, word.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  });
  return word.empty() ? "statement" : word;
}

}  // namespace

// A statement enters the ledger. of_bind: null for a Query.
void Client::note_sent_statement(std::string_view text, const protocol::Bytes* of_bind) {
  const bool values = worker_.logs_values();
  if (!values && !worker_.traces()) return sent_.reset();
  const std::optional<TraceContext> trace = worker_.trace_of(text);
  if (!values && !trace) return;
  if (!sent_) sent_ = std::make_unique<SentStatements>();
  SentStatements::Sent& sent = sent_->add(meter_.sending);
  sent.is_text = of_bind == nullptr;
  if (values) sent.values = sent.is_text ? shown_text(text) : shown_parameters(*of_bind);
  if (!trace) return;
  sent.trace = trace;
  if (gathered_.reason != nullptr) {
    sent.reason =
        route::to_text({.reason = gathered_.reason, .rule = gathered_.rule}, worker_.config());
  }
}

// The statement as a whole, and in it: its wait for a connection, the decision where to send it,
// what was tried in vain, and its server's work.
void Client::tell_spans(const StatementMeter::Slow& slow, const SentStatements::Sent& sent,
                        Server* on) {
  using std::chrono::microseconds;
  const auto now = worker_.loop().now();
  const auto wall = std::chrono::system_clock::now();
  const auto wall_at = [&](base::Time then) {
    return wall - std::chrono::duration_cast<base::WallTime::duration>(now - then);
  };
  const auto us = [](std::uint64_t n) { return microseconds(static_cast<std::int64_t>(n)); };
  const base::Time end = slow.until, at_server = end - us(slow.end.server_us),
                   begin = at_server - us(slow.end.wait_us);
  const auto shown = worker_.statement_stats().shown(slow.what);
  const std::string operation = operation_of(shown.text);
  const std::string route = slow.end.on_primary ? "primary" : "replica";

  std::vector<Span> spans;
  const auto add = [&](std::string name, Span::Kind kind, base::Time from, base::Time to) -> Span& {
    Span& span = spans.emplace_back();
    span.trace = sent.trace->trace;
    span.id = random_value<decltype(Span::id)>();
    span.parent = spans.size() == 1 ? sent.trace->parent : spans.front().id;
    span.name = std::move(name);
    span.kind = kind;
    span.begin = wall_at(from);
    span.end = wall_at(to);
    return span;
  };
  Span& whole = add(operation + " " + database_, Span::Kind::kClient, begin, end);
  whole.attributes = {{"db.system.name", "postgresql"},
                      {"db.namespace", database_},
                      {"db.operation.name", operation},
                      {"db.query.text", std::string(shown.text)},
                      {"db.response.returned_rows", static_cast<std::int64_t>(slow.end.rows)},
                      {"weir.client", static_cast<std::int64_t>(id)},
                      {"weir.user", user_},
                      {"weir.application_name", application_name_},
                      {"weir.route", route},
                      {"weir.retries", std::int64_t{slow.end.retries}}};
  if (slow.end.failed) {
    whole.error = slow.sqlstate.empty() ? "failed" : std::string(slow.sqlstate);
    whole.attributes.push_back({"error.type", whole.error});
    whole.attributes.push_back({"db.response.status_code", whole.error});
  }
  if (slow.end.wait_us != 0) {
    add("weir.wait", Span::Kind::kInternal, begin, at_server).attributes = {
        {"db.client.connection.pool.name", pools_->database + "/" + pools_->user}};
  }
  for (const SentStatements::Retry& retry : sent_->retries()) {
    add("weir.retry", Span::Kind::kInternal, std::min(begin, retry.at), retry.at).attributes = {
        {"weir.host", retry.host}};
  }
  if (!sent.reason.empty()) {
    add("weir.route", Span::Kind::kInternal, at_server, at_server).attributes = {
        {"weir.route", route}, {"weir.reason", sent.reason}};
  }
  const config::Host& host = on->pool().target();
  add("weir.server", Span::Kind::kClient, at_server, end).attributes = {
      {"db.system.name", "postgresql"},
      {"server.address", host.host},
      {"server.port", std::int64_t{host.port}},
      {"weir.host", host.name}};
  spans.back().error = spans.front().error;
  worker_.shared().traces.add(std::move(spans));
}

}  // namespace proxy
