// The import's tables and forms; what PgBouncer itself does with them is an integration test.
#include <algorithm>
#include <fstream>
#include <sstream>

#include "config/pgbouncer_settings.h"
#include "config/pgbouncer_syntax.h"
#include "config/toml_draft.h"
#include "testing.h"

using namespace config;

namespace {

std::string page() {
  std::ifstream file(std::string(SOURCE_ROOT) + "/docs/from-pgbouncer.md");
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string error(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

template <class Row>
void check_row(const Row& row, const std::string& text) {
  INFO(row.name);
  if (!row.ours.empty()) {
    CHECK(std::count(known_keys().begin(), known_keys().end(), std::string(row.ours)) == 1);
  } else {
    CHECK_FALSE(row.note.empty());
  }
  const std::string ours = row.ours.empty() ? "" : "`" + std::string(row.ours) + "`";
  const std::string line =
      "| `" + std::string(row.name) + "` | " + ours + " | " + std::string(row.note) + " |\n";
  CHECK_MESSAGE(text.find(line) != std::string::npos, line);
}

}  // namespace

TEST_CASE("each setting of PgBouncer has a key that exists, or a reason, and the page says so") {
  const std::string text = page();
  for (const auto& row : pgbouncer_settings()) check_row(row, text);
  for (const auto& row : pgbouncer_database_parameters()) check_row(row, text);
  for (const auto& row : pgbouncer_user_parameters()) check_row(row, text);
  CHECK(std::ranges::is_sorted(pgbouncer_settings(), {}, &PgBouncerSetting::name));
}

TEST_CASE("an ini") {
  const auto items = parse_ini(
      " # c\n;c\n[a]k=v # no comment \r\n\t\"x\"\"y\" =  \n%include\tf.ini\n*.-_ = '=';\n[ b ]\n");
  REQUIRE(items.ok());
  REQUIRE(items->size() == 6);
  CHECK((*items)[0].name == "a");
  CHECK((*items)[1].value == "v # no comment");
  CHECK((*items)[2].name == "x\"y");
  CHECK((*items)[2].value.empty());
  CHECK((*items)[3].kind == IniItem::Kind::kInclude);
  CHECK((*items)[3].value == "f.ini");
  CHECK((*items)[4].name == "*.-_");
  CHECK((*items)[4].line == 6);
  CHECK((*items)[5].name == " b ");
  CHECK(error(parse_ini("a\n").status()) == "1: expected key = value, or a [section]");
  CHECK(error(parse_ini("\n[a\n]").status()) == "2: expected \"]\" behind the section's name");
  CHECK(error(parse_ini("\n\"a\n\"=1").status()) == "2: expected a closing quote");
  for (const char* bad :
       {"a=\x80", "a=\xc0\x80", "a=\xed\xa0\x80", "a=\xf4\x90\x80\x80", "a=\xe2\x82"}) {
    CHECK(error(parse_ini(bad).status()) == "1: expected text in UTF-8, found something else");
  }
  CHECK(parse_ini("a=\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9").ok());
  CHECK_FALSE(parse_ini(std::string_view("a=\0", 3)).ok());
}

TEST_CASE("pairs of a connection string") {
  const auto pairs = parse_pairs("  host = 'a b''c'x  port=1\t2 ");
  REQUIRE(pairs.ok());
  REQUIRE(pairs->size() == 2);
  CHECK((*pairs)[0].value == "a b'c");
  CHECK((*pairs)[1].key == "port");
  CHECK((*pairs)[1].value == "1\t2");
  for (const char* bad : {"a", "a=", "=b", "a=''", "a='b", "a b=c"}) {
    CHECK_FALSE(parse_pairs(bad).ok());
  }
  CHECK(parse_pairs("")->empty());
}

TEST_CASE("a list of users") {
  const auto logins = parse_userlist("; c\n\"a\"\"b\" x \"p\"\"\" rest\n\n \"\" \"\"");
  REQUIRE(logins.ok());
  REQUIRE(logins->size() == 2);
  CHECK((*logins)[0].user == "a\"b");
  CHECK((*logins)[0].secret == "p\"");
  CHECK(error(parse_userlist("\"a\" \"b\"\n\"c\"").status()) ==
        "2: expected \"user\" \"password\"");
}

TEST_CASE("text in TOML can be read back") {
  const std::string odd = "a\"b\\c\nd\x01\x7f\t";
  const LoadResult result = load_text(
      "[clusters.main]\nhosts = [\"h\"]\n[users.a]\npassword = " + toml_text(odd), "", {});
  REQUIRE_MESSAGE(result.config, to_string(result.problems));
  CHECK(result.config->users[0].password == odd);
}
