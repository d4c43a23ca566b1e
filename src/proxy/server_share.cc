// Server: reads of several clients in flight on it, one behind another. Each has a ledger of its
// own, and the connection the one of whoever is being answered: so it is one client's at any time,
// as ever, and goes to the next at ReadyForQuery.
#include <utility>

#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr std::size_t kUnsentMax = 64u << 10;

}  // namespace

bool Server::has_place(const Client& follower, base::Time now) const {
  const std::size_t depth = has_followers() ? line_.size() + 1 : pool_.pool.sizes().depth;
  return is_shareable && client != nullptr && line_count_ + 1 < depth && state_ == State::kReady &&
         cancels == 0 && !abandoned && !plans_stale && rival == nullptr && listeners == nullptr &&
         unsent() < kUnsentMax && now - busy_since < Worker::kPatience && !broken_ &&
         settings.hash() == follower.settings_hash() && !must_close() &&
         (has_followers() || worker_.statement_stats().is_short(counted()));
}

void Server::swap_ledgers(Follower& with) {
  std::swap(exchange, with.exchange);
  std::swap(rerun, with.rerun);
}

void Server::begin_following(Client& follower_client) {
  if (line_count_ == 0) {
    line_.resize(pool_.pool.sizes().depth - 1);
    line_first_ = 0;
  }
  Follower& last = follower(line_count_++);
  last.client = &follower_client;
  swap_ledgers(last);
  sender_ = std::exchange(client, &follower_client);
}

void Server::end_following() {
  made();  // what was relayed is a view of its client's input
  swap_ledgers(follower(line_count_ - 1));
  client = std::exchange(sender_, nullptr);
}

void Server::unfollow(const Client& client_leaving) {
  for (std::size_t i = 0; i < line_count_; ++i) {
    if (follower(i).client == &client_leaving) follower(i).client = nullptr;
  }
}

protocol::Bytes Server::requests_of(const Client& asked) const {
  for (std::size_t i = 0; i < line_count_; ++i) {
    if (follower(i).client == &asked) return follower(i).rerun.bytes();
  }
  return {};
}

// Its client has been answered: it goes to who comes behind, whose answer may be here already.
void Server::pass_on() {
  if (client == nullptr) return worker_.on_server_cleaned(*this);
  client->push();
  if (!is_open() || client == nullptr || !exchange.releasable()) return;  // it went with the push
  client->on_releasable();
}

void Server::take_next() {
  Follower& next = follower(0);
  swap_ledgers(next);
  line_first_ = (line_first_ + 1) % line_.size();
  --line_count_;
  abandoned = false;
  is_shareable = next.client != nullptr;
  if (next.client != nullptr) return std::exchange(next.client, nullptr)->on_turn(*this);
  set_active(true);  // it is at work for one that has left
  busy_since = worker_.loop().now();
}

void Server::scatter() {
  for (std::size_t i = 0; i < line_count_; ++i) {
    if (Client* left = std::exchange(follower(i).client, nullptr)) {
      left->leave_shared(follower(i).rerun.bytes());
    }
  }
}

}  // namespace proxy
