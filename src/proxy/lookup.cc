#include "proxy/lookup.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "net/loop.h"

namespace proxy {
namespace {

using net::read_clock;

ServerLogin login_of(const LookupRequest& request) {
  return {.host = request.host,
          .port = request.port,
          .tls = request.tls,
          .dbname = request.dbname,
          .user = request.user,
          .password = request.password,
          .application_name = "weir auth_query",
          .timeout = request.timeout};
}

// Lengths before the parts: no two different lists make the same key.
std::string key_of(std::initializer_list<std::string_view> parts) {
  std::string key;
  for (const std::string_view part : parts) {
    absl::StrAppend(&key, part.size(), ":");
    key.append(part);
  }
  return key;
}

std::string login_key(const LookupRequest& r) {
  return key_of({r.host, std::to_string(r.port), std::to_string(static_cast<int>(r.tls.mode)),
                 r.tls.ca_file, r.tls.cert_file, r.tls.key_file, r.dbname, r.user, r.password});
}

bool is_unreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsNotFound(status);
}

// libpq gives no SQLSTATE for a log-in that failed.
absl::Status opened_status(const absl::Status& status, std::string_view dbname) {
  const std::string missing = "database \"" + std::string(dbname) + "\" does not exist";
  if (status.message().find(missing) == absl::string_view::npos) return status;
  return absl::NotFoundError(missing);
}

}  // namespace

AuthLookup::AuthLookup(Options options) : options_(options), found_fresh_(options.found_fresh) {
  for (std::size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { run(); });
}

AuthLookup::~AuthLookup() {
  {
    std::lock_guard lock(mutex_);
    stop_.raise();
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void AuthLookup::find(LookupRequest request, Done done) {
  std::string login = login_key(request);
  std::string key = key_of({login, request.query, request.name});
  {
    std::lock_guard lock(mutex_);
    if (const auto open = open_.find(key); open != open_.end()) {
      open->second->waiting.push_back(std::move(done));
      return;
    }
    if (waiting_.size() < options_.questions_max) {
      Question& question = waiting_.emplace_back(
          Question{.key = key, .login = std::move(login), .request = std::move(request)});
      question.waiting.push_back(std::move(done));
      open_.emplace(std::move(key), &question);
      // One that needs no server goes before those that may have to wait for theirs.
      if (recall(question) != nullptr) {
        waiting_.splice(waiting_.begin(), waiting_, std::prev(waiting_.end()));
      }
      wake_.notify_one();
      return;
    }
  }
  done(absl::ResourceExhaustedError("too many look-ups of users wait"));
}

void AuthLookup::forget() {
  std::lock_guard lock(mutex_);
  ++generation_;
  open_.clear();  // nobody joins a question that may have been answered before this moment
  found_.clear();
  absent_.clear();
  unreachable_.clear();
}

void AuthLookup::set_found_fresh(base::milliseconds fresh) {
  std::lock_guard lock(mutex_);
  found_fresh_ = fresh;
}

void AuthLookup::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto ready = [this] { return stop_.raised() || !waiting_.empty(); };
    if (idle_.empty()) {
      wake_.wait(lock, ready);
    } else {
      wake_.wait_until(lock, idle_.front().since + options_.connection_idle, ready);
    }
    if (waiting_.empty() && stop_.raised()) return;
    std::list<Idle> expired = take_expired();
    std::list<Question> current;
    if (!waiting_.empty()) current.splice(current.begin(), waiting_, waiting_.begin());
    for (Question& question : current) {
      const auto answer = settle(question, lock);
      lock.unlock();
      for (Done& done : question.waiting) done(answer);
      lock.lock();
    }
    lock.unlock();  // what the callbacks hold, and closing connections, is nothing for the lock
    current.clear();
    expired.clear();
    lock.lock();
  }
}

// Locked when called and when it returns; from then on nobody joins the question.
absl::StatusOr<AuthLookup::Found> AuthLookup::settle(Question& question,
                                                     std::unique_lock<std::mutex>& lock) {
  absl::StatusOr<Found> answer = absl::CancelledError("stopping");
  if (const Remembered* remembered = recall(question)) {
    answer = remembered->answer;
  } else if (!stop_.raised()) {
    const std::uint64_t generation = generation_;
    lock.unlock();
    answer = ask(question.request);
    lock.lock();
    if (generation == generation_) remember(question, answer);
  }
  const auto open = open_.find(question.key);
  if (open != open_.end() && open->second == &question) open_.erase(open);
  return answer;
}

absl::StatusOr<AuthLookup::Found> AuthLookup::ask(const LookupRequest& request) {
  if (request.name.find('\0') != std::string::npos) return std::nullopt;  // libpq would cut it
  ServerLogin login = login_of(request);
  std::optional<LibpqConnection> connection = take_idle(login);
  const bool was_idle = connection.has_value();
  absl::StatusOr<Found> answer = absl::UnavailableError("not connected");
  if (was_idle) answer = ask_on(*connection, request);
  // One that was idle may have been closed by the server since.
  if (!was_idle || absl::IsUnavailable(answer.status())) {
    auto opened = LibpqConnection::open(login, read_clock() + request.timeout, stop_);
    if (!opened.ok()) return opened_status(opened.status(), request.dbname);
    connection = *std::move(opened);
    answer = ask_on(*connection, request);
  }
  if (connection->is_idle()) keep_idle(std::move(login), *std::move(connection));
  return answer;
}

absl::StatusOr<AuthLookup::Found> AuthLookup::ask_on(LibpqConnection& connection,
                                                     const LookupRequest& request) {
  const std::array<const char*, 1> parameters = {request.name.c_str()};
  const char* query = request.query.empty() ? config::kDefaultAuthQuery : request.query.c_str();
  const absl::StatusOr<Rows> rows =
      connection.execute(query, parameters, read_clock() + request.timeout);
  if (!rows.ok()) return rows.status();
  if (rows->columns() != 2 && rows->columns() != 3) {
    return absl::FailedPreconditionError(absl::StrCat(
        "auth_query must return two columns, name and secret, or three, with a boolean that says "
        "who may log in: it returned ",
        rows->columns()));
  }
  if (rows->count() > 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("auth_query must return one row for a name: it returned ", rows->count()));
  }
  if (rows->count() == 0) return std::nullopt;
  const auto secret = rows->value(0, 1);
  if (!secret) return std::nullopt;
  Role role{.secret = std::string(*secret)};
  if (rows->columns() == 3) {
    const auto may = rows->value(0, 2);
    if (may != "t" && may != "f") {
      return absl::FailedPreconditionError(
          "auth_query's third column, who may log in, must be a boolean that is not null");
    }
    role.may_log_in = may == "t";
  }
  return role;
}

std::optional<LibpqConnection> AuthLookup::take_idle(const ServerLogin& login) {
  std::lock_guard lock(mutex_);
  const auto found = std::find_if(idle_.rbegin(), idle_.rend(),
                                  [&](const Idle& idle) { return idle.login == login; });
  if (found == idle_.rend()) return std::nullopt;
  std::optional<LibpqConnection> connection(std::move(found->connection));
  idle_.erase(std::next(found).base());
  return connection;
}

void AuthLookup::keep_idle(ServerLogin login, LibpqConnection connection) {
  std::list<Idle> surplus;
  {
    std::lock_guard lock(mutex_);
    idle_.push_back({std::move(login), std::move(connection), read_clock()});
    if (idle_.size() > options_.connections_max) {
      surplus.splice(surplus.begin(), idle_, idle_.begin());
    }
  }
}

std::list<AuthLookup::Idle> AuthLookup::take_expired() {
  std::list<Idle> expired;
  const base::Time limit = read_clock() - options_.connection_idle;
  while (!idle_.empty() && idle_.front().since <= limit) {
    expired.splice(expired.end(), idle_, idle_.begin());
  }
  return expired;
}

const AuthLookup::Remembered* AuthLookup::recall(const Question& question) const {
  const base::Time now = read_clock();
  const auto in = [now](const Memory& memory, const std::string& key) -> const Remembered* {
    const auto at = memory.find(key);
    return at != memory.end() && now < at->second.until ? &at->second : nullptr;
  };
  if (const auto* found = in(found_, question.key)) return found;
  if (const auto* absent = in(absent_, question.key)) return absent;
  return in(unreachable_, question.login);
}

void AuthLookup::remember(const Question& question, const absl::StatusOr<Found>& answer) {
  const base::Time now = read_clock();
  if (is_unreachable(answer.status())) {
    put(unreachable_, options_.absent_max, question.login,
        {answer, now + options_.unreachable_fresh});
  } else if (answer.ok() && answer->has_value()) {
    put(found_, options_.found_max, question.key, {answer, now + found_fresh_});
  } else if (answer.ok()) {
    // Apart from the found ones: made-up names must not push them out.
    put(absent_, options_.absent_max, question.key,
        {answer, now + std::min(options_.absent_fresh, found_fresh_)});
  }
}

void AuthLookup::put(Memory& memory, std::size_t max, const std::string& key, Remembered value) {
  if (memory.size() >= max && !memory.contains(key)) {
    std::erase_if(memory, [now = read_clock()](const auto& e) { return e.second.until <= now; });
    if (memory.size() >= max) memory.erase(memory.begin());
  }
  memory.insert_or_assign(key, std::move(value));
}

}  // namespace proxy
