// Client: gathering a request.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "sql/lexer.h"

namespace proxy {
namespace {

constexpr std::size_t kMaxPipelined = 4096;  // messages in flight on one server

bool is_copy(char type) {
  return type == protocol::frontend::kCopyData || type == protocol::frontend::kCopyDone ||
         type == protocol::frontend::kCopyFail;
}

}  // namespace

std::size_t Client::on_session_bytes(protocol::Bytes in) {
  if (state_ == State::kReplicating) {
    server->relay(in);
    server->push();
    return in.size();
  }
  held_ = false;
  std::size_t used = 0;
  while (is_open() && used < in.size() && state_ != State::kClosing) {
    const std::size_t n = on_some_bytes(in.subspan(used));
    if (n == 0) break;
    used += n;
  }
  if (is_open() && server != nullptr && state_ != State::kClosing) {
    Server& to = *server;
    // On a server that it has kept.
    if (state_ == State::kIdle && !to.exchange.empty()) {
      set_state(State::kActive);
      transaction_since_ = worker_.loop().now();
    }
    // While it may have to be run again, the client shall see no part of an answer.
    while (!to.rerun.undecided() && to.exchange.made_up_next()) {
      write_made_up(*to.exchange.take_made_up());
    }
    to.push();
  }
  push();
  return used;
}

// Answers how many bytes it is done with; 0: it needs more, or it must wait.
std::size_t Client::on_some_bytes(protocol::Bytes in) {
  if (hearing_ || is_racing() || (server != nullptr && server->has_followers())) {
    held_ = server != nullptr;
    return 0;
  }
  if (stream_left_ != 0) return on_stream_bytes(in);
  if (refusal_) return write_refusal(in);
  if (refused_) return skip_refused(in);
  if (lost_ != Lost::kNone || skips_to_sync_) return on_bytes_in_lost(in);
  if (state_ == State::kWaiting || state_ == State::kWelcome) return 0;
  if (server != nullptr && gathered_.attached) return send_gathered(in);
  // A Sync at the front belongs to what is in flight: a COPY swallowed the one before it.
  const bool sync = static_cast<char>(in[0]) == protocol::frontend::kSync;
  if (!sync && may_leave_batch()) return go_on_behind_flush(in);
  if (may_begin_elsewhere()) return on_first_in_block(in);
  if (server != nullptr && (is_bound() || (sync && !server->exchange.empty()))) {
    // What changes the session's state must have done so before the next request is looked at.
    if (!in_flight_plain_ && !server->exchange.batch_open() && !server->exchange.empty() &&
        !server->exchange.in_copy_in()) {
      if (!is_copy(static_cast<char>(in[0])) && !sync) return hold();
    }
    // What was gathered while the server was not bound is sent here: it must not be counted twice.
    gathered_ = {};
    prepares_only_ = false;
    server->rerun.sent_other();
    return forward(in);
  }
  if (server == nullptr && is_copy(static_cast<char>(in[0]))) return drop_copy(in);
  // Copy data ahead of CopyInResponse: it belongs to what is in flight.
  if (server != nullptr && gathered_.bytes == 0 && is_copy(static_cast<char>(in[0]))) return hold();
  if (!gather(in)) return 0;
  if (!is_open() || state_ == State::kClosing) return 0;
  if (server != nullptr) {
    if (!may_pipeline()) return hold();
    return send_gathered(in);
  }
  if (gathered_.empty_batch) return answer_empty_batch();
  if (gathered_.begins && may_defer_begin()) {
    if (const std::size_t used = defer_begin(in)) return used;
  }
  return route_gathered(in);
}

std::size_t Client::route_gathered(protocol::Bytes in) {
  if (reruns_ == 0) request_since_ = worker_.loop().now();
  awaiting_since_ = strong_as_of_ = {};
  route_request();
  if (server != nullptr && !hearing_) return send_gathered(in);
  if (shares()) return send_behind(in);
  return refusal_ ? write_refusal(in) : 0;
}

// Whether the server at hand is the one for whatever comes next.
bool Client::is_bound() const {
  return force_forward_ || status_ != 'I' || server->exchange.batch_open() ||
         server->exchange.in_copy_in() || !pins.empty() ||
         pools_->mode == config::PoolMode::kSession;
}

std::size_t Client::hold() {
  held_ = true;
  if (server->exchange.copy_in_ended()) {
    protocol::MessageWriter(server->made(), protocol::frontend::kFlush);
  }
  return 0;
}

bool Client::may_pipeline() {
  const bool fits = server->on_primary() || (!gathered_.needs_primary && !may_write_later() &&
                                             gathered_.access != sql::Access::kWrite &&
                                             gathered_.hints.route != sql::Hint::kPrimary);
  const bool settles = gathered_.access == sql::Access::kWrite && !is_settled(*server);
  return fits && !settles && is_as_fresh() && terms() == in_flight_terms_ && in_flight_plain_ &&
         gathered_.plain && !gathered_.large && server->exchange.size() < kMaxPipelined;
}

// Whether the server that was found for what is in flight is fresh enough for what comes behind.
bool Client::is_as_fresh() {
  if (server->on_primary()) return true;
  const auto level = consistency();
  return level == in_flight_level_ && level != config::Consistency::kStrong &&
         gathered_.hints.min_lsn == 0;
}

// Whether what comes behind this request, in the same implicit transaction, may be a write: one
// that has begun to run on a replica cannot be moved then.
bool Client::may_write_later() {
  return gathered_.flush && gathered_.runs && !is_read_only_by_default() &&
         gathered_.hints.route != sql::Hint::kReplica && own_.route != sql::Hint::kReplica &&
         terms().route != sql::Hint::kReplica;
}

// The open batch is on a replica, or will LISTEN, and so far nothing in it has run: what was
// prepared is known, so the rest may go elsewhere.
bool Client::may_leave_batch() const {
  return prepares_only_ && server != nullptr && (!server->on_primary() || prepares_listen_) &&
         status_ == 'I' && pins.empty() && server->exchange.batch_open() &&
         !server->exchange.skipping() && pools_->mode != config::PoolMode::kSession;
}

// asyncpg prepares with Parse, Describe, Flush. What comes next may be of any kind.
std::size_t Client::go_on_behind_flush(protocol::Bytes in) {
  if (!gather(in) || !is_open() || state_ == State::kClosing) return 0;
  const bool answered = server->exchange.empty();
  if (may_pipeline()) {
    if (answered) server->rerun.clear();  // the client can send all that matters again
    return send_gathered(in);
  }
  if (!answered) return hold();
  Server& left = *std::exchange(server, nullptr);
  set_state(State::kIdle);
  left.exchange.expect({.what = session::Expect::kSync, .fate = session::Fate::kSwallow});
  protocol::write_sync(left.made());
  worker_.on_client_left(left, Worker::Leaving::kPolitely);
  return on_some_bytes(in);
}

// Copy data that comes after its COPY has failed: PostgreSQL ignores it, too.
std::size_t Client::drop_copy(protocol::Bytes in) {
  protocol::Header header;
  const auto status = protocol::read_header(in, worker_.config().limits.message_bytes, header);
  if (status == protocol::HeaderStatus::kNeedMore) return 0;
  if (status == protocol::HeaderStatus::kBad) return bad_length(in);
  const std::size_t now = std::min(header.total, in.size());
  stream_left_ = header.total - now;
  stream_discard_ = true;
  return now;
}

// Whether what is in flight will be answered without another word of the client's.
bool Client::answers_will_come() const {
  return server != nullptr && !server->exchange.empty() && !server->exchange.batch_open() &&
         !server->exchange.in_copy_in();
}

// As PostgreSQL does it, which reads no message before the one in front of it is answered.
std::size_t Client::bad_message(char type) {
  if (answers_will_come()) return hold();
  fail({.severity = protocol::Severity::kFatal,
        .code = protocol::sqlstate::kProtocolViolation,
        .message =
            "invalid frontend message type " + std::to_string(static_cast<unsigned char>(type))});
  return 0;
}

// Of one that cannot be PostgreSQL tells nobody; a limit of ours is told.
std::size_t Client::bad_length(protocol::Bytes in) {
  if (answers_will_come()) return hold();
  protocol::Header header;
  if (protocol::read_header(in, SIZE_MAX, header) == protocol::HeaderStatus::kBad) {
    close("invalid message length");
  } else {
    fail({.severity = protocol::Severity::kFatal,
          .code = protocol::sqlstate::kProgramLimitExceeded,
          .message = "message is longer than limits.message_bytes"});
  }
  return 0;
}

std::size_t Client::on_terminate() {
  terminated_ = true;
  if (answers_will_come()) return hold();
  close("client closed the connection");
  return 0;
}

// What is still to come of a client that has left: whether it ends with a Terminate.
bool Client::says_goodbye() {
  const auto& limits = worker_.config().limits;
  while (!terminated_ && stream_.readable() && in_.size() <= limits.gather_bytes) {
    if (fill(worker_.scratch()).status != net::IoStatus::kOk) break;
    keep(0);
  }
  protocol::Frame frame;
  for (auto rest = in_.view();
       protocol::read_frame(rest, limits.message_bytes, frame) == protocol::HeaderStatus::kOk;
       rest = rest.subspan(frame.raw.size())) {
    terminated_ = terminated_ || frame.type == protocol::frontend::kTerminate;
  }
  return terminated_;
}

// Looks at whole messages up to the end of the request. True: it is complete, or so large that
// it must be sent before it is.
bool Client::gather(protocol::Bytes in) {
  const auto& limits = worker_.config().limits;
  gathered_.needs_primary = gathered_.needs_primary || !deferred_begin_.empty();
  while (!gathered_.complete) {
    const auto rest = in.subspan(gathered_.bytes);
    protocol::Header header;
    const auto status = protocol::read_header(rest, limits.message_bytes, header);
    if (status == protocol::HeaderStatus::kNeedMore) return false;
    if (status == protocol::HeaderStatus::kBad) return bad_length(rest) != 0;
    if (!protocol::is_frontend_type(header.type) || header.type == protocol::frontend::kPassword) {
      return bad_message(header.type) != 0;
    }
    if (header.type == protocol::frontend::kTerminate) return on_terminate() != 0;
    if (gathered_.bytes + header.total > limits.gather_bytes) {
      gathered_.large = gathered_.complete = true;
      gathered_.plain = false;
      gathered_.access = sql::Access::kWrite;
      gathered_.may_advance = true;
      return true;
    }
    if (rest.size() < header.total) return false;
    gather_frame(protocol::frame_of(rest, header));
    gathered_.bytes += header.total;
  }
  const bool raised = gathered_.raises && (gathered_.reads || gathered_.begins);
  if (raised || (gathered_.begins && leaves_snapshot_open())) gathered_.needs_primary = true;
  return true;
}

void Client::join(const sql::Analysis* analysis) {
  if (analysis == nullptr) return;
  gathered_.access =
      std::max(gathered_.access, analysis->refused ? sql::Access::kWrite : analysis->access);
  gathered_.judged = gathered_.judged && analysis->catalog != 0;
  gathered_.shape = analysis->shape;
  gathered_.hints.join(analysis->hints);
  gathered_.primary_only = gathered_.primary_only || analysis->primary_only;
  gathered_.may_advance = gathered_.may_advance || analysis->may_advance || analysis->refused;
  note_patterns(*analysis);
  const sql::Statement* single = analysis->single();
  const bool begin = single != nullptr && single->verb == sql::Verb::kBegin;
  (begin ? gathered_.begins : gathered_.does_more) = true;
  gathered_.reads = gathered_.reads || analysis->access != sql::Access::kNone;
  gathered_.plain = gathered_.plain && analysis->plain;
  // Who counts the sessions is one of them.
  const unsigned needs_new = sql::kLoadedLibrary | (had_new_ ? 0u : unsigned{sql::kSessionsAsk});
  gathered_.needs_new = gathered_.needs_new || (analysis->residue & needs_new) != 0;
  gathered_.asks_sequence = gathered_.asks_sequence || (analysis->residue & sql::kSequenceAsk) != 0;
  note_statements(*analysis);
}

void Client::gather_frame(const protocol::Frame& frame) {
  bool nothing = false;  // no request by itself: Sync, Flush
  switch (frame.type) {
    case protocol::frontend::kQuery: {
      const auto text = protocol::decode_query(frame.body);
      gathered_.analysis = analyze(text.value_or(""));
      join(gathered_.analysis.get());
      if (const auto* single = gathered_.analysis->single()) {
        gathered_.only_set = single->verb == sql::Verb::kSet && single->residue == sql::kNoResidue;
      }
      gathered_.complete = true;
      break;
    }
    case protocol::frontend::kParse: {
      const auto parse = protocol::decode_parse(frame.body);
      if (!parse) break;  // the server says what is wrong with it
      gathered_.last_parse = analyze(parse->query);
      gathered_.last_parse_name = parse->statement;
      gathered_.names = gathered_.names || !parse->statement.empty();
      join(gathered_.last_parse.get());
      break;
    }
    case protocol::frontend::kExecute:
      gathered_.runs = true;
      ++gathered_.executes;
      break;
    case protocol::frontend::kBind:
      gathered_.runs = true;
      ++gathered_.binds;
      if (const auto bind = protocol::decode_bind(frame.body)) {
        join(analysis_of(bind->statement));
        const bool here = gathered_.last_parse && bind->statement == gathered_.last_parse_name;
        const session::StatementPtr* known = here ? nullptr : statements_.find(bind->statement);
        if (gathered_.begins && known != nullptr) gathered_.bound = analysis_of(**known);
        gathered_.bound_id = known != nullptr && !bind->statement.empty() ? (*known)->id : 0;
        const bool parsed_here = gathered_.last_parse && gathered_.last_parse_name.empty();
        if (bind->statement.empty() && !parsed_here) gathered_.old_unnamed = true;
      }
      break;
    case protocol::frontend::kClose: {
      const auto closed = protocol::decode_describe(frame.body);
      gathered_.closes = !closed || (closed->kind == 'S' && !closed->name.empty());
      break;
    }
    case protocol::frontend::kDescribe: {
      const auto describe = protocol::decode_describe(frame.body);
      if (describe && describe->kind == 'S') join(analysis_of(describe->name));
      break;
    }
    case protocol::frontend::kFunctionCall:
      gathered_.access = sql::Access::kWrite;
      gathered_.does_else = true;
      gathered_.complete = true;
      break;
    case protocol::frontend::kSync:
    case protocol::frontend::kFlush:
      nothing = true;
      gathered_.complete = true;
      break;
    default:
      break;
  }
  gathered_.empty_batch = nothing && gathered_.bytes == 0;
  gathered_.flush = frame.type == protocol::frontend::kFlush;
  gathered_.sync = frame.type == protocol::frontend::kSync;
}

// BEGIN touches no data, but what follows it may, and it cannot be moved then. A standby knows no
// serializable transactions.
void Client::note_statements(const sql::Analysis& analysis) {
  if (analysis.plain || analysis.statements.empty()) {
    gathered_.does_else = true;
    return;
  }
  gathered_.raises = gathered_.raises || raises(analysis);
  for (const auto& statement : analysis.statements) {
    (statement.verb == sql::Verb::kListen ? gathered_.listens : gathered_.does_else) = true;
    if (asks_lsn(statement)) {
      gathered_.asks_lsn = true;
      gathered_.access = std::max(gathered_.access, sql::Access::kRead);
    }
    if (statement.verb != sql::Verb::kBegin) continue;
    gathered_.begins = true;
    note_modes(statement);
    gathered_.needs_primary = gathered_.needs_primary || !may_begin_on_replica(statement);
    gathered_.access = std::max(gathered_.access, sql::Access::kRead);
  }
}

// The session's value of a setting, "" where it has not set it.
std::string Client::default_of(std::string_view setting) const {
  if (settings_.empty()) return {};
  const std::string* value = settings_.find(setting);
  return value != nullptr ? session::plain_value(*value) : std::string();
}

bool Client::is_read_only_by_default() const {
  const std::string value = default_of("default_transaction_read_only");
  if (value.empty()) return pools_->read_only_by_default;
  return value == "on" || value == "true" || value == "yes" || value == "1";
}

// What is asked for each request, and changes when a setting does.
void Client::note_settings() const {
  if (settings_.hash() == settings_as_of_) return;
  settings_as_of_ = settings_.hash();
  const std::string isolation = default_of("default_transaction_isolation");
  serializable_ = isolation.empty() ? std::nullopt : std::optional(isolation == "serializable");
  const std::string* commit = settings_.find("synchronous_commit");
  if (commit != nullptr) note_commit_mode(session::plain_value(*commit));
  const std::string* path = settings_.find("search_path");
  const bool moved = path != nullptr || settings_.find("role") != nullptr ||
                     settings_.find("session_authorization") != nullptr;
  const std::string names = path != nullptr ? absl::AsciiStrToLower(*path) : std::string();
  const std::size_t temp = names.find("pg_temp");  // the first one, or one with a longer name
  creates_in_temp_ = temp != std::string::npos && names.find(',') > temp;
  // Where it is not named pg_catalog comes first.
  const bool named = absl::StrContains(names, "pg_catalog");
  names_ = named   ? sql::Names::kEverything
           : moved ? sql::Names::kAnywhere
                   : sql::Names::kDefaultPath;
}

// Of synchronous_commit. What commits without waiting is not where WAL was written to.
void Client::note_commit_mode(std::string_view value) const {
  const std::string mode = absl::AsciiStrToLower(absl::string_view(value.data(), value.size()));
  if (mode == "off" || mode == "false" || mode == "no" || mode == "0") {
    pools_->cluster->monitor.note_async_commits();
  }
}

// A standby knows no serializable transactions.
bool Client::is_serializable_by_default() const {
  note_settings();
  return serializable_.value_or(pools_->serializable_by_default());
}

sql::Names Client::names_meant() const {
  note_settings();
  return names_;
}

const sql::Analysis* Client::analysis_of(std::string_view statement) const {
  if (gathered_.last_parse && statement == gathered_.last_parse_name) {
    return gathered_.last_parse.get();
  }
  const session::StatementPtr* known = statements_.find(statement);
  return known != nullptr ? analysis_of(**known).get() : nullptr;
}

const sql::AnalysisPtr& Client::analysis_of(const session::PreparedStatement& statement) const {
  const sql::Catalog* by = catalog();
  const auto names = names_meant();
  const sql::Statement* single = statement.analysis->single();
  const bool is_ours = single != nullptr && names_prepared(*single);  // may be renamed
  const bool by_same = statement.analysis->catalog == (by != nullptr ? by->key(names) : 0) &&
                       statement.analysis->patterns_of == worker_.analyzer().patterns_id();
  if (!by_same && !is_ours && statement.kept) {
    statement.analysis = worker_.analyzer().analyze(statement.query, by, names);
  }
  return statement.analysis;
}

// What this session's transaction has defined nobody else has read yet.
const sql::Catalog* Client::catalog() const { return defined_ ? nullptr : pools_->catalog(); }

sql::AnalysisPtr Client::analyze(std::string_view text) const {
  auto analysis = worker_.analyzer().analyze(text, catalog(), names_meant());
  if (!analysis->parsed && sql::route_explained(text)) return worker_.explain_analysis();
  if (analysis->unknown_function && analysis->catalog != 0) pools_->catalog_feed->on_unknown_name();
  return analysis;
}

std::size_t Client::answer_empty_batch() {
  if (gathered_.sync) protocol::write_ready_for_query(made(), status_);
  return std::exchange(gathered_, {}).bytes;
}

bool Client::is_judged_read() const {
  const sql::Catalog* by = catalog();
  return gathered_.access == sql::Access::kRead && gathered_.judged && by != nullptr &&
         by->is_whole();
}

// Whether all that the gathered request needs is in its own bytes and in what outlives it.
bool Client::can_be_rerun() const {
  return (gathered_.plain || gathered_.only_set) && !gathered_.large && !gathered_.flush &&
         !gathered_.closes && (status_ == 'I' || begin_ || !sent_begin_.empty()) && pins.empty() &&
         pools_->mode != config::PoolMode::kSession;
}

// What nobody has judged by the database's objects may write after all, though it is a read by its
// words (a view over a volatile function). A replica cannot; on the primary it could run twice.
session::Rerun::Request Client::rerun_kind() const {
  const bool read = gathered_.access != sql::Access::kWrite && !gathered_.needs_primary &&
                    (!server->on_primary() || is_judged_read());
  return {
      .read = read,
      .bound = gathered_.hints.route == sql::Hint::kReplica || own_.route == sql::Hint::kReplica,
      .alone = gathered_.old_unnamed,
      .undone = !sent_begin_.empty()};
}

void Client::refuse(const protocol::Error& error) {
  if (!looks_for_server()) return;
  if (shares()) take_back_shared();
  if (waiting()) worker_.cancel_wait(*this);
  worker_.unhold(*this);
  leave_held();
  leave_line();
  if (state_ == State::kWelcome) {
    auto fatal = error;
    fatal.severity = protocol::Severity::kFatal;
    return fail(fatal);
  }
  refusal_ = error;
  refusal_->severity = protocol::Severity::kError;
  refusal_code_ = error.code;
  refusal_->code = refusal_code_;
  set_state(State::kIdle);
  keep(on_session_bytes(input()));
  if (is_open()) worker_.run_soon(*this);
}

void Client::on_wait_expired() {
  const std::string last = worker_.last_error(*this);
  refuse({.code = protocol::sqlstate::kCannotConnectNow,
          .message = "no server connection became free within timeouts.query_wait",
          .detail = last.empty() ? "" : "The last connection attempt failed: " + last,
          .hint = "See SHOW POOLS and SHOW HOSTS on the admin console."});
}

// Once for each request.
void Client::tell_of_wait(base::Time now) {
  if (std::exchange(told_of_wait_, request_since_) == request_since_) return;
  const auto limit = worker_.config().timeouts.query_wait;
  std::string hint;
  if (limit.count() != 0) {
    hint = "It fails after " + std::to_string(limit.count()) +
           " ms, as timeouts.query_wait of the proxy says.";
  }
  protocol::write_notice(
      made(), {.severity = protocol::Severity::kNotice,
               .code = protocol::sqlstate::kSuccess,
               .message = "the request waits for a server connection",
               .detail = "It has waited for " + std::to_string(base::to_ms(now - request_since_)) +
                         " ms, for " + wait().what + ".",
               .hint = std::move(hint)});
  push();
}

// Answers the request with an error, as a server would: the rest of a batch counts for nothing.
std::size_t Client::write_refusal(protocol::Bytes in) {
  count_refusal(in);
  fail_begun();
  protocol::write_error(made(), *refusal_);
  refusal_.reset();
  const Gathered request = std::exchange(gathered_, {});
  const bool ended = !request.large && !request.flush;
  if (ended) {
    protocol::write_ready_for_query(made(), status_);
  } else {
    refused_ = true;
  }
  return request.bytes != 0 ? request.bytes : 0;
}

// What is left of a refused request that had not come in whole: up to Sync, or one large Query.
std::size_t Client::skip_refused(protocol::Bytes in) {
  protocol::Header header;
  const auto status = protocol::read_header(in, worker_.config().limits.message_bytes, header);
  if (status == protocol::HeaderStatus::kNeedMore) return 0;
  if (status == protocol::HeaderStatus::kBad) return bad_length(in);
  if (header.type == protocol::frontend::kTerminate) return on_terminate();
  const std::size_t now = std::min(header.total, in.size());
  stream_left_ = header.total - now;
  stream_discard_ = true;
  if (header.type == protocol::frontend::kSync || header.type == protocol::frontend::kQuery ||
      header.type == protocol::frontend::kFunctionCall) {
    refused_ = false;
    protocol::write_ready_for_query(made(), status_);
  }
  return now;
}

}  // namespace proxy
