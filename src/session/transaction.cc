#include "session/transaction.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace session {
namespace {

constexpr std::size_t kLookBack = 32;

// They belong to one transaction, however they are set: each new one starts from the defaults.
bool is_of_transaction(std::string_view name) {
  return name == "transaction_read_only" || name == "transaction_isolation" ||
         name == "transaction_deferrable";
}

// RESET ALL leaves them alone, and they act upon each other.
bool is_identity(std::string_view name) {
  return name == "role" || name == "session_authorization";
}

bool is_of_channel(const Change& change) {
  return change.kind == Change::Kind::kListen || change.kind == Change::Kind::kUnlisten;
}

// bool.c, parse_bool: any prefix of true, yes; on; 1.
bool is_true(std::string_view value) {
  const std::string lower = canonical_name(value);
  if (lower.empty()) return false;
  return std::string_view("true").starts_with(lower) ||
         std::string_view("yes").starts_with(lower) || lower == "on" || lower == "1";
}

void put_back(const Settings& base, std::string_view name, Settings& settings) {
  if (const std::string* value = base.find(name)) {
    settings.set(name, *value);
  } else if (is_custom(name)) {
    settings.set(name, kNamedOnly);
  } else {
    settings.erase(name);
  }
}

void reset_all(const Settings& base, Settings& settings) {
  Settings result = base;
  for (const std::string_view name : {"role", "session_authorization"}) result.erase(name);
  for (const auto& [name, value] : settings.entries()) {
    if (is_identity(name)) result.set(name, value);
    if (is_custom(name) && base.find(name) == nullptr) result.set(name, kNamedOnly);
  }
  settings = std::move(result);
}

}  // namespace

void apply(const Change& change, const Settings& base, Settings& settings) {
  const bool authorization = change.name == "session_authorization";
  switch (change.kind) {
    case Change::Kind::kSet:
      settings.set(change.name, change.value_sql);
      if (authorization) settings.erase("role");
      return;
    case Change::Kind::kReset:
      put_back(base, change.name, settings);
      if (authorization) put_back(base, "role", settings);
      return;
    case Change::Kind::kResetAll:
      reset_all(base, settings);
      return;
    case Change::Kind::kNamed:
      if (settings.find(change.name) == nullptr) settings.set(change.name, kNamedOnly);
      return;
    case Change::Kind::kListen:
    case Change::Kind::kUnlisten:
      return;
  }
}

void Transaction::on_statement(const sql::Statement& statement, std::string_view tag) {
  switch (statement.verb) {
    case sql::Verb::kBegin:
      explicit_ = true;
      modes(statement);
      return;
    case sql::Verb::kCommit:
    case sql::Verb::kPrepareTransaction:  // settings survive it as they do a COMMIT
      if (tag == "ROLLBACK") {
        roll_back(statement.chain);
      } else {
        commit(statement.chain);
      }
      return;
    case sql::Verb::kRollback:
      roll_back(statement.chain);
      return;
    case sql::Verb::kSavepoint:
      marks_.push_back({statement.name, staged_.size(), read_only_});
      return;
    case sql::Verb::kRelease:
      release(statement.name);
      return;
    case sql::Verb::kRollbackTo:
      roll_back_to(statement.name);
      return;
    case sql::Verb::kSetTransaction:
      // With sets it is SET SESSION CHARACTERISTICS: defaults of the transactions to come.
      if (statement.sets.empty()) modes(statement);
      stage(statement);
      return;
    case sql::Verb::kResetAll:
      note_touch({.setting = "", .reset = true, .local = false});
      add({.kind = Change::Kind::kResetAll});
      return;
    case sql::Verb::kDiscardAll:
      return discard_all();
    case sql::Verb::kListen:
      if (!explicit_) add({.kind = Change::Kind::kListen, .name = statement.name});
      return;
    case sql::Verb::kUnlisten:
    case sql::Verb::kUnlistenAll:
      add({.kind = Change::Kind::kUnlisten, .name = statement.name});
      return;
    case sql::Verb::kOther:
    case sql::Verb::kCall:
      return unanalysed(statement, tag);
    case sql::Verb::kSelect:  // set_config()
    case sql::Verb::kSet:
    case sql::Verb::kReset:
    case sql::Verb::kShow:
    case sql::Verb::kDiscardOther:
    case sql::Verb::kPrepare:
    case sql::Verb::kExecute:
    case sql::Verb::kDeallocate:
    case sql::Verb::kDeallocateAll:
    case sql::Verb::kDeclareHold:
    case sql::Verb::kCloseCursor:
    case sql::Verb::kCloseAllCursors:
    case sql::Verb::kNotify:
    case sql::Verb::kCopyIn:
    case sql::Verb::kCopyOut:
    case sql::Verb::kCreateTemp:
    case sql::Verb::kLoad:
    case sql::Verb::kDdl:
    case sql::Verb::kVacuumLike:
      stage(statement);
      return;
  }
}

void Transaction::discard_all() {
  add({.kind = Change::Kind::kReset, .name = "session_authorization"});
  add({.kind = Change::Kind::kReset, .name = "role"});
  add({.kind = Change::Kind::kResetAll});
  add({.kind = Change::Kind::kUnlisten});
}

void Transaction::unanalysed(const sql::Statement& statement, std::string_view tag) {
  if (tag == "COMMIT" || tag == "PREPARE TRANSACTION") return commit(false);
  // Also the tag of ROLLBACK TO, which only the next ReadyForQuery can tell apart.
  if (tag == "ROLLBACK") failed_ = true;
  if (tag == "BEGIN" || tag == "START TRANSACTION") explicit_ = true;
  stage(statement);
}

void Transaction::modes(const sql::Statement& statement) {
  if (statement.read_only) read_only_ = *statement.read_only;
  if (statement.isolation) isolation_ = *statement.isolation;
}

void Transaction::stage(const sql::Statement& statement) {
  for (const sql::SetStatement& set : statement.sets) {
    if (is_of_transaction(set.name)) {
      if (set.name == "transaction_read_only" && set.value) read_only_ = is_true(*set.value);
      if (set.name == "transaction_isolation" && set.value) isolation_ = *set.value;
      continue;
    }
    if (is_custom(set.name)) note_named(set.name);
    note_touch({.setting = set.name, .reset = set.reset, .local = set.local});
    if (set.local) continue;  // over with the transaction, whatever its end
    if (set.reset) {
      add({.kind = Change::Kind::kReset, .name = set.name});
    } else {
      add({.kind = Change::Kind::kSet,
           .name = set.name,
           .value_sql = set.value_sql,
           .value = set.value});
    }
  }
}

void Transaction::note_touch(Touch touch) {
  if (touched_.empty() && !touch.reset) return;
  std::erase_if(touched_, [&](const Touch& earlier) {
    return touch.setting.empty() || earlier.setting == touch.setting;
  });
  touched_.push_back(std::move(touch));
}

std::string Transaction::restore(const Settings& base) {
  const std::vector<Touch> touched = std::exchange(touched_, {});
  std::string sql;
  if (!explicit_ || failed_) return sql;
  for (const auto& [name, value] : base.entries()) {
    const auto last = std::find_if(touched.rbegin(), touched.rend(), [&](const Touch& touch) {
      return touch.setting.empty() ? !is_identity(name) : canonical_name(touch.setting) == name;
    });
    if (last == touched.rend() || !last->reset) continue;
    sql += set_sql_in_block(name, value, last->local ? Scope::kLocal : Scope::kSession) + ";";
    if (!last->local) add({.kind = Change::Kind::kSet, .name = name, .value_sql = value});
  }
  return sql;
}

// It stays named although the transaction may be rolled back. As for add(), a few are remembered.
void Transaction::note_named(const std::string& setting) {
  const auto is_same = [&](const Change& change) {
    return change.kind == Change::Kind::kNamed && change.name == setting;
  };
  const auto recent =
      committed_.end() - static_cast<std::ptrdiff_t>(std::min(committed_.size(), kLookBack));
  if (std::any_of(recent, committed_.end(), is_same)) return;
  committed_.push_back({.kind = Change::Kind::kNamed, .name = setting});
}

// A change of the same name since the last savepoint is overtaken, so that a transaction that
// sets a few things a million times holds a few changes. It does not look far back for it.
void Transaction::add(Change change) {
  std::size_t since = marks_.empty() ? 0 : marks_.back().staged;
  if (staged_.size() > kLookBack) since = std::max(since, staged_.size() - kLookBack);
  const auto begin = staged_.begin() + static_cast<std::ptrdiff_t>(since);
  const bool all = change.kind == Change::Kind::kResetAll;
  const auto same = std::find_if(begin, staged_.end(), [&](const Change& earlier) {
    if (all || is_of_channel(earlier) || is_of_channel(change)) {
      return earlier.kind == change.kind && earlier.name == change.name;
    }
    return earlier.name == change.name;
  });
  // Their order is kept.
  if (same != staged_.end() && !is_identity(change.name)) staged_.erase(same);
  staged_.push_back(std::move(change));
}

void Transaction::commit(bool chain) {
  committed_.insert(committed_.end(), std::make_move_iterator(staged_.begin()),
                    std::make_move_iterator(staged_.end()));
  end(chain);
}

void Transaction::roll_back(bool chain) { end(chain); }

void Transaction::end(bool chain) {
  staged_.clear();
  touched_.clear();
  marks_.clear();
  failed_ = false;
  explicit_ = chain;
  if (chain) return;  // AND CHAIN: the new transaction has the modes of the old one
  read_only_ = false;
  isolation_.clear();
}

void Transaction::roll_back_to(std::string_view savepoint) {
  const auto it = std::find_if(marks_.rbegin(), marks_.rend(),
                               [&](const Mark& m) { return m.savepoint == savepoint; });
  failed_ = false;
  touched_.clear();
  if (it == marks_.rend()) return;
  staged_.resize(it->staged);
  read_only_ = it->read_only;
  marks_.erase(it.base(), marks_.end());  // the savepoint itself stays
}

void Transaction::release(std::string_view savepoint) {
  const auto it = std::find_if(marks_.rbegin(), marks_.rend(),
                               [&](const Mark& m) { return m.savepoint == savepoint; });
  if (it != marks_.rend()) marks_.erase(std::next(it).base(), marks_.end());
}

void Transaction::on_error() {
  if (explicit_) {
    failed_ = true;
  } else {
    roll_back(false);  // what came before in the same text or batch is undone with it
  }
}

void Transaction::on_ready(char status) {
  if (status == 'I') {
    if (failed_) {
      roll_back(false);
    } else if (explicit_ || !staged_.empty() || read_only_ || !isolation_.empty()) {
      commit(false);
    }
    return;
  }
  explicit_ = true;
  failed_ = status == 'E';
}

std::vector<Change> Transaction::take_committed() { return std::exchange(committed_, {}); }

void Transaction::reset() { *this = Transaction(); }

}  // namespace session
