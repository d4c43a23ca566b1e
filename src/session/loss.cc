#include "session/loss.h"

#include <algorithm>
#include <utility>

namespace session {
namespace {

bool ends_request(Expect what) {
  return what == Expect::kSync || what == Expect::kQuery || what == Expect::kFunctionCall;
}

// Describe of it is answered with NoData.
bool has_no_rows(const Entry& portal) {
  const sql::Statement* single = portal.analysis ? portal.analysis->single() : nullptr;
  return single != nullptr && (single->verb == sql::Verb::kBegin || ends_block(*single));
}

// What is in flight of one request.
struct Request {
  std::size_t first = 0, end = 0;
  bool whole = false;    // its Sync was sent
  bool visible = false;  // the client waits for an answer
  bool may_write = false;
  // Its statements, in order:
  bool block = false;          // a block is open behind the last one
  bool commits = false;        // one of them may commit
  bool commits_alone = false;  // one that is not plain may commit without a Sync
  bool goes_back = false;      // to a savepoint
  bool only_end = false;  // it is one COMMIT or ROLLBACK that can be answered without a server,
  bool only_rollback = false;  // the latter,
  bool only_begin = false;     // or one BEGIN likewise
};

class Judge {
 public:
  Judge(const Exchange& exchange, bool in_block)
      : exchange_(exchange), block_(in_block), failed_(in_block && exchange.status() == 'E') {}

  Loss run() {
    std::vector<Request> requests;
    bool block = block_;
    for (std::size_t i = 0; i < exchange_.size();) {
      requests.push_back(look_at(i, block));
      block = requests.back().block;
      i = requests.back().end;
    }
    commit_in_flight_ = !failed_ && std::ranges::any_of(requests, [](const Request& request) {
      return request.visible && request.commits && request.may_write;
    });
    bool open = exchange_.batch_open();
    for (const Request& request : requests) {
      if (!request.visible) continue;
      if (!request.whole) open = false;
      answer(request);
    }
    if (open) open_batch();
    loss_.in_block = block_;
    loss_.told = block_ && (failed_ || lost_);
    return std::move(loss_);
  }

 private:
  Request look_at(std::size_t first, bool block) const {
    Request request{.first = first, .block = block};
    std::size_t i = first;
    std::size_t statements = 0;
    bool simple = true;
    for (; i < exchange_.size() && !request.whole; ++i) {
      const Entry& entry = exchange_.owed(i);
      const bool ignored = first == 0 && i > 0 && i <= exchange_.ignored_syncs();
      if (ignored || entry.what == Expect::kCopyEnd) continue;
      request.whole = ends_request(entry.what);
      request.visible = request.visible || entry.fate != Fate::kSwallow;
      request.may_write = request.may_write || entry.may_write;
      if (entry.what == Expect::kQuery || entry.what == Expect::kExecute) {
        statements += entry.analysis ? follow(i, *entry.analysis, request) : 1;
      } else if (entry.what == Expect::kDescribe || entry.what == Expect::kFunctionCall) {
        simple = simple && has_no_rows(entry);
      }
    }
    while (i < exchange_.size() && exchange_.owed(i).what == Expect::kCopyEnd) ++i;
    request.end = i;
    const bool untouched = first != 0 || exchange_.head_untouched();
    const bool alone = request.whole && simple && statements == 1 && untouched;
    request.only_end = request.only_end && alone;
    request.only_begin = request.only_begin && alone;
    return request;
  }

  // Answers how many statements of the text are still to come.
  std::size_t follow(std::size_t at, const sql::Analysis& analysis, Request& request) const {
    if (!analysis.parsed) request.commits = request.commits_alone = true;
    const auto ended = at == 0 ? static_cast<std::size_t>(exchange_.statements_ended()) : 0;
    for (std::size_t i = ended; i < analysis.statements.size(); ++i) {
      const sql::Statement& statement = analysis.statements[i];
      switch (statement.verb) {
        case sql::Verb::kBegin:
          request.block = request.only_begin = true;
          break;
        case sql::Verb::kCommit:
        case sql::Verb::kPrepareTransaction:
          request.commits = request.commits_alone = true;
          [[fallthrough]];
        case sql::Verb::kRollback:
          request.only_end = !statement.chain;
          request.only_rollback = statement.verb == sql::Verb::kRollback;
          request.block = statement.chain;
          break;
        case sql::Verb::kRollbackTo:
          request.goes_back = true;
          break;
        case sql::Verb::kCall:
        case sql::Verb::kVacuumLike:
          request.commits_alone = true;
          break;
        default:
          break;
      }
    }
    return analysis.statements.size() - std::min(ended, analysis.statements.size());
  }

  void answer(const Request& request) {
    Reply reply{.ready = request.whole, .first = request.first, .end = request.end};
    if (request.first == 0 && exchange_.head_failed()) {
      reply.outcome = Outcome::kTold;
      lost_ = true;
      if (has_failed_to_end()) block_ = false;
    } else if (request.first == 0 && (head_has_ended() || only_its_end_is_left(request))) {
      reply.outcome = Outcome::kTold;
    } else if (block_ || request.block) {
      reply.outcome = of_block(request);
      block_ = request.block;
    } else {
      reply.outcome = of_implicit(request);
    }
    reply.status = !block_ ? 'I' : lost_ || failed_ ? 'E' : 'T';
    if (!block_) failed_ = lost_ = false;
    loss_.unknown = loss_.unknown || reply.outcome == Outcome::kUnknown;
    loss_.skips = !request.whole;
    loss_.replies.push_back(reply);
  }

  Outcome of_block(const Request& request) {
    if (!block_ && request.only_begin) return Outcome::kBegun;
    if (failed_ && !request.goes_back) {
      if (request.only_end) return Outcome::kEnded;
      if (request.block) return Outcome::kSkipped;
    } else if (request.only_end && (request.only_rollback || lost_) && !commit_in_flight_) {
      return Outcome::kEnded;
    }
    failed_ = false;
    if (commit_in_flight_ && (request.commits || !lost_)) {
      lost_ = true;
      return Outcome::kUnknown;
    }
    return std::exchange(lost_, true) && request.block ? Outcome::kSkipped : Outcome::kRolledBack;
  }

  Outcome of_implicit(const Request& request) const {
    if (!request.may_write) return Outcome::kNotDone;
    // A COPY of which not all has been sent is undone.
    const Entry& head = exchange_.owed(0);
    const bool copies = request.first == 0 && exchange_.in_copy_in() && head.analysis &&
                        head.analysis->single() != nullptr;
    if (copies) return Outcome::kNotDone;
    return request.whole || request.commits_alone ? Outcome::kUnknown : Outcome::kNotDone;
  }

  // All statements of a text have, and PostgreSQL says so of the last one when it has committed.
  bool head_has_ended() const {
    const Entry& head = exchange_.owed(0);
    const auto ended = static_cast<std::size_t>(exchange_.statements_ended());
    if (head.what != Expect::kQuery || ended == 0) return false;
    if (!head.analysis) return head.single;
    return head.analysis->parsed && ended == head.analysis->statements.size();
  }

  // All of a batch but Sync has been answered, and that commits nothing. Few drivers expect an
  // error where only ReadyForQuery is to come; a block's loss can be told with the next statement.
  bool only_its_end_is_left(const Request& request) const {
    return exchange_.owed(0).what == Expect::kSync && (block_ || !request.may_write);
  }

  // A COMMIT that failed has ended its block all the same.
  bool has_failed_to_end() const {
    const sql::AnalysisPtr& text = exchange_.owed(0).analysis;
    const auto at = static_cast<std::size_t>(exchange_.statements_ended());
    return text && at < text->statements.size() && ends_block(text->statements[at]);
  }

  // All that was sent of it has been answered.
  void open_batch() {
    if (exchange_.skipping()) {
      loss_.skips = true;
      lost_ = lost_ || block_;
    } else {
      loss_.untold_batch = true;
    }
  }

  const Exchange& exchange_;
  bool block_;         // a block is open where answer() is,
  bool failed_;        // has failed by itself,
  bool lost_ = false;  // or its loss has been told
  bool commit_in_flight_ = false;
  Loss loss_;
};

}  // namespace

Loss judge_loss(const Exchange& exchange, bool in_block) { return Judge(exchange, in_block).run(); }

bool ends_block(const sql::Statement& statement) {
  return statement.verb == sql::Verb::kCommit || statement.verb == sql::Verb::kRollback ||
         statement.verb == sql::Verb::kPrepareTransaction;
}

}  // namespace session
