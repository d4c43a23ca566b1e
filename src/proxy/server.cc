#include "proxy/server.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/check.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/log.h"
#include "proxy/worker.h"
#include "session/encoding.h"

namespace proxy {
namespace {
constexpr std::size_t kKeptBytes = 4096;
}  // namespace

Server::Server(Worker& worker, HostPool& pool)
    : Connection(worker.loop(), net::Stream()),
      id(worker.shared().next_id++),
      connected_at(std::chrono::system_clock::now()),
      statements(worker.config().limits.prepared_statements),
      worker_(worker),
      pool_(pool),
      name_("server " + std::to_string(id) + " " + pool.set.server_dbname + "/" +
            pool.set.server_user + " " + pool.target().name) {
  pool_.counters().open.fetch_add(1, std::memory_order_relaxed);
  // Nearly every request makes something of our own: servers are few, allocations would be many.
  kept_bytes_ = kKeptBytes;
}

Server::~Server() { CHECK(state_ == State::kClosed); }

void Server::set_state(State state) {
  CHECK(state_ != State::kClosed);
  state_ = state;
}

void Server::push() {
  if (!is_open()) return;
  if (busy_since == base::Time{}) busy_since = worker_.loop().now();
  if (broken_ || !send_relayed()) stop_writing();
}

// What it has answered before it broke counts, and so do its last words.
void Server::stop_writing() {
  if (client == nullptr || state_ != State::kReady) {
    return close("connection to the server broke: " + stream_.error());
  }
  made().clear();
  broken_ = close_when_free = true;
  worker_.run_soon(*this);
}

void Server::inject_query(std::string_view sql, Note note) {
  exchange.expect({.what = session::Expect::kQuery, .fate = session::Fate::kSwallow, .note = note});
  protocol::write_query(made(), sql);
  unnamed_statement = 0;  // a simple query drops it
}

void Server::discard_sequences() {
  inject_query("DISCARD SEQUENCES", kNoteReset);
  note_sequences_discarded();
}

void Server::note_sequences_discarded() {
  last_writer = 0;
  kept = others_sequences = false;
}

std::string Server::encoding(std::string_view parameter) const {
  const auto told = std::ranges::find(parameters, parameter, &ServerParameter::first);
  return told == parameters.end() ? "" : session::plain_encoding(told->second);
}

const config::Database* Server::database_config() const {
  return config::find_database(worker_.config(), pool_.set.database);
}

void Server::close(std::string_view why) {
  if (state_ == State::kClosed) return;
  log_of(database_config(), spdlog::level::debug, "{}: closed: {}", name_, why);
  set_state(State::kClosed);
  if (client != nullptr && client->unsent() != 0) client->made();  // not of the input any more
  // A backend that gets a Terminate says nothing about it in its log.
  if (stream_.open() && logged_in_ && unsent() == 0) {
    protocol::Buffer bye;
    protocol::write_terminate(bye);
    [[maybe_unused]] const auto io = stream_.write(bye.view());
  }
  close_stream();
  pool_.counters().open.fetch_sub(1, std::memory_order_relaxed);
  set_active(false);
  if (rival != nullptr) {
    pool_.counters().note_failed();
    worker_.leave_race(*this, Worker::Leaving::kPolitely);
  }
  leave_answered_client();
  if (Client* lost = std::exchange(client, nullptr)) {
    lost->server = nullptr;
    if (!exchange.empty() && !fatal_relayed_) pool_.counters().note_failed();
    // What a primary dies of shall not kill it again and again.
    const bool again = !fatal_relayed_ && last_code.empty() && rerun.after_loss() &&
                       !(on_primary() && lost->has_run_again()) && worker_.may_retry() &&
                       lost->run_again(rerun.bytes(), Client::Where::kAnywhere);
    if (!again) lost->on_server_lost(*this, why);
  }
  scatter();
  line_count_ = 0;
  worker_.on_server_closed(*this, why);
}

void Server::set_active(bool is_active) {
  if (!is_active) set_overdue(false);
  if (std::exchange(active_, is_active) == is_active) return;
  if (is_active) {
    pool_.counters().note_leased(worker_.loop().now());
  } else {
    pool_.counters().active.fetch_sub(1, std::memory_order_relaxed);
  }
}

void Server::set_overdue(bool is_overdue) {
  if (std::exchange(overdue_, is_overdue) == is_overdue) return;
  if (is_overdue) {
    pool_.counters().overdue.fetch_add(1, std::memory_order_relaxed);
  } else {
    pool_.counters().overdue.fetch_sub(1, std::memory_order_relaxed);
  }
}

std::uint64_t Server::counted() const {
  std::uint64_t counted = 0;
  for (std::size_t i = 0; i < exchange.size() && counted == 0; ++i) {
    counted = exchange.owed(i).counted;
  }
  return counted;
}

void Server::resume() { pump(); }

void Server::cancel_finished() {
  CHECK(cancels > 0);
  --cancels;
  if (cancels == 0 && client == nullptr && state_ == State::kReady && exchange.empty()) {
    worker_.on_server_cleaned(*this);
  }
}

void Server::on_ready() {
  switch (state_) {
    case State::kConnecting:
      on_connected();
      return;
    case State::kTlsHandshake:
      continue_handshake();
      return;
    case State::kTlsAnswer:
    case State::kLogin:
    case State::kReady:
      break;
    case State::kResolving:
    case State::kClosed:
      return;
  }
  if (!out_.empty()) {
    if (broken_ || !flush()) stop_writing();
    // The client was not read while this side was full.
    if (client != nullptr && is_open() && out_.empty()) worker_.run_soon(*client);
  }
  pump();
}

void Server::pump() {
  for (int reads = 0; is_open() && (broken_ || stream_.readable()); ++reads) {
    if (reads == Worker::kReadsInARow) return worker_.run_soon(*this);
    if (client != nullptr && client->unsent() > worker_.config().limits.buffer_bytes) return;
    const net::Io io = fill(worker_.scratch());
    if (io.status == net::IoStatus::kBlocked && !broken_) return;
    if (io.status != net::IoStatus::kOk) {
      const std::string why = io.status == net::IoStatus::kClosed
                                  ? "server closed the connection unexpectedly"
                                  : "connection to the server broke: " + stream_.error();
      if (state_ == State::kReady) {
        close(why);
      } else {
        login_failed(why);
      }
      return;
    }
    if (state_ == State::kReady) {
      keep(on_session_bytes(input()));
    } else {
      keep(on_login_bytes(input()));
      if (state_ == State::kTlsHandshake) return continue_handshake();
      // What came behind the log-in's end belongs to the session.
      if (state_ == State::kReady && !input().empty()) keep(on_session_bytes(input()));
    }
  }
}

bool Server::must_close() const {
  return close_when_free || pool_.set.retired || (is_outdated() && !kept);
}

bool Server::may_write() const {
  const auto& hosts = pool_.set.snapshot().hosts;
  return pool_.host >= hosts.size() || hosts[pool_.host].role != cluster::Role::kReplica;
}

bool Server::is_outdated() const {
  const SessionDefaults& defaults = pool_.set.defaults();
  return defaults_of != defaults.version() ||
         (opened_early && defaults.are_on(pool_.host, pool_.set.snapshot()));
}

}  // namespace proxy
