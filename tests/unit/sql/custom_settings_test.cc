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

TEST_CASE("custom settings: functions that set what their source does not name") {
  for (const std::string_view body : {
           "BEGIN PERFORM set_config(name, v, false); END",
           "BEGIN PERFORM set_config('app.' || name, v, false); END",
           "BEGIN PERFORM pg_catalog.set_config ( format('app.%s', name), v, local); END",
           "SELECT set_config(k, v, false) FROM kept",
           "BEGIN EXECUTE 'SET app.' || name || ' TO 1'; END",
           "BEGIN EXECUTE format('SET %I TO %L', name, v); END",
           "BEGIN EXECUTE format('set session app.%s = 1', name); END",
           "BEGIN EXECUTE 'SET ' || name; END",
           "BEGIN q := 'SET app.'; q := q || name; EXECUTE q; END",
           "BEGIN EXECUTE q; END",
           "DECLARE q text := (SELECT c FROM commands); BEGIN EXECUTE q USING v; END",
           "BEGIN EXECUTE 'SELECT set_config(''app.'' || $1, $2, false)' USING name, v; END",
           "BEGIN FOR r IN EXECUTE q LOOP NULL; END LOOP; END",
       }) {
    CHECK_MESSAGE(sets_unnamed(body), body);
  }
  for (const std::string_view body : {
           "",
           "BEGIN PERFORM set_config('app.user', v, false); END",
           "BEGIN PERFORM set_config('app.user'::text, v, false); END",
           "BEGIN PERFORM set_config('app.' || name, v, true); END",
           "BEGIN SET app.user TO 1; SET LOCAL app.user TO 2; RESET app.user; END",
           "BEGIN EXECUTE 'SET app.user TO ' || quote_literal(v); END",
           "BEGIN EXECUTE format('SET SESSION app.user = %L', v); END",
           "BEGIN EXECUTE format('SET \"app.user\" = %L', v); END",
           "BEGIN EXECUTE format('SET ROLE %I', v); EXECUTE 'SET LOCAL app.' || v; END",
           "BEGIN EXECUTE format('INSERT INTO %I.%I VALUES (1)', s, t); END",
           "BEGIN q := 'CREATE TABLE p_' || n; EXECUTE q; END",
           "BEGIN EXECUTE 'UPDATE ' || t || ' SET ' || c || ' = 1'; END",
           "BEGIN IF state = 'set' THEN state := 'reset'; END IF; END",
           "BEGIN UPDATE t SET a = 'x'; END",
           "BEGIN EXECUTE 'CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()'; END",
       }) {
    CHECK_MESSAGE(!sets_unnamed(body), body);
  }
}
