// Client: what its server's answers mean for the session.
#include <algorithm>

#include "protocol/backend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "sql/lexer.h"

namespace proxy {
namespace {

// Left behind by statements, not carried to other connections: these keep the server.
constexpr std::uint16_t kPinning = sql::kTempObject | sql::kAdvisoryLock | sql::kHoldCursor |
                                   sql::kListening | sql::kSqlPrepared | sql::kRandomSeed |
                                   sql::kLoadedLibrary | sql::kBackendPid;

// What an opaque statement may have left: one row with a column for each of kProbed, in that
// order, then a row for each setting.
constexpr const char* kProbe =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = 2615"  // pg_namespace
    " AND refobjid = pg_catalog.pg_my_temp_schema()),"
    " EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid ="
    " pg_catalog.pg_backend_pid()),"
    " EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable),"
    " EXISTS (SELECT FROM pg_catalog.pg_listening_channels()),"
    " EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql);"
    "SELECT name, setting FROM pg_catalog.pg_settings WHERE source = 'session' AND name NOT IN"
    " ('transaction_read_only', 'transaction_isolation', 'transaction_deferrable');"
    "VALUES ('role', pg_catalog.current_setting('role')),"
    " ('session_authorization', session_user::pg_catalog.text)";
constexpr sql::Residue kProbed[] = {sql::kTempObject, sql::kAdvisoryLock, sql::kHoldCursor,
                                    sql::kListening, sql::kSqlPrepared};

constexpr unsigned kProbedPins = [] {
  unsigned joined = 0;
  for (const sql::Residue reason : kProbed) joined |= reason;
  return joined;
}();

const char* awaited_primary(const cluster::Snapshot& snapshot) {
  const auto host = static_cast<std::size_t>(snapshot.primary);
  return snapshot.primary >= 0 && snapshot.hosts[host].paused ? "RESUME HOST" : "a primary";
}

// What current_setting('role') is when none was taken; no role can be called that.
constexpr std::string_view kNoRole = "none";

}  // namespace

protocol::Error bad_own_setting(std::string_view name) {
  return {.code = protocol::sqlstate::kInvalidParameterValue,
          .message = "invalid value for parameter \"" + std::string(name) + "\"",
          .hint = std::string(session::own_values(name))};
}

void Client::write_made_up(const session::Entry& entry) {
  if (entry.what == session::Expect::kParse) {
    protocol::write_parse_complete(made());
    on_parse_ended(entry.statement, true);
  } else {
    protocol::write_close_complete(made());
  }
}

void Client::on_parse_ended(std::uint64_t statement, bool ok) {
  const auto it =
      std::ranges::find(pending_parses_, statement, &decltype(pending_parses_)::value_type::first);
  if (large_parse_ != nullptr && large_parse_->statement->id == statement) {
    large_parse_->skipped = !ok;
  }
  if (!pending_unnamed_.empty()) {
    const auto unnamed = std::ranges::find(pending_unnamed_, statement,
                                           &decltype(pending_unnamed_)::value_type::first);
    if (unnamed != pending_unnamed_.end()) pending_unnamed_.erase(unnamed);
  }
  if (it == pending_parses_.end()) return;
  if (!ok) statements_.erase(it->second);
  pending_parses_.erase(it);
}

// Failed or skipped. PostgreSQL has forgotten the older one when it comes to a Parse that fails,
// and still has it behind one that it skips.
void Client::on_unnamed_ended(std::uint64_t statement, bool skipped) {
  const bool passing = large_parse_ != nullptr && large_parse_->statement->id == statement;
  if (passing) large_parse_->skipped = true;
  session::StatementPtr before;
  const auto sent = std::ranges::find(pending_unnamed_, statement,
                                      &decltype(pending_unnamed_)::value_type::first);
  if (sent != pending_unnamed_.end()) {
    if (skipped) before = std::move(sent->second);
    pending_unnamed_.erase(sent);
  }
  for (auto& [later, its_before] : pending_unnamed_) {
    if (its_before && its_before->id == statement) its_before = before;
  }
  const session::StatementPtr* now = statements_.find("");
  if (passing ? skipped : now == nullptr || (*now)->id != statement) return;
  if (before) {
    statements_.put("", std::move(before));
  } else {
    statements_.erase("");
  }
}

// For SHOW PINS: the statement without its literals, or what kind of one it is.
std::string Client::shown(const sql::Statement& statement, const sql::Analysis& analysis) {
  if (!statement.shown.empty()) return statement.shown;
  return analysis.relations.empty() ? analysis.why : analysis.why + " " + analysis.relations[0];
}

void Client::on_statement_ended(const sql::Analysis& analysis, int index, std::string_view tag) {
  static const sql::Statement kUnknown;
  const auto at = static_cast<std::size_t>(index);
  const auto& statement = at < analysis.statements.size() ? analysis.statements[at] : kUnknown;
  if (!analysis.plain) transaction_.on_statement(statement, tag);
  unnamed_setting_ =
      tag != "ROLLBACK" && (unnamed_setting_ || (statement.residue & sql::kUnnamedSetting) != 0);
  // Pins that are new may have ended with the transaction that brought them.
  recheck_ = recheck_ || (statement.residue & kPinning) != 0 ||
             ((pins.reasons() & kProbedPins) != 0 && session::may_remove_residue(statement));
  if (statement.verb == sql::Verb::kDdl) {
    defined_ = true;
    // It may have called functions (a new column's default, an event trigger), and what follows in
    // the same batch was judged without what it has defined.
    opaque_ = true;
    opaque_by_ = shown(statement, analysis);
  }
  altered_defaults_ = altered_defaults_ || statement.sets_defaults;
  unlistens_ = unlistens_ || statement.verb == sql::Verb::kUnlisten ||
               statement.verb == sql::Verb::kUnlistenAll ||
               statement.verb == sql::Verb::kDiscardAll;
  if (statement.verb == sql::Verb::kPrepare) sql_prepared_.push_back(statement.name);
  if (statement.verb == sql::Verb::kDeallocate) on_deallocated(statement.name);
  if (statement.verb == sql::Verb::kDiscardAll || statement.verb == sql::Verb::kDeallocateAll) {
    statements_.clear();
    sql_prepared_.clear();
    server->statements.clear();
    server->unnamed_statement = 0;
  }
  if (auto removed = session::residue_removed_by(statement, tag)) {
    if (statement.verb == sql::Verb::kResetAll && transaction_.in_block()) removed = 0;
    pins.remove(removed);
    if ((removed & sql::kSequenceState) != 0) {
      forget_sequences();
      server->note_sequences_discarded();
    }
  }
  if (statement.verb == sql::Verb::kCreateTemp || (statement.residue & sql::kTempObject) != 0) {
    server->had_temp = true;
  }
  if (const auto left = pinning_residue(statement)) {
    pins.add(left, worker_.loop().now(), shown(statement, analysis));
    server->dirty = true;
    // DISCARD ALL takes away neither: the next session would draw numbers that this one knows.
    constexpr unsigned kStays = sql::kLoadedLibrary | sql::kRandomSeed;
    if ((left & kStays) != 0) server->close_when_free = true;
  }
}

// Sessions of those who ask for what a sequence gave keep the connection on which they may have
// made it give something: nextval may hide in a default.
std::uint16_t Client::pinning_residue(const sql::Statement& statement) const {
  unsigned residue = statement.residue & kPinning;
  if (server->listeners != nullptr) residue &= ~unsigned{sql::kListening};
  const bool may_advance = statement.access == sql::Access::kWrite && statement.may_advance &&
                           statement.verb != sql::Verb::kDdl &&
                           worker_.config().pinning.sequence_state;
  if (pools_->asks_sequences() && may_advance && server->on_primary()) {
    residue |= sql::kSequenceState;
  }
  return static_cast<std::uint16_t>(residue);
}

void Client::on_error() {
  ++pools_->stats.errors;
  if (!transaction_.in_block()) unnamed_setting_ = false;
  if (tracking_) transaction_.on_error();
}

std::optional<protocol::Error> Client::error_instead(std::uint32_t note) const {
  if (note == kNoteTooMuch) {
    return protocol::Error{
        .code = protocol::sqlstate::kProgramLimitExceeded,
        .message = "prepared statements need more than limits.client_prepared_bytes",
        .hint = "Close statements that are no longer needed."};
  }
  if (note == kNoteBadValue) return bad_own_setting(bad_setting_);
  if (note == kNoteStale) {
    return protocol::Error{
        .code = protocol::sqlstate::kActiveSqlTransaction,
        .message = "cannot read as fresh as weir.consistency or weir.min_lsn asks for now",
        .detail =
            "The session cannot leave its replica, which was fresh enough for what it asked "
            "for before.",
        .hint =
            "Ask before the transaction, or in its first statement. Out of one, see SHOW PINS "
            "on the admin console."};
  }
  if (note == kNoteSequence) {
    return protocol::Error{
        .code = protocol::sqlstate::kObjectNotInState,
        .message = "what sequences gave to this session is not known any more",
        .detail = "Others have used its server connection since.",
        .hint = "With asks_sequences, in its database's table, the proxy keeps it from the start."};
  }
  if (note == kNoteNoPin) {
    const auto reason = static_cast<sql::Residue>(forbidden_pin_ & -forbidden_pin_);
    return protocol::Error{
        .code = protocol::sqlstate::kFeatureNotSupported,
        .message = std::string(session::reason_name(reason)) + " would keep a server connection",
        .hint = "The proxy's configuration forbids it for sessions, in [pinning]."};
  }
  return std::nullopt;
}

void Client::on_deallocated(const std::string& name) {
  std::erase(sql_prepared_, name);
  const session::StatementPtr* known = statements_.find(name);
  if (name.empty() || known == nullptr) return;
  server->statements.erase((*known)->id);
  statements_.erase(name);
}

bool Client::write_renamed(protocol::Bytes error) {
  const auto view = protocol::decode_error(error);
  const auto message = view ? statements_.renamed(view->message, last_named_) : std::nullopt;
  if (message) write_reworded(error, *message);
  return message.has_value();
}

void Client::write_reworded(protocol::Bytes error, std::string_view message) {
  protocol::Reader fields(error);
  protocol::MessageWriter out(made(), protocol::backend::kError);
  while (const char code = static_cast<char>(fields.u8())) {
    const std::string_view value = fields.cstring();
    out.u8(static_cast<std::uint8_t>(code));
    out.cstring(code == 'M' ? message : value);
  }
  out.u8(0);
}

void Client::on_ready_for_query(char status) {
  status_ = status;
  note_begun(status);
  reruns_ = 0;
  auto& stats = pools_->stats;
  ++stats.query_count;
  const auto now = worker_.loop().now();
  count_ready(status);
  if (server->exchange.empty()) {
    const auto took = static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, base::to_us(now - server->busy_since)));
    stats.query_time_us += took;
    (server->on_primary() ? stats.on_primary : stats.on_replica).add(took);
    (server->on_primary() ? pools_->times.on_primary : pools_->times.on_replica).add(took);
    server->pool().counters().note_reply(static_cast<double>(took), now);
    if (std::exchange(server->failed_by_host, false)) {
      server->pool().counters().note_failed();
    } else {
      server->pool().counters().note_answered();
    }
    server->busy_since = {};
    idle_since_ = now;
  }
  if (tracking_) on_tracked_end(status);
  if (status != 'I') {
    if (pools_->mode == config::PoolMode::kStatement) {
      return fail({.severity = protocol::Severity::kFatal,
                   .code = protocol::sqlstate::kProtocolViolation,
                   .message = "transaction blocks are not allowed in statement pooling mode"});
    }
  } else {
    ++stats.xact_count;
    stats.xact_time_us += static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, base::to_us(now - transaction_since_)));
    transaction_since_ = now;
    portals_.clear();
    if (wrote_ || read_fresh_) note_end_of_transaction();
    // Not now(): that was read before the reply was.
    if (std::exchange(altered_defaults_, false)) pools_->defaults().note_change(net::read_clock());
    if (std::exchange(defined_, false)) pools_->catalog_feed->on_definitions_changed();
  }
  if (held_ || !in_.empty()) worker_.run_soon(*this);
}

// From here on the session sees no earlier state.
void Client::note_end_of_transaction() {
  const bool wrote = wrote_;
  // What is in flight behind it ends later, and only that end will do for it.
  if (server->exchange.client_answered()) wrote_ = read_fresh_ = false;
  if (!pools_->router.has_replicas()) return;
  // Not now(): that was read before the reply was, perhaps before the commit.
  const base::Time ended = net::read_clock();
  if (!server->on_primary()) {
    read_host_ = static_cast<int>(server->pool().host);
    host_as_of_ = ended;
    host_lsn_ = 0;  // what comes now is of this read
    return;
  }
  as_of_ = ended;
  as_of_lsn_ = 0;   // what comes now is of this
  read_host_ = -1;  // the primary shows all that a replica did
  if (wrote) on_primary_since_ = {};
  pools_->cluster->monitor.sample_soon(ClusterMonitor::Urgency::kCommit);
}

// A statement that is more than plain was among those that have ended.
void Client::on_tracked_end(char status) {
  transaction_.on_ready(status);
  if (transaction_.has_committed()) {
    const std::uint64_t before = settings_.hash();
    for (const auto& change : transaction_.take_committed()) {
      if (note_listening(change)) continue;
      session::apply(change, base_, settings_);
      session::apply(change, {}, server->settings);
      if (change.name == "application_name" && change.value) {
        application_name_ = *change.value;
        group = pools_->group_of(application_name_);
      }
      if (change.name == "datestyle" && change.kind == session::Change::Kind::kSet)
        note_datestyle();
    }
    if (settings_.hash() != before) {
      own_ = session::own_settings(settings_);
      rules_of_ = 0;
    }
  }
  if (server->exchange.empty()) {
    in_flight_plain_ = true;
    if (status == 'I') tracking_ = false;
  }
  // In front of what comes next in the block: RESET leads back to what the session began with.
  if (status != 'T' || server->exchange.batch_open()) return;
  const std::string sql = transaction_.restore(base_);
  if (!sql.empty()) server->inject_query(sql, kNoteReset);
}

// SET datestyle may name only one of its two parts: the other one stays.
void Client::note_datestyle() {
  const auto at =
      std::ranges::find(server->parameters, "DateStyle", &ServerParameters::value_type::first);
  if (at == server->parameters.end()) return;
  const std::string value = session::quote_value(at->second);
  settings_.set("datestyle", value);
  server->settings.set("datestyle", value);
}

void Client::on_probe_row(protocol::Bytes body) {
  const auto row = protocol::decode_data_row(body);
  if (!row) return;
  if (row->size() == 2) {
    const std::string_view name = (*row)[0].value_or(""), value = (*row)[1].value_or("");
    if (!(*row)[1]) return settings_.erase(name);  // a library was loaded, which knows none of it
    // What another session has set here once is empty for ever: for most, it is not there.
    const std::string* known = settings_.find(name);
    const bool valueless = known == nullptr || *known == session::kNamedOnly;
    if (session::is_custom(name) && value.empty() && valueless) return;
    if (called_.contains(name)) unnamed_setting_ = false;
    if (name == "role" && value == kNoRole) return;
    if (name == "session_authorization" && value == pools_->server_user) return;
    probed_.set(name, session::quote_value(value));
    return;
  }
  if (row->size() != std::size(kProbed)) return;
  for (std::size_t i = 0; i < row->size(); ++i) {
    if ((*row)[i] != "t") {
      pins.remove(kProbed[i]);
      continue;
    }
    pins.add(kProbed[i], worker_.loop().now(), opaque_by_);
    server->dirty = true;
  }
}

void Client::on_position(protocol::Bytes body) {
  const auto position = protocol::decode_only_value(body);
  if (!position_valid_ || !position) return;
  (server->on_primary() ? as_of_lsn_ : host_lsn_) = protocol::parse_lsn(*position).value_or(0);
}

// The session has the settings that its server has now. Of custom ones it keeps what it knows.
void Client::on_probe_ended() {
  if (!server->probing) return;  // it failed
  server->probing = false;
  if (std::exchange(unnamed_setting_, false)) {
    pins.add(sql::kUnnamedSetting, worker_.loop().now(), opaque_by_);
    server->dirty = true;
  }
  called_.clear();
  opaque_by_ = {};
  for (const auto& [name, value] : settings_.entries()) {
    if (session::is_custom(name) && probed_.find(name) == nullptr) probed_.set(name, value);
  }
  server->settings = probed_;
  settings_ = std::exchange(probed_, {});
  // What is the server's default there was RESET, for this session to what it began with.
  for (const auto& [name, value] : base_.entries()) {
    if (name != "role" && settings_.find(name) == nullptr) settings_.set(name, value);
  }
  own_ = session::own_settings(settings_);
  rules_of_ = 0;
}

// What was left is not known: it stays where it is.
void Client::on_probe_failed() {
  unnamed_setting_ = false;
  probed_ = {};
  pins.add(sql::kOpaque, worker_.loop().now(), std::exchange(opaque_by_, {}));
}

// pg_settings does not show what no library has defined: that is asked for by name.
std::string Client::probe() {
  std::set<std::string, std::less<>> custom = std::exchange(custom_, {});
  if (unnamed_setting_) called_ = custom;
  for (const auto& [name, value] : settings_.entries()) {
    if (session::is_custom(name)) custom.insert(name);
  }
  if (const sql::CatalogPtr known = pools_->last_catalog()) {
    custom.insert(known->custom_settings().begin(), known->custom_settings().end());
  }
  std::string sql = kProbe;
  if (custom.empty()) return sql;
  sql += ";SELECT name, pg_catalog.current_setting(name, true) FROM pg_catalog.unnest(ARRAY[";
  const char* separator = "";
  for (const std::string& name : custom) {
    sql += std::exchange(separator, ",") + sql::quote_literal(name);
  }
  return sql + "]) AS name";
}

// The server owes nothing and is in no transaction.
void Client::on_releasable() {
  if (state_ == State::kClosing || state_ == State::kClosed || server == nullptr) return;
  if (opaque_ || (recheck_ && !pins.empty())) {
    server->settings_unknown = server->settings_unknown || opaque_;
    server->had_temp = server->had_temp || opaque_;
    opaque_ = recheck_ = false;
    server->probing = true;
    in_flight_plain_ = false;  // what it finds counts for the next request
    server->inject_query(probe(), kNoteProbe);
    server->push();
    return;
  }
  in_flight_plain_ = true;
  note_answered();
  Server* const used = server;
  if (part_from_server()) {
    worker_.on_server_cleaned(*used);
  } else if (used->has_followers()) {
    return used->close("one of those who share it must keep it");
  } else {
    server->dirty = true;
    set_state(State::kIdle);
    send_settings();  // it may have RESET there what it began with
    server->push();
  }
  tell_if_idle();  // what came while only we asked something
  if (!in_.empty() || held_) worker_.run_soon(*this);
}

void Client::on_flushed() {
  if (held_) worker_.run_soon(*this);
}

bool Client::part_from_server() {
  if (opaque_ || !pins.empty() || pools_->mode == config::PoolMode::kSession) return false;
  server->client = nullptr;
  server->set_active(false);
  server = nullptr;
  set_state(State::kIdle);
  return true;
}

std::uint64_t Client::waited_us(base::Time now) const {
  if (state_ != State::kWaiting && state_ != State::kWelcome) return 0;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, base::to_us(now - request_since_)));
}

Client::Wait Client::wait() const {
  if (state_ == State::kLookup) return {.what = "the look-up of its password", .since = since_};
  if (state_ != State::kWaiting && state_ != State::kWelcome) return {};
  Wait wait{.since = request_since_};
  if (shares()) {
    wait.host = shares_->pool().target().name;
    wait.what = "its turn on a server connection that is shared";
    return wait;
  }
  if (waiting()) {
    for (const auto& pool : pools_->made()) {
      if (!pool || &pool->pool != waiting_in()) continue;
      wait.host = pool->target().name;
      wait.what = pool->pool.opening_count() != 0 ? "a server connection that is being opened"
                                                  : "a server connection that comes free";
    }
    return wait;
  }
  wait.what = worker_.is_paused(database_)      ? "RESUME"
              : counted_held_                   ? awaited_primary(pools_->snapshot())
              : awaiting_since_ != base::Time{} ? "a replica that is known to be fresh enough"
              : !again_.empty()                 ? "its turn to run again"
                                                : "another try of a host that has failed";
  return wait;
}

ConnectionRow Client::row(base::Time now) const {
  ConnectionRow row;
  row.id = id;
  row.user = user_;
  row.database = database_;
  if (pools_ != nullptr) row.replication = pools_->replication();
  row.state = state_name();
  row.addr = peer.text();
  row.port = peer.port();
  const auto local = net::local_address(stream_.fd());
  row.local_addr = local.text();
  row.local_port = local.port();
  row.tls = stream_.is_tls() ? net::tls_description(stream_.ssl()) : "";
  row.application_name = application_name_;
  row.connect_time = connected_at;
  row.request_time = wall_time(request_time_, now);
  row.wait_us = waited_us(now);
  Wait waits = wait();
  row.wait_for = waits.what;
  row.wait_host = std::move(waits.host);
  if (waits.what != nullptr) {
    row.waits_us =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, base::to_us(now - waits.since)));
  }
  row.link = server != nullptr ? server->id : 0;
  row.host = server != nullptr ? server->pool().target().name : "";
  row.remote_pid = worker_.cancel_pid(*this);
  row.prepared_statements = static_cast<std::uint32_t>(statements_.size());
  row.worker = worker_.index();
  row.pins = pins.list();
  row.memory = sizeof *this + buffered() + settings_.bytes() + base_.bytes() + statements_.bytes();
  return row;
}

// PgBouncer's words, as its SHOW CLIENTS has them.
const char* Client::state_name() const {
  switch (state_) {
    case State::kStartup:
    case State::kTlsHandshake:
    case State::kLookup:
    case State::kPassword:
    case State::kWelcome:
      return "login";
    case State::kWaiting:
      return "waiting";
    case State::kIdle:
      return server != nullptr ? "active" : "idle";
    case State::kActive:
    case State::kReplicating:
    case State::kConsole:
      return "active";
    case State::kClosing:
    case State::kClosed:
      return "closing";
  }
  return "";
}

}  // namespace proxy
