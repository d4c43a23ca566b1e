// Client: a read on a replica that takes longer than most of its kind is sent to another one, too.
// Whichever answers first is heard; what the other one does is cancelled. Nothing of the session
// changes by it: what is sent again is what the first one was sent.
#include <algorithm>
#include <utility>

#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr std::uint64_t kLeastUs = 1000;  // as fine as the loop's timers are
constexpr base::milliseconds kLookAgain{1}, kProveAgain{5};

// Whether it can be sent as it is, but for the name of a statement that the session has.
bool is_plain_to_send(const protocol::Frame& frame) {
  switch (frame.type) {
    case protocol::frontend::kQuery:
    case protocol::frontend::kExecute:
    case protocol::frontend::kSync:
      return true;
    case protocol::frontend::kParse: {
      const auto parse = protocol::decode_parse(frame.body);
      return parse && parse->statement.empty();
    }
    case protocol::frontend::kBind:
      return protocol::decode_bind(frame.body).has_value();
    case protocol::frontend::kDescribe:
      return protocol::decode_describe(frame.body).has_value();
    default:
      return false;
  }
}

}  // namespace

bool Client::is_racing() const { return server != nullptr && server->rival != nullptr; }

// Of what was just sent: from when on it is late.
void Client::note_late() {
  server->late_at = {};
  const std::uint64_t usual = worker_.statement_stats().usual_us(meter_.sending);
  if (usual == 0 || server->on_primary() || !server->rerun.only_reads()) return;
  server->late_at = worker_.loop().now() + std::chrono::microseconds(std::max(usual, kLeastUs));
  worker_.late_at(server->late_at, *server);
}

void Client::hedge() {
  Server& late = *server;
  late.late_at = {};
  if (state_ != State::kActive || is_racing() || pools_->retired || pools_->asks_channels) return;
  const protocol::Bytes request = late.rerun.bytes();
  if (!late.rerun.only_reads() || !may_race(request)) return;
  Gathered next = std::exchange(gathered_, {});
  const route::Decision decision = find_rival_host(request);
  gathered_ = std::move(next);
  if (route::is_for_freshness(decision.reason)) {  // what is not proven yet may be soon
    pools_->cluster->monitor.sample_soon(ClusterMonitor::Urgency::kAwaited);
    late.late_at = worker_.loop().now() + kProveAgain;
    return worker_.late_at(late.late_at, late);
  }
  if (decision.target != route::Target::kReplica) return;
  HostPool& pool = pools_->at(static_cast<std::size_t>(decision.host));
  Server* with = spare_server(pool);
  if (with == nullptr) {  // soon, if it is not answered before
    late.late_at = worker_.loop().now() + kLookAgain;
    return worker_.late_at(late.late_at, late);
  }
  if (!worker_.may_retry()) return worker_.on_server_cleaned(*with);
  race(*with, request);
}

// Another replica that is as fresh as the request asks for.
route::Decision Client::find_rival_host(protocol::Bytes request) {
  const bool whole = gather(request) && gathered_.bytes == request.size();
  if (!whole || !gathered_.plain || gathered_.large || gathered_.old_unnamed) return {};
  // What is proven for one that begins now is more than it asked for, and takes a while.
  if (consistency() == config::Consistency::kStrong) return {};
  route::SessionView session = view();
  session.rules.hosts &= ~(std::uint64_t{1} << server->pool().host);
  return pools_->rival_router.decide(routed_access(), gathered_.hints.route, session,
                                     pools_->snapshot(), pools_->loads(worker_.loop().now()));
}

// Whether it is one statement that leaves nothing in the session, and of which nothing has come
// back: so that the ledger has what each of its messages is.
bool Client::may_race(protocol::Bytes request) const {
  const session::Exchange& exchange = server->exchange;
  std::size_t frames = 0, runs = 0, owed = 0;
  bool plain = status_ == 'I' && !begin_ && exchange.head_untouched();
  protocol::each_frame(request, [&](const protocol::Frame& frame) {
    ++frames;
    plain = plain && is_plain_to_send(frame);
    if (frame.type == protocol::frontend::kQuery || frame.type == protocol::frontend::kExecute) {
      ++runs;
    }
  });
  for (std::size_t i = 0; i < exchange.size(); ++i) {
    const session::Entry& entry = exchange.owed(i);
    if (entry.fate == session::Fate::kSwallow) continue;
    ++owed;
    plain = plain && entry.fate == session::Fate::kForward && entry.analysis == nullptr;
  }
  return plain && runs == 1 && owed == frames;
}

void Client::race(Server& with, protocol::Bytes request) {
  Server& late = *server;
  with.client = this;
  with.request_time = worker_.loop().now();
  with.busy_since = {};
  with.asked_to_write = with.failed_by_host = with.is_shareable = false;
  with.has_served = true;
  with.set_active(true);
  with.take_answer();  // none of it was this client's
  ++pools_->stats.hedges;
  server = &with;
  equalize_settings();
  std::size_t owed = 0;
  protocol::each_frame(request, [&](const protocol::Frame& frame) {
    while (late.exchange.owed(owed).fate == session::Fate::kSwallow) ++owed;
    send_again(frame, session::Entry(late.exchange.owed(owed++)));
  });
  with.rerun.sent(request, {.read = true, .bound = !late.rerun.after_refusal()});
  server = &late;
  late.rival = &with;
  with.rival = &late;
  with.push();
}

// To the server at hand. entry: what the ledger of the other one has of it.
void Client::send_again(const protocol::Frame& frame, session::Entry&& entry) {
  std::string_view name;
  if (frame.type == protocol::frontend::kBind) {
    name = protocol::decode_bind(frame.body)->statement;
  } else if (frame.type == protocol::frontend::kDescribe) {
    const auto described = *protocol::decode_describe(frame.body);
    if (described.kind == 'S') name = described.name;
  } else if (frame.type == protocol::frontend::kQuery) {
    server->unnamed_statement = 0;
  } else if (frame.type == protocol::frontend::kParse) {
    server->unnamed_statement = entry.statement;
  }
  const std::string_view name_there =
      name.empty() ? name : server_name_of(name, statements_.find(name));
  server->exchange.expect(std::move(entry));
  if (name.empty()) {
    server->relay(frame.raw);
  } else if (frame.type == protocol::frontend::kBind) {
    const auto bind = *protocol::decode_bind(frame.body);
    protocol::write_bind(server->made(), bind.portal, name_there, bind.rest);
  } else {
    protocol::write_describe(server->made(), 'S', name_there);
  }
}

void Client::on_race_won(Server& winner) {
  Server& loser = *winner.rival;
  if (&loser == server) {
    ++pools_->stats.hedges_won;
    meter_.on_wait(static_cast<std::uint64_t>(base::to_us(winner.busy_since - request_since_)));
    // Else it would seem to be a fast one.
    const auto now = worker_.loop().now();
    loser.pool().counters().note_late(static_cast<double>(base::to_us(now - loser.busy_since)),
                                      now);
  }
  worker_.leave_race(loser, Worker::Leaving::kAbruptly);
}

}  // namespace proxy
