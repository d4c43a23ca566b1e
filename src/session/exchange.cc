#include "session/exchange.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace session {
namespace {

constexpr std::size_t kFirstCapacity = 16;
constexpr std::size_t kKeptCapacity = 1024;  // a longer ring is given back once it is empty

bool is_extended(Expect what) {
  switch (what) {
    case Expect::kParse:
    case Expect::kBind:
    case Expect::kDescribe:
    case Expect::kExecute:
    case Expect::kClose:
      return true;
    case Expect::kSync:
    case Expect::kQuery:
    case Expect::kFunctionCall:
    case Expect::kCopyEnd:
      return false;
  }
  return false;
}

bool is_status(char c) { return c == 'I' || c == 'T' || c == 'E'; }

}  // namespace

void Exchange::grow() {
  std::vector<Entry> larger(std::max(kFirstCapacity, ring_.size() * 2));
  for (std::size_t i = 0; i < count_; ++i) larger[i] = std::move(at(i));
  ring_ = std::move(larger);
  head_ = 0;
}

void Exchange::push(Entry&& entry) {
  if (count_ == ring_.size()) grow();
  at(count_) = std::move(entry);
  ++count_;
  if (count_ == 1) start_head();
}

void Exchange::pop() {
  CHECK(count_ > 0);
  finished_ = std::move(at(0));
  head_ = (head_ + 1) & (ring_.size() - 1);
  --count_;
  start_head();
}

void Exchange::start_head() {
  phase_ = Phase::kFresh;
  statement_index_ = 0;
  // No COPY is at work, so the server ignores it.
  while (count_ > 0 && at(0).what == Expect::kCopyEnd) {
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
  }
  if (count_ == 0 && ring_.size() > kKeptCapacity) {
    ring_ = std::vector<Entry>(kFirstCapacity);
    head_ = 0;
  }
}

bool Exchange::expect(Entry&& entry) {
  const bool sent = entry.fate != Fate::kMakeUp;
  const bool ends_failed = entry.what == Expect::kSync && skip_ == Skip::kByServer;
  if (entry.what == Expect::kSync) {
    // A batch that the server has begun only ends when the server is sent the Sync.
    CHECK(sent || !batch_open_);
    skip_ = Skip::kNothing;
  }
  if (skip_ == Skip::kByUs) return false;
  if (skip_ == Skip::kByServer) {
    if (!uncertain() || !sent || entry.what == Expect::kCopyEnd) return false;
    lost_ = true;
    return true;
  }
  switch (entry.what) {
    case Expect::kParse:
    case Expect::kBind:
    case Expect::kDescribe:
    case Expect::kExecute:
    case Expect::kClose:
      if (sent) batch_open_ = true;
      batch_may_write_ = batch_may_write_ || entry.may_write;
      if (!sent && entry.error) skip_ = Skip::kByUs;
      break;
    case Expect::kSync:
    case Expect::kQuery:
    case Expect::kFunctionCall:
      if (sent) batch_open_ = false;
      entry.may_write = entry.may_write || batch_may_write_;
      batch_may_write_ = false;
      break;
    case Expect::kCopyEnd:
      copy_in_ = false;
      if (count_ == 0) return false;
      break;
  }
  push(std::move(entry));
  if (ends_failed && count_ == 1) phase_ = Phase::kFailed;
  return true;
}

Step Exchange::on_server(char type, protocol::Bytes body) {
  switch (type) {
    case 'S':
    case 'N':
    case 'A':
      return on_notice(type);
    case 'E':
      return on_error();
    case 'Z':
      return on_ready(body);
    default:
      break;
  }
  const Answer answer = classify(type);
  Step step;
  if (answer == Answer::kWrong || (answer == Answer::kStatementEnd && !end_copy_in())) {
    step.unexpected = true;
    return step;
  }
  maybe_ready_ = 0;  // the server is past all of them
  step.forward = at(0).fate == Fate::kForward;
  if (answer == Answer::kMore) {
    note_phase(type);
    step.entry = &at(0);
    return step;
  }
  if (answer == Answer::kStatementEnd) step.statement_index = statement_index_++;
  if (answer == Answer::kStatementEnd && at(0).what == Expect::kQuery) {
    phase_ = Phase::kAnswered;
    step.entry = &at(0);
    return step;
  }
  pop();
  step.entry = &finished_;
  step.entry_done = true;
  return step;
}

Exchange::Answer Exchange::classify(char type) const {
  if (count_ == 0 || lost_) return Answer::kWrong;
  const Entry& head = at(0);
  CHECK(head.fate != Fate::kMakeUp);  // else take_made_up was not called
  const auto when = [](bool right, Answer answer) { return right ? answer : Answer::kWrong; };
  switch (head.what) {
    case Expect::kParse:
      return when(type == '1', Answer::kEntryEnd);
    case Expect::kBind:
      return when(type == '2', Answer::kEntryEnd);
    case Expect::kClose:
      return when(type == '3', Answer::kEntryEnd);
    case Expect::kDescribe:
      if (type == 't') return Answer::kMore;
      return when(type == 'T' || type == 'n', Answer::kEntryEnd);
    case Expect::kFunctionCall:
      return when(type == 'V' && phase_ == Phase::kFresh, Answer::kMore);
    case Expect::kSync:
    case Expect::kCopyEnd:
      return Answer::kWrong;
    case Expect::kExecute:
    case Expect::kQuery:
      break;
  }
  const bool query = head.what == Expect::kQuery;
  const bool copying = phase_ == Phase::kCopyIn || phase_ == Phase::kCopyOut;
  if (phase_ == Phase::kFailed) return Answer::kWrong;
  switch (type) {
    case 'D':
    case 'G':
    case 'H':
      return when(!copying, Answer::kMore);
    case 'T':
      return when(query && !copying, Answer::kMore);
    case 'd':
    case 'c':
      return when(phase_ == Phase::kCopyOut, Answer::kMore);
    case 'C':
      return when(phase_ != Phase::kCopyOut, Answer::kStatementEnd);
    case 'I':
      return when(!copying, Answer::kStatementEnd);
    case 's':
      return when(!query && !copying, Answer::kStatementEnd);
    default:
      return Answer::kWrong;
  }
}

void Exchange::note_phase(char type) {
  if (type == 'V') phase_ = Phase::kAnswered;
  if (type == 'H') phase_ = Phase::kCopyOut;
  if (type == 'c') phase_ = statement_index_ > 0 ? Phase::kAnswered : Phase::kFresh;
  if (type != 'G') return;
  phase_ = Phase::kCopyIn;
  // A client may send the data and its end without waiting for the CopyInResponse.
  const std::size_t syncs = copy_syncs();
  copy_in_ = 1 + syncs == count_ || at(1 + syncs).what != Expect::kCopyEnd;
}

std::size_t Exchange::copy_syncs() const {
  std::size_t n = 0;
  while (1 + n < count_ && at(1 + n).what == Expect::kSync) ++n;
  return n;
}

std::size_t Exchange::ignored_syncs() const {
  const bool reads = phase_ == Phase::kCopyIn && at(0).what == Expect::kExecute;
  return reads ? copy_syncs() : 0;
}

void Exchange::remove_behind_head(std::size_t n) {
  CHECK(n < count_);
  std::swap(at(0), at(n));
  for (std::size_t i = 0; i < n; ++i) at(i) = Entry{};
  head_ = (head_ + n) & (ring_.size() - 1);
  count_ -= n;
}

bool Exchange::end_copy_in() {
  if (phase_ != Phase::kCopyIn) return true;
  // It ends well only once it has read CopyDone, and it has read every Sync before that.
  const std::size_t syncs = copy_syncs();
  if (1 + syncs == count_ || at(1 + syncs).what != Expect::kCopyEnd) return false;
  remove_behind_head(syncs + 1);
  copy_in_ = false;
  // Those Syncs did not end the batch of an Execute.
  if (at(0).what == Expect::kExecute && !ends_batch()) batch_open_ = true;
  return true;
}

bool Exchange::ends_batch() const {
  for (std::size_t i = 0; i < count_; ++i) {
    if (!is_extended(at(i).what) && at(i).what != Expect::kCopyEnd) return true;
  }
  return false;
}

void Exchange::fail_copy_in() {
  copy_in_ = false;
  const std::size_t syncs = copy_syncs();
  if (syncs == 0) return;
  const auto is = [&](std::size_t i, Expect what) { return i < count_ && at(i).what == what; };
  std::size_t next = 1 + syncs;
  if (is(next, Expect::kCopyEnd)) ++next;
  // What was sent behind those Syncs of a batch is skipped up to the next one if the COPY had
  // read them, and answered if it had not. Behind a Query nothing is skipped.
  const bool batch = at(0).what == Expect::kExecute;
  if (batch && next < count_ && !is(next, Expect::kSync)) lost_ = true;
  maybe_ready_ += syncs;
  remove_behind_head(next - 1);
}

void Exchange::fail_batch() {
  while (count_ > 0 && at(0).what != Expect::kSync) {
    dropped_.push_back(std::move(at(0)));
    head_ = (head_ + 1) & (ring_.size() - 1);
    --count_;
    start_head();
  }
  if (count_ > 0) {
    phase_ = Phase::kFailed;
    return;
  }
  skip_ = Skip::kByServer;
  batch_open_ = true;
}

Step Exchange::on_error() {
  Step step{.forward = true, .failed = true};
  if (dropped_.capacity() > kKeptCapacity) dropped_ = {};
  dropped_.clear();
  step.unexpected = lost_;
  if (count_ == 0) return step;
  CHECK(at(0).fate != Fate::kMakeUp);
  step.forward = at(0).fate == Fate::kForward;
  if (at(0).what == Expect::kSync) {  // of the commit; ReadyForQuery follows
    phase_ = Phase::kFailed;
    step.entry = &at(0);
    return step;
  }
  if (phase_ != Phase::kFailed) maybe_ready_ = 0;
  if (phase_ == Phase::kCopyIn) fail_copy_in();
  step.unexpected = lost_;
  if (is_extended(at(0).what)) {
    pop();
    fail_batch();
    step.entry = &finished_;
    step.entry_done = true;
  } else {
    phase_ = Phase::kFailed;
    step.entry = &at(0);
  }
  return step;
}

Step Exchange::on_ready(protocol::Bytes body) {
  Step step;
  const bool valid = body.size() == 1 && is_status(static_cast<char>(body[0]));
  bool owed = false;
  if (count_ > 0) {
    CHECK(at(0).fate != Fate::kMakeUp);
    const Expect what = at(0).what;
    const bool ended = phase_ == Phase::kAnswered || phase_ == Phase::kFailed;
    owed = what == Expect::kSync ||
           (ended && (what == Expect::kQuery || what == Expect::kFunctionCall));
  }
  if (!valid || lost_ || (!owed && maybe_ready_ == 0)) {
    step.unexpected = true;
    return step;
  }
  status_ = static_cast<char>(body[0]);
  step.ready = true;
  if (owed) {
    step.forward = at(0).fate == Fate::kForward;
    pop();
    step.entry = &finished_;
    step.entry_done = true;
    return step;
  }
  // The failed COPY had not read that Sync after all.
  --maybe_ready_;
  step.forward = true;
  if (skip_ == Skip::kByServer) {
    skip_ = Skip::kNothing;
    batch_open_ = false;
  }
  return step;
}

Step Exchange::on_notice(char type) const {
  Step step;
  if (count_ > 0) step.entry = &at(0);
  step.forward = type == 'A' || !swallowing();
  return step;
}

std::optional<Entry> Exchange::take_made_up() {
  if (count_ == 0 || at(0).fate != Fate::kMakeUp) return std::nullopt;
  pop();
  return std::move(finished_);
}

bool Exchange::releasable() const { return count_ == 0 && client_answered(); }

bool Exchange::client_answered() const {
  if (batch_open() || uncertain() || lost_ || status_ != 'I') return false;
  for (std::size_t i = 0; i < count_; ++i) {
    if (at(i).fate != Fate::kSwallow) return false;
  }
  return true;
}

bool Exchange::swallowing() const { return count_ > 0 && at(0).fate == Fate::kSwallow; }

void Exchange::reset() { *this = Exchange(); }

void Exchange::invariants() const {
  CHECK((ring_.size() & (ring_.size() - 1)) == 0);
  CHECK(count_ <= ring_.size());
  CHECK(ring_.empty() || head_ < ring_.size());
  CHECK(is_status(status_));
  CHECK(count_ > 0 || phase_ == Phase::kFresh);
  CHECK(count_ == 0 || at(0).what != Expect::kCopyEnd);
  CHECK(skip_ != Skip::kByServer || (batch_open_ && count_ == 0));
  CHECK(!copy_in_ || phase_ == Phase::kCopyIn);
  CHECK(!releasable() || (!copy_in_ && !skipping() && count_ == 0));
}

}  // namespace session
