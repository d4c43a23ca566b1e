#include "session/encoding.h"

#include <doctest/doctest.h>

#include <string>

namespace session {
namespace {

TEST_CASE("one name for all that mean the same encoding") {
  // src/common/encnames.c of PostgreSQL 15.
  CHECK(plain_encoding("UTF8") == plain_encoding("utf-8"));
  CHECK(plain_encoding("unicode") == plain_encoding("UTF8"));
  CHECK(plain_encoding("ISO_8859-1") == plain_encoding("latin1"));
  CHECK(plain_encoding("ISO_8859_9") == plain_encoding("LATIN5"));
  CHECK(plain_encoding("Windows-1251") == plain_encoding("WIN"));
  CHECK(plain_encoding("Shift_JIS") == plain_encoding("windows932"));
  CHECK(plain_encoding("latin1") != plain_encoding("latin9"));
  CHECK(plain_encoding("'; DROP") == "drop");
  CHECK(plain_encoding("").empty());
}

TEST_CASE("text in another encoding") {
  CHECK(converted("Z\xc3\xbcrich", "utf8", "latin1") == "Z\xfcrich");
  CHECK(converted("Z\xfcrich", "latin1", "utf8") == "Z\xc3\xbcrich");
  CHECK(converted("\xe2\x82\xac", "utf8", "latin9") == "\xa4");  // the euro sign
  CHECK(converted("\xe6\x97\xa5", "utf8", "sjis") == "\x93\xfa");
  using namespace std::string_literals;
  CHECK(converted("news\0\xc3\xbc\0"s, "utf8", "latin1") == "news\0\xfc\0"s);
  CHECK(converted(std::string(10'000, '\xfc'), "latin1", "utf8").size() == 20'000);
  CHECK(converted("", "utf8", "latin1").empty());
}

TEST_CASE("what the other one does not have") {
  CHECK(converted("a\xe2\x82\xacz", "utf8", "latin1") == "a?z");
  CHECK(converted("a\xe2\x82", "utf8", "latin1") == "a?");
  CHECK(converted("\xff", "utf8", "latin1") == "?");
  CHECK(converted("\xc3\xbc", "sqlascii", "latin1") == "\xc3\xbc");
  CHECK(converted("\xc3\xbc", "utf8", "no such one") == "\xc3\xbc");
}

}  // namespace
}  // namespace session
