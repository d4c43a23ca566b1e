// Server: what it sends during a lease, and while it is idle.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "protocol/frame.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

// Messages up to this size are looked at when they are whole; larger ones pass in pieces, and of
// those only the type counts. What must be understood (ReadyForQuery, tags) is far smaller.
constexpr std::size_t kWholeUpTo = 16u << 10;

bool passes_in_pieces(char type) {
  return type == protocol::backend::kDataRow || type == protocol::backend::kCopyData;
}

bool is_injected(Note note) {
  return note == kNoteSettings || note == kNoteReset || note == kNoteProbe ||
         note == kNotePosition || note == kNoteBegin || note == kNoteReport || note == kNoteHeard;
}

constexpr char kInPieces = 0;  // in place of a type: the message is not whole

bool precedes_answer(char type) {
  switch (type) {
    case protocol::backend::kParseComplete:
    case protocol::backend::kBindComplete:
    case protocol::backend::kCloseComplete:
    case protocol::backend::kParameterDescription:
    case protocol::backend::kRowDescription:
    case protocol::backend::kNoData:
    case protocol::backend::kNotice:
      return true;
    default:
      return false;
  }
}

StatementMeter::Ended ended(const session::Entry& entry, char type) {
  if (entry.what == session::Expect::kQuery) return StatementMeter::Ended::kInQuery;
  return type == protocol::backend::kPortalSuspended ? StatementMeter::Ended::kSuspended
                                                     : StatementMeter::Ended::kExecute;
}

// "terminating connection due to immediate shutdown command" and the like: the end comes next.
bool announces_end(protocol::Bytes notice) {
  const auto view = protocol::decode_error(notice.subspan(protocol::kHeaderBytes));
  return view && (view->code == protocol::sqlstate::kAdminShutdown ||
                  view->code == protocol::sqlstate::kCrashShutdown);
}

// Not what the session itself has brought about: a broken protocol, idleness.
bool is_loss(std::string_view code) {
  return code == protocol::sqlstate::kAdminShutdown || code == protocol::sqlstate::kCrashShutdown ||
         code == protocol::sqlstate::kCannotConnectNow ||
         code == protocol::sqlstate::kSerializationFailure;  // in the way of a standby's replay
}

// pg_terminate_backend(pg_backend_pid()): whoever may ask for that gets what PostgreSQL says.
bool names_itself(const session::Exchange& exchange) {
  const sql::AnalysisPtr head = exchange.empty() ? nullptr : exchange.owed(0).analysis;
  return head && std::ranges::any_of(head->statements, [](const sql::Statement& statement) {
           return (statement.residue & sql::kBackendPid) != 0;
         });
}

// What a standby answers to what only the primary can do, and to a query that stood in the way of
// its replay.
bool is_standbys_refusal(std::string_view code) {
  return code == protocol::sqlstate::kReadOnlyTransaction ||
         code == protocol::sqlstate::kFeatureNotSupported ||
         code == protocol::sqlstate::kObjectNotInState ||
         code == protocol::sqlstate::kSerializationFailure ||
         code == protocol::sqlstate::kDeadlockDetected;
}

// Not of what was asked, but of the host: its disk, its files.
bool is_of_host(std::string_view code) {
  return code == protocol::sqlstate::kDiskFull || code == protocol::sqlstate::kIoError ||
         code == protocol::sqlstate::kDataCorrupted || code == protocol::sqlstate::kIndexCorrupted;
}

}  // namespace

std::size_t Server::on_session_bytes(protocol::Bytes in) {
  if (client != nullptr && client->state() == Client::State::kReplicating) {
    client->relay(in);
    client->push();
    return in.size();
  }
  std::size_t used = 0;
  const std::size_t max_body = worker_.config().limits.message_bytes;
  while (is_open() && used < in.size()) {
    const auto rest = in.subspan(used);
    if (stream_left_ != 0) {
      const auto piece = rest.first(std::min(stream_left_, rest.size()));
      if (stream_forward_ && client != nullptr) {
        client->relay(piece);
        answer_.bytes += piece.size();
      }
      stream_left_ -= piece.size();
      used += piece.size();
      continue;
    }
    protocol::Header header;
    const auto status = protocol::read_header(rest, max_body, header);
    if (status == protocol::HeaderStatus::kNeedMore) break;
    if (status == protocol::HeaderStatus::kBad || !protocol::is_backend_type(header.type)) {
      const bool long_one = protocol::is_backend_type(header.type) && header.total > max_body;
      close(long_one ? "server sent a message longer than limits.message_bytes"
                     : "server sent what is no message of the protocol");
      break;
    }
    const bool whole = rest.size() >= header.total;
    if (!whole && must_be_whole(header.type, header.total)) break;
    const auto raw = rest.first(std::min(header.total, rest.size()));
    if (!on_session_frame(header.type, raw, raw.subspan(protocol::kHeaderBytes), whole)) break;
    used += raw.size();
    stream_left_ = header.total - raw.size();
    if (has_followers() && stream_left_ == 0 && exchange.releasable()) pass_on();
  }
  if (!held_.empty()) keep_held();
  if (!is_open()) return used;
  if (client != nullptr) client->push();
  if (is_open() && exchange.lost()) {
    close("what the server owes cannot be known any more");
    return used;
  }
  // While it skips, only a Sync is sure to be read: that is the client's to send.
  if (is_open() && exchange.empty() && exchange.uncertain() && !exchange.skipping()) {
    inject_query("", kNoteReset);  // settles whether one more ReadyForQuery comes
    push();
  }
  // Only now: a client that is granted this server may write to it at once.
  if (is_open() && client != nullptr && exchange.releasable() && stream_left_ == 0) {
    client->on_releasable();
  } else if (is_open() && client != nullptr && exchange.empty() && exchange.batch_open()) {
    client->on_flushed();
  } else if (is_open() && client == nullptr && exchange.empty() &&
             pool_state() == pool::Server::State::kLeased) {
    // An idle server that only had something to say is in the pool already.
    worker_.on_server_cleaned(*this);
  }
  return used;
}

// Of what is read here: rows that were asked for by us, and what is short; of short rows the first,
// for half of one could not be taken back.
bool Server::must_be_whole(char type, std::size_t bytes) const {
  const bool may_pass = passes_in_pieces(type) && !rerun.undecided();
  return may_pass ? exchange.swallowing() : bytes <= kWholeUpTo || exchange.swallowing();
}

bool Server::on_session_frame(char type, protocol::Bytes raw, protocol::Bytes body, bool whole) {
  if (listeners != nullptr && type == protocol::backend::kNotification && whole) {
    stream_forward_ = false;
    listeners->deliver(body);
    return is_open();
  }
  if (client == nullptr && exchange.empty()) {
    stream_forward_ = false;
    on_idle_frame(type, body);
    return is_open();
  }
  if (rival != nullptr) on_race_frame(type);
  if (type == protocol::backend::kError && !on_error_frame(raw, body)) return false;
  if (exchange.made_up_next()) write_made_up();
  const session::Step step = exchange.on_server(type, body);
  if (step.unexpected) {
    close("server sent a message that nothing was asked for");
    return false;
  }
  stream_forward_ = step.forward;
  if (type == protocol::backend::kParameterStatus && whole) {
    if (const auto status = protocol::decode_parameter_status(body)) {
      set_parameter(parameters, status->name, status->value);
    }
  }
  on_step(step, type, raw, body, whole);
  if (is_open() && exchange.made_up_next()) write_made_up();
  return is_open();
}

// Who fails leaves the race: the other one may do better, or fails the same way and is heard.
void Server::on_race_frame(char type) {
  if (type == protocol::backend::kError) {
    worker_.leave_race(*this, Worker::Leaving::kPolitely);
  } else if (!exchange.swallowing() && !precedes_answer(type)) {
    client->on_race_won(*this);
  }
}

// False: it was the end of the connection.
bool Server::on_error_frame(protocol::Bytes raw, protocol::Bytes body) {
  if (ends_unheard(body) || ends_with(body)) return false;
  note_fatal(body);
  if (!exchange.empty()) return true;
  client->relay(raw);  // ended from outside while it held a transaction: the server says why
  client->push();
  close("ended by the server");
  return false;
}

// It is stopped, or killed: its client's session may go on.
bool Server::ends_with(protocol::Bytes error) {
  if (client == nullptr || client->replicates()) return false;
  const auto view = protocol::decode_error(error).value_or(protocol::ErrorView{});
  const bool fatal = view.severity == "FATAL" || view.severity == "PANIC";
  if (!fatal || !is_loss(view.code) || names_itself(exchange)) return false;
  last_code = view.code;
  close(std::string(view.message));
  return true;
}

// A backend's last words that concern nobody: behind its answer, or of a standby that is stopped
// with a read in flight, which runs again elsewhere. Once: an operator may have meant that read.
bool Server::ends_unheard(protocol::Bytes error) {
  if (client == nullptr || client->state() == Client::State::kWelcome) return false;
  if (!leave_answered_client()) {
    const auto view = protocol::decode_error(error).value_or(protocol::ErrorView{});
    if (view.severity != "FATAL" || view.code != protocol::sqlstate::kAdminShutdown ||
        on_primary() || !rerun.undecided() || !rerun.after_loss() || client->has_run_again()) {
      return false;
    }
    pool_.set.cluster->monitor.report_connect_failure(pool_.host, std::string(view.message),
                                                      cluster::Tracker::Met::kEnded);
  }
  close("ended by the server");
  return true;
}

// False: it still has a client, or none that could do without it.
bool Server::leave_answered_client() {
  if (client == nullptr || client->state() == Client::State::kWelcome || probing ||
      !exchange.client_answered()) {
    return false;
  }
  Client& answered = *client;
  if (!answered.part_from_server()) return false;
  answered.end_report();
  answered.tell_if_idle();
  answered.push();
  if (answered.is_open()) worker_.run_soon(answered);  // its input may have waited
  return true;
}

// Answers of ours whose turn it is.
void Server::write_made_up() {
  while (exchange.made_up_next()) {
    const auto entry = exchange.take_made_up();
    if (client == nullptr) continue;
    relay_held();
    client->write_made_up(*entry);
  }
}

void Server::on_step(const session::Step& step, char type, protocol::Bytes raw,
                     protocol::Bytes body, bool whole) {
  const session::Entry* entry = step.entry;
  const auto note = entry != nullptr ? static_cast<Note>(entry->note) : kNoNote;
  if (step.forward) {
    answer_.bytes += raw.size();
    if (type == protocol::backend::kDataRow) ++answer_.rows;
  }
  if (type == protocol::backend::kCopyIn && client == nullptr &&
      (exchange.in_copy_in() || exchange.copy_in_unsaid())) {
    return close("its client left before the COPY began");  // nobody will bring it to an end
  }
  const bool reports = step.ready && step.forward && client != nullptr && client->reports_commit();
  if (step.failed) {
    on_failure(step, note, raw, body, whole);
    if (!is_open()) return;
  } else if (reports) {
    relay_held();
  } else if (step.forward && client != nullptr) {
    if (step.ready && client->has_unheard() && exchange.status() == 'I') {
      relay_held();
      client->tell_unheard();
    }
    const bool done = type == protocol::backend::kNotification && whole && relay_notification(body);
    if (!done) relay_to_client(whole ? type : kInPieces, raw);
  }
  // Its data may be here already, held until now; or, behind a COPY whose Sync was ignored, the
  // rest of its batch.
  const bool copied = type == protocol::backend::kCommandComplete && exchange.empty();
  if ((type == protocol::backend::kCopyIn || copied) && client != nullptr) {
    worker_.run_soon(*client);
  }
  if (client != nullptr && entry != nullptr) {
    if (step.statement_index >= 0) {
      const auto tag = type == protocol::backend::kCommandComplete
                           ? protocol::decode_command_complete(body).value_or("")
                           : std::string_view{};
      if (step.forward) client->count_end(entry->counted, ended(*entry, type), tag);
      if (entry->analysis) {
        client->on_statement_ended(*entry->analysis, step.statement_index, tag);
      }
    }
    if (step.entry_done && !step.failed && entry->what == session::Expect::kParse &&
        entry->statement != 0 && entry->fate == session::Fate::kForward) {
      client->on_parse_ended(entry->statement, true);
    }
    if (note == kNoteProbe && type == protocol::backend::kDataRow) client->on_probe_row(body);
    if (note == kNotePosition && type == protocol::backend::kDataRow) client->on_position(body);
    if (note == kNoteReport && type == protocol::backend::kDataRow) client->on_reported(body);
  }
  if (step.ready && note == kNoteHeard && listeners != nullptr) listeners->on_asked();
  if (step.ready) {
    const bool forwarded = step.forward;
    if (client != nullptr && forwarded) client->on_ready_for_query(exchange.status());
    if (note == kNoteBegin && exchange.empty()) busy_since = {};
    if (client != nullptr && note == kNoteSettings) client->on_settings_applied();
    if (client != nullptr && note == kNoteProbe) client->on_probe_ended();
    if (forwarded) rerun.ended();
    if (client != nullptr && note == kNoteReport) client->end_report();
    if (exchange.empty()) rerun.clear();
    if (reports && client != nullptr) client->report_commit();
  }
}

void Server::on_failure(const session::Step& step, Note note, protocol::Bytes raw,
                        protocol::Bytes body, bool whole) {
  const session::Entry* entry = step.entry;
  const bool parse = entry != nullptr && entry->what == session::Expect::kParse;
  if (parse) on_dropped(*entry, false);
  for (const auto& dropped : exchange.dropped()) on_dropped(dropped, true);
  // A statement that we prepared in the client's name: its error is the client's.
  const bool hidden_parse = parse && entry->fate == session::Fate::kSwallow;
  if (client != nullptr && (step.forward || hidden_parse)) {
    if (run_again(body)) return;
    const auto instead = client->error_instead(note);
    stream_forward_ = false;
    if (instead) {
      relay_held();
      protocol::write_error(client->made(), *instead);
    } else if (!relay_renamed(body) && !relay_as_primary(body)) {
      relay_to_client(whole ? protocol::backend::kError : kInPieces, raw);
      stream_forward_ = true;
    }
    client->on_error();
    if (entry != nullptr) {
      const auto error = protocol::decode_error(body).value_or(protocol::ErrorView{});
      client->count_end(entry->counted, StatementMeter::Ended::kFailed, error.code);
      // Too late to run it again unseen.
      if (error.code == protocol::sqlstate::kReadOnlyTransaction && !on_primary() &&
          !client->in_read_only()) {
        client->note_refused(rerun.bytes());
      }
    }
  }
  if (is_injected(note)) on_hidden_failure(note, body);
}

bool Server::relay_renamed(protocol::Bytes error) {
  if (protocol::as_text(error).find("\"weir_") == std::string_view::npos) return false;
  relay_held();
  return client->write_renamed(error);
}

// COPY FROM in a READ ONLY transaction. All else that writes is refused with the same words there
// and on the primary.
bool Server::relay_as_primary(protocol::Bytes error) {
  if (on_primary() || !client->in_read_only()) return false;
  const auto view = protocol::decode_error(error);
  if (!view || view->message != "cannot execute COPY during recovery") return false;
  relay_held();
  client->write_reworded(error, "cannot execute COPY FROM in a read-only transaction");
  return true;
}

// True: it needs no more. The client knows itself by the pid that it was given at log-in, not by
// this connection's.
bool Server::relay_notification(protocol::Bytes body) {
  protocol::Reader in(body);
  const std::uint32_t sender = in.u32();
  const std::string_view channel = in.cstring();
  if (!in.ok()) return false;
  if (client->hears_elsewhere(channel)) return true;
  if (sender != backend_pid) return false;
  relay_held();
  protocol::MessageWriter out(client->made(), protocol::backend::kNotification);
  out.u32(worker_.cancel_pid(*client));
  out.bytes(body.subspan(sizeof(std::uint32_t)));
  return true;
}

// True when the client shall not hear of the error: its requests are on their way to where it will
// not happen.
bool Server::run_again(protocol::Bytes error) {
  const auto view = protocol::decode_error(error).value_or(protocol::ErrorView{});
  const bool of_host = is_of_host(view.code);
  failed_by_host = failed_by_host || of_host;
  if (!rerun.undecided()) return false;
  // Someone has changed what a statement answers since it was prepared here, perhaps by another
  // client: with a connection of its own, this one need not have known it.
  const bool stale = view.code == protocol::sqlstate::kFeatureNotSupported &&
                     view.routine == "RevalidateCachedQuery" && rerun.after_error();
  // "invalid configuration parameter name": to the connection's libraries, which others loaded.
  const bool spoiled = view.code == protocol::sqlstate::kInvalidName && rerun.after_error() &&
                       client->may_ask_for_new();
  const bool refused =
      !on_primary() && (of_host || is_standbys_refusal(view.code)) && rerun.after_refusal();
  if (!stale && !refused && !spoiled) return false;
  if (refused && view.routine == "GetSerializableTransactionSnapshot") {
    pool_.set.note_serializable();
  }
  if (stale) {
    for (Server* other : pool_.servers) other->plans_stale = true;
  }
  const auto where = refused   ? Client::Where::kPrimary
                     : spoiled ? Client::Where::kNew
                               : Client::Where::kAnywhere;
  // The other refusals may be of this request's values, or of the moment.
  const bool writes = refused && view.code == protocol::sqlstate::kReadOnlyTransaction;
  if (refused && !writes && !worker_.may_retry()) return false;
  if (std::exchange(failed_by_host, false)) pool_.counters().note_failed();
  Client& asked = *client;
  if (!asked.run_again(rerun.bytes(), where)) return false;
  if (writes) asked.on_misroute();
  worker_.on_client_left(*this, Worker::Leaving::kPolitely);
  return true;
}

// An answer waits for its end, as long as that may turn out to be a failure of which the client
// need not know: until the input is used up, or longer if all of it only precedes an answer.
void Server::relay_to_client(char type, protocol::Bytes raw) {
  if (!rerun.undecided()) return client->relay(raw);
  if (type == protocol::backend::kNotice && rerun.after_loss() && announces_end(raw)) {
    drop_held();  // a dying backend sends what it has of an answer
    return;
  }
  if (held_.empty()) {
    held_ = raw;
  } else if (held_.data() + held_.size() == raw.data()) {
    held_ = {held_.data(), held_.size() + raw.size()};
  } else {
    relay_held();
    return client->relay(raw);
  }
  held_answer_ = held_answer_ || !precedes_answer(type);
  if (type == protocol::backend::kReadyForQuery || type == kInPieces) relay_held();
}

void Server::relay_held() {
  if (client != nullptr) {
    if (!held_before_.empty()) client->made().append(held_before_.view());
    if (!held_.empty()) client->relay(held_);
  }
  drop_held();
  rerun.answered();
}

void Server::drop_held() {
  held_ = {};
  held_before_.release();
  held_answer_ = false;
}

void Server::forget_answer() {
  rerun.clear();
  drop_held();
}

void Server::keep_held() {
  if (held_answer_) return relay_held();
  held_before_.append(held_);
  held_ = {};
}

// FATAL and PANIC are the server's last words: the client has them, and needs no other.
void Server::note_fatal(protocol::Bytes body) {
  const auto view = protocol::decode_error(body);
  if (view && (view->severity == "FATAL" || view->severity == "PANIC")) fatal_relayed_ = true;
}

// Sent, but it failed, or was skipped by the server after an error.
void Server::on_dropped(const session::Entry& entry, bool skipped) {
  if (entry.what == session::Expect::kParse && entry.statement != 0) {
    const bool unnamed = entry.note == kNoteUnnamed;
    if (unnamed) {
      unnamed_statement = 0;
    } else if (entry.fate != session::Fate::kMakeUp) {
      statements.erase(entry.statement);
    }
    if (client == nullptr || entry.fate == session::Fate::kSwallow) {
      // The client has it still.
    } else if (unnamed) {
      client->on_unnamed_ended(entry.statement, skipped);
    } else {
      client->on_parse_ended(entry.statement, false);
    }
  }
  if (entry.what == session::Expect::kClose && entry.statement != 0 &&
      entry.fate == session::Fate::kSwallow) {
    // An eviction that did not happen: the server still has it under our name, and would refuse
    // to prepare it again. Rare enough to start afresh.
    close_when_free = true;
  }
}

void Server::on_hidden_failure(Note note, protocol::Bytes body) {
  if (note == kNotePosition || note == kNoteReport) return;  // then it is not known
  const auto error = protocol::decode_error(body).value_or(protocol::ErrorView{});
  settings_unknown = true;
  if (note == kNoteSettings && client != nullptr) {
    // The request behind it ran into a failed transaction, or not at all. What one connection
    // refuses another may take.
    Client* told = client;
    if (!told->was_first() && rerun.undecided() &&
        told->run_again(rerun.bytes(), Client::Where::kNew)) {
      client = nullptr;
      return close("it does not take its client's settings");
    }
    told->fail({.severity = protocol::Severity::kFatal,
                .code = error.code,
                .message = std::string(error.message),
                .detail = std::string(error.detail),
                .hint = std::string(error.hint)});
    return;
  }
  if (note == kNoteProbe) {  // cancelled, or out of the session's statement_timeout
    dirty = true;
    probing = false;
    if (client != nullptr) client->on_probe_failed();
    return;
  }
  close("could not clean the session: " + std::string(error.message));
}

void Server::on_idle_frame(char type, protocol::Bytes body) {
  switch (type) {
    case protocol::backend::kParameterStatus:
      if (const auto status = protocol::decode_parameter_status(body)) {
        set_parameter(parameters, status->name, status->value);
      }
      return;
    case protocol::backend::kNotice:
    case protocol::backend::kNotification:
      return;  // nobody's
    case protocol::backend::kError: {
      const auto view = protocol::decode_error(body).value_or(protocol::ErrorView{});
      last_code = view.code;
      close(std::string(view.message));
      return;
    }
    default:
      close("idle server sent a message that nothing was asked for");
  }
}

}  // namespace proxy
