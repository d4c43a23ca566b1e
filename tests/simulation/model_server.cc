#include "model_server.h"

#include <charconv>
#include <utility>

namespace simulation {
namespace {

std::size_t number_in(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space != std::string_view::npos) text.remove_prefix(space + 1);
  std::size_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

bool returns_rows(std::string_view text) { return text.starts_with("select"); }

}  // namespace

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(';');
    if (const std::string_view part = text.substr(0, end); !part.empty()) parts.emplace_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool ModelServer::clean() const {
  return !closed_ && !copy_ && !skipping_ && !batch_open_ && status_ == 'I';
}

Messages ModelServer::feed(const Message& message) {
  out_.clear();
  if (closed_) return {};
  const bool cancelled = std::exchange(cancelled_, false);
  if (cancelled && !copy_ && !skipping_ && message.type == 'Q') {
    extended_ = false;
    fail("57014");
    return out_;
  }
  if (copy_) {
    copy_message(message);
    return out_;
  }
  if (message.type == 'S') {
    sync();
    return out_;
  }
  if (skipping_) return {};
  switch (message.type) {
    case 'Q':
      query(message.text);
      break;
    case 'F':
      extended_ = false;
      if (!refused_as_aborted("function")) {
        out('V', message.text);
        if (finish_transaction()) ready();
      }
      break;
    case 'd':
    case 'c':
    case 'f':
    case 'H':
      break;
    default:
      extended(message);
      break;
  }
  return out_;
}

void ModelServer::copy_message(const Message& message) {
  switch (message.type) {
    case 'S':
    case 'H':
      return;
    case 'd':
      if (message.text == "x") return fail("22P02");
      ++copy_->rows;
      return;
    case 'f':
      return fail("57014");
    case 'c': {
      const Copy done = *copy_;
      copy_.reset();
      out('C', done.verb);
      if (!done.extended) continue_query();
      return;
    }
    default:
      fail("08P01");
      out_.resize(1);
      out('E', "FATAL 08P01");
      closed_ = true;
      return;
  }
}

void ModelServer::extended(const Message& message) {
  extended_ = true;
  batch_open_ = true;
  switch (message.type) {
    case 'P':
      return parse(message.text);
    case 'B':
      return bind(message.text);
    case 'D':
      return describe(message.text);
    case 'E':
      return execute(number_in(message.text));
    case 'C':
      if (message.text.starts_with('S')) statements_.erase(message.text.substr(1));
      return out('3');
    default:
      out('E', "FATAL unknown message");
      closed_ = true;
      return;
  }
}

void ModelServer::parse(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string name(text.substr(0, equals));
  const std::string_view statement = text.substr(equals + 1);
  if (statement == "bad") return fail("42601");
  if (name == "dup") return fail("42P05");
  statements_[name] = statement;
  out('1');
}

void ModelServer::bind(std::string_view name) {
  const auto it = statements_.find(std::string(name));
  if (it == statements_.end()) return fail("26000");
  if (refused_as_aborted(it->second)) return;
  portal_ = Portal{it->second};
  out('2');
}

void ModelServer::describe(std::string_view text) {
  const bool statement = text.starts_with('S');
  const auto it = statements_.find(std::string(text.substr(1)));
  if (statement && it == statements_.end()) return fail("26000");
  if (!statement && !portal_) return fail("34000");
  const std::string& what = statement ? it->second : portal_->text;
  if (refused_as_aborted(what)) return;
  if (statement) out('t', what);
  out(returns_rows(what) ? 'T' : 'n', returns_rows(what) ? what : "");
}

void ModelServer::execute(std::size_t limit) {
  if (!portal_) return fail("34000");
  const std::string text = portal_->text;
  if (refused_as_aborted(text)) return;
  if (text.empty()) return out('I');
  if (!returns_rows(text)) {
    run(text);
    return;
  }
  const std::size_t left = number_in(text) - portal_->sent;
  const std::size_t rows = limit == 0 ? left : std::min(limit, left);
  for (std::size_t i = 0; i < rows; ++i) out('D', text);
  portal_->sent += rows;
  if (limit != 0 && rows == limit) return out('s');
  out('C', text);
}

void ModelServer::query(std::string_view text) {
  extended_ = false;
  const std::vector<std::string> parts = split(text);
  rest_.assign(parts.begin(), parts.end());
  in_query_ = true;
  if (rest_.empty()) out('I');
  continue_query();
}

void ModelServer::continue_query() {
  while (!rest_.empty()) {
    const std::string statement = rest_.front();
    rest_.pop_front();
    if (refused_as_aborted(statement)) return;
    if (returns_rows(statement)) {
      out('T', statement);
      for (std::size_t i = 0; i < number_in(statement); ++i) out('D', statement);
      out('C', statement);
      continue;
    }
    if (!run(statement)) return;
  }
  in_query_ = false;
  if (finish_transaction()) ready();
}

Messages ModelServer::cancel() {
  out_.clear();
  if (copy_) {
    fail("57014");
  } else {
    cancelled_ = true;
  }
  return out_;
}

bool ModelServer::run(const std::string& statement) {
  if (transaction_command(statement)) return !out_.empty() && out_.back().type != 'Z' && !skipping_;
  if (statement == "fail") {
    fail("22012");
    return false;
  }
  if (statement == "copyin" || statement == "copybefore") {
    out('G');
    copy_ = Copy{extended_, statement};
    if (statement == "copybefore") fail("P0001");
    return false;
  }
  if (statement == "deferred") deferred_ = true;
  if (statement == "set") out('S', "set");
  if (statement == "warn") out('N', "warn");
  if (statement.starts_with("copyout")) {
    out('H');
    for (std::size_t i = 0; i < number_in(statement); ++i) out('d', statement);
    out('c');
  }
  out('C', statement);
  return true;
}

bool ModelServer::transaction_command(const std::string& statement) {
  if (statement == "begin") {
    if (status_ == 'T') out('N', "25001");
    status_ = 'T';
    out('C', statement);
    return true;
  }
  if (statement != "commit" && statement != "rollback") return false;
  if (status_ == 'I') out('N', "25P01");
  const bool commits = statement == "commit" && status_ != 'E';
  status_ = 'I';
  portal_.reset();
  if (commits && deferred_) {
    deferred_ = false;
    fail("23505");
    return true;
  }
  deferred_ = false;
  out('C', commits ? "commit" : "rollback");
  return true;
}

bool ModelServer::refused_as_aborted(std::string_view statement) {
  if (status_ != 'E' || statement == "rollback" || statement == "commit") return false;
  fail("25P02");
  return true;
}

bool ModelServer::finish_transaction() {
  if (status_ != 'I') return true;
  portal_.reset();
  if (!deferred_) return true;
  const bool was_query = in_query_;
  in_query_ = false;
  extended_ = false;
  fail("23505");
  in_query_ = was_query;
  return false;
}

void ModelServer::sync() {
  skipping_ = false;
  extended_ = false;
  if (finish_transaction()) ready();
}

void ModelServer::fail(std::string_view why) {
  out('E', why);
  const bool batch = copy_ ? copy_->extended : extended_;
  copy_.reset();
  portal_.reset();
  rest_.clear();
  in_query_ = false;
  deferred_ = false;
  if (status_ == 'T') status_ = 'E';
  if (batch) {
    skipping_ = true;
  } else {
    ready();
  }
}

void ModelServer::ready() {
  batch_open_ = false;
  out('Z', std::string(1, status_));
}

}  // namespace simulation
