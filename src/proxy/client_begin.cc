// Client: where a transaction begins, which is decided by the first statement in it.
//
// One that may write begins on the primary, and nothing depends on its BEGIN but the time that it
// says it began (now()). So a BEGIN by itself is answered here, and goes out in the same write as
// what comes next: one round trip less, and no server connection is kept for as long. But not much
// later than it came. If both are lost with their connection they run again on another one, unseen.
//
// A READ ONLY one may be on a replica.
// A BEGIN says nothing of what comes. So the replica that it went to is a guess: as long as nothing
// but the BEGIN has run there, and the client has seen nothing of another statement, the
// transaction can begin anew elsewhere, unseen.
#include <algorithm>
#include <string>
#include <utility>

#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr base::milliseconds kAskAgain{10};

bool is_repeatable(std::string_view isolation) {
  return isolation == "repeatable read" || isolation == "serializable";
}

bool ends(const sql::Statement& statement) {
  return statement.verb == sql::Verb::kCommit || statement.verb == sql::Verb::kRollback;
}

bool ends_transaction(const sql::Analysis* analysis) {
  const sql::Statement* single = analysis != nullptr ? analysis->single() : nullptr;
  return single != nullptr && ends(*single);
}

// Whether it reads in another transaction than the one that is open.
bool reads_behind_end(const sql::Analysis& analysis) {
  const auto& all = analysis.statements;
  const auto end = std::ranges::find_if(all, ends);
  return std::any_of(end, all.end(),
                     [](const auto& each) { return each.access != sql::Access::kNone; });
}

}  // namespace

// A transaction in which each statement sees what was committed when it began needs a host that can
// promise so for each: the primary. One with a single snapshot is proven fresh when that is taken.
bool Client::may_begin_on_replica(const sql::Statement& begin) {
  const std::string by_default =
      is_serializable_by_default() ? "serializable" : default_of("default_transaction_isolation");
  if (!route::may_begin_on_replica(begin, is_read_only_by_default(), by_default)) return false;
  return consistency() != config::Consistency::kStrong ||
         is_repeatable(begin.isolation ? std::string_view(*begin.isolation) : by_default);
}

// The BEGIN that is all of the gathered request; null = it is another one.
sql::AnalysisPtr Client::gathered_begin() const {
  if (gathered_.large || gathered_.flush || !gathered_.begins || gathered_.does_more)
    return nullptr;
  const auto& found = gathered_.analysis ? gathered_.analysis
                      : gathered_.bound  ? gathered_.bound
                                         : gathered_.last_parse;
  const sql::Statement* single = found ? found->single() : nullptr;
  return single != nullptr && single->verb == sql::Verb::kBegin ? found : nullptr;
}

// A strong transaction with a single snapshot is begun by this request, but the statement that
// takes the snapshot is not in it, and cannot begin the transaction anew where it is proven fresh.
bool Client::leaves_snapshot_open() {
  return !gathered_.reads && consistency() == config::Consistency::kStrong && !gathered_begin();
}

// The latest BEGIN of the request. What AND CHAIN begins later keeps what is the default now.
void Client::note_modes(const sql::Statement& begin) {
  said_.isolation = begin.isolation.value_or(default_of("default_transaction_isolation"));
  said_.modes = begin.read_only.value_or(is_read_only_by_default()) ? " READ ONLY" : "";
  if (begin.deferrable) said_.modes += *begin.deferrable ? " DEFERRABLE" : " NOT DEFERRABLE";
}

// The gathered request is sent.
void Client::note_begin() {
  if (begin_) {
    begin_used_ = true;
    return;
  }
  begin_used_ = false;
  const bool may_move = status_ == 'I' && !server->on_primary() && pins.empty() &&
                        pools_->mode == config::PoolMode::kTransaction;
  if (may_move && gathered_.begins) (gathered_begin() ? begin_ : begun_) = said_;
}

void Client::note_ends(const sql::Analysis& statement) {
  chain_sent_ = !statement.statements.empty() && statement.statements.back().chain;
  if (std::ranges::any_of(statement.statements, ends)) forget_proof();
}

// Its transaction ends. Of the next one on this server less is proven: not what others commit
// meanwhile, but all of its own, for as long as it cannot leave a replica it commits nothing.
void Client::forget_proof() {
  in_flight_level_ = std::min(in_flight_level_, config::Consistency::kSession);
  block_level_ = std::min(block_level_, config::Consistency::kSession);
}

void Client::note_sent(char type) {
  if (type != protocol::frontend::kSync && type != protocol::frontend::kFlush) chain_sent_ = false;
}

// ReadyForQuery.
void Client::note_begun(char status) {
  sent_begin_.clear();
  if (status == 'I') forget_proof();
  if (status != 'T') {
    begin_.reset();
    begun_.reset();
  } else if (begin_ && begin_used_) {
    begun_ = std::exchange(begin_, {});
  }
  if (!begun_ || !chain_sent_ || !server->exchange.empty()) return;
  begin_ = std::exchange(begun_, {});
  begin_used_ = false;
  if (!transaction_.isolation().empty()) begin_->isolation = transaction_.isolation();
}

// What comes next is the first statement of a transaction that may still be moved.
bool Client::may_begin_elsewhere() const {
  return begin_ && !begin_used_ && server != nullptr && status_ == 'T' && pins.empty() &&
         server->exchange.empty() && !server->exchange.batch_open();
}

// Whether its server is not the one for the gathered statement, the first one.
bool Client::begins_elsewhere() {
  if (gathered_.large) {  // it is not read
    gathered_.primary_only = consistency() == config::Consistency::kStrong;
    return gathered_.primary_only;
  }
  if (gathered_.hints.route == sql::Hint::kPrimary) return true;
  const bool strong = consistency() == config::Consistency::kStrong;
  if (gathered_.hints.route == sql::Hint::kReplica || own_.route == sql::Hint::kReplica ||
      terms().route == sql::Hint::kReplica) {
    return strong && gathered_.access != sql::Access::kNone;
  }
  if (gathered_.raises) gathered_.primary_only = true;
  if (gathered_.primary_only) return true;
  if (gathered_.access == sql::Access::kNone) {
    // It takes no snapshot, and what does could not begin the transaction anew any more.
    const bool may_be_refused = begin_->isolation.empty() && pools_->once_serializable();
    gathered_.primary_only =
        (strong || may_be_refused) && !ends_transaction(gathered_.analysis.get());
    return gathered_.primary_only;
  }
  // Which nothing could promise for the statements behind it.
  if (strong && !is_repeatable(begin_->isolation)) gathered_.primary_only = true;
  return strong || gathered_.hints.level != sql::Level::kNone || gathered_.hints.min_lsn != 0;
}

std::size_t Client::on_first_in_block(protocol::Bytes in) {
  if (!gather(in) || !is_open() || state_ == State::kClosing) return 0;
  if (gathered_.empty_batch) {  // nothing yet
    gathered_ = {};
    return forward(in);
  }
  if (!begins_elsewhere()) return send_gathered(in);
  Server& left = *std::exchange(server, nullptr);
  set_state(State::kIdle);
  worker_.on_client_left(left, Worker::Leaving::kPolitely);
  return route_gathered(in);
}

// A server was found for the transaction's first statement.
void Client::begin_anew() {
  if (!deferred_begin_.empty()) {
    sent_begin_ = std::exchange(deferred_begin_, {});
    return server->inject_query(sent_begin_, kNoteBegin);
  }
  if (!begin_ || status_ != 'T') return;
  const std::string isolation =
      begin_->isolation.empty() ? "" : " ISOLATION LEVEL " + begin_->isolation;
  server->inject_query("BEGIN" + isolation + begin_->modes, kNoteBegin);
}

// Where a transaction can begin now, -1 = nowhere.
int Client::usable_primary() const {
  const cluster::Snapshot& snapshot = pools_->snapshot();
  if (pools_->retired || worker_.is_paused(database_) || snapshot.primary < 0) return -1;
  const auto& host = snapshot.hosts[static_cast<std::size_t>(snapshot.primary)];
  return host.paused ? -1 : snapshot.primary;
}

// Nobody has to be asked what becomes of it.
bool Client::may_defer_begin() {
  const auto is_to_replica = [](sql::Hint route) { return route == sql::Hint::kReplica; };
  return worker_.config().timeouts.defer_begin.count() != 0 && status_ == 'I' && reruns_ == 0 &&
         gathered_begin() && gathered_.needs_primary && !gathered_.raises && !own_.explain &&
         pools_->mode == config::PoolMode::kTransaction && usable_primary() >= 0 &&
         !is_to_replica(gathered_.hints.route) && !is_to_replica(own_.route) &&
         !is_to_replica(terms().route);
}

// The text of the BEGIN that the gathered request runs once and does nothing else; "" = it is
// another request, or may fail.
std::string_view Client::lone_begin(protocol::Bytes in) const {
  std::string_view text;
  std::string types;
  protocol::Frame frame;
  for (auto rest = in.first(gathered_.bytes);
       protocol::read_frame(rest, rest.size(), frame) == protocol::HeaderStatus::kOk;
       rest = rest.subspan(frame.raw.size())) {
    types += frame.type;
    if (frame.type == protocol::frontend::kQuery) {
      text = protocol::decode_query(frame.body).value_or("");
    } else if (frame.type == protocol::frontend::kParse) {
      const auto parse = protocol::decode_parse(frame.body);
      constexpr std::size_t kNoTypes = sizeof(std::int16_t);
      if (!parse || !parse->statement.empty() || parse->types.size() != kNoTypes) return "";
      text = parse->query;
    } else if (frame.type == protocol::frontend::kBind) {
      const auto bind = protocol::decode_bind(frame.body);
      const auto values = bind ? protocol::bind_text_parameters(*bind) : std::nullopt;
      if (!values || !values->empty() || !bind->portal.empty()) return "";
      const bool parsed_here = !text.empty() && bind->statement.empty();
      const session::StatementPtr* known = statements_.find(bind->statement);
      if (!parsed_here && (!text.empty() || known == nullptr)) return "";
      if (!parsed_here) text = (*known)->query;
    } else if (frame.type == protocol::frontend::kDescribe) {
      const auto described = protocol::decode_describe(frame.body);
      if (!described || described->kind != 'P' || !described->name.empty()) return "";
    } else if (frame.type == protocol::frontend::kExecute) {
      const auto run = protocol::decode_execute(frame.body);
      if (!run || !run->portal.empty()) return "";
    }
  }
  constexpr std::string_view kRunsOnce[] = {"Q", "BES", "BDES", "PBES", "PBDES"};
  return std::ranges::find(kRunsOnce, types) != std::end(kRunsOnce) ? text : "";
}

// Answers the gathered BEGIN. 0: it must be sent.
std::size_t Client::defer_begin(protocol::Bytes in) {
  const std::string_view text = lone_begin(in);
  if (text.empty()) return 0;
  const sql::AnalysisPtr begin = gathered_begin();
  const std::string_view tag = begin_tag(*begin->single());
  const auto now = worker_.loop().now();
  count_as(*begin, text);
  worker_.statement_stats().count(meter_.sending, {.ran = false}, now);
  ++pools_->stats.query_count;
  protocol::each_frame(in.first(gathered_.bytes), [&](const protocol::Frame& frame) {
    switch (frame.type) {
      case protocol::frontend::kParse:
        statements_.put(
            "", worker_.statements().intern(pools_->catalog_feed.get(), text,
                                            protocol::decode_parse(frame.body)->types, begin));
        protocol::write_parse_complete(made());
        break;
      case protocol::frontend::kBind:
        protocol::write_bind_complete(made());
        break;
      case protocol::frontend::kDescribe:
        protocol::write_no_data(made());
        break;
      case protocol::frontend::kQuery:
        statements_.erase("");
        [[fallthrough]];
      case protocol::frontend::kExecute:
        protocol::write_command_complete(made(), tag);
        break;
    }
  });
  protocol::write_ready_for_query(made(), status_ = 'T');
  transaction_.on_statement(*begin->single(), tag);
  transaction_.on_ready(status_);
  tracking_ = true;
  deferred_begin_ = text;
  deferred_until_ = now + worker_.config().timeouts.defer_begin;
  worker_.run_at(*this, deferred_until_);
  return std::exchange(gathered_, {}).bytes;
}

// Nothing has come behind it for a while. It does not wait in line: what comes next will.
void Client::send_deferred_begin() {
  const auto now = worker_.loop().now();
  if (state_ != State::kIdle || server != nullptr || now < deferred_until_) return;
  const int primary = usable_primary();
  gathered_.needs_primary = true;  // as of any BEGIN: where the session wrote last, if that is free
  Server* with =
      primary < 0 ? nullptr : spare_server(pools_->at(static_cast<std::size_t>(primary)));
  if (with == nullptr) {
    deferred_until_ = now + kAskAgain;
    return worker_.run_at(*this, deferred_until_);
  }
  request_since_ = now;
  attach(*with);
  with->push();
}

bool Client::raises(const sql::SetStatement& set) {
  if (!session::is_own(set.name)) return false;
  if (set.reset) return set.name == session::kConsistencySetting;
  session::OwnSettings asked;
  asked.set(set.name, set.value.value_or(""));
  const auto lsn = server != nullptr ? std::max(own_.min_lsn, in_flight_lsn_) : own_.min_lsn;
  return asked.route == sql::Hint::kPrimary || asked.min_lsn > lsn ||
         asked.consistency.value_or(config::Consistency::kEventual) > session_level();
}

bool Client::raises(const sql::Analysis& statement) {
  return std::ranges::any_of(statement.statements, [&](const sql::Statement& each) {
    return std::ranges::any_of(each.sets, [&](const auto& set) { return raises(set); });
  });
}

// A statement that was not routed, for the session cannot leave its server. What it sets within a
// transaction is the session's only when that commits, so there the SET itself is refused.
bool Client::may_be_stale(const sql::Analysis& statement) {
  if (gathered_.complete || server->on_primary()) return false;
  const bool alone = status_ == 'I' && !server->exchange.batch_open() && statement.single();
  if (!alone && raises(statement)) return true;
  if (statement.access == sql::Access::kNone) return false;
  const auto own = route::level_of(statement.hints.level);
  const auto now = own ? *own : level_by_rules(statement);
  const auto then = own ? in_flight_level_ : std::max(in_flight_level_, block_level_);
  if (now > then) return true;
  if (now == config::Consistency::kStrong && reads_behind_end(statement)) return true;
  const auto lsn = std::max(own_.min_lsn, protocol::Lsn{statement.hints.min_lsn});
  if (lsn <= in_flight_lsn_) return false;
  return status_ != 'I' || lsn > pools_->snapshot().hosts[server->pool().host].lsn;
}

bool Client::in_read_only() const { return transaction_.read_only() || is_read_only_by_default(); }

// The request that was to begin it anew is refused: as an error in it, this makes it fail.
void Client::fail_begun() {
  if ((!begin_ && deferred_begin_.empty()) || status_ != 'T') return;
  begin_.reset();
  deferred_begin_.clear();
  transaction_.reset();
  tracking_ = false;
  lost_why_ = "It found no server.";
  lost_ = Lost::kTold;
  status_ = 'E';
}

}  // namespace proxy
