#include "crowd.h"

#include <algorithm>
#include <utility>

#include "ledger.h"
#include "session/loss.h"

namespace simulation {
namespace {

using session::Entry;
using session::Expect;
using session::Fate;
using State = pool::Server::State;

constexpr std::uint32_t kOurs = ~std::uint32_t{0};
constexpr std::size_t kStepsMax = 200'000;

sql::Verb verb_of(std::string_view statement) {
  if (statement == "begin") return sql::Verb::kBegin;
  if (statement == "commit") return sql::Verb::kCommit;
  if (statement == "rollback") return sql::Verb::kRollback;
  return sql::Verb::kOther;
}

sql::AnalysisPtr analysis_of(std::string_view text) {
  auto analysis = std::make_shared<sql::Analysis>();
  analysis->parsed = true;
  for (const std::string& part : split(text)) {
    analysis->statements.emplace_back().verb = verb_of(part);
  }
  return analysis;
}

// So that no other client's answers look like its own.
void mark(Script& script, std::size_t client) {
  for (Sent& sent : script.sent) {
    std::string& text = sent.message.text;
    if (text == "known=select 1" || (sent.message.type != 'Q' && sent.message.type != 'P'))
      continue;
    for (std::size_t at = text.find("select "); at != std::string::npos;
         at = text.find("select ", at + 1)) {
      text.insert(at + 8, " of " + std::to_string(client));
    }
  }
}

bool ends_request(Expect what) {
  return what == Expect::kSync || what == Expect::kQuery || what == Expect::kFunctionCall;
}

}  // namespace

Crowd::Crowd(Random& random, Flaw flaw, CrowdTotals& totals)
    : random_(random),
      flaw_(flaw),
      totals_(totals),
      all_(static_cast<std::uint32_t>(1 + random.below(4)), 0) {
  const std::size_t workers = 1 + random_.below(3);
  const bool one_user = random_.one_in(2);
  for (std::size_t w = 0; w < workers; ++w) {
    std::vector<pool::Permits*> permits{&all_};
    if (!one_user) {
      users_.push_back(std::make_unique<pool::Permits>(1 + random_.below(2), random_.below(2)));
      permits.insert(permits.begin(), users_.back().get());
    }
    pools_.push_back(std::make_unique<pool::Pool>(
        config::PoolSizes{.min = static_cast<std::uint32_t>(random_.below(2))},
        base::milliseconds(random_.below(2) * 50), permits));
  }
  const std::size_t clients = 2 + random_.below(9);
  for (std::size_t i = 0; i < clients; ++i) {
    auto client = std::make_unique<Client>();
    client->worker = random_.below(workers);
    client->script = make_script(random_);
    mark(client->script, i);
    prepare_known(client->direct);
    clients_.push_back(std::move(client));
  }
}

Crowd::~Crowd() {
  for (const auto& client : clients_) {
    if (client->waiting()) client->waiting_in()->cancel(*client);
  }
  for (const auto& server : servers_) {
    if (server->pool_state() != State::kClosed) pools_[server->worker]->closed(*server);
  }
}

std::string Crowd::run() {
  const auto busy = [](const auto& client) { return !client->done; };
  for (std::size_t steps = 0; wrong_.empty(); ++steps) {
    step();
    check();
    if (std::ranges::none_of(clients_, busy)) break;
    if (steps == kStepsMax) wrong("a client never comes to its end");
  }
  // All go home: servers that have lost their clients end what they do, and are closed.
  for (std::size_t steps = 0; wrong_.empty() && !servers_.empty(); ++steps) {
    Server& server = *any_server();
    if (server.pool_state() != State::kLeased) {
      close(server);
    } else if (server.cancels > 0) {
      cancel_arrives(server);
    } else if (!server.in.empty()) {
      server_works(server);
    } else {
      server_answers(server);
    }
    check();
    if (steps == kStepsMax) wrong("a server is never free again");
  }
  if (wrong_.empty() && all_.taken() != 0) wrong("a permit has not come back");
  return wrong_;
}

void Crowd::wrong(const std::string& what) {
  if (wrong_.empty()) wrong_ = what;
}

Crowd::Server* Crowd::any_server() {
  return servers_.empty() ? nullptr : servers_[random_.below(servers_.size())].get();
}

// --- what happens ---------------------------------------------------------------------------

void Crowd::step() {
  now_ += base::milliseconds(random_.below(4));
  Server* server = any_server();
  switch (random_.below(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return client_acts(any_client());
    case 4:
    case 5:
    case 6:
    case 7:
      if (server != nullptr) server_works(*server);
      return;
    case 8:
    case 9:
    case 10:
    case 11:
      if (server != nullptr) server_answers(*server);
      return;
    case 12:
      if (server != nullptr) login(*server);
      return;
    case 13: {
      const std::size_t worker = random_.below(pools_.size());
      return sweep(*pools_[worker], worker);
    }
    case 14:
      if (server != nullptr && server->client != nullptr && random_.one_in(4)) {
        ++server->cancels;
        ++totals_.cancels;
      } else if (server != nullptr) {
        cancel_arrives(*server);
      }
      return;
    default:
      if (random_.one_in(40)) return vanish(any_client());
      if (random_.one_in(40) && server != nullptr) return lose(*server);
      if (random_.one_in(10)) all_.resize(static_cast<std::uint32_t>(1 + random_.below(4)), 0);
      return;
  }
}

void Crowd::client_acts(Client& client) {
  if (client.done || client.waiting()) return;
  if (client.next == client.script.sent.size()) {
    if (client.server == nullptr) end(client);
    return;
  }
  if (client.server == nullptr) return acquire(client);
  client_sends(client);
}

void Crowd::client_sends(Client& client) {
  const Sent& sent = client.script.sent[client.next];
  Server& server = *client.server;
  inject(client, sent);
  const auto note = static_cast<std::uint32_t>(client.next++);
  const Message& message = sent.message;
  if (message.type == 'd' || message.type == 'H') {
    server.in.push_back({message, &client, note});
    return;
  }
  Entry entry{.what = expect_of(message.type), .note = note, .may_write = true};
  if (message.type == 'Q') entry.analysis = analysis_of(message.text);
  const bool may_make_up = sent.in_batch && !client.script.chaos && !client.script.early_failure &&
                           !client.guessing && !server.exchange.uncertain() && random_.one_in(2);
  if (may_make_up && (message.text == "known=select 1" || message.text == "Snever")) {
    entry.fate = Fate::kMakeUp;
  }
  const bool made_up = entry.fate == Fate::kMakeUp;
  const bool unsettled = server.exchange.uncertain() && server.exchange.empty();
  client.guessing |=
      server.exchange.skipping() && server.exchange.uncertain() && entry.what != Expect::kSync;
  if (server.exchange.expect(std::move(entry)) && !made_up) {
    server.in.push_back({message, &client, note});
  }
  if (message.type == 'S' && unsettled) ask(server, "");
  make_up(server);
  after(server);
}

// Requests of the proxy's own, as a session's settings are.
void Crowd::inject(Client& client, const Sent& sent) {
  if (client.script.chaos || !sent.boundary || !random_.one_in(3)) return;
  static constexpr const char* kTexts[] = {"select 2", "set;warn", "", "insert;insert"};
  ask(*client.server, kTexts[random_.below(4)]);
}

void Crowd::ask(Server& server, const char* text) {
  Entry entry{.what = Expect::kQuery, .fate = Fate::kSwallow, .note = kOurs};
  if (server.exchange.expect(std::move(entry))) server.in.push_back({.message = {'Q', text}});
}

void Crowd::server_works(Server& server) {
  if (server.in.empty() || server.pool_state() == State::kOpening) return;
  const Job job = std::move(server.in.front());
  server.in.pop_front();
  for (Message& answer : server.model.feed(job.message)) server.out.push_back(std::move(answer));
  if (server.client != nullptr && server.client == job.client) feed(*job.client, job.note + 1);
}

void Crowd::server_answers(Server& server) {
  if (server.out.empty()) return;
  if (flaw_ == Flaw::kSwapped && server.out.size() > 1 && random_.one_in(20)) {
    std::swap(server.out[0], server.out[1]);
  }
  const Message message = std::move(server.out.front());
  server.out.pop_front();
  const session::Step step =
      server.exchange.on_server(message.type, protocol::as_bytes(message.text));
  if (Client* client = server.client; client != nullptr && step.forward && !step.unexpected) {
    see(flaw_ == Flaw::kMisled && random_.one_in(50) ? any_client() : *client, message);
    if (message.type == 'Z') client->in_block = message.text != "I";
  }
  if (step.unexpected) {
    // Only a client that goes on behind a COPY that has not ended may cost the connection.
    const Client* client = server.client;
    const bool excused = server.model.closed() || client == nullptr || client->guessing ||
                         (client->script.chaos && server.exchange.uncertain());
    if (!excused) return wrong("an answer that was not owed: " + show({message}));
    return lose(server);
  }
  if (server.client == nullptr && message.type == 'G' &&
      (server.exchange.in_copy_in() || server.exchange.copy_in_unsaid())) {
    return lose(server);  // its client has left: nobody will bring it to an end
  }
  if (server.model.closed() && server.out.empty()) return lose(server);
  make_up(server);
  after(server);
}

// If it is for what a client has sent. A server is not given away while one is on its way.
void Crowd::cancel_arrives(Server& server) {
  if (server.cancels == 0 || server.pool_state() != State::kLeased) return;
  --server.cancels;
  Client* client = server.client;
  const bool copying = server.model.reading_copy();
  // The turn of what is made up behind a COPY that fails before it has read its Syncs is not known.
  bool made_up = false;
  for (std::size_t i = 0; i < server.exchange.size(); ++i) {
    made_up = made_up || server.exchange.owed(i).fate == Fate::kMakeUp;
  }
  if (copying && made_up) return after(server);
  const Job* job = server.in.empty() ? nullptr : &server.in.front();
  const bool query = job != nullptr && job->client == client && job->message.type == 'Q';
  if (client != nullptr && copying && client->fed > 0) {
    for (Message& answer : server.model.cancel()) server.out.push_back(std::move(answer));
    for (Message& answer : client->direct.cancel()) client->expected.push_back(std::move(answer));
    client->guessing = true;  // which Syncs had it read?
  } else if (client != nullptr && query && !copying) {
    server.model.cancel();
    client->cancelled.insert(job->note);
  }
  after(server);
}

void Crowd::vanish(Client& client) {
  if (client.done) return;
  ++totals_.vanished;
  Server* server = client.server;
  end(client);
  if (server == nullptr) return;
  session::Exchange& exchange = server->exchange;
  if (exchange.copy_in_overrun()) return lose(*server);
  const bool copying = exchange.in_copy_in();
  if (copying) {
    exchange.expect({.what = Expect::kCopyEnd, .note = kOurs});
    server->in.push_back({.message = {'f', ""}});
  }
  if (exchange.batch_open() || exchange.copy_in_unsaid()) {
    end_batch(*server, copying || exchange.skipping());
  }
  make_up(*server);
  after(*server);
}

void Crowd::end_batch(Server& server, bool fails) {
  if (!fails) ask(server, "rollback");
  server.exchange.expect({.what = Expect::kSync, .fate = Fate::kSwallow, .note = kOurs});
  server.in.push_back({.message = {'S', ""}});
}

void Crowd::lose(Server& server) {
  if (server.pool_state() == State::kLeaving) return;
  ++totals_.lost;
  if (Client* client = server.client) {
    client->server = nullptr;
    server.client = nullptr;
    tell_loss(*client, server);
  }
  close(server);
}

// The session goes on with the next request that has nothing to do with what was lost.
void Crowd::tell_loss(Client& client, Server& server) {
  const session::Exchange& exchange = server.exchange;
  check_client(client);
  if (exchange.lost() || exchange.uncertain() || server.model.closed() || client.guessing) {
    return end(client);
  }
  const session::Loss loss = session::judge_loss(exchange, client.in_block);
  std::size_t owed = 0, told = 0;
  for (std::size_t i = 0; i < exchange.size(); ++i) {
    const Entry& entry = exchange.owed(i);
    if (entry.fate != Fate::kSwallow && ends_request(entry.what)) ++owed;
  }
  for (const session::Reply& reply : loss.replies) told += reply.ready ? 1 : 0;
  totals_.told += told;
  if (told + exchange.ignored_syncs() != owed) wrong("who has lost a server is not told of each");
  if (client.next == client.script.sent.size()) return end(client);
  while (client.next + 1 < client.script.sent.size() && !client.script.sent[client.next].boundary) {
    ++client.next;
  }
  auto statements = client.direct.statements();
  client.direct = ModelServer();
  client.direct.set_statements(std::move(statements));
  client.fed = client.next;
  client.seen.clear();
  client.expected.clear();
  client.compared = 0;
  client.in_block = false;
}

void Crowd::sweep(pool::Pool& pool, std::size_t worker) {
  while (pool::Server* surplus = pool.surplus(now_, base::milliseconds(200))) {
    close(static_cast<Server&>(*surplus));
  }
  while (pool.may_open(now_)) open(worker);
  while (pool.may_open_for_min()) open(worker);
  if (!random_.one_in(50)) return;
  // Whoever has waited for too long is told so, and leaves.
  while (pool::Waiter* waiter = pool.expired(now_ - base::milliseconds(5000))) {
    end(static_cast<Client&>(*waiter));
  }
}

void Crowd::login(Server& server) {
  if (server.pool_state() != State::kOpening) return;
  if (random_.one_in(10)) return close(server);
  prepare_known(server.model);
  free(server);
}

// --- the conversation -----------------------------------------------------------------------

void Crowd::acquire(Client& client) {
  using Kept = pool::Pool::Kept;
  const Kept kept = random_.one_in(4) ? Kept::kLost : Kept::kUnharmed;
  const auto answer = pools_[client.worker]->acquire(client, random_.below(3), now_, kept);
  if (answer.kind == pool::Pool::Kind::kLease) {
    return attach(client, static_cast<Server&>(*answer.server));
  }
  ++totals_.waits;
  if (answer.kind == pool::Pool::Kind::kOpen) return open(client.worker);
  if (flaw_ != Flaw::kShared) return;
  for (const auto& server : servers_) {
    if (server->client == nullptr || server->worker != client.worker) continue;
    pools_[client.worker]->cancel(client);
    return attach(client, *server);
  }
}

void Crowd::open(std::size_t worker) {
  ++totals_.opened;
  servers_.push_back(std::make_unique<Server>());
  servers_.back()->worker = worker;
  pools_[worker]->opening(*servers_.back(), now_);
}

void Crowd::attach(Client& client, Server& server) {
  ++totals_.leases;
  if (flaw_ != Flaw::kShared) check_free(server);
  client.server = &server;
  server.client = &client;
  server.model.set_statements(client.direct.statements());
}

void Crowd::after(Server& server) {
  if (server.pool_state() != State::kLeased || !wrong_.empty()) return;
  session::Exchange& exchange = server.exchange;
  if (exchange.lost()) return lose(server);
  if (exchange.empty() && exchange.uncertain() && !exchange.skipping()) return ask(server, "");
  if (server.cancels > 0) return;
  if (server.client == nullptr) return clean(server);
  if (!may_free(server)) return;
  feed(*server.client, server.client->next);
  check_client(*server.client);
  if (server.client->seen.size() < server.client->expected.size()) {
    wrong("a client misses answers\n  direct:  " + show(server.client->expected) +
          "\n  through: " + show(server.client->seen));
  }
  server.client->server = nullptr;
  server.client = nullptr;
  free(server);
}

bool Crowd::may_free(const Server& server) const {
  if (flaw_ == Flaw::kFreedInTransaction) return server.exchange.empty();
  if (flaw_ == Flaw::kFreedOwing)
    return server.exchange.size() < 2 && server.exchange.status() == 'I';
  return server.exchange.releasable();
}

void Crowd::clean(Server& server) {
  if (!server.exchange.empty()) return;
  if (server.exchange.batch_open()) return end_batch(server, server.exchange.skipping());
  if (server.exchange.status() != 'I') return ask(server, "rollback");
  if (server.exchange.releasable()) free(server);
}

void Crowd::free(Server& server) {
  check_free(server);
  server.kept = server.pool_state() == State::kLeased && random_.one_in(6);
  server.settings_hash = random_.below(3);
  bool close_it = false;
  const auto grant = pools_[server.worker]->ready(server, now_, close_it);
  if (close_it) return close(server);
  if (grant.waiter == nullptr) return;
  attach(static_cast<Client&>(*grant.waiter), static_cast<Server&>(*grant.server));
}

void Crowd::close(Server& server) {
  pool::Pool& pool = *pools_[server.worker];
  const std::size_t worker = server.worker;
  pool.closed(server);
  if (flaw_ == Flaw::kPermitKept && random_.one_in(4) && all_.try_take(false)) {
  }
  std::erase_if(servers_, [&](const auto& other) { return other.get() == &server; });
  for (auto grant = pool.make_do(now_); grant.waiter != nullptr; grant = pool.make_do(now_)) {
    attach(static_cast<Client&>(*grant.waiter), static_cast<Server&>(*grant.server));
  }
  while (pool.may_open(now_)) open(worker);
}

void Crowd::end(Client& client) {
  client.done = true;
  if (client.waiting()) client.waiting_in()->cancel(client);
  if (client.server != nullptr) client.server->client = nullptr;
  client.server = nullptr;
}

void Crowd::see(Client& client, const Message& message) {
  ++totals_.answers;
  client.seen.push_back(message);
}

void Crowd::make_up(Server& server) {
  while (std::optional<Entry> entry = server.exchange.take_made_up()) {
    if (server.client == nullptr) continue;
    feed(*server.client, entry->note + 1);
    see(*server.client, {entry->what == Expect::kClose ? '3' : '1', ""});
  }
}

// --- what must hold -------------------------------------------------------------------------

void Crowd::feed(Client& client, std::size_t upto) {
  for (; client.fed < upto; ++client.fed) {
    if (client.cancelled.contains(client.fed)) client.direct.cancel();
    for (Message& answer : client.direct.feed(client.script.sent[client.fed].message)) {
      client.expected.push_back(std::move(answer));
    }
  }
}

void Crowd::check() {
  std::vector<std::uint32_t> open(pools_.size());
  std::set<const Client*> served;
  for (const auto& server : servers_) {
    server->exchange.invariants();
    ++open[server->worker];
    if (server->pool_state() == State::kIdle) check_free(*server);
    const Client* client = server->client;
    if (client == nullptr) continue;
    if (client->server != server.get() || !served.insert(client).second) wrong("two have a server");
    if (server->pool_state() != State::kLeased) wrong("a client has a server that is not leased");
  }
  for (const auto& client : clients_) {
    if (client->server != nullptr && !served.contains(client.get())) wrong("two have a server");
    check_client(*client);
  }
  for (const auto& pool : pools_) pool->invariants();
  if (all_.taken() != servers_.size()) wrong("a permit without a server");
  for (std::size_t i = 0; i < users_.size(); ++i) {
    if (users_[i]->taken() != open[i]) wrong("a user's permit without a server");
  }
}

void Crowd::check_client(Client& client) {
  for (; client.compared < client.seen.size() && wrong_.empty(); ++client.compared) {
    const std::size_t at = client.compared;
    if (at < client.expected.size() && client.seen[at] == client.expected[at]) continue;
    wrong("a client saw other answers\n  direct:  " + show(client.expected) +
          "\n  through: " + show(client.seen));
  }
}

void Crowd::check_free(const Server& server) {
  if (!server.model.clean()) wrong("a free server is in use");
  if (!server.exchange.empty() || !server.out.empty()) wrong("a free server owes an answer");
  if (!server.in.empty()) {
    ModelServer model = server.model;
    for (const Job& job : server.in) {
      if (!model.feed(job.message).empty()) wrong("a free server has something to do");
    }
  }
  if (server.client != nullptr || server.cancels > 0) wrong("a free server is someone's");
}

}  // namespace simulation
