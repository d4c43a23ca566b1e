// A model of PostgreSQL's side of the protocol: messages in, messages out, in order, by the rules
// of PostgresMain and CopyGetData. It knows a toy language of statements instead of SQL.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace simulation {

// For Parse "name=text", for Bind the statement's name, for Describe and Close "S" or "P" and a
// name, for Execute the row limit, for Query texts joined by ';'. For answers whatever tells two
// of them apart.
struct Message {
  char type{};
  std::string text;
  bool operator==(const Message&) const = default;
};
using Messages = std::vector<Message>;

// Statements: "select N", "insert", "begin", "commit", "rollback", "fail", "deferred" (fails when
// its transaction commits), "set" (a ParameterStatus), "warn" (a notice), "copyout N", "copyin"
// (fails on data "x"), "copybefore" (a COPY FROM STDIN that fails before it reads), "" (empty).
// Parse of "bad" fails, so does Parse under the name "dup".
std::vector<std::string> split(std::string_view text);

class ModelServer {
 public:
  // Everything the server answers to one message, before it reads the next.
  Messages feed(const Message& message);

  bool closed() const { return closed_; }
  bool reading_copy() const { return copy_.has_value(); }
  bool skipping() const { return skipping_; }
  char status() const { return status_; }
  // Could be given to another client.
  bool clean() const;

  // A cancel request reaches it while it reads copy data, or else the next message finds it there:
  // a Query fails. Returns what is answered at once.
  Messages cancel();

  // A session's prepared statements; those of another one take their place.
  const std::map<std::string, std::string>& statements() const { return statements_; }
  void set_statements(std::map<std::string, std::string> statements) {
    statements_ = std::move(statements);
  }

 private:
  struct Copy {
    bool extended;
    std::string verb;
    std::size_t rows = 0;
  };
  struct Portal {
    std::string text;
    std::size_t sent = 0;  // rows of it
  };

  void out(char type, std::string_view text = {}) { out_.push_back({type, std::string(text)}); }
  void copy_message(const Message& message);
  void extended(const Message& message);
  void parse(std::string_view text);
  void bind(std::string_view name);
  void describe(std::string_view text);
  void execute(std::size_t limit);
  void query(std::string_view text);
  void continue_query();
  void sync();
  // False: it failed, or it waits for copy data.
  bool run(const std::string& statement);
  bool transaction_command(const std::string& statement);
  bool refused_as_aborted(std::string_view statement);
  bool finish_transaction();  // commits what is implicit
  void fail(std::string_view why);
  void ready();

  Messages out_;
  std::map<std::string, std::string> statements_;
  std::optional<Portal> portal_;
  std::optional<Copy> copy_;
  std::deque<std::string> rest_;  // of the Query being run
  bool in_query_ = false, extended_ = false;
  bool cancelled_ = false;
  bool skipping_ = false, batch_open_ = false, deferred_ = false, closed_ = false;
  char status_ = 'I';
};

}  // namespace simulation
