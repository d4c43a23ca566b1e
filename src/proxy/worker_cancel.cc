// Worker: cancel requests, those that clients send and those that go to servers and to peers.
#include <openssl/crypto.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr base::seconds kCancelTimeout{10};
constexpr std::uint32_t kPassedOnMax = 100;  // on their way to peers at once, of a worker

}  // namespace

std::uint32_t Worker::cancel_pid(const Client& client) const {
  return shared_.numbers.of({.worker = index_, .slot = client.slot});
}

void Worker::cancel(const protocol::CancelRequest& request) {
  const auto place = shared_.numbers.find(request.pid);
  if (!place || place->worker != index_) return;
  loop_.post([this, slot = place->slot, key = request.key] {
    if (slot >= slots_.size() || slots_[slot] == 0) return;
    Client* client = find_client(slots_[slot]);
    if (client == nullptr || client->cancel_key.empty() ||
        client->cancel_key.size() != key.size() ||
        CRYPTO_memcmp(client->cancel_key.data(), key.data(), key.size()) != 0) {
      return;
    }
    client->cancel();
  });
}

// Anybody may send one: what it costs is bounded, and it is believed nothing but its key.
bool Worker::take_cancel(const protocol::CancelRequest& request, Client& asker) {
  shared_.cancels++;
  const std::uint32_t number = SessionNumbers::peer_of(request.pid);
  const bool passed_on = SessionNumbers::is_passed_on(request.pid);
  // Whatever the number: those before us in an online restart may have had another peer_id.
  shared_.cancel(request);
  if (number == shared_.numbers.peer()) return false;
  if (passed_on && number != 0) {
    spdlog::warn(
        "{}: a cancel request for peer {} was passed on to this one, peer {}: one of the "
        "peers has a wrong address",
        asker.peer.text(), number, shared_.numbers.peer());
    return false;
  }
  const config::Peer* peer = config::find_peer(config(), number);
  if (peer == nullptr || shared_.numbers.peer() == 0) return false;
  if (passed_on_ == kPassedOnMax) {
    spdlog::warn("peer {}: a cancel request was dropped: {} are on their way", number, passed_on_);
    return false;
  }
  pass_on(request, *peer, asker.id);
  return true;
}

void Worker::pass_on(const protocol::CancelRequest& request, const config::Peer& peer,
                     std::uint64_t asker) {
  const auto index = static_cast<std::size_t>(&peer - config().peers.data());
  CancelConnection::Target target{
      .addresses = {},
      .pid = SessionNumbers::passed_on(request.pid),
      .key = request.key,
      .host = peer.address.host,
      .tls = peer.tls.mode == config::SslMode::kAllow ? nullptr : topology_->peer_tls[index],
      .mode = peer.tls.mode,
      .may_be_plain = peer.tls.mode == config::SslMode::kPrefer,
      .peer = peer.number(),
      .asker = asker};
  ++passed_on_;
  shared_.cancels_passed_on++;
  // The answer may come on the resolver's thread.
  shared_.resolver.resolve(
      peer.address.host, peer.address.port,
      [this, alive = std::weak_ptr<bool>(alive_),
       target = std::move(target)](absl::StatusOr<std::vector<net::Address>> found) mutable {
        const auto guard = alive.lock();
        if (!guard) return;
        loop_.post([this, target = std::move(target), found = std::move(found)]() mutable {
          if (!found.ok()) return on_passed_on(target, std::string(found.status().message()));
          target.addresses = *std::move(found);
          auto cancel = std::make_unique<CancelConnection>(*this, std::move(target));
          if (stopping_) return on_passed_on(cancel->target(), "the proxy stops");
          if (!cancel->start()) return on_passed_on(cancel->target(), cancel->failure());
          cancels_.push_back(std::move(cancel));
        });
      });
}

// why: it did not arrive.
void Worker::on_passed_on(const CancelConnection::Target& target, const std::string& why) {
  --passed_on_;
  if (!why.empty()) {
    shared_.cancels_lost++;
    spdlog::warn("peer {}: a cancel request could not be passed on: {}", target.peer, why);
  }
  if (Client* asker = find_client(target.asker)) asker->close("cancel request");
}

// One at a time: the next may come when it is known whether the first one hit.
void Worker::send_cancel(Server& server) {
  server.scatter();  // it may hit what runs next
  if (server.cancels > 0) {
    server.cancel_again = true;
    return;
  }
  auto cancel = std::make_unique<CancelConnection>(*this, CancelConnection::of(server));
  if (!cancel->start()) return;
  ++server.cancels;
  cancels_.push_back(std::move(cancel));
}

void Worker::on_cancel_ended(CancelConnection& cancel) {
  const auto it = std::ranges::find(cancels_, &cancel, &std::unique_ptr<CancelConnection>::get);
  CHECK(it != cancels_.end());
  buried_cancels_.push_back(std::move(*it));
  cancels_.erase(it);
  if (cancel.target().peer != 0) return on_passed_on(cancel.target(), cancel.failure());
  Server* server = find_server(cancel.target().server);
  if (server == nullptr) return;
  // What it owes is still of the client that asked: it was not given to another one meanwhile.
  const bool again = std::exchange(server->cancel_again, false) && !server->exchange.empty();
  server->cancel_finished();
  if (again) send_cancel(*server);
}

void Worker::sweep_cancels(base::Time now) {
  for (std::size_t i = cancels_.size(); i > 0; --i) {
    if (i <= cancels_.size() && now - cancels_[i - 1]->started() > kCancelTimeout) {
      cancels_[i - 1]->close(cancels_[i - 1]->was_sent() ? "it did not say that it has arrived"
                                                         : "no connection in time");
    }
  }
}

}  // namespace proxy
