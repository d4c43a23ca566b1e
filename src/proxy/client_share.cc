// Client: its read is sent behind that of another one, on the same server connection, when none is
// idle. It goes on waiting, for its turn, and has a server only from then on.
#include <algorithm>

#include "base/check.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr std::size_t kLook = 16, kLookFew = 64;  // servers looked at for a place
// So many are sent to one in a round of the loop, in one write, before another one is looked for.
constexpr std::uint32_t kTogether = 3;

}  // namespace

// Whether what was gathered is one read that leaves nothing behind and needs nothing that the
// session has on a connection of its own, but for its settings and a prepared statement.
bool Client::is_single_read() const {
  const Gathered& asked = gathered_;
  const bool query = asked.analysis && asked.analysis->single() != nullptr && asked.binds == 0 &&
                     asked.executes == 0;
  const bool one = query || (asked.sync && asked.binds == 1 && asked.executes == 1);
  return one && asked.bytes <= session::Rerun::kMaxBytes && asked.plain &&
         asked.access == sql::Access::kRead && !asked.large && !asked.flush &&
         !asked.needs_primary && !asked.primary_only && !asked.closes && !asked.names &&
         !asked.old_unnamed && status_ == 'I' && !begin_ && deferred_begin_.empty() && !tracking_ &&
         !opaque_ && !recheck_ && reruns_ == 0 && next_ == Where::kAnywhere && !misrouted_ &&
         listening_ == nullptr && !own_.report_lsn && !own_.explain && !pools_->asks_channels &&
         can_be_rerun();
}

// The connection on which the gathered request is best sent behind what is in flight; null = it
// gets one of its own.
Server* Client::place_behind(HostPool& pool) {
  spread_turn_ = 0;
  followed_as_.reset();
  if (state_ == State::kWelcome || pool.pool.waiting() != 0) return nullptr;
  const auto now = worker_.loop().now();
  const bool none_idle = pool.pool.must_wait();
  const bool concerns =
      pool.pool.sizes().share_early && pool.spread.concerns(pool.pool.leased(), now);
  if (!(none_idle || concerns) || !may_share(pool)) return nullptr;
  pool::Spread::Answer how;
  if (concerns) how = pool.spread.next(pool.pool.leased(), now);
  spread_turn_ = how.turn;
  if (pool.pool.leased() >= how.over) return shared_server(pool, how.over);
  if (!none_idle) return nullptr;
  followed_as_ = group;
  return shared_server(pool, pool::Spread::kAll);
}

void Client::note_answered() {
  if (spread_turn_ == 0) return;
  server->pool().spread.answered(std::exchange(spread_turn_, 0),
                                 worker_.loop().now() - request_since_);
}

// over: of so many busy ones, always the same, so that the others come free; kAll = of any.
Server* Client::shared_server(HostPool& pool, std::uint32_t over) {
  const auto now = worker_.loop().now();
  if (pool.filling != nullptr && pool.filled < kTogether && may_follow(*pool.filling, now)) {
    ++pool.filled;
    return pool.filling;
  }
  pool.filling = nullptr;
  pool.filled = 1;
  const std::size_t size = pool.servers.size();
  const bool any = over == pool::Spread::kAll;
  for (std::size_t i = 0; i < std::min(size, any ? kLook : kLookFew) && over != 0; ++i) {
    if (any) pool.next_looked_at = (pool.next_looked_at + 1) % size;
    Server* looked_at = pool.servers[any ? pool.next_looked_at : i];
    if (looked_at->client != nullptr) --over;
    const bool fewer =
        pool.filling == nullptr || looked_at->followers() < pool.filling->followers();
    if (fewer && may_follow(*looked_at, now)) pool.filling = looked_at;
  }
  return pool.filling;
}

bool Client::may_share(const HostPool& pool) {
  return pool.pool.sizes().depth > 1 && is_single_read() && is_short_there(pool);
}

bool Client::is_short_there(const HostPool& pool) {
  const bool primary = pools_->snapshot().primary == static_cast<int>(pool.host);
  if (primary && !is_judged_read()) return false;
  const auto& stats = worker_.statement_stats();
  return stats.is_short(stats.find(gathered_.shape, pools_->owner.get()));
}

// It prepares nothing in front of itself: if that failed, so would what others have sent behind it.
bool Client::may_follow(Server& server_there, base::Time now) {
  note_settings();
  const bool known = gathered_.bound_id == 0 || server_there.statements.touch(gathered_.bound_id);
  const bool proven = server_there.on_primary() || routed_by_ >= server_there.ready_at;
  return known && proven && !creates_in_temp_ && server_there.has_place(*this, now);
}

// The gathered request is at the front of the input.
std::size_t Client::send_behind(protocol::Bytes in) {
  Server& shared = *shares_;
  if (followed_as_) shared.pool().pool.follow(*followed_as_, worker_.loop().now());
  ++pools_->stats.shared;
  shared.begin_following(*this);
  server = &shared;
  note_proof(shared);
  const std::size_t used = send_gathered(in);
  CHECK(server == &shared && !shared.exchange.empty());
  server = nullptr;
  shared.end_following();
  set_state(State::kWaiting);
  worker_.push_soon(shared);
  return used;
}

// It waits in line: now there is a place.
void Client::share_from_line(Server& shared) {
  shares_ = &shared;
  followed_as_ = group;
  leave_line();
  keep(send_behind(input()));
}

// What was sent before it is answered.
void Client::on_turn(Server& shared) {
  shares_ = nullptr;
  if (followed_as_) shared.pool().pool.unfollow(*followed_as_);
  shared.pool().pool.pass_on(shared, group);
  begin_lease(shared);
  shared.busy_since = worker_.loop().now();
  in_flight_plain_ = true;
  was_first_ = false;
  set_state(State::kActive);
  if (pools_->cluster->config.routing.hedge_reads) note_late();
  if (stream_.readable() || !in_.empty()) worker_.run_soon(*this);
  worker_.fill(shared);
}

// Nothing of its answer has come, and none will: what it has sent is input again. Once for each
// request.
void Client::leave_shared(protocol::Bytes requests) {
  forget_sent(requests);
  again_.append(requests);
  again_at_ = worker_.loop().now();
  reruns_ = std::max<std::uint8_t>(reruns_, 1);
  stop_sharing();
  worker_.run_soon(*this);
}

void Client::stop_sharing() {
  Server& shared = *std::exchange(shares_, nullptr);
  if (followed_as_) shared.pool().pool.unfollow(*followed_as_);
  shared.unfollow(*this);
}

// The same, and it is input at once.
void Client::take_back_shared() {
  const protocol::Bytes requests = shares_->requests_of(*this);
  forget_sent(requests);
  put_back(requests);
  stop_sharing();
  gather(input());
}

}  // namespace proxy
