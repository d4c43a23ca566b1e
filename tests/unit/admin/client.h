// Drives a ConsoleSession as a PostgreSQL client would, and takes its answers apart.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/backend.h"
#include "protocol/error.h"
#include "protocol/frontend.h"
#include "proxy/control.h"

namespace admin_test {

struct Message {
  char type = 0;
  std::vector<std::uint8_t> body;
  protocol::Bytes bytes() const { return body; }
};

using Row = std::vector<std::optional<std::string>>;

struct Reply {
  std::vector<Message> messages;
  bool close = false;

  std::string types() const;                 // e.g. "TDDCZ"
  std::vector<std::string> columns() const;  // names of the first RowDescription
  std::vector<std::uint32_t> oids() const;
  std::vector<std::int16_t> column_formats() const;
  std::vector<Row> rows() const;
  std::string tag() const;   // of the last CommandComplete
  std::string code() const;  // SQLSTATE of the first error, "" = none
  std::string message() const;
  std::string hint() const;
  std::string notice() const;  // message of the first notice
  char status() const;         // of ReadyForQuery, 0 = none
};

class Client {
 public:
  explicit Client(std::unique_ptr<proxy::ConsoleSession> session) : session_(std::move(session)) {}

  // Sends one message and waits for the answer.
  Reply send(char type, protocol::Bytes body);
  // Sends whole messages one after another; all answers together.
  Reply send(const protocol::Buffer& messages);
  Reply query(std::string_view sql);
  // As send(), without waiting.
  void start(char type, protocol::Bytes body);
  bool wait(std::chrono::milliseconds how_long);  // true: the answer is there: take()
  Reply take();
  void leave() { session_.reset(); }
  void cancel() { session_->cancel(); }

 private:
  struct Box {
    std::mutex mutex;
    std::condition_variable come;
    std::optional<Reply> reply;
    int replies = 0;
  };
  std::unique_ptr<proxy::ConsoleSession> session_;
  std::shared_ptr<Box> box_ = std::make_shared<Box>();
};

}  // namespace admin_test
