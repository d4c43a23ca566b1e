#include "protocol/error.h"

#include <doctest/doctest.h>

#include "feed.h"

using namespace feed;
using protocol::as_bytes;
using protocol::decode_error;
using protocol::Error;
using protocol::Severity;

TEST_CASE("an error is written field by field, as the documentation lists them") {
  protocol::Buffer out;
  protocol::write_error(out, {.severity = Severity::kFatal,
                              .code = protocol::sqlstate::kInvalidPassword,
                              .message = "no",
                              .detail = "d",
                              .hint = "h"});
  CHECK(written(out) ==
        "E\0\0\0\x24"
        "SFATAL\0VFATAL\0C28P01\0Mno\0Dd\0Hh\0\0"_wire);
}

TEST_CASE("a notice, without the absent fields") {
  protocol::Buffer out;
  protocol::write_notice(out, {.severity = Severity::kWarning, .code = "01000", .message = "m"});
  CHECK(written(out) == "N\0\0\0\x21SWARNING\0VWARNING\0C01000\0Mm\0\0"_wire);
}

TEST_CASE("what is written is read, for every severity") {
  const std::pair<Severity, std::string> severities[] = {{Severity::kError, "ERROR"},
                                                         {Severity::kFatal, "FATAL"},
                                                         {Severity::kNotice, "NOTICE"},
                                                         {Severity::kWarning, "WARNING"}};
  for (const auto& [severity, name] : severities) {
    protocol::Buffer out;
    protocol::write_error(out, {.severity = severity,
                                .code = "XX000",
                                .message = "message",
                                .detail = "detail",
                                .hint = "hint"});
    const auto view = decode_error(body(out));
    REQUIRE(view);
    CHECK(view->severity == name);
    CHECK(view->code == "XX000");
    CHECK(view->message == "message");
    CHECK(view->detail == "detail");
    CHECK(view->hint == "hint");
  }
}

// Sent by PostgreSQL 15 for "selec 1" and for a RAISE NOTICE.
const std::string_view kSyntaxError =
    "SERROR\0VERROR\0C42601\0Msyntax error at or near \"selec\"\0P1\0Fscan.l\0L1188\0"
    "Rscanner_yyerror\0\0"_wire;
const std::string_view kRaised =
    "SNOTICE\0VNOTICE\0C00000\0Mn\0Dd\0Hh\0WPL/pgSQL function inline_code_block line 1 at RAISE\0"
    "Fpl_exec.c\0L3891\0Rexec_stmt_raise\0\0"_wire;

TEST_CASE("errors of a real server are read, fields we don't show are skipped") {
  const auto error = decode_error(as_bytes(kSyntaxError));
  REQUIRE(error);
  CHECK(error->severity == "ERROR");
  CHECK(error->code == "42601");
  CHECK(error->message == "syntax error at or near \"selec\"");
  CHECK(error->detail.empty());
  CHECK(error->hint.empty());
  const auto notice = decode_error(as_bytes(kRaised));
  REQUIRE(notice);
  CHECK(notice->detail == "d");
  CHECK(notice->hint == "h");
}

TEST_CASE("the severity that is not translated is preferred") {
  const std::string_view translated = "SFEHLER\0VERROR\0C42601\0Mm\0\0"_wire;
  const std::string_view old = "SFEHLER\0C42601\0Mm\0\0"_wire;
  CHECK(decode_error(as_bytes(translated))->severity == "ERROR");
  CHECK(decode_error(as_bytes(old))->severity == "FEHLER");
}

TEST_CASE("a cut or overlong error is malformed") {
  every_prefix(kSyntaxError, [](protocol::Bytes in) { CHECK_FALSE(decode_error(in)); });
  const std::string longer = join(kSyntaxError, "x");
  CHECK_FALSE(decode_error(as_bytes(longer)));
  every_mutation(kRaised, 1, [](protocol::Bytes in) { (void)decode_error(in); });
}
