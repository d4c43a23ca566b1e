#include "proxy/client.h"

#include <spdlog/spdlog.h>

#include "base/check.h"
#include "base/jitter.h"
#include "net/tls.h"
#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/log.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {
constexpr std::uint8_t kMaxReruns = 5;         // of one request: each met a new failure
constexpr base::milliseconds kRerunPause{20};  // before the second one at most; then it doubles

bool is_over(base::Duration passed, base::milliseconds limit) {
  return limit.count() != 0 && passed >= limit;
}
}  // namespace

Client::Client(Worker& worker, net::Stream stream, std::uint32_t table_slot)
    : Connection(worker.loop(), std::move(stream)),
      id(worker.shared().next_id++),
      slot(table_slot),
      connected_at(std::chrono::system_clock::now()),
      peer(net::peer_address(stream_.fd())),
      worker_(worker),
      since_(worker.loop().now()),
      login_(std::make_unique<Login>()) {
  login_->began = since_;
}

Client::~Client() { CHECK(state_ == State::kClosed); }

const config::Database* Client::database_config() const {
  return config::find_database(worker_.config(), database_);
}

std::string Client::who() const {
  return "client " + std::to_string(id) + " " + database_ + "/" + user_ + " " + peer.text();
}

void Client::set_state(State state) {
  CHECK(state_ != State::kClosed);
  if (state_ == state) return;
  state_ = state;
  since_ = worker_.loop().now();
}

void Client::push() {
  if (!is_open() || unsent() == 0) return;
  const bool sent = send_relayed();
  note_written();
  if (!sent) close("client is gone: " + stream_.error());
}

void Client::note_written() {
  const std::uint64_t before = std::exchange(written_before_, written());
  if (pools_ != nullptr) pools_->stats.bytes_sent += written() - before;
}

void Client::on_ready() {
  const bool logs_in =
      state_ == State::kStartup || state_ == State::kTlsHandshake || state_ == State::kPassword;
  if (logs_in) return worker_.log_in_soon(*this);
  if (established_) worker_.note_asked();
  go_on();
}

void Client::go_on() {
  if (state_ == State::kTlsHandshake) return continue_handshake();
  if (!out_.empty()) {
    const bool sent = flush();
    note_written();
    if (!sent) return close("client is gone: " + stream_.error());
    // The server was not read while this side was full.
    if (out_.empty() && server != nullptr) server->resume();
  }
  if (is_open() && state_ == State::kClosing && out_.empty()) return close("closed");
  pump();
}

void Client::resume() {
  if (!is_open()) return;
  if (!again_.empty() && state_ == State::kWaiting) {
    if (worker_.loop().now() < again_at_) return pump();
    put_back(again_.view());
    again_.release();
    set_state(State::kIdle);
    // What it is to be sent with is there.
    deferred_until_ = worker_.loop().now() + worker_.config().timeouts.defer_begin;
  }
  if (!deferred_begin_.empty()) send_deferred_begin();
  if (!in_.empty() && state_ != State::kConsole) {
    keep(on_session_bytes(input()));
  } else if (!in_.empty() && !console_busy_) {
    keep(on_console_bytes(input()));
  }
  pump();
}

// True when nothing more should be read: what was read already waits for something.
bool Client::input_blocked() const {
  switch (state_) {
    case State::kTlsHandshake:
    case State::kLookup:
    case State::kWelcome:
    case State::kWaiting:
      // Only the end of the connection matters now; it is found by a peek in on_hang_up().
      return true;
    case State::kConsole:
      return console_busy_ || out_.size() > worker_.config().limits.buffer_bytes;
    case State::kReplicating:
    case State::kActive:
      return held_ ||
             (server != nullptr && server->unsent() > worker_.config().limits.buffer_bytes);
    case State::kClosing:
    case State::kClosed:
      return true;
    case State::kIdle:
      return hearing_;
    case State::kStartup:
    case State::kPassword:
      return false;
  }
  return false;
}

void Client::pump() {
  if (state_ == State::kStartup && begins_with_tls()) {
    login_->direct_tls = true;
    start_tls();
    if (is_open()) continue_handshake();
    return;
  }
  for (int reads = 0; is_open() && stream_.readable(); ++reads) {
    if (reads == Worker::kReadsInARow) return worker_.run_soon(*this);
    if (input_blocked()) {
      if (stream_.hung_up() && state_ != State::kClosing) on_hang_up();
      return;
    }
    const net::Io io = fill(worker_.scratch());
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) {
      close(io.status == net::IoStatus::kClosed ? "client closed the connection"
                                                : "client is gone: " + stream_.error());
      return;
    }
    if (pools_ != nullptr) pools_->stats.bytes_received += io.count;
    switch (state_) {
      case State::kStartup:
      case State::kPassword:
        keep(on_startup_bytes(input()));
        if (state_ == State::kTlsHandshake) return continue_handshake();
        break;
      case State::kConsole:
        keep(on_console_bytes(input()));
        break;
      default:
        keep(on_session_bytes(input()));
    }
  }
}

// The peer has closed while its request waits: what it sent before may still be unread, but there
// is nobody to answer. If it has said goodbye, what it asked for before is carried out. A peer that
// only half-closed its side loses nothing by PostgreSQL's rules: the protocol ends with Terminate.
void Client::on_hang_up() {
  const bool commands = state_ == State::kConsole && console_busy_;
  if (commands) console_->cancel();
  if ((state_ == State::kWaiting || commands) && says_goodbye()) return;
  if (state_ == State::kWaiting || state_ == State::kLookup || state_ == State::kWelcome || held_ ||
      commands) {
    close("client closed the connection");
  }
}

void Client::fail(const protocol::Error& error) {
  if (!is_open() || state_ == State::kClosing) return;
  log_of(database_config(), spdlog::level::debug, "{}: {}", who(), error.message);
  drop_server();
  if (shares()) stop_sharing();
  if (waiting()) worker_.cancel_wait(*this);
  protocol::write_error(made(), error);
  set_state(State::kClosing);
  push();
  if (is_open() && out_.empty()) close(error.message);
}

void Client::drop_server() {
  forget_sequences();
  if (server == nullptr) return;
  if (is_racing()) worker_.leave_race(*server->rival, Worker::Leaving::kAbruptly);
  Server* dropped = std::exchange(server, nullptr);
  const bool midway = stream_left_ != 0 && !stream_discard_;
  // What is under way may leave behind what nobody will look for.
  if (tracking_ || opaque_ || dropped->probing) dropped->dirty = true;
  dropped->probing = false;
  worker_.on_client_left(*dropped, midway        ? Worker::Leaving::kMidway
                                   : terminated_ ? Worker::Leaving::kPolitely
                                                 : Worker::Leaving::kAbruptly);
}

void Client::close(std::string_view why) {
  if (state_ == State::kClosed) return;
  if (worker_.config().logging.connections) {
    log_of(database_config(), spdlog::level::info, "{}: closed: {}", who(), why);
  } else {
    log_of(database_config(), spdlog::level::debug, "{}: closed: {}", who(), why);
  }
  if (shares()) stop_sharing();
  if (waiting()) worker_.cancel_wait(*this);
  leave_held();
  leave_line();
  // What was relayed and not written yet is a view of the input that goes now.
  if (server != nullptr && server->unsent() != 0) server->made();
  close_stream();
  drop_server();
  leave_listeners();
  set_state(State::kClosed);
  if (pools_ != nullptr) --pools_->users;
  if (pools_ != nullptr && replicates()) pools_->retired = true;
  if (counted_) {
    worker_.shared().client_counts.leave("database " + database_);
    worker_.shared().client_counts.leave("user " + user_);
  }
  worker_.on_client_closed(*this);
}

void Client::on_misroute() {
  misrouted_ = true;
  ++pools_->stats.misroutes;
}

void Client::note_refused(protocol::Bytes requests) const {
  protocol::Frame frame;
  for (auto rest = requests;
       protocol::read_frame(rest, rest.size(), frame) == protocol::HeaderStatus::kOk;
       rest = rest.subspan(frame.raw.size())) {
    if (frame.type == protocol::frontend::kQuery) {
      const auto text = protocol::decode_query(frame.body);
      analyze(text.value_or(""))->refused = true;
      return;
    }
    if (frame.type == protocol::frontend::kSync) return;
    if (frame.type == protocol::frontend::kParse) {
      if (const auto parse = protocol::decode_parse(frame.body)) {
        analyze(parse->query)->refused = true;
      }
    } else if (frame.type == protocol::frontend::kBind) {
      const auto bind = protocol::decode_bind(frame.body);
      const auto* known = bind ? statements_.find(bind->statement) : nullptr;
      if (known != nullptr) analysis_of(**known)->refused = true;
    }
  }
}

bool Client::run_again(protocol::Bytes requests, Where where) {
  if (reruns_ == kMaxReruns) return false;
  end_report();
  ++reruns_;
  ++pools_->stats.retries;
  meter_.on_retry();
  if (sent_) {
    const std::string host = server != nullptr ? server->pool().target().name : std::string();
    sent_->on_retry(worker_.loop().now(), host);
  }
  log_of(database_config(), spdlog::level::debug, "{}: runs its request again", who());
  forget_sent(requests);
  deferred_begin_ = std::exchange(sent_begin_, {});
  again_.append(requests);
  next_ = where;
  server = nullptr;
  set_state(State::kWaiting);
  again_at_ = worker_.loop().now();
  if (reruns_ == 1) {
    worker_.run_soon(*this);
  } else {
    again_at_ += base::jittered(kRerunPause * (1 << (reruns_ - 2)), 1, id * kMaxReruns + reruns_);
    worker_.run_at(*this, again_at_);
  }
  return true;
}

// As it was before these requests.
void Client::forget_sent(protocol::Bytes requests) {
  pending_parses_.clear();
  pending_unnamed_.clear();
  protocol::each_frame(requests, [this](const protocol::Frame& frame) {
    if (frame.type != protocol::frontend::kParse) return;
    if (const auto parse = protocol::decode_parse(frame.body)) statements_.erase(parse->statement);
  });
  gathered_ = {};
  begin_used_ = false;
}

bool Client::quiet() const {
  if (state_ == State::kReplicating) return true;
  const bool owed = server != nullptr && (status_ != 'I' || !server->exchange.releasable());
  return !owed && deferred_begin_.empty() && !hearing_ && !waiting() && in_.empty() &&
         (state_ == State::kIdle || state_ == State::kStartup || state_ == State::kConsole);
}

void Client::cancel() {
  if (state_ == State::kWaiting) {
    refuse({.code = protocol::sqlstate::kQueryCanceled,
            .message = "canceling statement due to user request"});
  } else if (state_ == State::kConsole) {
    console_->cancel();
  } else if (server != nullptr && (!server->exchange.empty() || state_ == State::kReplicating)) {
    worker_.send_cancel(*server);
    if (is_racing()) worker_.send_cancel(*server->rival);
  }
}

// Only who is idle, which is nearly everybody, can be left alone for longer.
bool Client::needs_sweep_within(base::Duration time, base::Time now) const {
  if (state_ == State::kConsole || state_ == State::kReplicating) return false;
  if (state_ != State::kIdle) return true;
  return is_over(now - since_ + time, worker_.config().timeouts.client_idle);
}

void Client::sweep(base::Time now) {
  const auto& timeouts = worker_.config().timeouts;
  established_ = login_ == nullptr;
  switch (state_) {
    case State::kStartup:
    case State::kTlsHandshake:
    case State::kLookup:
    case State::kPassword:
      if (is_over(now - login_->began, timeouts.login)) {
        close("log-in took longer than timeouts.login");  // PostgreSQL just closes, too
      }
      return;
    case State::kWelcome:
    case State::kWaiting:
      if (is_over(now - request_since_, timeouts.query_wait)) return on_wait_expired();
      if (is_over(now - request_since_, timeouts.wait_notice)) tell_of_wait(now);
      return;
    case State::kIdle:
      if (is_over(now - since_, timeouts.client_idle)) {
        fail({.severity = protocol::Severity::kFatal,
              .code = protocol::sqlstate::kIdleSessionTimeout,
              .message = "terminating connection due to idle-session timeout"});
      }
      return;
    case State::kActive:
      if (server != nullptr) sweep_active(now);
      return;
    case State::kClosing:
      if (now - since_ > std::chrono::seconds(10)) close("did not take its last message");
      return;
    case State::kReplicating:
    case State::kConsole:
    case State::kClosed:
      return;
  }
}

void Client::sweep_active(base::Time now) {
  const auto& timeouts = worker_.config().timeouts;
  const auto end = [&](std::string_view code, const char* message) {
    fail({.severity = protocol::Severity::kFatal, .code = code, .message = message});
  };
  if (out_.empty() || written() != std::exchange(written_then_, written())) stalled_since_ = now;
  const bool busy = !server->exchange.empty();
  if (busy && is_over(now - server->busy_since, timeouts.query)) {
    end(protocol::sqlstate::kQueryCanceled,
        "canceling statement due to query timeout of the proxy");
  } else if (!busy && status_ != 'I' && is_over(now - idle_since_, timeouts.idle_in_transaction)) {
    end(protocol::sqlstate::kIdleInTransactionTimeout,
        "terminating connection due to idle-in-transaction timeout");
  } else if ((busy || status_ != 'I') && is_over(now - transaction_since_, timeouts.transaction)) {
    end(protocol::sqlstate::kTransactionTimeout,
        "terminating connection due to transaction timeout");
  } else if (is_over(now - stalled_since_, timeouts.client_stall)) {
    close("took nothing of its answer for timeouts.client_stall");
  }
}

}  // namespace proxy
