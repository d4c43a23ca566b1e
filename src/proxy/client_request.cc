// Client: gathering a request, and finding a server for it.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr std::size_t kMaxPipelined = 4096;  // messages in flight on one server
constexpr int kInVain = 20;  // times as long as it has waited a client does not wait again

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
  if (stream_left_ != 0) return on_stream_bytes(in);
  if (refusal_) return write_refusal();
  if (refused_) return skip_refused(in);
  if (state_ == State::kWaiting || state_ == State::kWelcome) return 0;
  if (server != nullptr && gathered_.attached) return send_gathered(in);
  // A Sync at the front belongs to what is in flight: a COPY swallowed the one before it.
  const bool sync = static_cast<char>(in[0]) == protocol::frontend::kSync;
  if (server != nullptr && (is_bound() || (sync && !server->exchange.empty()))) {
    // What changes the session's state must have done so before the next request is looked at.
    if (!in_flight_plain_ && !server->exchange.batch_open() && !server->exchange.empty() &&
        !server->exchange.in_copy_in()) {
      if (!is_copy(static_cast<char>(in[0])) && !sync) return hold();
    }
    // What was gathered while the server was not bound is sent here: it must not be counted twice.
    gathered_ = {};
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
  if (reruns_ == 0) request_since_ = worker_.loop().now();
  awaiting_since_ = strong_as_of_ = {};
  route_request();
  if (server != nullptr) return send_gathered(in);
  return refusal_ ? write_refusal() : 0;
}

// Whether the server at hand is the one for whatever comes next.
bool Client::is_bound() const {
  return force_forward_ || status_ != 'I' || server->exchange.batch_open() ||
         server->exchange.in_copy_in() || !pins.empty() ||
         pools_->mode == config::PoolMode::kSession;
}

std::size_t Client::hold() {
  held_ = true;
  return 0;
}

bool Client::may_pipeline() const {
  const bool fits = server->on_primary() ||
                    (!gathered_.needs_primary && gathered_.access != sql::Access::kWrite &&
                     gathered_.hints.route != sql::Hint::kPrimary);
  return fits && in_flight_plain_ && gathered_.plain && !gathered_.large &&
         server->exchange.size() < kMaxPipelined;
}

// Copy data that comes after its COPY has failed: PostgreSQL ignores it, too.
std::size_t Client::drop_copy(protocol::Bytes in) {
  protocol::Header header;
  const auto status = protocol::read_header(in, worker_.config().limits.message_bytes, header);
  if (status == protocol::HeaderStatus::kNeedMore) return 0;
  if (status == protocol::HeaderStatus::kBad) return bad_message(0);
  const std::size_t now = std::min(header.total, in.size());
  stream_left_ = header.total - now;
  stream_discard_ = true;
  return now;
}

std::size_t Client::bad_message(char type) {
  fail({.severity = protocol::Severity::kFatal,
        .code = protocol::sqlstate::kProtocolViolation,
        .message = type == 0 ? "invalid message length"
                             : "invalid frontend message type " +
                                   std::to_string(static_cast<unsigned char>(type))});
  return 0;
}

// Looks at whole messages up to the end of the request. True: it is complete, or so large that
// it must be sent before it is.
bool Client::gather(protocol::Bytes in) {
  const auto& limits = worker_.config().limits;
  while (!gathered_.complete) {
    const auto rest = in.subspan(gathered_.bytes);
    protocol::Header header;
    const auto status = protocol::read_header(rest, limits.message_bytes, header);
    if (status == protocol::HeaderStatus::kNeedMore) return false;
    if (status == protocol::HeaderStatus::kBad) return bad_message(0) != 0;
    if (!protocol::is_frontend_type(header.type) || header.type == protocol::frontend::kPassword) {
      return bad_message(header.type) != 0;
    }
    if (header.type == protocol::frontend::kTerminate) {
      terminated_ = true;
      close("client closed the connection");
      return false;
    }
    if (gathered_.bytes + header.total > limits.gather_bytes) {
      gathered_.large = gathered_.complete = true;
      gathered_.plain = false;
      gathered_.access = sql::Access::kWrite;
      return true;
    }
    protocol::Frame frame;
    if (protocol::read_frame(rest, limits.message_bytes, frame) != protocol::HeaderStatus::kOk) {
      return false;
    }
    gather_frame(frame);
    gathered_.bytes += frame.raw.size();
  }
  return true;
}

void Client::gather_frame(const protocol::Frame& frame) {
  const auto join = [this](const sql::Analysis* analysis) {
    if (analysis == nullptr) return;
    gathered_.access = std::max(gathered_.access, analysis->access);
    gathered_.hints.join(analysis->hints);
    gathered_.plain = gathered_.plain && analysis->plain;
    gathered_.loads = gathered_.loads || (analysis->residue & sql::kLoadedLibrary) != 0;
    gathered_.asks_sequence =
        gathered_.asks_sequence || (analysis->residue & sql::kSequenceAsk) != 0;
    note_statements(*analysis);
  };
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
      join(gathered_.last_parse.get());
      break;
    }
    case protocol::frontend::kBind:
      if (const auto bind = protocol::decode_bind(frame.body)) {
        join(analysis_of(bind->statement));
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
  if (analysis.plain) return;
  for (const auto& statement : analysis.statements) {
    if (statement.verb == sql::Verb::kShow && statement.name == "weir.lsn") {
      gathered_.asks_lsn = true;
    }
    if (statement.verb != sql::Verb::kBegin) continue;
    const std::string isolation = statement.isolation.value_or(default_of("isolation"));
    const bool may_replica =
        statement.read_only.value_or(is_read_only_by_default()) && isolation != "serializable";
    gathered_.needs_primary = gathered_.needs_primary || !may_replica;
    gathered_.access = std::max(gathered_.access, sql::Access::kRead);
  }
}

// The session's default_transaction_<what>.
std::string Client::default_of(std::string_view what) const {
  if (settings_.empty()) return {};
  const std::string* value = settings_.find("default_transaction_" + std::string(what));
  return value != nullptr ? session::plain_value(*value) : std::string();
}

bool Client::is_read_only_by_default() const {
  const std::string value = default_of("read_only");
  return value == "on" || value == "true" || value == "yes" || value == "1";
}

// Asked for each request: a standby knows no serializable transactions.
bool Client::is_serializable_by_default() {
  if (settings_.hash() != serializable_as_of_) {
    serializable_as_of_ = settings_.hash();
    serializable_ = default_of("isolation") == "serializable";
  }
  return serializable_;
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
  const sql::Statement* single = statement.analysis->single();
  const bool is_ours = single != nullptr && names_statement(single->verb);  // may be renamed
  if (statement.analysis->catalog != (by != nullptr ? by->id() : 0) && !is_ours) {
    statement.analysis = worker_.analyzer().analyze(statement.query, by);
  }
  return statement.analysis;
}

// What this session's transaction has defined nobody else has read yet.
const sql::Catalog* Client::catalog() const { return defined_ ? nullptr : pools_->catalog(); }

sql::AnalysisPtr Client::analyze(std::string_view text) const {
  auto analysis = worker_.analyzer().analyze(text, catalog());
  if (analysis->unknown_function && analysis->catalog != 0) pools_->catalog_feed->on_unknown_name();
  return analysis;
}

std::size_t Client::answer_empty_batch() {
  if (gathered_.sync) protocol::write_ready_for_query(made(), 'I');
  return std::exchange(gathered_, {}).bytes;
}

// Whether all that the gathered request needs is in its own bytes and in what outlives it.
bool Client::can_be_rerun() const {
  return (gathered_.plain || gathered_.only_set) && !gathered_.large && !gathered_.flush &&
         !gathered_.closes && status_ == 'I' && pins.empty() &&
         pools_->mode != config::PoolMode::kSession;
}

// What is classified as a read may write after all (a view over a volatile function). A replica
// cannot; on the primary it could run twice.
session::Rerun::Request Client::rerun_kind() const {
  const bool read =
      gathered_.access != sql::Access::kWrite && !gathered_.needs_primary && !server->on_primary();
  return {
      .read = read,
      .bound = gathered_.hints.route == sql::Hint::kReplica || own_.route == sql::Hint::kReplica,
      .alone = gathered_.old_unnamed};
}

// The statement's own word, the session's, the user's, the database's, the cluster's.
config::Consistency Client::consistency() const {
  switch (gathered_.hints.level) {
    case sql::Level::kEventual:
      return config::Consistency::kEventual;
    case sql::Level::kSession:
      return config::Consistency::kSession;
    case sql::Level::kStrong:
      return config::Consistency::kStrong;
    case sql::Level::kNone:
      break;
  }
  return own_.consistency.value_or(pools_->consistency);
}

route::SessionView Client::view() {
  const auto level = consistency();
  // Not now(): the request may have been sent after it.
  const bool strong = level == config::Consistency::kStrong;
  if (strong && strong_as_of_ == base::Time{}) strong_as_of_ = net::read_clock();
  return {
      .read_only_transaction = gathered_.access == sql::Access::kWrite && is_read_only_by_default(),
      .route = own_.route,
      .consistency = level,
      .now = worker_.loop().now(),
      .min_lsn = std::max(own_.min_lsn, protocol::Lsn{gathered_.hints.min_lsn}),
      .client_hash = peer.hash(),
      .as_of = strong ? strong_as_of_ : as_of_,
      .host = read_host_,
      .host_as_of = host_as_of_,
      .host_lsn = host_lsn_,
      .on_primary_since = on_primary_since_,
      .awaiting_since = awaiting_since_,
      .no_await_before = no_await_before_};
}

// What the next decisions go by.
void Client::note_route(const route::Decision& decision, sql::Access access) {
  const auto now = worker_.loop().now();
  if (decision.target == route::Target::kAwait) {
    if (awaiting_since_ == base::Time{}) awaiting_since_ = net::read_clock();
    return;
  }
  const base::Time awaited = std::exchange(awaiting_since_, base::Time{});
  strong_as_of_ = {};
  if (awaited != base::Time{} && (decision.target != route::Target::kReplica || decision.kept)) {
    no_await_before_ = now + kInVain * (now - awaited);
  }
  if (decision.target == route::Target::kReplica) {
    on_primary_since_ = {};
    ++kept_reads_;
    if (decision.kept) return;
    kept_since_ = now;
    kept_reads_ = 0;
  } else if (access != sql::Access::kWrite && route::is_for_freshness(decision.reason)) {
    if (on_primary_since_ == base::Time{}) on_primary_since_ = now;
  }
}

// A position at which everything is there that this session has committed or seen, or what the
// primary had lately, if it is a new one. The server itself shows it: to it, it is a setting.
bool Client::tell_lsn(const cluster::Snapshot& snapshot) {
  const base::Time of = std::max(as_of_, host_as_of_);
  const auto& history = snapshot.primary_history;
  const protocol::Lsn lsn = of != base::Time{} ? snapshot.position_after(of)
                            : history.empty()  ? 0
                                               : history.back().lsn;
  if (lsn == 0) return false;
  settings_.set("weir.lsn",
                session::quote_value(protocol::format_lsn(std::max(lsn, own_.min_lsn))));
  return true;
}

// Until its hosts were sampled anew.
void Client::await_sample() {
  wait_held();
  pools_->cluster->monitor.sample_soon(ClusterMonitor::Urgency::kAwaited);
}

// Finds a server for the gathered request: attaches it, or waits, or leaves a refusal.
void Client::route_request() {
  if (pools_->retired && !adopt_new_pools()) return;
  if (worker_.is_paused(database_)) return wait_held();
  auto& set = *pools_;
  const bool pinned_by_mode = set.mode == config::PoolMode::kSession;
  const sql::Access access =
      pinned_by_mode && own_.route != sql::Hint::kReplica ? sql::Access::kWrite
      : gathered_.needs_primary || next_ == Where::kPrimary || is_serializable_by_default()
          ? sql::Access::kWrite
          : gathered_.access;
  const auto& snapshot = set.snapshot();
  if (gathered_.asks_lsn && !tell_lsn(snapshot)) return await_sample();
  const auto decision = set.router.decide(access, gathered_.hints.route, view(), snapshot,
                                          set.loads(worker_.loop().now()));
  note_route(decision, access);
  switch (decision.target) {
    case route::Target::kPrimary:
      if (access == sql::Access::kWrite) {
        ++set.stats.writes;
      } else {
        ++set.stats.reads_on_primary;
      }
      return wait_in(set.at(static_cast<std::size_t>(decision.host)));
    case route::Target::kReplica:
      ++set.stats.reads_on_replica;
      return wait_in(set.at(static_cast<std::size_t>(decision.host)));
    case route::Target::kNoPrimary:
      return wait_held();
    case route::Target::kAwait:
      return await_sample();
    case route::Target::kNoReplica:
      refusal_ = {.code = protocol::sqlstate::kCannotConnectNow,
                  .message = "no replica is fit to serve the request",
                  .detail = decision.reason,
                  .hint = "See SHOW HOSTS on the admin console."};
      if (state_ == State::kWelcome) {
        refusal_->severity = protocol::Severity::kFatal;
        fail(*std::exchange(refusal_, std::nullopt));
      } else {
        set_state(State::kIdle);
      }
  }
}

// A reload has replaced what this client's requests went to.
bool Client::adopt_new_pools() {
  const auto* database = config::find_database(worker_.config(), database_);
  if (database == nullptr) {
    fail({.severity = protocol::Severity::kFatal,
          .code = protocol::sqlstate::kInvalidCatalogName,
          .message = "database \"" + database_ + "\" does not exist any more"});
    return false;
  }
  use_pools(worker_.pool_set(*database, database_, user_));
  return true;
}

void Client::use_pools(PoolSet* pools) {
  if (pools_ != nullptr) --pools_->users;
  pools_ = pools;
  ++pools_->users;
}

void Client::wait_held() {
  if (state_ != State::kWelcome) set_state(State::kWaiting);
  worker_.hold(*this);
}

void Client::wait_in(HostPool& pool) {
  const auto now = worker_.loop().now();
  // A host that just refused is left alone for a moment, unless it has servers that may come free.
  if (now < pool.retry_at && pool.pool.leased() + pool.pool.idle() == 0) return wait_held();
  if (gathered_.asks_sequence) {
    pools_->asks_sequences = true;
    if (Server* own = own_sequence_server(pool)) return attach(*own);
  }
  auto answer = pool.pool.acquire(*this, settings_.hash(), now);
  while (answer.kind == pool::Pool::Kind::kLease) {
    auto& found = static_cast<Server&>(*answer.server);
    if (!is_too_used(found)) return attach(found);
    found.close("its client needs a new one");
    answer = pool.pool.acquire(*this, settings_.hash(), now);
  }
  switch (answer.kind) {
    case pool::Pool::Kind::kLease:
      break;
    case pool::Pool::Kind::kOpen:
      if (state_ != State::kWelcome) set_state(State::kWaiting);
      return worker_.open_server(pool);
    case pool::Pool::Kind::kWait:
      if (state_ != State::kWelcome) set_state(State::kWaiting);
      if (pool.pool.starving()) worker_.on_starving();
  }
}

// What a sequence last gave to this session only the connection knows that gave it, as long as no
// other client has written there since.
Server* Client::own_sequence_server(HostPool& pool) {
  Server* own = worker_.find_server(wrote_on_);
  const bool fits = own != nullptr && &own->pool() == &pool && own->last_writer == id;
  return fits && pool.pool.lease(*own, worker_.loop().now()) ? own : nullptr;
}

// A library stays loaded for as long as its connection is open.
bool Client::is_too_used(const Server& found) const {
  return found.has_served && (next_ == Where::kNew || gathered_.loads);
}

// The lease begins: the server gets what it lacks of the session's settings.
void Client::attach(Server& with) {
  server = &with;
  with.client = this;
  with.request_time = request_time_ = std::chrono::system_clock::now();
  with.busy_since = {};
  with.pool().counters().active.fetch_add(1, std::memory_order_relaxed);
  ++pools_->stats.server_assignment_count;
  const auto waited = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, base::to_us(worker_.loop().now() - request_since_)));
  pools_->stats.wait_time_us += waited;
  worker_.wait_time().add(waited);
  transaction_since_ = worker_.loop().now();
  in_flight_plain_ = true;
  next_ = Where::kAnywhere;
  was_first_ = !std::exchange(with.has_served, true);
  gathered_.attached = gathered_.complete;
  const bool welcome = state_ == State::kWelcome;
  if (!welcome) set_state(State::kActive);
  const bool settled = equalize_settings();
  if (!welcome) return;
  with.push();
  if (settled && server != nullptr) {
    on_settings_applied();
    if (state_ != State::kReplicating) on_releasable();
  }
}

// True when there was nothing to do.
bool Client::equalize_settings() {
  if (server->plans_stale) {
    server->inject_query("DEALLOCATE ALL", kNoteReset);
    server->statements.clear();
    server->plans_stale = false;
  }
  if (server->settings_unknown) {
    server->inject_query("RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL", kNoteReset);
    server->settings.clear();
    server->settings_unknown = false;
  }
  // Better no value than another session's.
  if (gathered_.asks_sequence && server->last_writer != id) {
    server->inject_query("DISCARD SEQUENCES", kNoteReset);
  }
  if (server->settings.hash() == settings_.hash()) return server->exchange.empty();
  const std::string sql = session::difference_sql(server->settings, settings_);
  server->settings = settings_;
  if (sql.empty()) return server->exchange.empty();
  server->inject_query(sql, kNoteSettings);
  return false;
}

// A server has become free for this client, which waited.
void Client::on_granted(Server& with) {
  if (is_too_used(with)) {
    HostPool& pool = with.pool();
    with.close("its client needs a new one");
    return wait_in(pool);
  }
  attach(with);
  if (!is_open() || state_ == State::kClosing) return;
  keep(on_session_bytes(input()));
  if (is_open()) worker_.run_soon(*this);
}

bool Client::looks_for_server() const {
  return is_open() && again_.empty() && (state_ == State::kWaiting || state_ == State::kWelcome);
}

void Client::reroute() {
  if (!looks_for_server() || waiting()) return;
  route_request();
  if (!is_open() || state_ == State::kWelcome || state_ == State::kWaiting) return;
  keep(on_session_bytes(input()));
  if (is_open()) worker_.run_soon(*this);
}

void Client::refuse(const protocol::Error& error) {
  if (!looks_for_server()) return;
  if (waiting()) worker_.cancel_wait(*this);
  worker_.unhold(*this);
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

// Answers the request with an error, as a server would: the rest of a batch counts for nothing.
std::size_t Client::write_refusal() {
  protocol::write_error(made(), *refusal_);
  refusal_.reset();
  const Gathered request = std::exchange(gathered_, {});
  const bool ended = !request.large && !request.flush;
  if (ended) {
    protocol::write_ready_for_query(made(), 'I');
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
  if (status == protocol::HeaderStatus::kBad) return bad_message(0);
  if (header.type == protocol::frontend::kTerminate) {
    terminated_ = true;
    close("client closed the connection");
    return 0;
  }
  const std::size_t now = std::min(header.total, in.size());
  stream_left_ = header.total - now;
  stream_discard_ = true;
  if (header.type == protocol::frontend::kSync || header.type == protocol::frontend::kQuery ||
      header.type == protocol::frontend::kFunctionCall) {
    refused_ = false;
    protocol::write_ready_for_query(made(), 'I');
  }
  return now;
}

}  // namespace proxy
