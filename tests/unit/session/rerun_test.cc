#include "session/rerun.h"

#include <doctest/doctest.h>

#include <string>

using session::Rerun;

namespace {

protocol::Bytes bytes(std::string_view text) { return protocol::as_bytes(text); }

std::string kept(const Rerun& rerun) {
  return {reinterpret_cast<const char*>(rerun.bytes().data()), rerun.bytes().size()};
}

constexpr Rerun::Request kRead{.read = true};
constexpr Rerun::Request kWrite{};

}  // namespace

TEST_CASE("rerun: a read may be run again until something of its answer was seen") {
  Rerun rerun;
  CHECK_FALSE(rerun.undecided());
  rerun.sent(bytes("one"), kRead);
  CHECK(rerun.only_reads());
  CHECK(rerun.after_loss());
  CHECK(rerun.after_error());
  CHECK(rerun.after_refusal());
  CHECK(kept(rerun) == "one");
  rerun.answered();
  CHECK_FALSE(rerun.undecided());
  CHECK_FALSE(rerun.after_loss());
  rerun.ended();
  CHECK_FALSE(rerun.undecided());
}

TEST_CASE("rerun: of several in flight those that are not answered are run again, in order") {
  Rerun rerun;
  rerun.sent(bytes("one"), kRead);
  rerun.sent(bytes("second"), kRead);
  rerun.sent(bytes("3"), kRead);
  CHECK(kept(rerun) == "onesecond3");
  rerun.answered();
  rerun.ended();
  CHECK(rerun.after_loss());
  CHECK(kept(rerun) == "second3");
  rerun.ended();
  CHECK(kept(rerun) == "3");
}

TEST_CASE("rerun: a write only after an error, and only alone") {
  Rerun rerun;
  rerun.sent(bytes("write"), kWrite);
  CHECK(rerun.after_error());
  CHECK_FALSE(rerun.after_loss());
  CHECK_FALSE(rerun.after_refusal());
  rerun.sent(bytes("read"), kRead);
  CHECK_FALSE(rerun.after_error());  // the read may have run already, but the write would be late
  rerun.clear();
  rerun.sent(bytes("read"), kRead);
  CHECK(rerun.after_loss());
}

TEST_CASE("rerun: what is undone with its connection, after a loss, but is no read") {
  Rerun rerun;
  rerun.sent(bytes("write"), {.undone = true});
  CHECK(rerun.after_loss());
  CHECK(rerun.after_error());
  CHECK_FALSE(rerun.only_reads());
  CHECK_FALSE(rerun.after_refusal());
  rerun.answered();
  CHECK_FALSE(rerun.after_loss());
  rerun.clear();
  rerun.sent(bytes("write"), kWrite);
  CHECK_FALSE(rerun.after_loss());
}

TEST_CASE("rerun: who asked for a replica is told what it says") {
  Rerun rerun;
  rerun.sent(bytes("read"), {.read = true, .bound = true});
  CHECK(rerun.after_loss());
  CHECK_FALSE(rerun.after_refusal());
}

TEST_CASE("rerun: what cannot be kept whole is not run again, until nothing is in flight") {
  Rerun rerun;
  rerun.sent(bytes("one"), kRead);
  SUBCASE("something else is in flight") { rerun.sent_other(); }
  SUBCASE("too much") { rerun.sent(bytes(std::string(Rerun::kMaxBytes, 'x')), kRead); }
  SUBCASE("the first needs what the next one ends") {
    rerun.clear();
    rerun.sent(bytes("one"), {.read = true, .alone = true});
    CHECK(rerun.after_loss());
    rerun.sent(bytes("two"), kRead);
  }
  CHECK_FALSE(rerun.undecided());
  rerun.ended();
  rerun.sent(bytes("three"), kRead);
  CHECK_FALSE(rerun.undecided());
  rerun.clear();
  rerun.sent(bytes("four"), kRead);
  CHECK(rerun.after_loss());
  CHECK(kept(rerun) == "four");
}
