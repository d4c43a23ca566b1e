#include "protocol/lsn.h"

#include <doctest/doctest.h>

using protocol::format_lsn;
using protocol::parse_lsn;

// https://www.postgresql.org/docs/current/datatype-pg-lsn.html
TEST_CASE("a position is two hexadecimal halves") {
  CHECK(parse_lsn("16/B374D848") == 0x16'B374D848u);
  CHECK(parse_lsn("16/b374d848") == 0x16'B374D848u);
  CHECK(parse_lsn("0/0") == 0u);
  CHECK(parse_lsn("FFFFFFFF/FFFFFFFF") == UINT64_MAX);
  CHECK(parse_lsn("0/01600028") == 0x1600028u);  // padded, as PostgreSQL 19 prints it
}

TEST_CASE("anything else is not a position") {
  // The list that PostgreSQL's own regression test refuses, and more.
  for (const char* text : {"G/0", "-1/0", " 0/12345678", "ABCD/", "/ABCD", "", "/", "0", "0/0/0",
                           "0/0 ", "0x1/0", "+1/0", "123456789/0", "0/123456789"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_lsn(text));
  }
}

TEST_CASE("positions print as PostgreSQL prints them") {
  CHECK(format_lsn(0x16'B374D848u) == "16/B374D848");
  CHECK(format_lsn(0) == "0/0");
  CHECK(format_lsn(UINT64_MAX) == "FFFFFFFF/FFFFFFFF");
  CHECK(format_lsn(0x1'00000001u) == "1/1");
}
