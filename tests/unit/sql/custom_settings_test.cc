#include "sql/custom_settings.h"

#include <doctest/doctest.h>

using namespace sql;

namespace {

using Names = std::set<std::string, std::less<>>;

Names found(std::string_view text, NamedIn in, std::size_t most = 100) {
  Names names;
  add_custom_settings(text, in, most, names);
  return names;
}

}  // namespace

TEST_CASE("custom settings: where a function's source sets them") {
  const auto body = [](std::string_view text) { return found(text, NamedIn::kBody); };
  CHECK(body("PERFORM set_config('app.user', x, false);") == Names{"app.user"});
  CHECK(body("SET App.User = 1; set local a.b.c to 2; SET SESSION d.e = 3") ==
        Names{"app.user", "a.b.c", "d.e"});
  CHECK(body("EXECUTE 'SET app.user = 1'") == Names{"app.user"});
  CHECK(body("SELECT t.x, s.t.y FROM s.t WHERE t.z = 'a b.c'").empty());
  CHECK(body("").empty());
}

TEST_CASE("custom settings: wherever a value names one") {
  const auto value = [](std::string_view text) { return found(text, NamedIn::kValues); };
  CHECK(value(std::string_view("\0\0\0\x08"
                               "app.user\0\0\0\x01"
                               "7",
                               17)) == Names{"app.user"});
  CHECK(value("x=a.b;C.D") == Names{"a.b", "c.d"});
  for (const char* none : {"1.5", "a.", ".a", "a..b", "a.1", "a", "a. b", "."}) {
    CHECK_MESSAGE(value(none).empty(), none);
  }
  CHECK(value(std::string(200, 'a') + ".b").empty());
}

TEST_CASE("custom settings: no more than were asked for") {
  CHECK(found("a.b c.d e.f", NamedIn::kValues, 2) == Names{"a.b", "c.d"});
}
