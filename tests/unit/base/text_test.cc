#include <doctest/doctest.h>

#include <array>
#include <string>

#include "base/hex.h"
#include "base/utf8.h"

TEST_CASE("hexadecimal digits") {
  CHECK(base::to_hex({}) == "");
  CHECK(base::to_hex(std::array<std::uint8_t, 4>{0, 0x7f, 0xa0, 0xff}) == "007fa0ff");
  std::string text = "\\x";
  base::append_hex(text, std::array<std::uint8_t, 1>{9});
  CHECK(text == "\\x09");
}

TEST_CASE("texts are cut between characters") {
  CHECK(base::utf8_front("abc", 3) == "abc");
  CHECK(base::utf8_front("abc", 2) == "ab");
  CHECK(base::utf8_front("abc", 0) == "");
  CHECK(base::utf8_front("", 5) == "");
  const std::string text = "a\u00e9\u20ac\U0001f418z";  // 1, 2, 3, 4 and 1 bytes
  const std::size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
  for (std::size_t most = 0; most <= text.size(); ++most) {
    CHECK(base::utf8_front(text, most) == text.substr(0, ends[most]));
  }
  CHECK(base::utf8_front("\x80\x80\x80", 2) == "");  // no UTF-8, and no end
}
