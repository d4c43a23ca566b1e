// Expected tokens follow from PostgreSQL's documentation, 4.1 "Lexical Structure", and its scan.l;
// a last test asks PostgreSQL's own scanner.
#include "sql/lexer.h"

#include <doctest/doctest.h>
#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sql {
namespace {

// One letter for each kind, then the token: "w:select n:1".
std::string lex(std::string_view text) {
  Lexer lexer(text);
  std::string out;
  for (;;) {
    const Token token = lexer.next();
    if (token.kind == TokenKind::kEnd) break;
    if (!out.empty()) out += '|';
    switch (token.kind) {
      case TokenKind::kWord:
        out += "w:";
        break;
      case TokenKind::kQuotedName:
        out += "q:";
        break;
      case TokenKind::kString:
        out += "s:";
        break;
      case TokenKind::kNumber:
        out += "n:";
        break;
      case TokenKind::kParameter:
        out += "p:";
        break;
      case TokenKind::kOperator:
        out += "o:";
        break;
      case TokenKind::kSelf:
        out += "";
        break;
      case TokenKind::kInvalid:
        out += "!:";
        break;
      case TokenKind::kEnd:
        break;
    }
    out += lexer.text(token);
  }
  CHECK(lexer.next().kind == TokenKind::kEnd);
  return out;
}

TEST_CASE("words and names") {
  CHECK(lex("SELECT a_1$b") == "w:SELECT|w:a_1$b");
  CHECK(lex("\"a b\" \"a\"\"b\"") == "q:\"a b\"|q:\"a\"\"b\"");
  CHECK(lex("U&\"x\\0041\" u&\"y\"") == "q:U&\"x\\0041\"|q:u&\"y\"");
  CHECK(lex("u&x u") == "w:u|o:&|w:x|w:u");
  CHECK(lex("\xC3\xA9t\xC3\xA9") == "w:\xC3\xA9t\xC3\xA9");
  CHECK(lex("a.b . c") == "w:a|.|w:b|.|w:c");
}

TEST_CASE("strings") {
  CHECK(lex("'a''b' 'c'") == "s:'a''b'|s:'c'");
  CHECK(lex("'a\\' b") == "s:'a\\'|w:b");  // standard_conforming_strings
  CHECK(lex("E'a\\'b' e'\\\\'x") == "s:E'a\\'b'|s:e'\\\\'|w:x");
  CHECK(lex("b'01' X'fF' n'x' U&'\\0041'") == "s:b'01'|s:X'fF'|w:n|s:'x'|s:U&'\\0041'");
  CHECK(lex("B'1''0'") == "s:B'1'|s:'0'");
  CHECK(lex("'a'\n  'b'") == "s:'a'\n  'b'");
  CHECK(lex("'a' -- c\n'b'") == "s:'a' -- c\n'b'");
  CHECK(lex("E'a'\n'\\''") == "s:E'a'\n'\\''");  // goes on with the same rules
  CHECK(lex("'a' 'b'") == "s:'a'|s:'b'");
  CHECK(lex("'a'/*\n*/'b'") == "s:'a'|s:'b'");
  CHECK(lex("e 'x'") == "w:e|s:'x'");
}

TEST_CASE("dollar quotes") {
  CHECK(lex("$$a'b$$ $t$ $$ $x$ $t$") == "s:$$a'b$$|s:$t$ $$ $x$ $t$");
  CHECK(lex("$1 $23a") == "p:$1|p:$23|w:a");
  CHECK(lex("a$b$c$b$") == "w:a$b$c$b$");
  CHECK(lex("$1$2") == "p:$1|p:$2");
  CHECK(lex("$a") == "!:$|w:a");
  CHECK(lex("$T$ $t$ $T$") == "s:$T$ $t$ $T$");
}

TEST_CASE("numbers") {
  CHECK(lex("1 1.5 .5 1. 1e5 1.5E-3 2e+10") == "n:1|n:1.5|n:.5|n:1.|n:1e5|n:1.5E-3|n:2e+10");
  CHECK(lex("1..2") == "n:1|o:..|n:2");
  CHECK(lex("1.e3") == "n:1.e3");
  CHECK(lex("-1") == "o:-|n:1");
  CHECK(lex("a[1:2]") == "w:a|[|n:1|:|n:2|]");
}

TEST_CASE("operators") {
  CHECK(lex("a+b") == "w:a|o:+|w:b");
  CHECK(lex("a<=b<>c!=d>=e=>f:=g::h") ==
        "w:a|o:<=|w:b|o:<>|w:c|o:!=|w:d|o:>=|w:e|o:=>|w:f|o::=|w:g|o:::|w:h");
  CHECK(lex("a ->> b #>> c @> d || e") == "w:a|o:->>|w:b|o:#>>|w:c|o:@>|w:d|o:|||w:e");
  // 4.1.3: a name of several characters cannot end in + or -, unless it also holds one of
  // ~ ! @ # % ^ & | ` ?
  CHECK(lex("a=-1") == "w:a|o:=|o:-|n:1");
  CHECK(lex("a*-+-1") == "w:a|o:*|o:-|o:+|o:-|n:1");
  CHECK(lex("a@-1") == "w:a|o:@-|n:1");
  CHECK(lex("a<->b") == "w:a|o:<->|w:b");
  CHECK(lex("a+--x\nb") == "w:a|o:+|w:b");
  CHECK(lex("a*/*x*/b") == "w:a|o:*|w:b");
  CHECK(lex("a?b ?| c") == "w:a|o:?|w:b|o:?||w:c");
}

TEST_CASE("comments") {
  CHECK(lex("a -- b\r c /* d /* e */ f */ g") == "w:a|w:c|w:g");
  CHECK(lex("/**/a/***/b/*/**/*/c") == "w:a|w:b|w:c");
  CHECK(lex("a--") == "w:a");
  CHECK(lex("a /* b") == "w:a|!:/* b");
  CHECK(lex("/* a /* b */") == "!:/* a /* b */");
  CHECK(lex("a /") == "w:a|o:/");
  std::vector<std::string_view> comments;
  Lexer lexer("/*a*/ select '/*b*/' /* c /* d */ */ -- /*e*/\n /* f");
  lexer.collect_comments(&comments);
  while (lexer.next().kind != TokenKind::kEnd) continue;
  REQUIRE(comments.size() == 2);
  CHECK(comments[0] == "a");
  CHECK(comments[1] == " c /* d */ ");
}

TEST_CASE("what does not end") {
  CHECK(lex("'abc") == "!:'abc");
  CHECK(lex("'abc''") == "!:'abc''");
  CHECK(lex("E'abc\\") == "!:E'abc\\");
  CHECK(lex("E'abc\\'") == "!:E'abc\\'");
  CHECK(lex("\"abc") == "!:\"abc");
  CHECK(lex("$x$ abc") == "!:$x$ abc");
  CHECK(lex("'a'\n'b") == "!:'a'\n'b");
  CHECK(lex("\\ {").starts_with("!:\\|!:{"));
}

TEST_CASE("words compare without case") {
  Lexer lexer("SeLeCt \"select\" selec");
  const Token word = lexer.next();
  CHECK(lexer.is(word, "select"));
  CHECK_FALSE(lexer.is(word, "selec"));
  CHECK_FALSE(lexer.is(lexer.next(), "select"));
  CHECK_FALSE(lexer.is(lexer.next(), "select"));
}

TEST_CASE("PostgreSQL's scanner agrees") {
  const std::string_view texts[] = {
      "SELECT a.b, \"c d\"\"e\", U&\"f\" FROM t WHERE x = $1 AND y IN (1, 2.5, .5, 1e9) -- end",
      "select E'a\\'b', 'c'  \n  'd', B'01', X'1F', N'n', $$q$$, $t$ $q$ $t$",
      "a<=-1 and b@-c or d <-> e and f*-+-g or h !=- i or j ->> 'k' and l::int[] := m => n",
      "/* a /* b */ c */ 1 + /* d */ 2 --+ 3\n * 4 a[1:2] b..c 1..2 ?| ? %% ^ ~ ~~* # `",
      "INSERT INTO \"T\" (a) VALUES (''), ('''') , (E'\\\\') ; ; UESCAPE '!'",
  };
  for (const std::string_view text : texts) {
    CAPTURE(text);
    const std::string owned(text);
    const PgQueryScanResult scanned = pg_query_scan(owned.c_str());
    REQUIRE(scanned.error == nullptr);
    PgQuery__ScanResult* tokens = pg_query__scan_result__unpack(
        nullptr, scanned.pbuf.len, reinterpret_cast<const std::uint8_t*>(scanned.pbuf.data));
    REQUIRE(tokens != nullptr);
    Lexer lexer(text);
    for (std::size_t i = 0; i < tokens->n_tokens; ++i) {
      const PgQuery__ScanToken& theirs = *tokens->tokens[i];
      if (theirs.token == PG_QUERY__TOKEN__SQL_COMMENT ||
          theirs.token == PG_QUERY__TOKEN__C_COMMENT)
        continue;
      // (Its ends are not those of the whole token, for strings in several pieces.)
      CHECK(lexer.next().begin == static_cast<std::size_t>(theirs.start));
    }
    CHECK(lexer.next().kind == TokenKind::kEnd);
    pg_query__scan_result__free_unpacked(tokens, nullptr);
    pg_query_free_scan_result(scanned);
  }
}

}  // namespace
}  // namespace sql

TEST_CASE("lexer: the name in EXECUTE is exchanged, and nothing else") {
  CHECK(sql::rename_prepared("EXECUTE p", "x") == "EXECUTE x");
  CHECK(sql::rename_prepared(" /* p */ execute \"a \"\"b\"(1, 'p') ;", "x") ==
        " /* p */ execute x(1, 'p') ;");
  CHECK(sql::rename_prepared("EXPLAIN (COSTS OFF) EXECUTE p(1)", "x") ==
        "EXPLAIN (COSTS OFF) EXECUTE x(1)");
  CHECK(sql::rename_prepared("PREPARE p (int) AS SELECT 1", "x") == "PREPARE x (int) AS SELECT 1");
  CHECK(sql::rename_prepared("DEALLOCATE p", "x") == "DEALLOCATE x");
  CHECK(sql::rename_prepared("DEALLOCATE PREPARE p;", "x") == "DEALLOCATE PREPARE x;");
  CHECK(sql::rename_prepared("DEALLOCATE prepare", "x") == "DEALLOCATE x");
  CHECK(sql::rename_prepared("CREATE TEMP TABLE execute (a) AS EXECUTE p(1)", "x") ==
        "CREATE TEMP TABLE execute (a) AS EXECUTE x(1)");
  CHECK(sql::rename_prepared("CREATE TABLE execute AS SELECT p", "x") == std::nullopt);
  CHECK(sql::rename_prepared("EXPLAIN SELECT 1", "x") == std::nullopt);
  CHECK(sql::rename_prepared("EXECUTE", "x") == std::nullopt);
  CHECK(sql::rename_prepared("", "x") == std::nullopt);
}
