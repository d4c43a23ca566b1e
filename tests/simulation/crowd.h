// Many clients on few servers: the pools of some workers, the ledgers of their servers, and what is
// said of a loss, put together as the proxy does it, but without sockets. Servers fail, clients
// vanish, requests are cancelled, limits change.
//
// After every step:
// - each client has been given what a server of its own would have answered, in that order, and
//   when it has nothing under way, all of it;
// - no server is free that is in a transaction, owes an answer, or has something to do;
// - no server is two clients';
// - there is a permit for each server that is open, and for nothing else.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "model_server.h"
#include "pool/pool.h"
#include "script.h"
#include "session/exchange.h"

namespace simulation {

// What can be done wrongly on purpose, to see that it is noticed.
enum class Flaw : std::uint8_t {
  kNone,
  kFreedInTransaction,  // a server is free once it has answered all
  kFreedOwing,          // or before that
  kShared,              // who would have to wait gets a server that another client has
  kPermitKept,          // that of a server that failed
  kSwapped,             // two answers come the other way round
  kMisled,              // an answer goes to another client
};

struct CrowdTotals {
  std::size_t answers = 0, leases = 0, waits = 0, cancels = 0, vanished = 0, lost = 0, opened = 0,
              told = 0;
};

class Crowd {
 public:
  Crowd(Random& random, Flaw flaw, CrowdTotals& totals);
  ~Crowd();
  std::string run();  // "" or what is wrong

 private:
  struct Client;
  struct Job {  // a message on its way to a server
    Message message;
    Client* client = nullptr;  // null: of the proxy itself
    std::uint32_t note = 0;    // which one of the client's it is
  };
  struct Server : pool::Server {
    ModelServer model;
    session::Exchange exchange;
    Client* client = nullptr;
    std::size_t worker = 0;
    std::deque<Job> in;
    std::deque<Message> out;
    int cancels = 0;  // on their way to it
  };
  struct Client : pool::Waiter {
    std::size_t worker = 0;
    Script script;
    std::size_t next = 0;  // of the script
    Server* server = nullptr;
    bool done = false;
    bool in_block = false;  // as far as was answered
    // Something was sent of which it cannot be known whether the server will skip it.
    bool guessing = false;

    // A server of its own, that was given the script up to `fed`.
    ModelServer direct;
    std::size_t fed = 0;
    std::set<std::size_t> cancelled;  // messages that a cancel request met
    Messages expected, seen;
    std::size_t compared = 0;
  };

  // What happens.
  void step();
  void client_acts(Client& client);
  void client_sends(Client& client);
  void inject(Client& client, const Sent& sent);
  void ask(Server& server, const char* text);
  void server_works(Server& server);
  void server_answers(Server& server);
  void cancel_arrives(Server& server);
  void vanish(Client& client);
  void end_batch(Server& server, bool fails);  // that its client has left
  void lose(Server& server);
  void tell_loss(Client& client, Server& server);
  void sweep(pool::Pool& pool, std::size_t worker);
  void login(Server& server);

  // Conversation.
  void acquire(Client& client);
  void open(std::size_t worker);
  void attach(Client& client, Server& server);
  void after(Server& server);  // whatever it has answered
  void free(Server& server);
  bool may_free(const Server& server) const;
  void clean(Server& server);  // its client has vanished
  void close(Server& server);
  void end(Client& client);
  void see(Client& client, const Message& message);
  void make_up(Server& server);

  // What must hold.
  void check();
  void check_client(Client& client);
  void check_free(const Server& server);
  void feed(Client& client, std::size_t upto);
  void wrong(const std::string& what);

  Client& any_client() { return *clients_[random_.below(clients_.size())]; }
  Server* any_server();

  Random& random_;
  Flaw flaw_;
  CrowdTotals& totals_;
  base::Time now_{base::seconds(1000)};
  pool::Permits all_;                                  // of the whole process
  std::vector<std::unique_ptr<pool::Permits>> users_;  // of each pool's user
  std::vector<std::unique_ptr<pool::Pool>> pools_;     // a worker each
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::string wrong_;
};

}  // namespace simulation
