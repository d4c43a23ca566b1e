#include "session/loss.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>

#include "session/exchange.h"

namespace session {
namespace {

// The requests of a client as words: each a letter of Expect as in Conversation, or a simple query
// that is one of begin, commit, rollback, back (to a savepoint), read, write.
struct Lost {
  Exchange exchange;

  static sql::AnalysisPtr text(sql::Verb verb, bool chain = false) {
    auto analysis = std::make_shared<sql::Analysis>();
    analysis->parsed = true;
    sql::Statement statement;
    statement.verb = verb;
    statement.chain = chain;
    analysis->statements.push_back(statement);
    return analysis;
  }
  void add(Expect what, bool may_write = true, sql::AnalysisPtr analysis = nullptr,
           Fate fate = Fate::kForward) {
    exchange.expect({.what = what, .fate = fate, .analysis = analysis, .may_write = may_write});
  }
  void run(std::string_view answers, Expect what = Expect::kQuery,
           sql::AnalysisPtr analysis = nullptr) {
    add(what, true, analysis);
    hear(answers);
  }
  // Letters of answers; what follows Z is the status.
  void hear(std::string_view answers) {
    for (std::size_t i = 0; i < answers.size(); ++i) {
      if (answers[i] == 'Z') {
        const auto status = static_cast<std::uint8_t>(answers[++i]);
        exchange.on_server('Z', protocol::Bytes(&status, 1));
      } else {
        exchange.on_server(answers[i], {});
      }
    }
    exchange.invariants();
  }
  void block() { run("CZT", Expect::kQuery, text(sql::Verb::kBegin)); }

  // "unknown I, skipped E", and behind a colon the state of the session.
  std::string told(bool in_block) const {
    const Loss loss = judge_loss(exchange, in_block);
    std::string out;
    for (const Reply& reply : loss.replies) {
      constexpr const char* kNames[] = {"unknown", "not done", "rolled back", "skipped",
                                        "told",    "ended",    "begun"};
      out +=
          (out.empty() ? "" : ", ") + std::string(kNames[static_cast<std::size_t>(reply.outcome)]);
      if (reply.ready) out += std::string(" ") + reply.status;
    }
    out += ":";
    if (loss.in_block) out += loss.told ? " lost block" : " lost block, untold";
    if (loss.skips) out += " skips";
    if (loss.untold_batch) out += " batch";
    return out;
  }
};

TEST_CASE("a write that is lost may have happened, a read has not") {
  Lost write;
  write.add(Expect::kQuery);
  CHECK(write.told(false) == "unknown I:");
  Lost read;
  read.add(Expect::kQuery, false);
  CHECK(read.told(false) == "not done I:");
  Lost call;
  call.add(Expect::kFunctionCall);
  CHECK(call.told(false) == "unknown I:");
}

TEST_CASE("of pipelined requests each that was not answered is told by itself") {
  Lost lost;
  for (int i = 0; i < 3; ++i) {
    for (const Expect what : {Expect::kParse, Expect::kBind, Expect::kExecute, Expect::kSync}) {
      lost.add(what, i != 1);
    }
  }
  CHECK(lost.told(false) == "unknown I, not done I, unknown I:");
  lost.hear("12CZI12");
  CHECK(lost.told(false) == "not done I, unknown I:");
  lost.hear("CZI12C");  // what is left of the third is its commit
  CHECK(lost.told(false) == "unknown I:");
}

TEST_CASE("what the proxy itself has asked for is nobody's") {
  Lost lost;
  lost.add(Expect::kQuery, false, nullptr, Fate::kSwallow);
  CHECK(lost.told(false) == ":");
  lost.add(Expect::kParse, true, nullptr, Fate::kSwallow);
  lost.add(Expect::kBind);
  lost.add(Expect::kExecute);
  lost.add(Expect::kSync);
  lost.add(Expect::kQuery, false, nullptr, Fate::kSwallow);
  CHECK(lost.told(false) == "unknown I:");
}

TEST_CASE("without a Sync a batch has not committed, but for what commits by itself") {
  Lost lost;
  lost.add(Expect::kParse);
  lost.add(Expect::kBind);
  lost.add(Expect::kExecute);
  CHECK(lost.told(false) == "not done: skips");
  lost.hear("12C");
  CHECK(lost.told(false) == ": batch");
  CHECK(lost.told(true) == ": lost block, untold batch");
  lost.add(Expect::kExecute, true, Lost::text(sql::Verb::kVacuumLike));
  CHECK(lost.told(false) == "unknown: skips");
  Lost call;
  call.add(Expect::kExecute, true, Lost::text(sql::Verb::kCall));
  CHECK(call.told(false) == "unknown: skips");
  Lost insert;  // into a table that may have triggers
  insert.add(Expect::kExecute, true, Lost::text(sql::Verb::kOther));
  CHECK(insert.told(false) == "not done: skips");
}

TEST_CASE("an error that the client has is not told again") {
  Lost query;
  query.run("E");
  CHECK(query.told(false) == "told I:");
  CHECK(query.told(true) == "told E: lost block");
  Lost batch;
  for (const Expect what : {Expect::kParse, Expect::kBind, Expect::kExecute}) batch.add(what);
  batch.hear("1E");
  CHECK(batch.told(false) == ": skips");
  batch.add(Expect::kSync);
  CHECK(batch.told(false) == "told I:");
  Lost sent;
  for (const Expect what : {Expect::kParse, Expect::kBind, Expect::kExecute, Expect::kSync}) {
    sent.add(what);
  }
  sent.hear("1E");
  CHECK(sent.told(false) == "told I:");
}

TEST_CASE("an open block is lost as a whole") {
  Lost idle;
  idle.block();
  CHECK(idle.told(true) == ": lost block, untold");
  Lost busy;
  busy.block();
  busy.add(Expect::kQuery);
  CHECK(busy.told(true) == "rolled back E: lost block");
  busy.add(Expect::kQuery);
  CHECK(busy.told(true) == "rolled back E, skipped E: lost block");
}

TEST_CASE("a COMMIT in flight may have happened, and all in front of it in the block") {
  Lost lost;
  lost.block();
  lost.add(Expect::kQuery);
  lost.add(Expect::kQuery, true, Lost::text(sql::Verb::kCommit));
  CHECK(lost.told(true) == "unknown E, unknown I:");
  lost.add(Expect::kQuery, false);
  CHECK(lost.told(true) == "unknown E, unknown I, not done I:");
  Lost replica;  // nothing was written
  replica.block();
  replica.add(Expect::kQuery, false, Lost::text(sql::Verb::kCommit));
  CHECK(replica.told(true) == "rolled back I:");
  Lost chain;
  chain.block();
  chain.add(Expect::kQuery, true, Lost::text(sql::Verb::kCommit, true));
  CHECK(chain.told(true) == "unknown E: lost block");
}

TEST_CASE("a text all of whose statements were answered lacks ReadyForQuery only") {
  Lost commit;
  commit.block();
  commit.add(Expect::kQuery, true, Lost::text(sql::Verb::kCommit));
  commit.hear("C");
  CHECK(commit.told(false) == "told I:");
  Lost begin;
  begin.add(Expect::kQuery, true, Lost::text(sql::Verb::kBegin));
  begin.hear("C");
  CHECK(begin.told(true) == "told T: lost block, untold");
  Lost write;  // of how many statements it is was not kept
  write.add(Expect::kQuery);
  write.hear("C");
  CHECK(write.told(false) == "unknown I:");
  Lost single;
  single.exchange.expect({.what = Expect::kQuery, .single = true, .may_write = true});
  CHECK(single.told(false) == "unknown I:");
  single.hear("C");
  CHECK(single.told(false) == "told I:");
}

TEST_CASE("a batch all of which was answered lacks ReadyForQuery only, if it commits nothing") {
  const auto answered = [](Lost& lost, bool may_write, bool runs = true) {
    lost.add(Expect::kParse, false);
    if (runs) {
      lost.add(Expect::kBind, false);
      lost.add(Expect::kExecute, may_write);
    }
    lost.add(Expect::kSync, false);
    lost.hear(runs ? "12C" : "1");
  };
  Lost read, write, prepared, block;
  answered(read, false);
  CHECK(read.told(false) == "told I:");
  answered(write, true);
  CHECK(write.told(false) == "unknown I:");
  answered(prepared, true, false);
  CHECK(prepared.told(false) == "told I:");
  block.block();
  answered(block, true);
  CHECK(block.told(true) == "told T: lost block, untold");
  block.add(Expect::kQuery);
  CHECK(block.told(true) == "told T, rolled back E: lost block");
}

TEST_CASE("what a batch did is not held against the next one") {
  Lost lost;
  lost.add(Expect::kExecute, true);
  lost.add(Expect::kSync, false);
  lost.hear("CZI");
  lost.add(Expect::kExecute, false);
  lost.add(Expect::kSync, false);
  CHECK(lost.told(false) == "not done I:");
}

TEST_CASE("a ROLLBACK in flight has what it asked for") {
  Lost lost;
  lost.block();
  lost.add(Expect::kQuery, true, Lost::text(sql::Verb::kRollback));
  CHECK(lost.told(true) == "ended I:");
  Lost batch;
  batch.block();
  batch.add(Expect::kQuery);
  batch.add(Expect::kParse);
  batch.add(Expect::kBind);
  batch.add(Expect::kExecute, true, Lost::text(sql::Verb::kRollback));
  batch.add(Expect::kSync);
  CHECK(batch.told(true) == "rolled back E, ended I:");
  Lost described;
  described.block();
  described.add(Expect::kBind);
  described.add(Expect::kDescribe, false, Lost::text(sql::Verb::kRollback));
  described.add(Expect::kExecute, true, Lost::text(sql::Verb::kRollback));
  described.add(Expect::kSync);
  CHECK(described.told(true) == "ended I:");
}

TEST_CASE("a block that had failed") {
  Lost idle;
  idle.block();
  idle.run("EZE");
  CHECK(idle.told(true) == ": lost block");
  Lost busy = idle;
  busy.add(Expect::kQuery);
  CHECK(busy.told(true) == "skipped E: lost block");
  Lost commit = idle;
  commit.add(Expect::kQuery, true, Lost::text(sql::Verb::kCommit));
  CHECK(commit.told(true) == "ended I:");
  Lost back = idle;
  back.add(Expect::kQuery, true, Lost::text(sql::Verb::kRollbackTo));
  CHECK(back.told(true) == "rolled back E: lost block");
}

TEST_CASE("a block that begins in what is in flight") {
  Lost lost;
  lost.add(Expect::kParse);
  lost.add(Expect::kBind);
  lost.add(Expect::kExecute, true, Lost::text(sql::Verb::kBegin));
  lost.add(Expect::kExecute);
  lost.add(Expect::kSync);
  CHECK(lost.told(false) == "rolled back E: lost block");
  lost.hear("12C");
  CHECK(lost.told(true) == "rolled back E: lost block");
  Lost whole;
  whole.add(Expect::kExecute, true, Lost::text(sql::Verb::kBegin));
  whole.add(Expect::kExecute);
  whole.add(Expect::kExecute, true, Lost::text(sql::Verb::kCommit));
  whole.add(Expect::kSync);
  CHECK(whole.told(false) == "unknown I:");
}

TEST_CASE("a lone BEGIN has been done, and lost behind it") {
  Lost query;
  query.add(Expect::kQuery, false, Lost::text(sql::Verb::kBegin));
  CHECK(query.told(false) == "begun T: lost block, untold");
  query.add(Expect::kQuery);
  CHECK(query.told(false) == "begun T, rolled back E: lost block");
  query.add(Expect::kQuery, true, Lost::text(sql::Verb::kRollback));
  CHECK(query.told(false) == "begun T, rolled back E, ended I:");
  Lost batch;
  batch.add(Expect::kParse, false);
  batch.add(Expect::kBind, false);
  batch.add(Expect::kExecute, false, Lost::text(sql::Verb::kBegin));
  CHECK(batch.told(false) == "rolled back: lost block skips");
  batch.add(Expect::kSync, false);
  CHECK(batch.told(false) == "begun T: lost block, untold");
  Lost described;
  described.add(Expect::kBind, false);
  Lost unlike = described;
  described.add(Expect::kDescribe, false, Lost::text(sql::Verb::kBegin));
  unlike.add(Expect::kDescribe, false, Lost::text(sql::Verb::kSelect));
  for (Lost* lost : {&described, &unlike}) {
    lost->add(Expect::kExecute, false, Lost::text(sql::Verb::kBegin));
    lost->add(Expect::kSync, false);
  }
  CHECK(described.told(false) == "begun T: lost block, untold");
  CHECK(unlike.told(false) == "rolled back E: lost block");
  Lost in_block;  // a warning there
  in_block.block();
  in_block.add(Expect::kQuery, false, Lost::text(sql::Verb::kBegin));
  CHECK(in_block.told(true) == "rolled back E: lost block");
  Lost committed;
  committed.add(Expect::kQuery, false, Lost::text(sql::Verb::kBegin));
  committed.add(Expect::kQuery);
  committed.add(Expect::kQuery, true, Lost::text(sql::Verb::kCommit));
  CHECK(committed.told(false) == "begun T, unknown E, unknown I:");
}

TEST_CASE("a COPY whose data has not ended is undone") {
  Lost lost;
  lost.add(Expect::kQuery, true, Lost::text(sql::Verb::kCopyIn));
  CHECK(lost.told(false) == "unknown I:");
  lost.hear("G");
  CHECK(lost.told(false) == "not done I:");
  lost.add(Expect::kCopyEnd);
  CHECK(lost.told(false) == "unknown I:");
  Lost batch;  // the Sync behind the Execute is read by the COPY, and not answered
  batch.add(Expect::kExecute, true, Lost::text(sql::Verb::kCopyIn));
  batch.add(Expect::kSync);
  batch.hear("G");
  CHECK(batch.told(false) == "not done: skips");
  batch.add(Expect::kCopyEnd);
  batch.add(Expect::kSync);
  CHECK(batch.told(false) == "unknown I:");
}

TEST_CASE("a text that was not understood may have done anything") {
  Lost lost;
  lost.block();
  lost.add(Expect::kQuery, true, std::make_shared<sql::Analysis>());
  CHECK(lost.told(true) == "unknown E: lost block");
}

}  // namespace
}  // namespace session
