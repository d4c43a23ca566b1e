#include "proxy/listeners.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "protocol/bytes.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"
#include "session/encoding.h"
#include "sql/lexer.h"

namespace proxy {
namespace {

absl::string_view key(std::string_view channel) { return {channel.data(), channel.size()}; }

}  // namespace

bool Listeners::is_free() const {
  return connection_ != nullptr && connection_->client == nullptr &&
         connection_->exchange.releasable() && connection_->cancels == 0;
}

void Listeners::adopt(Worker& worker, Server& server, std::string encoding) {
  CHECK(connection_ == nullptr);
  worker_ = &worker;
  connection_ = &server;
  encoding_ = std::move(encoding);
  server.listeners = this;
  // Nobody comes back to it for what sequences gave there.
  server.last_writer = 0;
  server.kept = false;
}

void Listeners::write_converted(protocol::Bytes notifications, std::string_view encoding,
                                protocol::Buffer& out) const {
  if (encoding == encoding_) return out.append(notifications);
  // SQL_ASCII gets what the database has.
  const auto known = [&](std::string name) {
    return name.empty() || name == "sqlascii" ? connection_->encoding("server_encoding") : name;
  };
  const std::string from = known(connection_->encoding("client_encoding"));
  const std::string to = known(std::string(encoding));
  if (from == to) return out.append(notifications);
  protocol::each_frame(notifications, [&](const protocol::Frame& frame) {
    protocol::MessageWriter message(out, frame.type);
    message.bytes(frame.body.first(sizeof(std::uint32_t)));  // who has sent it
    const auto text = protocol::as_text(frame.body.subspan(sizeof(std::uint32_t)));
    message.bytes(protocol::as_bytes(session::converted(text, from, to)));
  });
}

void Listeners::add(Client& client, std::string_view channel) {
  auto& clients = channels_[std::string(channel)];
  if (std::ranges::find(clients, &client) == clients.end()) clients.push_back(&client);
  std::erase(left_, channel);
}

void Listeners::remove(Client& client, std::string_view channel) {
  const auto it = channels_.find(key(channel));
  if (it == channels_.end() || std::erase(it->second, &client) == 0) return;
  if (it->second.empty()) {
    left_.push_back(it->first);
    channels_.erase(it);
  }
  look_after();
}

void Listeners::remove(Client& client) {
  std::erase(asking_, &client);
  std::ranges::replace(asked_, &client, static_cast<Client*>(nullptr));
  absl::erase_if(channels_, [&](auto& entry) {
    std::erase(entry.second, &client);
    if (!entry.second.empty()) return false;
    left_.push_back(entry.first);
    return true;
  });
  look_after();
}

bool Listeners::has(const Client& client, std::string_view channel) const {
  const auto it = channels_.find(key(channel));
  return it != channels_.end() && std::ranges::find(it->second, &client) != it->second.end();
}

std::vector<std::string> Listeners::channels_of(const Client& client) const {
  std::vector<std::string> result;
  for (const auto& [channel, clients] : channels_) {
    if (std::ranges::find(clients, &client) != clients.end()) result.push_back(channel);
  }
  return result;
}

void Listeners::await(Client& client) {
  if (std::ranges::find(waiting_, client.id) == waiting_.end()) waiting_.push_back(client.id);
}

// PostgreSQL sends what has come before it says that it is ready. One question is under way at a
// time: who asks meanwhile may have committed after that one was answered.
void Listeners::ask(Client& client) {
  asking_.push_back(&client);
  if (asked_.empty()) send_question();
}

void Listeners::send_question() {
  if (asking_.empty() || connection_->exchange.batch_open()) return;
  asked_ = std::exchange(asking_, {});
  connection_->inject_query("", kNoteHeard);
  connection_->push();
}

void Listeners::on_asked() {
  for (Client* client : std::exchange(asked_, {})) {
    if (client != nullptr) client->on_heard();
  }
  if (connection_ != nullptr) send_question();
}

void Listeners::deliver(protocol::Bytes notification) {
  protocol::Reader in(notification);
  in.u32();  // the process that has sent it
  const std::string_view channel = in.cstring();
  const auto it = in.ok() ? channels_.find(key(channel)) : channels_.end();
  if (it == channels_.end()) return;
  delivering_ = true;
  for (Client* client : std::vector<Client*>(it->second)) {
    if (client->is_open()) client->on_notification(notification);
  }
  delivering_ = false;
  look_after();
}

void Listeners::on_free() {
  if (!left_.empty() && !channels_.empty()) {
    std::string sql;
    for (const std::string& channel : std::exchange(left_, {})) {
      sql += "UNLISTEN " + sql::quote_identifier(channel) + ";";
    }
    connection_->inject_query(sql, kNoteReset);
    return connection_->push();
  }
  if (!asking_.empty() && asked_.empty()) return send_question();
  while (!waiting_.empty() && is_free()) {
    Client* next = worker_->find_client(waiting_.front());
    waiting_.pop_front();
    if (next != nullptr) next->reroute();
    if (connection_ == nullptr) return;
  }
  if (!channels_.empty() || !is_free()) return;
  // Nobody listens any more: it goes back to the pool, clean.
  Server& left = *std::exchange(connection_, nullptr);
  left_.clear();
  left.listeners = nullptr;
  left.dirty = true;
  worker_->on_server_cleaned(left);
}

// Something has been left. Not in the midst of what the connection is being read for.
void Listeners::look_after() {
  if (!left_.empty() && !delivering_ && is_free()) on_free();
}

// What has been sent since is gone, as with a session whose own connection is lost.
void Listeners::on_lost(std::string_view why) {
  const std::string code = connection_->last_code;
  connection_ = nullptr;
  left_.clear();
  asking_.clear();
  asked_.clear();
  std::vector<Client*> lost;
  for (const auto& [channel, clients] : std::exchange(channels_, {})) {
    lost.insert(lost.end(), clients.begin(), clients.end());
  }
  for (Client* client : lost) client->on_listening_lost(code, why);
  for (const std::uint64_t id : std::exchange(waiting_, {})) {
    if (Client* client = worker_->find_client(id)) client->reroute();
  }
}

}  // namespace proxy
