#include "session/exchange.h"

#include <doctest/doctest.h>

#include "conversation.h"

// Sequences of answers were recorded from PostgreSQL 15 where they are not plain.
namespace session {
namespace {

TEST_CASE("a simple query ends with ReadyForQuery and counts its statements") {
  Conversation c;
  CHECK(c.exchange.releasable());
  c.client("Q");
  CHECK_FALSE(c.exchange.releasable());
  CHECK(c.server("TD") == "TD");
  CHECK(c.last.statement_index == -1);
  CHECK(c.server("C") == "C");
  CHECK(c.last.statement_index == 0);
  CHECK(c.last.entry->note == 1);
  CHECK_FALSE(c.last.entry_done);
  CHECK(c.server("TDC") == "TDC");
  CHECK(c.last.statement_index == 1);
  CHECK(c.server("ZT") == "ZT");
  CHECK(c.last.ready);
  CHECK(c.last.entry_done);
  CHECK(c.last.entry->note == 1);
  CHECK(c.exchange.status() == 'T');
  CHECK(c.exchange.empty());
  CHECK_FALSE(c.exchange.releasable());  // in a transaction
  c.client("Q");
  CHECK(c.server("CZI") == "CZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("an empty query and a failing statement of several") {
  Conversation c;
  c.client("QQ");
  CHECK(c.server("I") == "I");
  CHECK(c.last.statement_index == 0);
  CHECK(c.server("ZI") == "ZI");
  CHECK(c.server("TDCE") == "TDCE");
  CHECK(c.last.failed);
  CHECK(c.last.entry->note == 2);
  CHECK(c.dropped().empty());
  CHECK(c.server("C") == "!");  // nothing of it runs any more
  CHECK(c.server("ZI") == "ZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("a batch, both kinds of Describe, and a suspended portal") {
  Conversation c;
  c.client("P D B D E");
  CHECK(c.exchange.batch_open());
  c.client("S");
  CHECK_FALSE(c.exchange.batch_open());
  CHECK(c.server("1 t") == "1t");
  CHECK_FALSE(c.last.entry_done);
  CHECK(c.server("n") == "n");
  CHECK(c.last.entry_done);
  CHECK(c.last.entry->what == Expect::kDescribe);
  CHECK(c.server("2 T D D s") == "2TDDs");
  CHECK(c.last.statement_index == 0);
  CHECK(c.last.entry->what == Expect::kExecute);
  CHECK(c.server("ZI") == "ZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("an answered batch without its Sync keeps the server") {
  Conversation c;
  c.client("PBE");
  CHECK(c.server("12C") == "12C");
  CHECK(c.exchange.empty());
  CHECK_FALSE(c.exchange.releasable());
  c.client("S");
  CHECK(c.server("ZI") == "ZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("an error drops everything up to the next Sync only") {
  Conversation c;
  c.client("P B E P B E S P B E S");
  CHECK(c.server("12C E") == "12CE");
  CHECK(c.last.failed);
  CHECK(c.last.entry->note == 4);
  CHECK(c.last.entry_done);
  CHECK(c.dropped() == "5 6 ");
  CHECK_FALSE(c.exchange.skipping());
  CHECK(c.server("ZI 12 DC ZI") == "ZI12DCZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("what follows an error is refused until the Sync, a Query too") {
  Conversation c;
  c.client("P B");
  CHECK(c.server("E") == "E");
  CHECK(c.dropped() == "2 ");
  CHECK(c.exchange.skipping());
  CHECK(c.exchange.empty());
  CHECK_FALSE(c.exchange.releasable());
  CHECK(c.client("E Q F c P") == "EQFcP");
  CHECK(c.client("S") == "");
  CHECK_FALSE(c.exchange.skipping());
  CHECK(c.server("ZI") == "ZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("a Query sent in a failed batch is skipped; in a good one it ends the batch") {
  Conversation c;
  c.client("P B E Q");
  CHECK(c.server("E") == "E");
  CHECK(c.dropped() == "2 3 4 ");
  CHECK(c.exchange.batch_open());
  c.client("S");
  CHECK(c.server("ZI") == "ZI");
  c.client("P B E Q S");
  CHECK(c.server("12 D C T D C ZI ZI") == "12DCTDCZIZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("an error of the Sync itself is a failed commit") {
  Conversation c;
  c.client("P B E S P B E S");
  CHECK(c.server("12C E") == "12CE");
  CHECK(c.last.failed);
  CHECK(c.dropped().empty());
  CHECK_FALSE(c.last.entry_done);
  CHECK(c.server("ZI 12CZI") == "ZI12CZI");
}

TEST_CASE("a function call") {
  Conversation c;
  c.client("F F");
  CHECK(c.server("V ZI E ZI") == "VZIEZI");
  CHECK(c.exchange.releasable());
  c.client("F");
  CHECK(c.server("ZI") == "!");
}

TEST_CASE("COPY out, simple and extended") {
  Conversation c;
  c.client("Q P B D E S");
  CHECK(c.server("H d d c") == "Hddc");
  CHECK(c.last.statement_index == -1);
  CHECK(c.server("C ZI") == "CZI");
  CHECK(c.server("1 2 n H d d c C ZI") == "12nHddcCZI");
  CHECK(c.exchange.releasable());
  c.client("Q");
  CHECK(c.server("H d E ZI") == "HdEZI");  // cancelled midway
}

TEST_CASE("COPY in, simple") {
  Conversation c;
  c.client("Q");
  CHECK(c.server("G") == "G");
  CHECK(c.exchange.in_copy_in());
  c.client("c");
  CHECK_FALSE(c.exchange.in_copy_in());
  CHECK(c.server("C ZI") == "CZI");
  CHECK(c.exchange.releasable());

  SUBCASE("two in one text") {
    c.client("Q");
    CHECK(c.server("G") == "G");
    c.client("c");
    CHECK(c.server("C G") == "CG");
    CHECK(c.last.statement_index == -1);
    CHECK(c.exchange.in_copy_in());
    c.client("c");
    CHECK(c.server("C") == "C");
    CHECK(c.last.statement_index == 1);
    CHECK(c.server("ZI") == "ZI");
  }
  SUBCASE("all sent without waiting") {
    c.client("Q c Q");
    CHECK(c.server("G") == "G");
    CHECK_FALSE(c.exchange.in_copy_in());
    CHECK(c.server("C ZI T D C ZI") == "CZITDCZI");
  }
  SUBCASE("refused before it began: the client's CopyDone is ignored") {
    c.client("Q c Q");
    CHECK(c.server("E ZI T D C ZI") == "EZITDCZI");
  }
  SUBCASE("bad data, CopyDone still on its way") {
    c.client("Q");
    CHECK(c.server("G E") == "GE");
    CHECK_FALSE(c.exchange.in_copy_in());
    CHECK(c.server("ZI") == "ZI");
    CHECK(c.exchange.releasable());
    CHECK(c.client("c") == "c");  // need not be sent
    CHECK(c.exchange.releasable());
  }
  SUBCASE("a Sync within is not answered") {
    c.client("Q");
    CHECK(c.server("G") == "G");
    c.client("S c");
    CHECK(c.server("C ZI") == "CZI");
    CHECK(c.exchange.releasable());
  }
  CHECK(c.exchange.releasable());
}

TEST_CASE("COPY in, extended, with Sync sent at once as libpq does") {
  Conversation c;
  c.client("P B D E S");
  CHECK(c.server("1 2 n G") == "12nG");
  CHECK(c.exchange.in_copy_in());
  SUBCASE("that goes well: the first Sync is never answered") {
    CHECK_FALSE(c.exchange.copy_in_ended());
    c.client("c");
    CHECK(c.exchange.copy_in_ended());
    SUBCASE("CommandComplete before the second Sync") {
      CHECK(c.server("C") == "C");
      CHECK_FALSE(c.exchange.copy_in_ended());
      CHECK(c.exchange.empty());
      CHECK_FALSE(c.exchange.releasable());  // nothing has ended the batch
      c.client("S");
    }
    SUBCASE("or after it") {
      c.client("S");
      CHECK(c.server("C") == "C");
      CHECK(c.exchange.size() == 1);
    }
    CHECK(c.server("ZI") == "ZI");
    CHECK(c.exchange.releasable());
  }
  SUBCASE("bad data: the first Sync was read as part of the COPY") {
    c.client("c S");
    CHECK(c.server("E") == "E");
    CHECK(c.dropped().empty());
    CHECK(c.server("ZI") == "ZI");
    CHECK(c.exchange.uncertain());
    CHECK_FALSE(c.exchange.releasable());
    SUBCASE("the next answer settles it") {
      c.client("Q");
      CHECK(c.server("T D C ZI") == "TDCZI");
    }
    SUBCASE("so does a probe of ours") {
      c.swallowed("Q");
      CHECK(c.server("I ZI") == "");
    }
  }
  SUBCASE("a trigger failed before it read: the first Sync is answered too") {
    c.client("c S");
    CHECK(c.server("E ZI") == "EZI");
    CHECK_FALSE(c.exchange.releasable());
    SUBCASE("at once") { CHECK(c.server("ZI") == "ZI"); }
    SUBCASE("behind a request") {
      c.client("P B E S");
      CHECK(c.server("ZI 1 2 C ZI") == "ZI12CZI");
    }
    SUBCASE("behind a probe of ours, which stays unseen") {
      c.swallowed("Q");
      CHECK(c.server("ZI I ZI") == "ZI");
    }
  }
  SUBCASE("the same, and the client has sent nothing since") {
    CHECK(c.server("E") == "E");
    CHECK(c.exchange.skipping());
    CHECK(c.server("ZI") == "ZI");
    CHECK(c.last.ready);
    CHECK(c.last.entry == nullptr);
    CHECK_FALSE(c.exchange.skipping());
  }
  CHECK_FALSE(c.exchange.uncertain());
  CHECK(c.exchange.releasable());
}

TEST_CASE("CopyFail without an early Sync leaves nothing uncertain") {
  Conversation c;
  c.client("P B E");
  CHECK(c.server("1 2 G") == "12G");
  c.client("c");
  CHECK(c.server("E") == "E");
  CHECK(c.exchange.skipping());
  CHECK_FALSE(c.exchange.uncertain());
  CHECK(c.client("P") == "P");
  c.client("S");
  CHECK(c.server("ZI") == "ZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("a server of which it is unknown what it owes is never released") {
  Conversation c;
  c.client("P B E S");
  CHECK(c.server("1 2 G E") == "12GE");  // was the Sync read by the COPY?
  CHECK(c.client("P") == "");            // is it skipped?
  CHECK(c.exchange.lost());
  c.client("S P B E S");
  CHECK(c.server("ZI") == "!");
  CHECK(c.server("1") == "!");
  CHECK_FALSE(c.exchange.releasable());
  c.exchange.reset();
  CHECK(c.exchange.releasable());
}

TEST_CASE("a message in a running COPY loses the connection") {
  Conversation c;
  c.client("P B E S P B E S");
  CHECK(c.server("1 2 G") == "12G");
  CHECK(c.server("E") == "!E");
  CHECK_FALSE(c.exchange.releasable());
}

TEST_CASE("COPY cannot end before CopyDone was sent") {
  Conversation c;
  c.client("Q");
  CHECK(c.server("G C") == "G!");
}

TEST_CASE("swallowed requests stay unseen, with their errors and notices") {
  Conversation c;
  c.swallowed("Q");
  c.client("P B E S");
  CHECK(c.exchange.swallowing());
  CHECK(c.server("C N S T D C") == "");
  CHECK(c.last.entry->fate == Fate::kSwallow);
  CHECK(c.server("A") == "A");  // a notification is the session's, whenever it comes
  CHECK(c.server("ZI") == "");
  CHECK(c.last.ready);
  CHECK_FALSE(c.exchange.swallowing());
  CHECK(c.server("1 2 N S C ZI") == "12NSCZI");

  c.swallowed("Q");
  c.client("Q");
  CHECK(c.server("C E") == "");
  CHECK(c.last.failed);
  CHECK(c.server("ZE") == "");
  CHECK(c.exchange.status() == 'E');
  CHECK(c.server("E ZE") == "EZE");
}

TEST_CASE("a swallowed Parse that fails tells which of the client's messages it cost") {
  Conversation c;
  c.swallowed("P");
  c.client("B D E S");
  CHECK(c.server("E") == "");
  CHECK(c.last.failed);
  CHECK(c.last.entry->note == 1);
  CHECK(c.dropped() == "2 3 4 ");
  CHECK(c.server("ZI") == "ZI");
}

TEST_CASE("made-up replies wait for their turn") {
  Conversation c;
  c.made_up("P");
  CHECK(c.exchange.releasable() == false);
  CHECK(c.made() == "*");
  c.client("B D E");
  c.made_up("C C");
  c.client("S");
  CHECK(c.made() == "");
  CHECK(c.server("2 T D C ZI") == "2TDC**ZI");
  CHECK(c.exchange.releasable());
}

TEST_CASE("a made-up reply behind an error is dropped") {
  Conversation c;
  c.client("P B E");
  c.made_up("P C");
  c.client("S");
  c.made_up("P");
  CHECK(c.server("1 E") == "1E");
  CHECK(c.dropped() == "3 4 5 ");
  CHECK(c.server("ZI") == "ZI*");
}

TEST_CASE("a made-up error skips the rest of its batch, on our side alone") {
  Conversation c;
  CHECK(c.exchange.expect({.what = Expect::kParse, .fate = Fate::kMakeUp, .error = true}));
  CHECK(c.exchange.skipping());
  CHECK(c.client("B E Q") == "BEQ");
  CHECK(c.made() == "*");
  CHECK_FALSE(c.exchange.releasable());
  c.client("S");
  CHECK(c.server("ZI") == "ZI");
  CHECK(c.exchange.releasable());

  SUBCASE("unless something before it fails") {
    c.client("P");
    CHECK(c.exchange.expect({.what = Expect::kParse, .fate = Fate::kMakeUp, .error = true}));
    CHECK(c.client("B") == "B");
    CHECK(c.server("E") == "E");
    CHECK(c.made() == "");
    CHECK(c.exchange.skipping());
    c.client("S");
    CHECK(c.server("ZI") == "ZI");
    CHECK(c.exchange.releasable());
  }
}

TEST_CASE("messages outside of any request") {
  Conversation c;
  CHECK(c.server("N S A") == "NSA");
  CHECK(c.last.entry == nullptr);
  CHECK(c.exchange.releasable());
  CHECK(c.server("E") == "E");  // FATAL: the server is going to close
  CHECK(c.last.failed);
  CHECK(c.last.entry == nullptr);
}

TEST_CASE("whatever is not owed is unexpected") {
  for (const char type : std::string_view("123CDGHITVZcdnstRKvW\0\xff", 22)) {
    Conversation c;
    CAPTURE(type);
    CHECK(c.exchange.on_server(type, protocol::as_bytes("I")).unexpected);
  }
  const struct {
    char sent;
    std::string_view wrong;
  } cases[] = {
      {'P', "23CDGHITVcdnstW"}, {'B', "13CDGHITVcdnstW"}, {'C', "12CDGHITVcdnstW"},
      {'D', "123CDGHIVcdsW"},   {'E', "123TVcdntW"},      {'S', "123CDGHITVcdnstW"},
      {'Q', "123VcdnstW"},      {'F', "123CDGHITcdnstW"},
  };
  for (const auto& test : cases) {
    for (const char type : test.wrong) {
      Conversation c;
      c.client(std::string_view(&test.sent, 1));
      CAPTURE(test.sent);
      CAPTURE(type);
      CHECK(c.exchange.on_server(type, {}).unexpected);
    }
  }
}

TEST_CASE("ReadyForQuery must have a status") {
  for (const std::string_view body : {"", "X", "II"}) {
    Conversation c;
    c.client("S");
    CHECK(c.exchange.on_server('Z', protocol::as_bytes(body)).unexpected);
  }
  Conversation c;
  c.client("Q");
  CHECK(c.server("ZI") == "!");  // a Query has at least one answer before it
}

TEST_CASE("a long pipeline keeps its order and gives its memory back") {
  Conversation c;
  for (int i = 0; i < 5000; ++i) c.client("PBES");
  CHECK(c.exchange.size() == 20'000);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    c.server("1");
    REQUIRE(c.last.entry->note == i * 4 + 1);
    REQUIRE(c.server("2 D C ZI") == "2DCZI");
  }
  CHECK(c.exchange.releasable());
  c.client("Q");
  CHECK(c.server("CZI") == "CZI");
}

}  // namespace
}  // namespace session
