#include "config/document.h"

#include <doctest/doctest.h>

using namespace config;

namespace {

struct Outcome {
  std::optional<toml::table> root;
  std::string problems;
};

Outcome parse(std::string_view text) {
  Problems problems("weir.toml");
  Outcome outcome;
  outcome.root = parse_document(text, problems);
  outcome.problems = to_string(problems.take());
  return outcome;
}

// The tree after an override of {pool = {size = 1}}, or the problem.
struct Overridden {
  toml::table root{{"pool", toml::table{{"size", 1}}}};
  std::string problems;

  explicit Overridden(std::string_view text) {
    Problems collected("weir.toml");
    apply_override(root, text, collected);
    problems = to_string(collected.take());
  }
};

}  // namespace

TEST_CASE("document: a syntax error has its line") {
  const Outcome outcome = parse("a = 1\nb = \nc = 3\n");
  CHECK_FALSE(outcome.root);
  CHECK(outcome.problems.starts_with("weir.toml:2: "));
  CHECK(parse("a = 1\na = 2\n").problems.starts_with("weir.toml:2: "));
  CHECK(parse("a = \"\xff\"\n").problems.starts_with("weir.toml:1: "));
}

TEST_CASE("document: size is bounded") {
  const Outcome outcome = parse(std::string(kFileBytesMax + 1, '\n'));
  CHECK(outcome.problems == "weir.toml: expected at most 4194304 bytes, found 4194305\n");
  CHECK(parse(std::string(kFileBytesMax, '\n')).root);
}

TEST_CASE("document: dots in keys are bounded") {
  std::string key = "a";
  for (int i = 0; i < 100'000; ++i) key += ".a";
  const char* expected = "expected at most 8 dots in a key and 10000 dotted keys in a file\n";
  CHECK(parse("x = 1\n" + key + " = 1\n").problems == std::string("weir.toml:2: ") + expected);
  CHECK(parse("[" + key + "]\n").problems == std::string("weir.toml:1: ") + expected);
  CHECK(parse("x = { " + key + " = 1 }\n").problems == std::string("weir.toml:1: ") + expected);
  CHECK(parse("\"a\".'b'.c.d.e.f.g.h.i.j = 1\n").problems ==
        std::string("weir.toml:1: ") + expected);
  CHECK(parse("a.b.c.d.e.f.g.h.i = 1\n").root);
}

TEST_CASE("document: the number of dotted keys is bounded") {
  std::string text;
  for (int i = 0; i < 10'001; ++i) text += "k" + std::to_string(i) + ".a = 1\n";
  CHECK(parse(text).problems.starts_with("weir.toml:10001: expected at most 8 dots"));
}

TEST_CASE("document: dots outside of keys do not count") {
  CHECK(parse("hosts = [\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\", \"10.0.0.4\"]\n").root);
  CHECK(parse("a = 'c:\\.\\.\\.\\.\\.\\.\\.\\.\\.\\.'\n").root);
  CHECK(parse("a = \"\\\"..........\"\n").root);
  CHECK(parse("# .......... \"\nb = 1\n").root);
  CHECK(parse("a = \"\"\"\n.....\\\"\"\"......\n\"\"\"\n").root);
  CHECK(parse("a = '''\n.....'......\n'''\n").root);
  CHECK(parse("a = \"\"\"..........\"\"\"\"\"\nb.c = 1\n").root);
}

TEST_CASE("document: nested values are bounded") {
  CHECK_FALSE(parse("a = " + std::string(100'000, '[')).root);
  std::string tables = "a = ";
  for (int i = 0; i < 10'000; ++i) tables += "{a=";
  CHECK_FALSE(parse(tables).root);
}

TEST_CASE("overrides: TOML values, and bare words") {
  CHECK(Overridden("pool.size=5").root["pool"]["size"].value<int>() == 5);
  CHECK(Overridden("pool.size = 5").root["pool"]["size"].value<int>() == 5);
  CHECK(Overridden("pool.size=many").root["pool"]["size"].value<std::string>() == "many");
  CHECK(Overridden("timeouts.query=10s").root["timeouts"]["query"].value<std::string>() == "10s");
  CHECK(Overridden("log.file=").root["log"]["file"].value<std::string>() == "");
  CHECK(Overridden("listen=127.0.0.1:6432").root["listen"].value<std::string>() ==
        "127.0.0.1:6432");
  CHECK(Overridden("listen=[::1]:6432").root["listen"].value<std::string>() == "[::1]:6432");
  CHECK(Overridden("routing.split_reads=false").root["routing"]["split_reads"].value<bool>() ==
        false);
  CHECK(Overridden("listen=[\"a\", \"b\"]").root["listen"].as_array()->size() == 2);
  CHECK(Overridden("users.app.password=a\\b\"c")
            .root["users"]["app"]["password"]
            .value<std::string>() == "a\\b\"c");
  CHECK(Overridden("users.app.password=\"a=b\"")
            .root["users"]["app"]["password"]
            .value<std::string>() == "a=b");
}

TEST_CASE("overrides: names that TOML would quote") {
  CHECK(Overridden("databases.*.cluster=main").root["databases"]["*"]["cluster"].is_string());
  CHECK(Overridden("databases.\"*\".cluster=main").root["databases"]["*"]["cluster"].is_string());
  CHECK(Overridden("users.\"a.b=c\".admin=true").root["users"]["a.b=c"]["admin"].is_boolean());
}

TEST_CASE("overrides: tables merge, all else is replaced") {
  const Overridden merged("pool.min=2");
  CHECK(merged.root["pool"]["size"].value<int>() == 1);
  CHECK(merged.root["pool"]["min"].value<int>() == 2);
  CHECK(Overridden("pool={min=2}").root["pool"]["size"].value<int>() == 1);
  CHECK(Overridden("pool=3").root["pool"].value<int>() == 3);
}

TEST_CASE("overrides: what is none") {
  for (const char* text : {"", "=", "=5", "pool.size", "a=1\nb=2", " =x"}) {
    INFO(text);
    CHECK(Overridden(text).problems.starts_with("--set: expected section.key=value, found \""));
  }
  CHECK(Overridden("listen=[1, x]").problems.starts_with("--set: \"listen\": "));
  CHECK(Overridden("log.file=\"x").problems.starts_with("--set: \"log.file\": "));
  CHECK(Overridden("pool.size.=1").problems.empty());  // an empty name; the reader refuses it
  CHECK_FALSE(Overridden("a=" + std::string(70'000, 'x')).problems.empty());
  CHECK_FALSE(Overridden("a.b.c.d.e.f.g.h.i.j.k=1").problems.empty());
}
