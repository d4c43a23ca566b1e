// Client: LISTEN on the connection that a pool's sessions share for it.
#include <string>
#include <string_view>
#include <utility>

#include "protocol/backend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "session/encoding.h"
#include "sql/lexer.h"

namespace proxy {
namespace {

// What a client has not taken yet. PostgreSQL's own queue has room for 8 GB.
constexpr std::size_t kUnheardMax = 16u << 20;

}  // namespace

// Of what the session is sent; "" = as on the server by default.
std::string Client::encoding() const {
  return session::plain_encoding(default_of("client_encoding"));
}

// Whether the request is nothing but LISTEN, and may be carried out on the shared connection. That
// one takes a place in the pool, in each worker: others must be left for everything else.
bool Client::listens_together(const HostPool& pool) const {
  if (!gathered_.only_listens() || !gathered_.complete || gathered_.flush || gathered_.large ||
      status_ != 'I' || pools_->mode == config::PoolMode::kSession || pools_->asks_channels ||
      !pool.pool.allows(worker_.shared().workers + 1)) {
    return false;
  }
  if (!default_of("idle_session_timeout").empty()) return false;  // it would end all of them
  Listeners& shared = pools_->listeners;
  const bool elsewhere = listening_ != nullptr && listening_ != &shared;  // a pool was replaced
  if (elsewhere) return false;
  return shared.connection() == nullptr || shared.encoding() == encoding();
}

// True: the request has its server, or waits for it.
bool Client::wait_for_listeners(HostPool& pool) {
  Server* const shared = pools_->listeners.connection();
  if (shared == nullptr || !listens_together(pool)) return false;
  if (&shared->pool() != &pool) {
    shared->close("another host is the primary now");
    return false;
  }
  if (pools_->listeners.is_free()) {
    attach(*shared);
  } else {
    pools_->listeners.await(*this);
    wait_held();
  }
  return true;
}

// A change of the session that was committed. False: it is none of these.
bool Client::note_listening(const session::Change& change) {
  switch (change.kind) {
    case session::Change::Kind::kListen:
      if (server->listeners == nullptr) return true;  // pinned
      listening_ = server->listeners;
      listening_->add(*this, change.name);
      return true;
    case session::Change::Kind::kUnlisten:
      if (hear_due_) {  // it hears first what was sent before
        unlistened_.push_back(change.name);
      } else {
        unlisten(change.name);
      }
      return true;
    default:
      return false;
  }
}

void Client::unlisten(std::string_view channel) {
  if (listening_ == nullptr) return;
  if (channel.empty()) return leave_listeners();
  listening_->remove(*this, channel);
  if (listening_->channels_of(*this).empty()) listening_ = nullptr;
}

void Client::leave_listeners() {
  unlistened_.clear();
  if (Listeners* left = std::exchange(listening_, nullptr)) left->remove(*this);
}

// Between transactions, as PostgreSQL does it.
void Client::on_notification(protocol::Bytes body) {
  if (state_ == State::kClosing) return;
  protocol::Reader in(body);
  const bool own = in.u32() == own_pid_ && own_pid_ != 0;
  {
    protocol::MessageWriter out(unheard_, protocol::backend::kNotification);
    if (own) {
      out.u32(worker_.cancel_pid(*this));
      out.bytes(body.subspan(sizeof(std::uint32_t)));
    } else {
      out.bytes(body);
    }
  }
  if (unheard_.size() + unsent() > kUnheardMax) {
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kOutOfMemory,
                 .message = "too many notifications wait for the client to take them"});
  }
  tell_if_idle();
}

void Client::tell_unheard() {
  if (unheard_.empty()) return;
  // Of its server, where it has one: what ends a transaction may have changed it.
  const std::string own = server != nullptr ? server->encoding("client_encoding") : encoding();
  if (listening_ != nullptr) {
    listening_->write_converted(unheard_.view(), own, made());
  } else {
    made().append(unheard_.view());
  }
  unheard_.release();
}

void Client::tell_if_idle() {
  if (unheard_.empty() || status_ != 'I' || owes_ready_ || lost_ != Lost::kNone) return;
  const bool rests =
      server == nullptr || (server->exchange.empty() && !server->exchange.batch_open());
  if (!rests || (state_ != State::kIdle && state_ != State::kWaiting)) return;
  tell_unheard();
  push();
}

// A session hears what it has sent itself before it hears that its transaction is over, with the
// number by which it knows itself. What other sessions have sent on the same connection must have
// been told before: it comes with the same number.
bool Client::is_settled(const Server& with) const {
  return listening_ == nullptr || with.listeners != nullptr || with.last_notifier == 0 ||
         with.last_notifier == id;
}

void Client::settle_notifications(Server& with) {
  if (is_settled(with) || !with.on_primary() || routed_access() != sql::Access::kWrite) return;
  hearing_ = true;
  listening_->ask(*this);
}

void Client::on_heard() {
  hearing_ = false;
  if (!is_open() || state_ == State::kClosing) return;
  if (owes_ready_) {
    finish_report();
    push();
  } else if (server != nullptr) {
    server->last_notifier = id;
  }
  if (is_open()) worker_.run_soon(*this);
}

// pg_listening_channels() is about the server connection: the session's channels are made to be
// there, in front of every transaction block, for in one it is too late. What then comes there,
// too, is not told twice.
void Client::note_channels_asked() {
  pools_->asks_channels = true;
  if (status_ == 'I' && server->exchange.empty() && !server->exchange.batch_open()) show_channels();
}

void Client::show_channels() {
  if (listening_ == nullptr || !server->on_primary() || server->listeners != nullptr) return;
  std::string sql;
  for (const std::string& channel : listening_->channels_of(*this)) {
    sql += "LISTEN " + sql::quote_identifier(channel) + ";";
  }
  if (sql.empty()) return;
  server->shows_channels = true;
  server->inject_query(sql, kNoteReset);
}

bool Client::hears_elsewhere(std::string_view channel) const {
  return listening_ != nullptr && listening_->has(*this, channel);
}

void Client::on_listening_lost(std::string_view code, std::string_view why) {
  if (std::exchange(listening_, nullptr) == nullptr) return;
  end_session(code, why, "With it the session has lost: listen.");
}

}  // namespace proxy
