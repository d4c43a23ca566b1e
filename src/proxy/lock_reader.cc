#include "proxy/lock_reader.h"

#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "net/loop.h"

namespace proxy {
namespace {

using net::read_clock;

// What every backend has of its own, and nobody waits for long, is left out.
constexpr const char* kLocks =
    "SELECT l.pid, l.locktype,"
    " CASE l.locktype"
    " WHEN 'relation' THEN coalesce((SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class"
    "  c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = l.relation AND"
    "  l.database IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname ="
    "  pg_catalog.current_database()))), l.relation::text)"
    " WHEN 'advisory' THEN CASE l.objsubid WHEN 1"
    "  THEN ((l.classid::pg_catalog.int8 << 32) | l.objid::pg_catalog.int8)::text"
    "  ELSE l.classid::text || ', ' || l.objid::text END"
    " WHEN 'transactionid' THEN l.transactionid::text"
    " ELSE coalesce(l.classid::text || ', ' || l.objid::text, l.relation::text) END,"
    " l.mode, l.granted, (SELECT pg_catalog.count(DISTINCT w.pid) FROM pg_catalog.pg_locks w"
    "  WHERE NOT w.granted AND l.pid = ANY (pg_catalog.pg_blocking_pids(w.pid)))"
    " FROM pg_catalog.pg_locks l WHERE l.pid = ANY ($1::pg_catalog.int4[])"
    " AND l.locktype <> 'virtualxid' AND NOT (l.locktype = 'transactionid' AND l.granted)"
    " ORDER BY 1, 2, 3, 4 LIMIT $2::pg_catalog.int8";

std::uint32_t number(std::optional<std::string_view> text) {
  std::uint32_t n = 0;
  const std::string_view digits = text.value_or("");
  return absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &n) ? n : 0;
}

std::string text_of(const Rows& rows, int row, int column) {
  return std::string(rows.value(row, column).value_or(""));
}

}  // namespace

LockReader::~LockReader() {
  {
    const std::lock_guard lock(mutex_);
    stop_.raise();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LockReader::ask(std::vector<Question> questions, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() < kWaitingMax) {
      waiting_.push_back({std::move(questions), std::move(done)});
      if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
      wake_.notify_one();
      return;
    }
  }
  done(std::vector<Answer>(questions.size(), absl::ResourceExhaustedError("too many ask")));
}

void LockReader::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stop_.raised() || !waiting_.empty(); });
    if (stop_.raised()) return;
    Request request = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    const base::Time deadline = read_clock() + kTimeout;
    std::vector<Answer> answers;
    for (const Question& question : request.questions) answers.push_back(read(question, deadline));
    request.done(std::move(answers));
    lock.lock();
  }
}

LockReader::Answer LockReader::read(const Question& question, base::Time deadline) const {
  auto connection = LibpqConnection::open(question.login, deadline, stop_);
  if (!connection.ok()) return connection.status();
  std::string pids;
  for (const std::uint32_t pid : question.pids)
    absl::StrAppend(&pids, pids.empty() ? "{" : ",", pid);
  pids += '}';
  const std::string most = std::to_string(kLocksMax);
  const std::array<const char*, 2> parameters = {pids.c_str(), most.c_str()};
  const auto rows = connection->execute(kLocks, parameters, deadline);
  if (!rows.ok()) return rows.status();
  std::vector<Lock> locks;
  for (int row = 0; row < rows->count(); ++row) {
    locks.push_back({.pid = number(rows->value(row, 0)),
                     .type = text_of(*rows, row, 1),
                     .object = text_of(*rows, row, 2),
                     .mode = text_of(*rows, row, 3),
                     .granted = rows->value(row, 4) == "t",
                     .waiting = number(rows->value(row, 5))});
  }
  return locks;
}

}  // namespace proxy
