// Client: weir.lsn, a position in the WAL at which all is visible that the session has committed or
// seen. Whoever is told it can ask for it elsewhere, with weir.min_lsn.
#include <string>
#include <string_view>
#include <utility>

#include "protocol/backend.h"
#include "proxy/client.h"
#include "proxy/server.h"

namespace proxy {
namespace {

// Not the position up to which WAL was written: with synchronous_commit = off a commit is later.
constexpr const char* kReported = "SELECT pg_catalog.pg_current_wal_insert_lsn()";
constexpr const char* kShown =
    "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
    " ELSE pg_catalog.pg_current_wal_insert_lsn() END)::pg_catalog.text AS \"weir.lsn\"";

}  // namespace

// In place of SHOW weir.lsn; routed_access() has seen to it that it is asked where all of it is.
std::string_view Client::lsn_query() { return kShown; }

// Whether this ReadyForQuery waits for what the session has to be told of its commit. Of several
// that are pipelined only the last one's does: it covers all.
bool Client::reports_commit() {
  const bool ended = server->exchange.status() == 'I';
  report_due_ = own_.report_lsn && (report_due_ || (ended && wrote_)) && server->may_write();
  hear_due_ = listening_ != nullptr && server->listeners == nullptr &&
              (hear_due_ || (ended && (wrote_ || unlistens_)));
  if (ended) unlistens_ = false;
  return (report_due_ || hear_due_) && ended && server->exchange.empty();
}

void Client::report_commit() {
  owes_ready_ = true;
  reported_lsn_.reset();
  if (!std::exchange(report_due_, false)) return end_report();
  reported_lsn_.emplace();
  server->inject_query(kReported, kNoteReport);
  server->push();
}

void Client::on_reported(protocol::Bytes body) {
  if (const auto position = protocol::decode_only_value(body)) *reported_lsn_ = *position;
}

// The position has come, or will not.
void Client::end_report() {
  if (!owes_ready_ || hearing_) return;
  if (!std::exchange(hear_due_, false) || listening_ == nullptr) return finish_report();
  hearing_ = true;
  listening_->ask(*this);
}

// The commit is in any case what the client was told. "" says that its position is not known: an
// earlier one would not cover it.
void Client::finish_report() {
  owes_ready_ = false;
  own_pid_ = 0;
  if (reported_lsn_) {
    protocol::write_parameter_status(made(), session::kLsnSetting, *reported_lsn_);
  }
  tell_unheard();
  for (const std::string& channel : std::exchange(unlistened_, {})) unlisten(channel);
  protocol::write_ready_for_query(made(), 'I');
}

}  // namespace proxy
