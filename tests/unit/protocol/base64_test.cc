#include "protocol/base64.h"

#include <doctest/doctest.h>

#include "feed.h"

using protocol::as_bytes;
using protocol::base64_decode;
using protocol::base64_encode;

// RFC 4648, section 10.
TEST_CASE("base64: the RFC's vectors, both ways") {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : vectors) {
    CHECK(base64_encode(as_bytes(plain)) == text);
    CHECK(base64_decode(text) == plain);
  }
}

TEST_CASE("base64: every byte") {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  CHECK(base64_decode(base64_encode(as_bytes(all))) == all);
  CHECK(base64_encode(as_bytes("\xfb\xff\xbf")) == "+/+/");
}

TEST_CASE("base64: only the canonical form is taken") {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Z===", "Zm9v=", "Zm9v====", "Zm 9", "Zm9\n",
        "Zg==Zg==", "Z=g=", "Zh==", "Zm9=", "Zm-_"}) {
    CAPTURE(text);
    CHECK_FALSE(base64_decode(text));
  }
}
