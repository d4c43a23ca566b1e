#include "session/transaction.h"

#include <doctest/doctest.h>

#include <string>

namespace session {
namespace {

using sql::Verb;

sql::Statement set(std::string name, std::string value, bool local = false) {
  sql::Statement s{.verb = Verb::kSet};
  s.sets.push_back(
      {.name = std::move(name), .local = local, .value_sql = "TO '" + value + "'", .value = value});
  return s;
}

sql::Statement reset(std::string name) {
  sql::Statement s{.verb = Verb::kReset};
  s.sets.push_back({.name = std::move(name), .reset = true});
  return s;
}

// A session as the proxy keeps it: what is committed is applied to its settings.
struct Session {
  Transaction transaction;
  Settings base, settings;

  void done(const sql::Statement& statement, std::string_view tag = "SET") {
    transaction.on_statement(statement, tag);
  }
  void done(Verb verb, std::string_view tag, std::string name = {}) {
    done({.verb = verb, .name = std::move(name)}, tag);
  }
  void ready(char status) {
    transaction.on_ready(status);
    for (const Change& change : transaction.take_committed()) apply(change, base, settings);
  }
  void fail(char status) {
    transaction.on_error();
    ready(status);
  }
  std::string get(std::string_view name) const {
    const std::string* value = settings.find(name);
    return value == nullptr ? "" : *value;
  }
};

TEST_CASE("SET on its own holds once the server is ready") {
  Session s;
  s.done(set("timezone", "UTC"));
  CHECK_FALSE(s.transaction.has_committed());
  s.ready('I');
  CHECK(s.get("timezone") == "TO 'UTC'");
  s.done(reset("timezone"), "RESET");
  s.ready('I');
  CHECK(s.settings.empty());
}

TEST_CASE("an error undoes what came before it in the same text or batch") {
  Session s;
  s.done(set("a", "1"));
  s.fail('I');
  CHECK(s.settings.empty());

  s.done(set("a", "1"));
  s.done(Verb::kCommit, "COMMIT");  // commits the implicit transaction, with a warning
  s.done(set("b", "2"));
  s.fail('I');
  CHECK(s.get("a") == "TO '1'");
  CHECK(s.get("b") == "");
}

TEST_CASE("a transaction's settings come with its commit and go with its rollback") {
  Session s;
  s.done(Verb::kBegin, "BEGIN");
  s.ready('T');
  s.done(set("a", "1"));
  s.ready('T');
  CHECK(s.settings.empty());
  s.done(Verb::kCommit, "COMMIT");
  s.ready('I');
  CHECK(s.get("a") == "TO '1'");

  s.done(Verb::kBegin, "BEGIN");
  s.done(set("a", "2"));
  s.done(Verb::kRollback, "ROLLBACK");
  s.ready('I');
  CHECK(s.get("a") == "TO '1'");
}

TEST_CASE("COMMIT of a failed transaction is a rollback, so is a COMMIT that fails") {
  Session s;
  s.done(Verb::kBegin, "BEGIN");
  s.done(set("a", "1"));
  s.fail('E');
  s.done(Verb::kCommit, "ROLLBACK");
  s.ready('I');
  CHECK(s.settings.empty());

  s.done(Verb::kBegin, "BEGIN");
  s.done(set("a", "1"));
  s.ready('T');
  s.fail('I');  // a deferred constraint
  CHECK(s.settings.empty());
}

TEST_CASE("BEGIN takes over what its text set before it") {
  Session s;
  s.done(set("a", "1"));
  s.done(Verb::kBegin, "BEGIN");
  s.done(set("b", "2"));
  s.done(Verb::kRollback, "ROLLBACK");
  s.ready('I');
  CHECK(s.settings.empty());
}

TEST_CASE("savepoints") {
  Session s;
  s.done(Verb::kBegin, "BEGIN");
  s.done(set("a", "1"));
  s.done(Verb::kSavepoint, "SAVEPOINT", "x");
  s.done(set("a", "2"));
  s.done(set("b", "2"));
  SUBCASE("rolled back to") {
    s.done(Verb::kSavepoint, "SAVEPOINT", "y");
    s.done(set("c", "3"));
    s.fail('E');
    s.done(Verb::kRollbackTo, "ROLLBACK", "x");
    s.ready('T');
    s.done(set("d", "4"));
    s.done(Verb::kRollbackTo, "ROLLBACK", "x");  // it is still there
    s.done(Verb::kCommit, "COMMIT");
    s.ready('I');
    CHECK(s.get("a") == "TO '1'");
    CHECK(s.settings.entries().size() == 1);
  }
  SUBCASE("released") {
    s.done(Verb::kRelease, "RELEASE", "x");
    s.done(Verb::kCommit, "COMMIT");
    s.ready('I');
    CHECK(s.get("a") == "TO '2'");
    CHECK(s.get("b") == "TO '2'");
  }
  SUBCASE("of the same name: the latest is meant") {
    s.done(Verb::kSavepoint, "SAVEPOINT", "x");
    s.done(set("a", "3"));
    s.done(Verb::kRollbackTo, "ROLLBACK", "x");
    s.done(Verb::kRelease, "RELEASE", "x");
    s.done(Verb::kCommit, "COMMIT");
    s.ready('I');
    CHECK(s.get("a") == "TO '2'");
  }
}

TEST_CASE("SET LOCAL and the transaction's own modes are never the session's") {
  Session s;
  s.done(Verb::kBegin, "BEGIN");
  s.done(set("a", "1", true));
  s.done(set("b", "1"));
  s.done(set("b", "2", true));
  s.done(set("transaction_read_only", "on"));
  CHECK(s.transaction.read_only());
  s.done(set("transaction_isolation", "serializable"));
  CHECK(s.transaction.isolation() == "serializable");
  s.done(Verb::kCommit, "COMMIT");
  s.ready('I');
  CHECK(s.settings.entries().size() == 1);
  CHECK(s.get("b") == "TO '1'");
  CHECK_FALSE(s.transaction.read_only());
  CHECK(s.transaction.isolation().empty());
}

TEST_CASE("AND CHAIN goes on in a transaction of the same modes") {
  Session s;
  s.done({.verb = Verb::kBegin, .read_only = true, .isolation = "serializable"}, "BEGIN");
  s.done(set("a", "1"));
  s.done({.verb = Verb::kCommit, .chain = true}, "COMMIT");
  s.ready('T');
  CHECK(s.get("a") == "TO '1'");
  CHECK(s.transaction.read_only());
  CHECK(s.transaction.isolation() == "serializable");
  s.done(set("a", "2"));
  s.done(Verb::kRollback, "ROLLBACK");
  s.ready('I');
  CHECK(s.get("a") == "TO '1'");
  CHECK_FALSE(s.transaction.read_only());
}

TEST_CASE("read only: in force until the end, or the savepoint") {
  Session s;
  s.done({.verb = Verb::kSetTransaction, .read_only = true});
  CHECK(s.transaction.read_only());
  s.ready('I');
  CHECK_FALSE(s.transaction.read_only());

  s.done(Verb::kBegin, "BEGIN");
  s.done(Verb::kSavepoint, "SAVEPOINT", "x");
  s.done({.verb = Verb::kSetTransaction, .read_only = true});
  s.ready('T');
  CHECK(s.transaction.read_only());
  s.done(Verb::kRollbackTo, "ROLLBACK", "x");
  CHECK_FALSE(s.transaction.read_only());

  // SET SESSION CHARACTERISTICS is a default for later ones.
  sql::Statement characteristics = set("default_transaction_read_only", "on");
  characteristics.verb = Verb::kSetTransaction;
  characteristics.read_only = true;
  s.done(characteristics);
  CHECK_FALSE(s.transaction.read_only());
  s.done(Verb::kCommit, "COMMIT");
  s.ready('I');
  CHECK(s.get("default_transaction_read_only") == "TO 'on'");
}

TEST_CASE("PREPARE TRANSACTION keeps settings as a commit does") {
  Session s;
  s.done(Verb::kBegin, "BEGIN");
  s.done(set("a", "1"));
  s.done(Verb::kPrepareTransaction, "PREPARE TRANSACTION");
  s.ready('I');
  CHECK(s.get("a") == "TO '1'");
}

TEST_CASE("a text that could not be analysed still ends its transaction") {
  Session s;
  for (const bool commits : {false, true}) {
    s.done(Verb::kBegin, "BEGIN");
    s.done(set("a", "1"));
    s.ready('T');
    s.done(sql::Statement{}, commits ? "COMMIT" : "ROLLBACK");
    s.ready('I');
    CHECK(s.get("a") == (commits ? "TO '1'" : ""));
  }
}

TEST_CASE("RESET leads a client back to its startup parameters") {
  Session s;
  s.base.set("timezone", quote_value("UTC"));
  s.base.set("role", "TO 'startup'");
  s.settings = s.base;
  s.done(set("timezone", "GMT"));
  s.done(set("a", "1"));
  s.done(set("role", "other"));
  s.ready('I');
  CHECK(s.get("timezone") == "TO 'GMT'");
  SUBCASE("RESET") {
    s.done(reset("timezone"), "RESET");
    s.ready('I');
    CHECK(s.get("timezone") == quote_value("UTC"));
    CHECK(s.get("a") == "TO '1'");
  }
  SUBCASE("RESET ALL leaves the role alone") {
    s.done(Verb::kResetAll, "RESET");
    s.ready('I');
    CHECK(s.get("timezone") == quote_value("UTC"));
    CHECK(s.get("a") == "");
    CHECK(s.get("role") == "TO 'other'");
  }
  SUBCASE("DISCARD ALL does not") {
    s.done(Verb::kDiscardAll, "DISCARD ALL");
    s.ready('I');
    CHECK(s.settings == s.base);
  }
  SUBCASE("a server connection goes back to its defaults") {
    Settings server = s.settings;
    apply({.kind = Change::Kind::kReset, .name = "timezone"}, {}, server);
    CHECK(server.find("timezone") == nullptr);
    apply({.kind = Change::Kind::kResetAll}, {}, server);
    CHECK(server.entries().size() == 1);
  }
}

TEST_CASE("RESET in a block: what leads the server to where it leads the client") {
  Session s;
  s.base.set("timezone", quote_value("UTC"));
  s.base.set("work_mem", quote_value("3MB"));
  s.base.set("role", quote_value("startup"));
  s.settings = s.base;
  Settings server = s.base;
  const auto committed = [&] {
    s.transaction.on_ready('I');
    for (const Change& change : s.transaction.take_committed()) {
      apply(change, s.base, s.settings);
      apply(change, {}, server);
    }
    CHECK(s.settings == server);
  };
  const std::string timezone = "SET \"timezone\" TO E'UTC';";
  const std::string work_mem = "SET \"work_mem\" TO E'3MB';";
  s.done(Verb::kBegin, "BEGIN");
  s.ready('T');
  CHECK(s.transaction.restore(s.base).empty());
  SUBCASE("of one, which counts as carried out") {
    s.done(reset("TimeZone"), "RESET");
    s.done(reset("enable_sort"), "RESET");
    s.ready('T');
    CHECK(s.transaction.restore(s.base) == timezone);
    CHECK(s.transaction.restore(s.base).empty());
    s.done(Verb::kCommit, "COMMIT");
    committed();
  }
  SUBCASE("of all, but for the role, and not of what was set behind it") {
    s.done(Verb::kResetAll, "RESET");
    s.ready('T');
    CHECK(s.transaction.restore(s.base) == timezone + work_mem);
    s.done(Verb::kResetAll, "RESET");
    s.done(set("timezone", "GMT"));
    s.ready('T');
    CHECK(s.transaction.restore(s.base) == work_mem);
    s.done(Verb::kCommit, "COMMIT");
    committed();
    CHECK(s.get("timezone") == "TO 'GMT'");
  }
  SUBCASE("for the transaction only") {
    sql::Statement local = reset("work_mem");
    local.sets[0].local = true;
    s.done(local);
    s.ready('T');
    CHECK(s.transaction.restore(s.base) == "SET LOCAL \"work_mem\" TO E'3MB';");
    s.done(Verb::kCommit, "COMMIT");
    committed();
  }
  SUBCASE("not of what was undone, failed or committed") {
    s.done(Verb::kSavepoint, "SAVEPOINT", "a");
    s.done(reset("timezone"), "RESET");
    s.done(Verb::kRollbackTo, "ROLLBACK", "a");
    s.ready('T');
    CHECK(s.transaction.restore(s.base).empty());
    s.done(reset("timezone"), "RESET");
    s.fail('E');
    CHECK(s.transaction.restore(s.base).empty());
    s.done(Verb::kRollback, "ROLLBACK");
    s.done(Verb::kBegin, "BEGIN");
    s.ready('T');
    CHECK(s.transaction.restore(s.base).empty());
  }
}

TEST_CASE("what sets something in a block takes no snapshot unless it must") {
  CHECK(set_sql_in_block("a", "TO 'x'", Scope::kLocal) == "SET LOCAL \"a\" TO 'x'");
  CHECK(set_sql_in_block("a.b", quote_value("x"), Scope::kSession) == "SET \"a\".\"b\" TO E'x'");
  CHECK(set_sql_in_block("search_path", quote_value("a, b"), Scope::kLocal) ==
        "SELECT pg_catalog.set_config(E'search_path',E'a, b',true)");
}

TEST_CASE("a custom setting that was named stays named, whatever becomes of its value") {
  Session s;
  s.base.set("app.start", "TO 'b'");
  s.settings = s.base;
  SUBCASE("RESET") {
    s.done(set("app.a", "1"));
    s.ready('I');
    CHECK(s.get("app.a") == "TO '1'");
    s.done(reset("app.a"), "RESET");
  }
  SUBCASE("RESET of what was not there") { s.done(reset("app.a"), "RESET"); }
  SUBCASE("RESET ALL") {
    s.done(set("app.a", "1"));
    s.done(set("app.start", "2"));
    s.done(Verb::kResetAll, "RESET");
  }
  SUBCASE("DISCARD ALL") {
    s.done(set("app.a", "1"));
    s.ready('I');
    s.done(Verb::kDiscardAll, "DISCARD ALL");
  }
  SUBCASE("SET LOCAL") { s.done(set("app.a", "1", true)); }
  SUBCASE("ROLLBACK") {
    s.done(Verb::kBegin, "BEGIN");
    s.done(set("app.a", "1"));
    s.done(Verb::kRollback, "ROLLBACK");
  }
  SUBCASE("an error") {
    s.done(set("app.a", "1"));
    s.transaction.on_error();
  }
  s.ready('I');
  CHECK(s.get("app.a") == kNamedOnly);
  CHECK(s.get("app.start") == "TO 'b'");
  CHECK(s.settings.entries().size() == 2);
}

TEST_CASE("a change of session authorization ends SET ROLE") {
  Session s;
  s.done(set("role", "r"));
  s.done(set("session_authorization", "u"));
  s.ready('I');
  CHECK(s.get("role") == "");
  s.done(set("role", "r"));
  s.ready('I');
  s.done(reset("session_authorization"), "RESET");
  s.ready('I');
  CHECK(s.settings.empty());
}

TEST_CASE("set_config in a SELECT counts like SET") {
  Session s;
  sql::Statement select = set("a", "1");
  select.verb = Verb::kSelect;
  select.sets.push_back({.name = "b", .value_sql = "TO '2'", .value = "2"});
  s.done(select, "SELECT 1");
  s.ready('I');
  CHECK(s.get("a") == "TO '1'");
  CHECK(s.get("b") == "TO '2'");
}

TEST_CASE("setting one thing over and over holds one change") {
  Transaction t;
  t.on_statement({.verb = Verb::kBegin}, "BEGIN");
  for (int i = 0; i < 1000; ++i) t.on_statement(set("a", std::to_string(i)), "SET");
  CHECK(t.pending() == 1);
  t.on_statement({.verb = Verb::kSavepoint, .name = "x"}, "SAVEPOINT");
  for (int i = 0; i < 1000; ++i) t.on_statement(set("a", "later"), "SET");
  CHECK(t.pending() == 3);
  t.on_statement({.verb = Verb::kRollbackTo, .name = "x"}, "ROLLBACK");
  t.on_statement({.verb = Verb::kCommit}, "COMMIT");
  const std::vector<Change> changes = t.take_committed();
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].value == "999");
  CHECK_FALSE(t.has_committed());
}

TEST_CASE("order survives: set, reset all, set") {
  Session s;
  s.done(Verb::kBegin, "BEGIN");
  s.done(set("a", "1"));
  s.done(set("b", "1"));
  s.done(Verb::kResetAll, "RESET");
  s.done(set("a", "2"));
  s.done(Verb::kResetAll, "RESET");
  s.done(set("b", "3"));
  s.done(Verb::kCommit, "COMMIT");
  s.ready('I');
  CHECK(s.get("a") == "");
  CHECK(s.get("b") == "TO '3'");
}

TEST_CASE("LISTEN on its own, and UNLISTEN: told when committed, and no settings") {
  Session s;
  s.settings.set("x", "TO '1'");
  const auto told = [&] {
    std::string all;
    for (const Change& change : s.transaction.take_committed()) {
      all += change.kind == Change::Kind::kListen     ? "+"
             : change.kind == Change::Kind::kUnlisten ? "-"
                                                      : "?";
      all += change.name;
      apply(change, s.base, s.settings);
    }
    CHECK(s.get("x") == "TO '1'");
    return all;
  };
  const auto end = [&](char status) {
    s.transaction.on_ready(status);
    return told();
  };
  s.done(Verb::kListen, "LISTEN", "x");
  s.done(Verb::kListen, "LISTEN", "y");
  CHECK(end('I') == "+x+y");
  s.done(Verb::kUnlistenAll, "UNLISTEN");
  CHECK(end('I') == "-");
  s.done(Verb::kListen, "LISTEN", "x");
  s.transaction.on_error();
  CHECK(end('I') == "");

  s.done(Verb::kBegin, "BEGIN");
  CHECK(end('T') == "");
  s.done(Verb::kListen, "LISTEN", "x");  // its server's
  s.done(set("x", "1"));
  s.done(Verb::kUnlisten, "UNLISTEN", "x");
  s.done(Verb::kSavepoint, "SAVEPOINT", "s");
  s.done(Verb::kUnlisten, "UNLISTEN", "y");
  s.done(Verb::kRollbackTo, "ROLLBACK", "s");
  s.done(Verb::kUnlisten, "UNLISTEN", "z");
  CHECK(end('T') == "");
  s.done(Verb::kCommit, "COMMIT");
  CHECK(end('I') == "?x-x-z");

  s.done(Verb::kBegin, "BEGIN");
  s.done(Verb::kUnlistenAll, "UNLISTEN");
  s.done(Verb::kRollback, "ROLLBACK");
  CHECK(end('I') == "");
}

}  // namespace
}  // namespace session
