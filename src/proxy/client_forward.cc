// Client: messages on their way to the server, renamed and completed where they must be.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "sql/custom_settings.h"
#include "sql/lexer.h"

namespace proxy {
namespace {

using session::Expect;
using session::Fate;

// To ask a replica for its position is worth it for a hundredth of the reads.
constexpr std::uint32_t kManyReads = 128;
constexpr base::milliseconds kShortStay{10};

std::uint16_t forbidden_residue(const config::Pinning& pinning) {
  unsigned forbidden = 0;
  if (!pinning.temporary_objects) forbidden |= sql::kTempObject;
  if (!pinning.advisory_locks) forbidden |= sql::kAdvisoryLock;
  if (!pinning.hold_cursors) forbidden |= sql::kHoldCursor;
  if (!pinning.listen) forbidden |= sql::kListening;
  if (!pinning.prepared_statements) forbidden |= sql::kSqlPrepared;
  if (!pinning.sequence_state) forbidden |= sql::kSequenceAsk;
  if (!pinning.random_seed) forbidden |= sql::kRandomSeed;
  if (!pinning.libraries) forbidden |= sql::kLoadedLibrary;
  if (!pinning.backend_pid) forbidden |= sql::kBackendPid;
  return static_cast<std::uint16_t>(forbidden);
}

// What may be prepared in a transaction that has failed.
bool ends_transaction(const sql::Analysis& analysis) {
  const auto* single = analysis.single();
  if (single == nullptr) return false;
  return single->verb == sql::Verb::kCommit || single->verb == sql::Verb::kRollback ||
         single->verb == sql::Verb::kRollbackTo || single->verb == sql::Verb::kPrepareTransaction;
}

bool is_ours(std::string_view statement) { return statement.starts_with("weir_"); }

}  // namespace

std::size_t Client::send_gathered(protocol::Bytes in) {
  const std::size_t bytes = gathered_.bytes;
  note_access(gathered_.access, gathered_.may_advance);
  note_begin();
  may_write_ = (gathered_.access == sql::Access::kWrite || status_ == 'T') && server->may_write();
  position_valid_ = false;
  const bool may_share =
      server->pool().pool.sizes().depth > 1 && server->exchange.empty() && is_single_read();
  const bool ask = !shares() && read_fresh_ && gathered_.plain && !gathered_.large &&
                   !gathered_.flush && status_ == 'I' && wants_position();
  force_forward_ = gathered_.large;
  prepares_only_ = gathered_.flush && !gathered_.runs;
  prepares_listen_ = prepares_only_ && gathered_.only_listens();
  if (!gathered_.plain) in_flight_plain_ = false;
  if (can_be_rerun()) {
    server->rerun.sent(in.first(bytes), rerun_kind());
  } else {
    server->rerun.sent_other();
  }
  std::size_t used = 0;
  while (used < bytes && is_open() && server != nullptr) {
    protocol::Frame frame;
    CHECK(protocol::read_frame(in.first(bytes).subspan(used), worker_.config().limits.message_bytes,
                               frame) == protocol::HeaderStatus::kOk);
    note_sent(frame.type);
    forward_frame(frame);
    used += frame.raw.size();
  }
  if (!again_.empty()) used = bytes;  // the server broke: all of it is kept there
  gathered_ = {};
  misrouted_ = false;
  if (shares() || server == nullptr) return used;
  server->is_shareable = may_share && in_flight_plain_ && server->rerun.only_reads();
  if (pools_->cluster->config.routing.hedge_reads) note_late();
  if (ask && is_open() && server != nullptr) ask_position();
  // A large request may have nothing whole in front: go on with its first piece.
  if (used == 0 && force_forward_ && is_open() && server != nullptr) return forward(in);
  return used;
}

// Whether its host's position would let its next read go elsewhere.
bool Client::wants_position() const {
  const auto now = worker_.loop().now();
  if (server->on_primary()) {
    return on_primary_since_ != base::Time{} && !wrote_ && now - position_asked_ >= kShortStay;
  }
  if (kept_reads_ >= kManyReads && now - position_asked_ >= kShortStay) return true;
  return now - std::max(kept_since_, position_asked_) >= route::Balancer::kStay;
}

// So that the next read may go to any replica that is as far.
void Client::ask_position() {
  server->inject_query(!server->on_primary() ? "SELECT pg_catalog.pg_last_wal_replay_lsn()"
                       : pools_->cluster->monitor.async_commits()
                           ? "SELECT pg_catalog.pg_current_wal_insert_lsn()"
                           : "SELECT pg_catalog.pg_current_wal_lsn()",
                       kNotePosition);
  position_asked_ = worker_.loop().now();
  kept_reads_ = 0;
  position_valid_ = true;
}

// One message, or a piece of a large one.
std::size_t Client::forward(protocol::Bytes in) {
  const std::size_t max_body = worker_.config().limits.message_bytes;
  protocol::Header header;
  const auto status = protocol::read_header(in, max_body, header);
  if (status == protocol::HeaderStatus::kNeedMore) return 0;
  if (status == protocol::HeaderStatus::kBad) return bad_length(in);
  if (!protocol::is_frontend_type(header.type) || header.type == protocol::frontend::kPassword) {
    return bad_message(header.type);
  }
  if (header.type == protocol::frontend::kTerminate) return on_terminate();
  note_sent(header.type);
  if (header.total > in.size()) return forward_large(in, header);
  protocol::Frame frame;
  protocol::read_frame(in, max_body, frame);
  force_forward_ = false;
  may_write_ = server->may_write();
  forward_frame(frame);
  return frame.raw.size();
}

// Enters the ledger. False: the server will skip the message, so it is not sent.
bool Client::expect(session::Entry&& entry) {
  entry.counted = meter_.sending;
  const bool prepares = entry.what == Expect::kParse || entry.what == Expect::kBind ||
                        entry.what == Expect::kDescribe || entry.what == Expect::kClose ||
                        entry.what == Expect::kSync;
  entry.may_write = may_write_ && !prepares;
  server->asked_to_write = server->asked_to_write || may_write_;
  discard_message_ = !server->exchange.expect(std::move(entry));
  return !discard_message_;
}

// The server itself must fail, so that what came before in the batch or transaction is undone.
void Client::expect_failure(Expect what, std::uint32_t note) {
  if (what != Expect::kBind) server->unnamed_statement = 0;
  if (!expect({.what = what, .note = note})) return;
  if (what == Expect::kParse) {
    protocol::write_parse(server->made(), "", "no statement", {});
  } else if (what == Expect::kBind) {
    protocol::write_bind(server->made(), "", "weir_", {});  // which nobody has
  } else {
    protocol::write_query(server->made(), "no statement");
  }
}

void Client::forward_frame(const protocol::Frame& frame) {
  switch (frame.type) {
    case protocol::frontend::kQuery:
      return forward_query(frame);
    case protocol::frontend::kParse:
      return forward_parse(frame);
    case protocol::frontend::kBind:
      return forward_bind(frame);
    case protocol::frontend::kDescribe:
    case protocol::frontend::kClose:
      return forward_named(frame);
    case protocol::frontend::kExecute:
      return forward_execute(frame);
    case protocol::frontend::kSync: {
      const bool unsettled = server->exchange.uncertain() && server->exchange.empty();
      expect({.what = Expect::kSync});
      server->relay(frame.raw);
      if (unsettled) server->inject_query("", kNoteReset);
      return;
    }
    case protocol::frontend::kFlush:
    case protocol::frontend::kCopyData:
      server->relay(frame.raw);
      return;
    case protocol::frontend::kCopyDone:
    case protocol::frontend::kCopyFail:
      if (expect({.what = Expect::kCopyEnd})) server->relay(frame.raw);
      return;
    case protocol::frontend::kFunctionCall:
      if (refuse_stale_unread()) return;
      note_unread_statement();
      note_opaque(protocol::as_text(frame.body));
      if (expect({.what = Expect::kFunctionCall})) server->relay(frame.raw);
      return;
  }
}

// What the server must be made to know of the session, or to forget of others, before it is asked.
// False: it cannot be.
bool Client::note_asked(const sql::Analysis& analysis) {
  if ((analysis.residue & sql::kChannelsAsk) != 0) note_channels_asked();
  return (analysis.residue & sql::kSequenceAsk) == 0 || note_sequence_asked();
}

void Client::forward_query(const protocol::Frame& frame) {
  meter_.sending = 0;
  // The request's own analysis, when it was gathered; in a transaction it is made here.
  sql::AnalysisPtr analysis = gathered_.analysis;
  if (!analysis) {
    analysis = analyze(protocol::decode_query(frame.body).value_or(""));
  }
  if (sets_bad_value(*analysis)) return expect_failure(Expect::kQuery, kNoteBadValue);
  if (may_not_pin(*analysis)) return expect_failure(Expect::kQuery, kNoteNoPin);
  if (may_be_stale(*analysis)) return expect_failure(Expect::kQuery, kNoteStale);
  if (!note_asked(*analysis)) return expect_failure(Expect::kQuery, kNoteSequence);
  note_statement(*analysis);
  if (opaque_) note_opaque(protocol::as_text(frame.body));
  count_as(*analysis, protocol::as_text(frame.body));
  note_routed(*analysis);
  note_sent_statement(protocol::as_text(frame.body), nullptr);
  note_ends(*analysis);
  const auto renamed =
      analysis->plain ? std::nullopt
                      : renamed_sql(protocol::decode_query(frame.body).value_or(""), *analysis);
  drop_unnamed();
  const bool single = analysis->parsed && analysis->single() != nullptr;
  if (!expect({.what = Expect::kQuery,
               .analysis = is_tracked(*analysis) ? std::move(analysis) : nullptr,
               .single = single})) {
    return;
  }
  if (renamed) {
    protocol::write_query(server->made(), *renamed);
  } else {
    server->relay(frame.raw);
  }
}

// Whether what becomes of it matters to the session.
bool Client::is_tracked(const sql::Analysis& analysis) const {
  return !analysis.plain || !pins.empty() ||
         (pools_->asks_sequences() && analysis.access == sql::Access::kWrite);
}

bool Client::sets_bad_value(const sql::Analysis& analysis) {
  if (analysis.plain) return false;
  for (const auto& statement : analysis.statements) {
    for (const auto& set : statement.sets) {
      if (!session::is_own(set.name) || !set.value) continue;
      if (session::OwnSettings{}.set(set.name, *set.value)) continue;
      bad_setting_ = set.name;
      return true;
    }
  }
  return false;
}

bool Client::may_not_pin(const sql::Analysis& analysis) {
  if (analysis.residue == sql::kNoResidue || pools_->mode == config::PoolMode::kSession) {
    return false;
  }
  forbidden_pin_ = analysis.residue & forbidden_residue(worker_.config().pinning);
  return forbidden_pin_ != 0;
}

// A simple query ends the unnamed statement.
void Client::drop_unnamed() {
  statements_.erase("");
  server->unnamed_statement = 0;
}

// A replica refuses what would write: nothing of ours is newer on the primary for it.
void Client::note_access(sql::Access access, bool may_advance) {
  if (access == sql::Access::kNone) return;
  read_fresh_ = read_fresh_ || consistency() != config::Consistency::kEventual;
  if (access != sql::Access::kWrite || !server->on_primary()) return;
  wrote_ = true;
  if (server->listeners != nullptr) return;
  server->last_notifier = id;
  if (listening_ != nullptr) own_pid_ = server->backend_pid;
  if (may_advance) note_writer();
}

void Client::note_writer() {
  if (!server->on_primary() || server->listeners != nullptr) return;
  if (wrote_on_ != server->id || server->last_writer != id) keep_sequences();
}

// What is remembered at once of any statement on its way, before it is known to succeed.
void Client::note_statement(const sql::Analysis& analysis) {
  note_access(analysis.access, analysis.may_advance);
  if (!analysis.plain) {
    tracking_ = true;
    in_flight_plain_ = false;
    for (const auto& statement : analysis.statements) {
      for (const auto& set : statement.sets) {
        if (set.name == "synchronous_commit") note_commit_mode(set.value.value_or(""));
      }
    }
  }
  // A library that is loaded takes settings away that begin with its name.
  constexpr unsigned kUnknown = sql::kOpaque | sql::kUnreadable | sql::kLoadedLibrary;
  if ((analysis.residue & kUnknown) == 0) return;
  opaque_ = true;
  const auto by = std::ranges::find_if(
      analysis.statements, [](const sql::Statement& s) { return (s.residue & kUnknown) != 0; });
  opaque_by_ = by == analysis.statements.end() ? analysis.why : shown(*by, analysis);
}

// What nobody sees may be named here.
void Client::note_opaque(std::string_view text) {
  sql::add_custom_settings(text, sql::NamedIn::kValues, sql::Catalog::kCustomSettingsMax, custom_);
}

void Client::note_unread_statement() {
  note_access(sql::Access::kWrite, /*may_advance=*/true);
  tracking_ = opaque_ = true;
  opaque_by_ = "not read by the proxy";
  in_flight_plain_ = false;
}

// Names of statements are the session's, whether SQL or the protocol gave them. The text of SQL
// that names one of the protocol's, with our name for it, which is prepared then.
std::optional<std::string> Client::renamed_sql(std::string_view text,
                                               const sql::Analysis& analysis) {
  if (&analysis == worker_.explain_analysis().get()) return explanation(text);
  const auto* single = analysis.single();
  // In a transaction that has failed it fails whatever it names.
  if (single == nullptr || server->exchange.skipping() || status_ == 'E') return std::nullopt;
  if (asks_lsn(*single)) return std::string(lsn_query());
  if (single->verb == sql::Verb::kShow) return session::own_query(single->name);
  if (!names_prepared(*single)) return std::nullopt;
  const session::StatementPtr* known = statements_.find(single->name);
  if (single->name.empty() || known == nullptr) return std::nullopt;
  const session::StatementPtr statement = *known;
  last_named_ = single->name;
  auto renamed = sql::rename_prepared(text, statement->server_name);
  if (renamed) ensure_prepared(*statement);
  return renamed;
}

void Client::forward_parse(const protocol::Frame& frame) {
  if (server->exchange.skipping()) return;
  auto parse = protocol::decode_parse(frame.body);
  if (!parse) {  // let the server say so
    if (expect({.what = Expect::kParse})) server->relay(frame.raw);
    return;
  }
  ++pools_->stats.client_parse_count;
  meter_.sending = 0;
  const auto analysis = analyze(parse->query);
  if (sets_bad_value(*analysis)) return expect_failure(Expect::kParse, kNoteBadValue);
  if (may_not_pin(*analysis)) return expect_failure(Expect::kParse, kNoteNoPin);
  if (!note_asked(*analysis)) return expect_failure(Expect::kParse, kNoteSequence);
  if (analysis->may_advance) note_writer();
  count_as(*analysis, parse->query);
  if (status_ == 'E' && !parse->statement.empty() && !ends_transaction(*analysis)) {
    // Nothing is made up here: that the transaction has failed is the server's to say.
    expect({.what = Expect::kParse});
    server->unnamed_statement = 0;
    protocol::write_parse(server->made(), "", parse->query, parse->types);
    return;
  }
  const auto renamed = analysis->plain ? std::nullopt : renamed_sql(parse->query, *analysis);
  if (renamed) parse->query = *renamed;
  const auto statement =
      worker_.statements().intern(pools_->catalog_feed.get(), parse->query, parse->types, analysis);
  if (parse->statement.empty()) {
    ++pools_->stats.server_parse_count;
    put_unnamed(statement);
    server->unnamed_statement = statement->id;
    expect({.what = Expect::kParse, .statement = statement->id, .note = kNoteUnnamed});
    if (renamed) {
      protocol::write_parse(server->made(), "", parse->query, parse->types);
    } else {
      server->relay(frame.raw);
    }
    return;
  }
  if (has_sql_prepared(parse->statement)) {  // the server says so
    expect({.what = Expect::kParse});
    server->relay(frame.raw);
    return;
  }
  if (statements_.bytes() + frame.raw.size() > worker_.config().limits.client_prepared_bytes) {
    return expect_failure(Expect::kParse, kNoteTooMuch);
  }
  if (const auto* known = statements_.find(parse->statement)) {
    // As in expect_failure().
    const session::StatementPtr existing = *known;
    last_named_.assign(parse->statement);
    ensure_prepared(*existing);
    expect({.what = Expect::kParse});
    protocol::write_parse(server->made(), existing->server_name, parse->query, parse->types);
    return;
  }
  statements_.put(parse->statement, statement);
  pending_parses_.emplace_back(statement->id, parse->statement);
  if (server->statements.touch(statement->id)) {
    expect({.what = Expect::kParse, .fate = Fate::kMakeUp, .statement = statement->id});
    return;
  }
  make_room(*statement);
  ++pools_->stats.server_parse_count;
  expect({.what = Expect::kParse, .statement = statement->id});
  protocol::write_parse(server->made(), statement->server_name, parse->query, parse->types);
}

void Client::put_unnamed(const session::StatementPtr& statement) {
  // The first message of a batch is not skipped.
  if (server->exchange.batch_open() && !server->exchange.empty()) {
    const session::StatementPtr* before = statements_.find("");
    pending_unnamed_.emplace_back(statement->id, before == nullptr ? nullptr : *before);
  }
  statements_.put("", statement);
}

// Notes that the server has the statement from now on, and closes the one that must go for it.
void Client::make_room(const session::PreparedStatement& statement) {
  const std::uint64_t evicted = server->statements.insert(statement.id);
  if (evicted == 0) return;
  expect({.what = Expect::kClose, .fate = Fate::kSwallow, .statement = evicted});
  protocol::write_close(server->made(), 'S', "weir_" + std::to_string(evicted));
}

void Client::ensure_prepared(const session::PreparedStatement& statement) {
  if (server->statements.touch(statement.id)) return;
  tracking_ = true;
  in_flight_plain_ = false;  // what comes behind it must know whether it has failed
  make_room(statement);
  ++pools_->stats.server_parse_count;
  expect({.what = Expect::kParse, .fate = Fate::kSwallow, .statement = statement.id});
  protocol::write_parse(server->made(), statement.server_name, statement.query,
                        protocol::as_bytes(statement.types));
}

// The name by which the server knows the client's statement, once it is prepared there. Unknown
// names are passed on, and the server says that they are.
std::string_view Client::server_name_of(std::string_view statement,
                                        const session::StatementPtr* known) {
  if (!statement.empty()) last_named_.assign(statement);
  if (known == nullptr) {
    if (!statement.empty()) return is_ours(statement) ? "weir_" : statement;
    // Not another client's, which the server may still have.
    expect({.what = Expect::kClose, .fate = Fate::kSwallow});
    protocol::write_close(server->made(), 'S', "");
    server->unnamed_statement = 0;
    return "";
  }
  if (!statement.empty()) {
    ensure_prepared(**known);
    return (*known)->server_name;
  }
  if (server->unnamed_statement != (*known)->id) {
    if (!(*known)->kept) {
      statements_.erase("");
      return server_name_of("", nullptr);
    }
    ++pools_->stats.server_parse_count;
    expect({.what = Expect::kParse,
            .fate = Fate::kSwallow,
            .statement = (*known)->id,
            .note = kNoteUnnamed});
    protocol::write_parse(server->made(), "", (*known)->query, protocol::as_bytes((*known)->types));
    server->unnamed_statement = (*known)->id;
  }
  return "";
}

bool Client::has_sql_prepared(std::string_view name) const {
  return std::ranges::find(sql_prepared_, name) != sql_prepared_.end();
}

void Client::note_portal(std::string_view portal, const session::StatementPtr* known) {
  ++pools_->stats.bind_count;
  meter_.sending = 0;
  if (!portals_.empty()) {
    std::erase_if(portals_, [&](const auto& entry) { return entry.first == portal; });
  }
  if (known == nullptr) return;
  const sql::AnalysisPtr& analysis = analysis_of(**known);
  count_as(*analysis, (*known)->query);
  if (!portal.empty()) meter_.note_portal(portal);
  note_routed(*analysis);
  if (is_tracked(*analysis)) {
    portals_.emplace_back(portal, analysis);
    in_flight_plain_ = in_flight_plain_ && analysis->plain;
  }
  note_access(analysis->access, analysis->may_advance);
}

void Client::forward_bind(const protocol::Frame& frame) {
  if (server->exchange.skipping()) return;
  const auto bind = protocol::decode_bind(frame.body);
  if (!bind) {
    if (expect({.what = Expect::kBind})) server->relay(frame.raw);
    return;
  }
  const session::StatementPtr* known = statements_.find(bind->statement);
  if (known != nullptr && may_be_stale(*analysis_of(**known))) {
    return expect_failure(Expect::kBind, kNoteStale);
  }
  if (known != nullptr && !note_asked(*analysis_of(**known))) {
    return expect_failure(Expect::kBind, kNoteSequence);
  }
  note_portal(bind->portal, known);
  if (known != nullptr && ((*known)->analysis->residue & sql::kOpaque) != 0) {
    note_opaque((*known)->query);
    note_opaque(protocol::as_text(bind->rest));
  }
  note_sent_statement(known != nullptr ? (*known)->query : std::string_view(), &bind->rest);
  const std::string_view name = server_name_of(bind->statement, known);
  expect({.what = Expect::kBind});
  if (name == bind->statement) {
    server->relay(frame.raw);
  } else {
    protocol::write_bind(server->made(), bind->portal, name, bind->rest);
  }
}

void Client::forward_named(const protocol::Frame& frame) {
  if (server->exchange.skipping()) return;
  const bool close_it = frame.type == protocol::frontend::kClose;
  const auto what = close_it ? Expect::kClose : Expect::kDescribe;
  const auto named = protocol::decode_describe(frame.body);
  if (!named || named->kind != 'S') {
    const bool described = named && !close_it && !portals_.empty();
    auto analysis = described ? find_portal(named->name) : nullptr;
    if (expect({.what = what, .analysis = std::move(analysis)})) server->relay(frame.raw);
    return;
  }
  if (close_it) {
    // The server keeps it, for others; the client has it no more. Closing what is not there is
    // no error.
    if (named->name.empty()) server->unnamed_statement = 0;
    statements_.erase(named->name);
    if (std::erase(sql_prepared_, named->name) != 0) {
      recheck_ = tracking_ = true;
    } else if (!named->name.empty()) {
      expect({.what = what, .fate = Fate::kMakeUp});
      return;
    }
    expect({.what = what});
    server->relay(frame.raw);
    return;
  }
  const std::string_view name = server_name_of(named->name, statements_.find(named->name));
  expect({.what = what});
  if (name == named->name) {
    server->relay(frame.raw);
  } else {
    protocol::write_describe(server->made(), 'S', name);
  }
}

void Client::forward_execute(const protocol::Frame& frame) {
  if (server->exchange.skipping()) return;
  sql::AnalysisPtr analysis;
  if (!portals_.empty() || meter_.has_portals()) {
    if (const auto execute = protocol::decode_execute(frame.body)) {
      meter_.use_portal(execute->portal);
      analysis = find_portal(execute->portal);
    }
  }
  if (analysis) {
    note_statement(*analysis);
    note_ends(*analysis);
  }
  if (expect({.what = Expect::kExecute, .analysis = std::move(analysis)})) {
    server->relay(frame.raw);
  }
}

}  // namespace proxy
