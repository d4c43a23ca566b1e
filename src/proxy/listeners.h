// The one server connection on which all sessions of a (database, user) LISTEN, in one worker.
//
// A LISTEN that is a request of its own, outside of a transaction block, is carried out there; what
// comes in is handed to every session that listens to its channel. All other LISTENs pin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "protocol/buffer.h"
#include "protocol/bytes.h"

namespace proxy {

class Client;
class Server;
class Worker;

class Listeners {
 public:
  Listeners() = default;
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  Server* connection() const { return connection_; }  // null = nobody listens together
  bool is_free() const;                               // no LISTEN is under way there
  // Becomes the connection. `encoding`: the client_encoding in which it gets what it is sent, as
  // session::plain_encoding() has it; "" = the server's default.
  void adopt(Worker& worker, Server& server, std::string encoding);
  const std::string& encoding() const { return encoding_; }
  // Appends whole notifications, as they came from there, as a client with that client_encoding is
  // to get them.
  void write_converted(protocol::Bytes notifications, std::string_view encoding,
                       protocol::Buffer& out) const;

  // client, whose LISTEN has been carried out there, hears of the channel from now on.
  void add(Client& client, std::string_view channel);
  void remove(Client& client, std::string_view channel);
  void remove(Client& client);
  bool has(const Client& client, std::string_view channel) const;
  std::vector<std::string> channels_of(const Client& client) const;
  using Channels = absl::flat_hash_map<std::string, std::vector<Client*>>;
  const Channels& channels() const { return channels_; }

  void await(Client& client);  // Client::reroute() once is_free()
  // Client::on_heard() once it has been given all that was committed before now.
  void ask(Client& client);

  // From the connection.
  void deliver(protocol::Bytes notification);  // the message's body
  void on_asked();
  void on_free();  // it owes nothing, and has no client
  void on_lost(std::string_view why);

 private:
  void send_question();
  void look_after();

  Worker* worker_ = nullptr;
  Server* connection_ = nullptr;
  std::string encoding_;
  Channels channels_;
  std::vector<std::string> left_;        // channels that nobody listens to any more
  std::deque<std::uint64_t> waiting_;    // clients, for the connection
  std::vector<Client*> asking_, asked_;  // with the next question; with the one under way
  bool delivering_ = false;
};

}  // namespace proxy
