#include "admin/statement.h"

#include <doctest/doctest.h>

namespace {

using admin::Action;
using admin::parse;
using admin::split;

TEST_CASE("split at semicolons outside of quotes and comments") {
  using Pieces = std::vector<std::string_view>;
  CHECK(split("a;b") == Pieces{"a", "b"});
  CHECK(split("a;;b;") == Pieces{"a", "b"});
  CHECK(split("").empty());
  CHECK(split(" \n;-- x;y\n;/* ; */;").empty());
  CHECK(split("';';\";\"; [;] ;`;`") == Pieces{"';'", "\";\"", " [;] ", "`;`"});
  CHECK(split("'it''s; fine';x") == Pieces{"'it''s; fine'", "x"});
  CHECK(split("a -- ;\n;b") == Pieces{"a -- ;\n", "b"});
  CHECK(split("a /* ; ;b") == Pieces{"a /* ; ;b"});
  CHECK(split("'a;b") == Pieces{"'a;b"});
  CHECK(split("/*/;b") == Pieces{});
  CHECK(split("a-b;c/d") == Pieces{"a-b", "c/d"});
}

TEST_CASE("SHOW becomes a SELECT") {
  auto statement = parse("  /* c */ show\tPools ");
  CHECK(statement.action == Action::kQuery);
  CHECK(statement.sql == "SELECT * FROM pools ");
  CHECK(statement.tag == "SHOW");
  statement = parse("SHOW clients WHERE a = 'b' ORDER BY 1");
  CHECK(statement.sql == "SELECT * FROM clients WHERE a = 'b' ORDER BY 1");
  CHECK(parse("SHOW clients UNION SELECT 1").action == Action::kInvalid);
  CHECK(parse("SHOW \"pools\"").action == Action::kQuery);
}

TEST_CASE("commands and their arguments") {
  auto statement = parse("pause \"a b\"");
  CHECK(statement.action == Action::kPause);
  CHECK(statement.argument == "a b");
  CHECK(statement.tag == "PAUSE");
  CHECK(statement.command());
  CHECK(parse("KILL").action == Action::kKill);
  CHECK(parse("KILL_CLIENT 7").action == Action::kKillClient);
  CHECK(parse("PAUSE a b").action == Action::kInvalid);
  CHECK(parse("PAUSE ;").action == Action::kInvalid);
  CHECK(parse("\"PAUSE\"").action == Action::kInvalid);  // a quoted word is no keyword
  CHECK(parse("PAUSED").action == Action::kInvalid);
  CHECK_FALSE(parse("SELECT 1").command());
  CHECK(parse("").action == Action::kNone);
  CHECK(parse("DEALLOCATE PREPARE x").argument == "x");
}

TEST_CASE("errors quote an excerpt, whole characters only") {
  std::string text = "x";
  for (int i = 0; i < 1000; ++i) text += "\xc3\xa9";  // e acute
  const auto statement = parse(text);
  REQUIRE(statement.action == Action::kInvalid);
  CHECK(statement.error.message.size() < 160);
  CHECK(statement.error.message.find("\xc3\xa9...\"") != std::string::npos);
}

}  // namespace
