// Client: what sequences gave to this session last (currval, lastval). Only the connection knows
// on which they gave it, and nothing can put it there: so the session comes back to it, and others
// write there only when no other connection is to be had. See docs/limits.md.
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {

// nextval may hide in a default, a trigger or a function: any write counts, and what may become
// one.
bool Client::may_advance_sequences() const {
  return gathered_.may_advance || gathered_.needs_primary;
}

// The server where this session wrote last, and no one else has written since; null = there is none
// in this pool.
Server* Client::last_written(const HostPool& pool) const {
  Server* own = worker_.find_server(wrote_on_);
  return own != nullptr && &own->pool() == &pool && own->last_writer == id ? own : nullptr;
}

// That server, if it is free.
Server* Client::own_sequence_server(HostPool& pool) {
  if (!gathered_.asks_sequence && !may_advance_sequences()) return nullptr;
  Server* own = last_written(pool);
  const bool fits = own != nullptr && !is_too_used(*own);
  return fits && pool.pool.lease(*own, worker_.loop().now(), group) ? own : nullptr;
}

// Whether that server has what is asked for, but serves somebody's read.
bool Client::awaits_own_sequence_server(const HostPool& pool) const {
  if (!gathered_.asks_sequence) return false;
  const Server* own = last_written(pool);
  return own != nullptr && own->pool_state() == pool::Server::State::kLeased &&
         !own->close_when_free;
}

// It writes on its server, for the first time or again after others did.
void Client::keep_sequences() {
  forget_sequences();
  const bool others = server->has_written_for_others(id);
  if (others && !(pools_->may_have_sequences() && discard_sequences())) {
    server->others_sequences = true;
  }
  wrote_on_ = server->id;
  server->last_writer = id;
  server->kept = true;
}

void Client::forget_sequences() {
  Server* own = worker_.find_server(std::exchange(wrote_on_, 0));
  if (own == nullptr || own->last_writer != id) return;
  own->last_writer = Server::kNobody;
  own->kept = false;
}

// Whether its server would tell this session what sequences gave to another one, or would mix that
// with what they give to this one.
bool Client::must_discard_sequences() const {
  if (gathered_.asks_sequence)
    return server->has_written_for_others(id) || server->others_sequences;
  return server->has_written_for_others(id) && pools_->may_have_sequences() &&
         (gathered_.may_advance || (may_advance_sequences() && pools_->asks_sequences()));
}

// In front of what the session asks or writes now. False: that is in the midst of other requests.
bool Client::discard_sequences() {
  if (status_ == 'E' || !server->exchange.empty() || server->exchange.batch_open()) return false;
  server->discard_sequences();
  return true;
}

// In a transaction whose server was found when nobody knew that it would be asked. False: it would
// tell what is another session's.
bool Client::note_sequence_asked() {
  pools_->note_sequences_asked();
  if (status_ == 'E' || !(server->has_written_for_others(id) || server->others_sequences))
    return true;
  return discard_sequences();
}

}  // namespace proxy
