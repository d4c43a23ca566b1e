// Client: its server is lost. What it is told, and how the session goes on: in a transaction that
// is lost, too, until the client has ended it, without a server.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/log.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

using session::Outcome;

constexpr std::uint8_t kMostWelcomes = 3;

// Gone with the transaction that took them, as a ROLLBACK takes them away.
constexpr unsigned kTransactional = sql::kTempObject | sql::kHoldCursor | sql::kListening;

protocol::Error error_of(Outcome outcome, std::string_view why) {
  switch (outcome) {
    case Outcome::kUnknown:
      return {.code = protocol::sqlstate::kOutcomeUnknown,
              .message = "the server connection was lost, the outcome of the request is unknown",
              .detail = std::string(why),
              .hint = "It may or may not have been carried out: look before you repeat it."};
    case Outcome::kNotDone:
      return {.code = protocol::sqlstate::kConnectionFailure,
              .message = "the server connection was lost before the request was answered",
              .detail = std::string(why),
              .hint = "The session goes on: the request may be repeated."};
    case Outcome::kRolledBack:
      return {.code = protocol::sqlstate::kSerializationFailure,
              .message = "the transaction was lost with its server connection",
              .detail = std::string(why),
              .hint = "Nothing of it was committed: roll back, and run it again."};
    case Outcome::kSkipped:
    case Outcome::kTold:
    case Outcome::kEnded:
    case Outcome::kBegun:
      break;
  }
  return {
      .code = protocol::sqlstate::kInFailedTransaction,
      .message = "current transaction is aborted, commands ignored until end of transaction block",
      .detail = "The transaction was lost with its server connection."};
}

bool any_owed(const session::Exchange& exchange,
              absl::FunctionRef<bool(const sql::Statement&)> is) {
  for (std::size_t i = 0; i < exchange.size(); ++i) {
    const sql::AnalysisPtr& analysis = exchange.owed(i).analysis;
    if (analysis && std::ranges::any_of(analysis->statements, is)) return true;
  }
  return false;
}

// Of a BEGIN or ROLLBACK that is answered without its server.
std::string_view tag_of(const session::Entry& entry) {
  const sql::Statement* single = entry.analysis ? entry.analysis->single() : nullptr;
  if (single == nullptr || single->verb != sql::Verb::kBegin) return "ROLLBACK";
  return begin_tag(*single);
}

bool ends_block(const sql::Analysis& text) {
  const sql::Statement* single = text.single();
  return single != nullptr && session::ends_block(*single);
}

}  // namespace

std::string_view Client::code_of(Outcome outcome) { return error_of(outcome, "").code; }

// Its ledger is as it was.
void Client::on_server_lost(Server& lost, std::string_view why) {
  end_report();
  if (!is_open() || state_ == State::kClosing) return;
  if (lost.told_end() || replicates()) {
    set_state(State::kClosing);
    if (out_.empty()) close("its server ended the session");
    return;
  }
  if (lost.cut_short()) {  // nothing can be said in the middle of a message
    push();
    return close("its server connection broke in the middle of a message");
  }
  const session::Exchange& exchange = lost.exchange;
  // Nobody has heard anything yet. Not for ever: what was asked for at start-up may be the reason.
  if (state_ == State::kWelcome && reruns_++ < kMostWelcomes) return worker_.hold(*this);
  if (state_ == State::kWelcome || exchange.lost() || exchange.uncertain()) {
    return end_session(lost.last_code, why, "");
  }
  const bool in_block = tracking_ ? transaction_.in_block() : status_ != 'I';
  const session::Loss loss = session::judge_loss(exchange, in_block);
  const std::string kept = what_dies_with(lost, in_block && !loss.unknown);
  if (!kept.empty()) {
    return end_session(loss.unknown ? protocol::sqlstate::kOutcomeUnknown : lost.last_code, why,
                       kept);
  }
  log_of(database_config(), spdlog::level::debug, "{}: goes on without its server: {}", who(), why);
  count_loss(lost, loss);
  note_loss(lost, loss);
  for (const session::Reply& reply : loss.replies) write_loss(exchange, reply, why);
  const bool unanswered = loss.untold_batch && !prepares_only_;
  prepares_only_ = false;
  skips_to_sync_ = loss.skips;
  answered_lost_ = false;
  lost_why_ = why;
  lost_ = loss.in_block ? (loss.told ? Lost::kTold : Lost::kUntold)
          : unanswered  ? Lost::kBatch
                        : Lost::kNone;
  status_ = loss.in_block ? 'E' : 'I';
  set_state(State::kIdle);
  if (stream_left_ != 0) stream_discard_ = true;  // a piece of a message is on its way
  large_parse_ = nullptr;
  names_end_.reset();
  tell_if_idle();
  push();
  if (is_open() && (!in_.empty() || stream_.readable())) worker_.run_soon(*this);
}

// What the session cannot go on without; "" = nothing.
std::string Client::what_dies_with(const Server& lost, bool rolled_back) const {
  if (pools_->mode == config::PoolMode::kSession) {
    return "Under session pooling the session ends with its server connection.";
  }
  // Without a name the pins that are known tell more.
  if (lost.probing && !opaque_by_.empty()) {
    return "What its latest statement left in the session (" + opaque_by_ + ") is not known.";
  }
  std::string names;
  for (const session::Pin& pin : pins.list()) {
    const bool gone = rolled_back && (pin.reason & kTransactional) != 0;
    if (gone && pin.since > transaction_since_) continue;
    names += (names.empty() ? "" : ", ") + std::string(session::reason_name(pin.reason));
    if (!pin.statement.empty()) names += " (" + pin.statement + ")";
  }
  if (!names.empty()) return "With it the session has lost: " + names + ".";
  return lost.probing ? "What its latest statement left in the session is not known." : "";
}

// FATAL. code: "" = the server has said none.
void Client::end_session(std::string_view code, std::string_view why, const std::string& kept) {
  const bool unknown = code == protocol::sqlstate::kOutcomeUnknown;
  fail({.severity = protocol::Severity::kFatal,
        .code = code.empty() ? protocol::sqlstate::kConnectionFailure : code,
        .message = std::string(why),
        .detail = kept,
        .hint = unknown ? "What was in progress may or may not have been carried out." : ""});
}

// The session, as if what was in flight had been rolled back; but what it may have changed is
// looked for.
void Client::note_loss(const Server& lost, const session::Loss& loss) {
  for (std::size_t i = 0; i < lost.exchange.size(); ++i) {
    const session::Entry& entry = lost.exchange.owed(i);
    if (entry.what != session::Expect::kParse || entry.fate == session::Fate::kSwallow) continue;
    if (entry.note == kNoteUnnamed) {
      on_unnamed_ended(entry.statement, false);
    } else {
      on_parse_ended(entry.statement, false);
    }
  }
  if (loss.unknown) {
    as_of_ = net::read_clock();
    as_of_lsn_ = 0;
    read_host_ = -1;
    on_primary_since_ = {};
    const auto in_flight = [&](auto is) { return any_owed(lost.exchange, is); };
    if (defined_ || in_flight([](const auto& s) { return s.verb == sql::Verb::kDdl; })) {
      pools_->catalog_feed->on_definitions_changed();
    }
    if (altered_defaults_ || in_flight([](const auto& s) { return s.sets_defaults; })) {
      pools_->defaults().note_change(net::read_clock());
    }
  }
  forget_sequences();
  pins.clear();
  pending_parses_.clear();
  pending_unnamed_.clear();
  portals_.clear();
  custom_.clear();
  transaction_.reset();
  gathered_ = {};
  begin_.reset();
  begun_.reset();
  sent_begin_.clear();
  opaque_by_.clear();
  tracking_ = wrote_ = read_fresh_ = defined_ = altered_defaults_ = opaque_ = recheck_ = false;
  unnamed_setting_ = false;
  own_pid_ = 0;
  unlistens_ = false;
  report_due_ = hear_due_ = force_forward_ = held_ = misrouted_ = false;
  in_flight_plain_ = true;
  reruns_ = 0;
}

void Client::write_loss(const session::Exchange& exchange, const session::Reply& reply,
                        std::string_view why) {
  if (session::is_error(reply.outcome)) {
    ++pools_->stats.errors;
    protocol::write_error(made(), error_of(reply.outcome, why));
  } else if (reply.outcome != Outcome::kTold) {
    write_done(exchange, reply);
  }
  if (reply.ready) protocol::write_ready_for_query(made(), reply.status);
}

// A ROLLBACK has what it asked for, a BEGIN a transaction that cannot do anything.
void Client::write_done(const session::Exchange& exchange, const session::Reply& reply) {
  for (std::size_t i = reply.first; i < reply.end; ++i) {
    const session::Entry& entry = exchange.owed(i);
    if (entry.fate == session::Fate::kSwallow) continue;
    switch (entry.what) {
      case session::Expect::kParse:
        protocol::write_parse_complete(made());
        break;
      case session::Expect::kBind:
        protocol::write_bind_complete(made());
        break;
      case session::Expect::kClose:
        protocol::write_close_complete(made());
        break;
      case session::Expect::kQuery:
      case session::Expect::kExecute:
        protocol::write_command_complete(made(), tag_of(entry));
        break;
      case session::Expect::kDescribe:
        protocol::write_no_data(made());
        break;
      case session::Expect::kSync:
      case session::Expect::kFunctionCall:
      case session::Expect::kCopyEnd:
        break;
    }
  }
}

// --- without a server -----------------------------------------------------------------------

// One message of a session whose transaction, or batch, is lost.
std::size_t Client::on_bytes_in_lost(protocol::Bytes in) {
  const auto& limits = worker_.config().limits;
  protocol::Header header;
  const auto status = protocol::read_header(in, limits.message_bytes, header);
  if (status == protocol::HeaderStatus::kNeedMore) return 0;
  if (status == protocol::HeaderStatus::kBad) return bad_length(in);
  if (!protocol::is_frontend_type(header.type) || header.type == protocol::frontend::kPassword) {
    return bad_message(header.type);
  }
  if (header.type == protocol::frontend::kTerminate) return on_terminate();
  const std::size_t now = std::min(header.total, in.size());
  if (now < header.total && header.total <= limits.gather_bytes) return 0;
  stream_left_ = header.total - now;
  stream_discard_ = true;
  const auto body = in.subspan(protocol::kHeaderBytes, now - protocol::kHeaderBytes);
  switch (header.type) {
    case protocol::frontend::kSync:
      on_sync_in_lost();
      return now;
    case protocol::frontend::kQuery:
      if (skips_to_sync_) return now;
      return on_query_in_lost(stream_left_ == 0 ? body : protocol::Bytes{}) ? now
                                                                            : on_some_bytes(in);
    case protocol::frontend::kFunctionCall:
      if (skips_to_sync_) return now;
      write_lost();
      protocol::write_ready_for_query(made(), status_);
      return now;
    case protocol::frontend::kCopyData:
    case protocol::frontend::kCopyDone:
    case protocol::frontend::kCopyFail:
      return now;
    default:
      if (skips_to_sync_) return now;
      if (lost_ == Lost::kBatch || stream_left_ != 0 || !on_batch_in_lost(header.type, body)) {
        write_lost();
        skips_to_sync_ = true;
      }
      answered_lost_ = answered_lost_ || header.type != protocol::frontend::kFlush;
      return now;
  }
}

// Why nothing works; at first that the transaction is lost.
void Client::write_lost() {
  ++pools_->stats.errors;
  const auto outcome = lost_ == Lost::kUntold  ? Outcome::kRolledBack
                       : lost_ == Lost::kBatch ? Outcome::kNotDone
                                               : Outcome::kSkipped;
  protocol::write_error(made(), error_of(outcome, lost_why_));
  lost_ = lost_ == Lost::kBatch ? Lost::kNone : Lost::kTold;
}

// A driver that only prepares its COMMIT expects one answer, good or bad: what comes next is told.
void Client::on_sync_in_lost() {
  const bool told = std::exchange(answered_lost_, false) || skips_to_sync_;
  skips_to_sync_ = false;
  if (!told && (lost_ == Lost::kUntold || lost_ == Lost::kBatch)) write_lost();
  protocol::write_ready_for_query(made(), status_);
}

// The block has ended: what comes next goes to a server again.
void Client::leave_lost() {
  lost_ = Lost::kNone;
  status_ = 'I';
  portals_.clear();
}

// COMMIT, ROLLBACK. False: an error was the answer.
bool Client::end_lost(const sql::Statement& statement) {
  const bool rolls_back = statement.verb == sql::Verb::kRollback;
  if (statement.chain) {  // the next transaction would be one with this one's modes
    write_lost();
    return false;
  }
  const bool succeeds = rolls_back || lost_ == Lost::kTold;
  if (succeeds) {
    protocol::write_command_complete(made(), "ROLLBACK");
  } else {
    write_lost();
  }
  leave_lost();
  return succeeds;
}

// False: it is one for a server, the block being over.
bool Client::on_query_in_lost(protocol::Bytes body) {
  if (lost_ == Lost::kBatch) {
    // PostgreSQL would run it in the batch's transaction, and end that.
    write_lost();
    protocol::write_ready_for_query(made(), status_);
    return true;
  }
  const auto text = protocol::decode_query(body);
  const sql::AnalysisPtr analysis = analyze(text.value_or("("));
  const auto& statements = analysis->statements;
  if (analysis->parsed && statements.empty()) {
    protocol::write_empty_query(made());
  } else if (const sql::Statement* only = analysis->single(); only && session::ends_block(*only)) {
    end_lost(*only);
  } else if (!statements.empty() && statements[0].verb == sql::Verb::kRollback &&
             !statements[0].chain) {
    leave_lost();
    stream_left_ = 0;
    return false;
  } else {
    write_lost();
    const bool ended = !statements.empty() && session::ends_block(statements[0]);
    if (ended && !statements[0].chain) leave_lost();
  }
  protocol::write_ready_for_query(made(), status_);
  return true;
}

// Parse, Bind, Describe, Execute, Close, Flush; false = an error is the answer. As in PostgreSQL
// nothing but what ends the block can be prepared, bound and run.
bool Client::on_batch_in_lost(char type, protocol::Bytes body) {
  switch (type) {
    case protocol::frontend::kFlush:
      return true;
    case protocol::frontend::kParse:
      return parse_in_lost(body);
    case protocol::frontend::kBind: {
      const auto bind = protocol::decode_bind(body);
      const auto* known = bind ? statements_.find(bind->statement) : nullptr;
      if (known == nullptr || !ends_block(*(*known)->analysis)) return false;
      std::erase_if(portals_, [&](const auto& entry) { return entry.first == bind->portal; });
      portals_.emplace_back(bind->portal, (*known)->analysis);
      protocol::write_bind_complete(made());
      return true;
    }
    case protocol::frontend::kDescribe: {
      const auto describe = protocol::decode_describe(body);
      if (!describe) return false;
      if (describe->kind == 'S') {
        const auto* known = statements_.find(describe->name);
        if (known == nullptr || !ends_block(*(*known)->analysis)) return false;
        protocol::MessageWriter(made(), protocol::backend::kParameterDescription).i16(0);
      } else if (!find_portal(describe->name)) {
        return false;
      }
      protocol::write_no_data(made());
      return true;
    }
    case protocol::frontend::kExecute: {
      const auto execute = protocol::decode_execute(body);
      const sql::AnalysisPtr analysis = execute ? find_portal(execute->portal) : nullptr;
      if (!analysis) return false;
      if (!end_lost(*analysis->single())) skips_to_sync_ = true;
      return true;
    }
    case protocol::frontend::kClose: {
      const auto closed = protocol::decode_describe(body);
      if (!closed) return false;
      if (closed->kind == 'S') statements_.erase(closed->name);
      protocol::write_close_complete(made());
      return true;
    }
    default:
      return false;
  }
}

bool Client::parse_in_lost(protocol::Bytes body) {
  const auto parse = protocol::decode_parse(body);
  if (!parse || statements_.bytes() + body.size() > worker_.config().limits.client_prepared_bytes)
    return false;
  auto analysis = analyze(parse->query);
  if (!ends_block(*analysis)) return false;
  if (!parse->statement.empty() && statements_.find(parse->statement) != nullptr) return false;
  statements_.put(parse->statement,
                  worker_.statements().intern(pools_->catalog_feed.get(), parse->query,
                                              parse->types, analysis));
  protocol::write_parse_complete(made());
  return true;
}

sql::AnalysisPtr Client::find_portal(std::string_view name) const {
  const auto it =
      std::ranges::find(portals_, name, [](const auto& p) { return std::string_view(p.first); });
  return it != portals_.end() ? it->second : nullptr;
}

}  // namespace proxy
