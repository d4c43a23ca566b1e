// Client: where a request goes, and finding a server for it.
#include <algorithm>
#include <utility>

#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr int kInVain = 20;  // times as long as it has waited a client does not wait again

}  // namespace

// The session's own word, a rule's, the user's, the database's, the cluster's.
config::Consistency Client::session_level() {
  if (own_.consistency) return *own_.consistency;
  if (!has_rules()) return pools_->consistency;
  return rules_.terms(0).consistency.value_or(pools_->consistency);
}

// Of a transaction of which nobody knows what it will read: a rule may ask for more of that.
config::Consistency Client::block_level() {
  const auto level = session_level();
  return own_.consistency || !has_rules() ? level : std::max(level, rules_.highest());
}

// A statement's own word comes first, a rule that it matches next; but where it decides for its
// transaction, it counts only if it asks for more.
config::Consistency Client::consistency() {
  const auto asked = route::level_of(gathered_.hints.level);
  if (gathered_.begins && !asked) return block_level();
  const auto level = asked ? *asked
                     : own_.consistency || gathered_.patterns == 0
                         ? session_level()
                         : terms().consistency.value_or(pools_->consistency);
  return begin_ && status_ == 'T' ? std::max(level, block_level()) : level;
}

route::SessionView Client::view() {
  const auto level = consistency();
  // Not now(): the request may have been sent after it.
  const bool strong =
      level == config::Consistency::kStrong && gathered_.access != sql::Access::kNone;
  if (strong && strong_as_of_ == base::Time{}) strong_as_of_ = net::read_clock();
  return {.read_only_transaction = gathered_.access == sql::Access::kWrite &&
                                   !gathered_.needs_primary && !gathered_.primary_only &&
                                   is_read_only_by_default(),
          .route = own_.route,
          .consistency = level,
          .now = worker_.loop().now(),
          .rules = terms(),
          .min_lsn = std::max(own_.min_lsn, protocol::Lsn{gathered_.hints.min_lsn}),
          .client_hash = peer.hash(),
          .as_of = strong ? strong_as_of_ : as_of_,
          .as_of_lsn = strong ? 0 : as_of_lsn_,
          .host = read_host_,
          .host_as_of = host_as_of_,
          .host_lsn = host_lsn_,
          .kept_since = kept_since_,
          .on_primary_since = on_primary_since_,
          .awaiting_since = awaiting_since_,
          .no_await_before = no_await_before_};
}

sql::Access Client::routed_access() {
  const bool pinned_by_mode = pools_->mode == config::PoolMode::kSession;
  if (pinned_by_mode && own_.route != sql::Hint::kReplica) return sql::Access::kWrite;
  if (begin_ && status_ == 'T') {  // a READ ONLY transaction begins anew
    const bool primary = gathered_.primary_only || next_ == Where::kPrimary;
    return primary ? sql::Access::kWrite : sql::Access::kRead;
  }
  // SHOW weir.lsn is asked where all is that it shall cover.
  const bool covers = !gathered_.asks_lsn || consistency() != config::Consistency::kEventual;
  const bool only_begins = gathered_.begins && !gathered_.does_more;  // needs_primary says it all
  const bool primary = gathered_.needs_primary || may_write_later() || next_ == Where::kPrimary ||
                       (is_serializable_by_default() && !only_begins) || !covers;
  return primary ? sql::Access::kWrite : gathered_.access;
}

// What the next decisions go by.
void Client::note_route(const route::Decision& decision, sql::Access access) {
  const auto now = worker_.loop().now();
  if (decision.target == route::Target::kAwait) {
    if (awaiting_since_ == base::Time{}) awaiting_since_ = net::read_clock();
    return;
  }
  gathered_.reason = decision.reason;
  gathered_.rule = decision.rule;
  if (own_.explain && state_ != State::kWelcome) {
    protocol::write_notice(made(), {.severity = protocol::Severity::kNotice,
                                    .code = protocol::sqlstate::kSuccess,
                                    .message = "route: " + decision_text(decision)});
  }
  const base::Time awaited = std::exchange(awaiting_since_, base::Time{});
  strong_as_of_ = {};
  if (awaited != base::Time{} && (decision.target != route::Target::kReplica || decision.kept)) {
    no_await_before_ = now + kInVain * (now - awaited);
  }
  if (decision.target == route::Target::kReplica) {
    routed_by_ = pools_->snapshot().hosts[static_cast<std::size_t>(decision.host)].sampled;
    on_primary_since_ = {};
    ++kept_reads_;
    if (decision.kept && awaited == base::Time{}) return;
    kept_since_ = now;
    kept_reads_ = 0;
  } else if (access != sql::Access::kWrite && route::is_for_freshness(decision.reason)) {
    if (on_primary_since_ == base::Time{}) on_primary_since_ = now;
  }
}

// Until its hosts were sampled anew.
void Client::await_sample() {
  wait_held();
  pools_->cluster->monitor.sample_soon(ClusterMonitor::Urgency::kAwaited);
}

// Finds a server for the gathered request: attaches it, or waits, or leaves a refusal.
void Client::route_request() {
  if (pools_->retired && !adopt_new_pools()) return;
  if (gather_anew_after_reload()) return;
  if (worker_.is_paused(database_)) return wait_held();
  auto& set = *pools_;
  const sql::Access access = routed_access();
  const auto& snapshot = set.snapshot();
  const auto decision = set.router.decide(access, gathered_.hints.route, view(), snapshot,
                                          set.loads(worker_.loop().now()));
  note_route(decision, access);
  if (decision.target != route::Target::kNoPrimary) leave_held();
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
      worker_.note_read(set.cluster->config.routing.retry_share);
      return wait_in(set.at(static_cast<std::size_t>(decision.host)));
    case route::Target::kNoPrimary:
      return wait_for_primary();
    case route::Target::kAwait:
      return await_sample();
    case route::Target::kNoReplica:
      return refuse_route({.code = protocol::sqlstate::kCannotConnectNow,
                           .message = "no replica is fit to serve the request",
                           .detail = route::to_text(decision, worker_.config()),
                           .hint = "See SHOW HOSTS on the admin console."});
  }
}

// The request that is being routed is answered with this.
void Client::refuse_route(protocol::Error&& error) {
  leave_line();
  if (state_ == State::kWelcome) {
    error.severity = protocol::Severity::kFatal;
    return fail(error);
  }
  refusal_ = std::move(error);
  set_state(State::kIdle);
}

// Who waits already goes on waiting, whatever a reload has made of the limit.
void Client::wait_for_primary() {
  if (counted_held_) return wait_held();
  auto& held = worker_.shared().held;
  const std::uint32_t limit = worker_.config().limits.held;
  counted_held_ = true;
  if (held.fetch_add(1) < limit || limit == 0) return wait_held();
  leave_held();
  refuse_route({.code = protocol::sqlstate::kTooManyConnections,
                .message = "too many requests wait for a primary",
                .hint = "The cluster has none at present: try again later. limits.held of the "
                        "proxy says how many may wait."});
}

void Client::leave_held() {
  if (std::exchange(counted_held_, false)) worker_.shared().held.fetch_sub(1);
}

// A reload has replaced what this client's requests went to.
bool Client::adopt_new_pools() {
  const auto* database = database_config();
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
  if (read_host_ >= 0) {  // it may be another host there
    as_of_ = std::max(as_of_, host_as_of_);
    as_of_lsn_ = 0;
    read_host_ = -1;
  }
  pools_ = pools;
  group = pools_->group_of(application_name_);
  ++pools_->users;
  rules_of_ = 0;
}

void Client::wait_held() {
  if (state_ != State::kWelcome) set_state(State::kWaiting);
  worker_.hold(*this);
}

void Client::wait_in(HostPool& pool) {
  const auto now = worker_.loop().now();
  // A host that just refused is left alone for a moment, unless it has servers that may come free.
  if (now < pool.retry_at && pool.pool.leased() + pool.pool.idle() == 0) {
    return enter_line(MayRefuse::kYes) ? wait_held() : refuse_to_wait("limits.waiting");
  }
  if (wait_for_listeners(pool)) return;
  if (gathered_.asks_sequence) pools_->note_sequences_asked();
  if (Server* own = own_sequence_server(pool)) return attach(*own);
  if (awaits_own_sequence_server(pool)) return wait_held();
  shares_ = place_behind(pool);
  if (shares()) return;
  const bool spares = gathered_.listens || (may_advance_sequences() && now >= pool.retry_at);
  const auto kept = spares ? pool::Pool::Kept::kLost : pool::Pool::Kept::kUnharmed;
  auto answer = pool.pool.acquire(*this, settings_.hash(), now, kept);
  while (answer.kind == pool::Pool::Kind::kLease) {
    auto& found = static_cast<Server&>(*answer.server);
    if (!is_too_used(found)) return attach(found);
    found.close("its client needs a new one");
    answer = pool.pool.acquire(*this, settings_.hash(), now, kept);
  }
  switch (answer.kind) {
    case pool::Pool::Kind::kLease:
      break;
    case pool::Pool::Kind::kOpen:
      enter_line(MayRefuse::kNo);
      if (state_ != State::kWelcome) set_state(State::kWaiting);
      return worker_.open_server(pool);
    case pool::Pool::Kind::kRefuse:
      return refuse_to_wait("pool.waiting");
    case pool::Pool::Kind::kWait:
      if (!enter_line(MayRefuse::kYes)) {
        worker_.cancel_wait(*this);
        return refuse_to_wait("limits.waiting");
      }
      if (state_ != State::kWelcome) set_state(State::kWaiting);
      if (pool.pool.starving()) worker_.on_starving();
  }
}

// Among all that wait for a server connection. False: there are too many.
bool Client::enter_line(MayRefuse may_refuse) {
  if (has_waited) return true;
  has_waited = true;
  const std::uint32_t limit = worker_.config().limits.waiting;
  const std::uint32_t others = worker_.shared().waiting.fetch_add(1);
  if (may_refuse == MayRefuse::kNo || limit == 0 || others < limit) return true;
  leave_line();
  return false;
}

void Client::leave_line() {
  if (std::exchange(has_waited, false)) worker_.shared().waiting.fetch_sub(1);
}

void Client::refuse_to_wait(const char* limit) {
  worker_.note_shed(*this, limit);
  refuse_route({.code = protocol::sqlstate::kTooManyConnections,
                .message = "too many clients wait for a server connection",
                .detail = std::string(limit) + " of the proxy says how many may.",
                .hint = "The servers have more to do than they can: try again later, after a pause "
                        "that grows and is random."});
}

// A library stays loaded for as long as its connection is open. So does a temporary schema, and who
// names it first would create it: that is what PREPARE TRANSACTION then refuses.
bool Client::is_too_used(const Server& found) const {
  note_settings();
  return (found.is_outdated() && found.last_writer != id) ||
         (found.has_served && (next_ == Where::kNew || gathered_.needs_new)) ||
         (gathered_.needs_new && found.id < id) ||  // opened before the session began
         (found.had_temp && creates_in_temp_);
}

// For what does not wait in line: a server that is idle. null = none is, but soon there may be.
Server* Client::spare_server(HostPool& pool) {
  if (Server* own = own_sequence_server(pool)) return own;
  const auto now = worker_.loop().now();
  auto* found = static_cast<Server*>(pool.pool.lease_spare(settings_.hash(), now, group));
  if (found != nullptr && is_too_used(*found)) {
    worker_.on_server_cleaned(*found);
    return nullptr;
  }
  if (found == nullptr && now >= pool.retry_at && pool.pool.may_open_spare()) {
    worker_.open_server(pool);
  }
  return found;
}

// The lease begins: the server gets what it lacks of the session's settings.
void Client::attach(Server& with) {
  begin_lease(with);
  in_flight_plain_ = true;
  note_proof(with);
  next_ = Where::kAnywhere;
  was_first_ = !std::exchange(with.has_served, true);
  had_new_ = had_new_ || (was_first_ && with.id > id && with.on_primary());
  with.had_temp = with.had_temp || (creates_in_temp_ && with.on_primary());
  if (gathered_.listens && pools_->listeners.connection() == nullptr &&
      listens_together(with.pool())) {
    pools_->listeners.adopt(worker_, with, encoding());
  }
  settle_notifications(with);
  gathered_.attached = gathered_.complete;
  const bool welcome = state_ == State::kWelcome;
  if (!welcome) set_state(State::kActive);
  const bool settled = equalize_settings();
  if (!welcome) return begin_anew();
  with.push();
  if (settled && server != nullptr) {
    on_settings_applied();
    if (state_ != State::kReplicating) on_releasable();
  }
}

// It is this client's, and what was done on it so far is not.
void Client::begin_lease(Server& with) {
  server = &with;
  with.client = this;
  leave_line();
  const auto now = worker_.loop().now();
  with.request_time = request_time_ = now;
  with.busy_since = {};
  with.asked_to_write = with.failed_by_host = false;
  with.set_active(true);
  ++pools_->stats.server_assignment_count;
  const auto waited =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, base::to_us(now - request_since_)));
  pools_->stats.wait_time_us += waited;
  worker_.wait_time().add(waited);
  meter_.on_wait(waited);
  with.take_answer();  // none of it was this client's
  transaction_since_ = now;
}

// Of what is sent to it next: how fresh it is.
void Client::note_proof(Server& with) {
  in_flight_terms_ = terms();
  in_flight_level_ = consistency();
  block_level_ = block_level();
  in_flight_lsn_ = std::max({own_.min_lsn, protocol::Lsn{gathered_.hints.min_lsn},
                             pools_->snapshot().hosts[with.pool().host].lsn});
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
  if (must_discard_sequences()) server->discard_sequences();
  const bool begins = gathered_.begins || gathered_.needs_primary || status_ == 'T';
  if (pools_->asks_channels || begins) show_channels();
  send_settings();
  return server->exchange.empty();
}

void Client::send_settings() {
  if (server->settings.hash() == settings_.hash()) return;
  const std::string sql = session::difference_sql(server->settings, settings_);
  server->settings = settings_;
  if (!sql.empty()) server->inject_query(sql, kNoteSettings);
}

// A server has become free for this client, which waited.
void Client::on_granted(Server& with) {
  HostPool& pool = with.pool();
  if (is_too_used(with)) {
    with.close("its client needs a new one");
    wait_in(pool);
  } else if (state_ != State::kWelcome && !with.on_primary() && routed_by_ < with.ready_at) {
    worker_.offer_anew(with);  // it was opened after what was known of its host
    reroute();
    return;
  } else if (pools_->listeners.connection() != nullptr && listens_together(pool)) {
    worker_.on_server_cleaned(with);  // others were faster
    wait_in(pool);
  } else {
    attach(with);
  }
  if (shares()) return keep(send_behind(input()));
  if (!is_open() || server == nullptr || state_ == State::kClosing) return;
  keep(on_session_bytes(input()));
  if (is_open()) worker_.run_soon(*this);
  if (server != nullptr) worker_.fill(*server);
}

bool Client::looks_for_server() const {
  return is_open() && again_.empty() && (state_ == State::kWaiting || state_ == State::kWelcome);
}

void Client::reroute() {
  if (!looks_for_server() || waiting() || shares()) return;
  route_request();
  if (shares()) return keep(send_behind(input()));
  if (!is_open() || state_ == State::kWelcome || state_ == State::kWaiting) return;
  keep(on_session_bytes(input()));
  if (is_open()) worker_.run_soon(*this);
}

}  // namespace proxy
