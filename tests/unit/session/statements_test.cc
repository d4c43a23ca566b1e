#include "session/statements.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <random>
#include <string>

namespace session {
namespace {

TEST_CASE("equal content is one statement for as long as someone holds it") {
  StatementStore store;
  const protocol::Bytes none;
  StatementPtr a = store.intern(nullptr, "SELECT 1", none, nullptr);
  StatementPtr b = store.intern(nullptr, "SELECT 1", none, nullptr);
  const StatementPtr c = store.intern(nullptr, "SELECT 1", protocol::as_bytes("int4"), nullptr);
  CHECK(a == b);
  CHECK(a != c);
  CHECK(a->id != 0);
  CHECK(a->id != c->id);
  CHECK(a->server_name == "weir_" + std::to_string(a->id));
  CHECK(c->types == "int4");
  CHECK(store.size() == 2);
  const std::uint64_t id = a->id;
  a.reset();
  CHECK(store.size() == 2);
  b.reset();
  CHECK(store.size() == 1);
  CHECK(store.intern(nullptr, "SELECT 1", none, nullptr)->id != id);  // never used again
  CHECK(store.size() == 1);
}

TEST_CASE("the border between query and types matters") {
  StatementStore store;
  const StatementPtr a = store.intern(nullptr, "ab", protocol::as_bytes("c"), nullptr);
  const StatementPtr b = store.intern(nullptr, "a", protocol::as_bytes("bc"), nullptr);
  CHECK(a != b);
}

TEST_CASE("a statement may outlive its store") {
  StatementPtr kept;
  {
    StatementStore store;
    kept = store.intern(nullptr, "SELECT 1", {}, std::make_shared<sql::Analysis>());
  }
  CHECK(kept->query == "SELECT 1");
  CHECK(kept->analysis != nullptr);
}

TEST_CASE("a client's names, few and many") {
  StatementStore store;
  ClientStatements names;
  CHECK(names.find("a") == nullptr);
  CHECK(names.size() == 0);
  CHECK_FALSE(names.erase("a"));
  for (const int count : {3, 16, 17, 500}) {
    CAPTURE(count);
    for (int i = 0; i < count; ++i) {
      const std::string n = std::to_string(i);
      names.put(i == 0 ? "" : n, store.intern(nullptr, "SELECT " + n, {}, nullptr));
    }
    CHECK(names.size() == static_cast<std::size_t>(count));
    REQUIRE(names.find("") != nullptr);
    CHECK((*names.find(""))->query == "SELECT 0");
    CHECK((*names.find(std::to_string(count - 1)))->query == "SELECT " + std::to_string(count - 1));
    CHECK(names.find("0") == nullptr);
    CHECK(names.erase("1"));
    CHECK_FALSE(names.erase("1"));
    CHECK(names.find("1") == nullptr);
    CHECK(names.size() == static_cast<std::size_t>(count) - 1);
  }
  names.clear();
  CHECK(names.size() == 0);
  CHECK(names.bytes() == 0);
  CHECK(store.size() == 0);
}

TEST_CASE("bytes follow what is held") {
  StatementStore store;
  ClientStatements names;
  names.put("n", store.intern(nullptr, "0123456789", {}, nullptr));
  const std::size_t one = names.bytes();
  CHECK(one >= 11);
  names.put("n", store.intern(nullptr, "01234567890123456789", protocol::as_bytes("tt"), nullptr));
  CHECK(names.bytes() == one + 12);
  CHECK(store.size() == 1);
  for (int i = 0; i < 40; ++i) names.put("m" + std::to_string(i), *names.find("n"));
  CHECK(names.bytes() > 40 * one);
  for (int i = 0; i < 40; ++i) names.erase("m" + std::to_string(i));
  CHECK(names.bytes() == one + 12);
  CHECK(names.erase("n"));
  CHECK(names.bytes() == 0);
}

TEST_CASE("the least recently used statement leaves a server first") {
  ServerStatements known(3);
  CHECK(known.insert(1) == 0);
  CHECK(known.insert(2) == 0);
  CHECK(known.insert(3) == 0);
  CHECK(known.touch(1));
  CHECK(known.insert(4) == 2);
  CHECK_FALSE(known.touch(2));
  CHECK(known.insert(1) == 0);  // known already, and used
  CHECK(known.insert(5) == 3);
  known.erase(4);
  known.erase(4);
  CHECK(known.size() == 2);
  CHECK(known.insert(6) == 0);
  CHECK(known.insert(7) == 1);
  known.clear();
  CHECK(known.size() == 0);
  CHECK_FALSE(known.touch(7));
}

TEST_CASE("a capacity of zero still holds the one in use") {
  ServerStatements known(0);
  CHECK(known.insert(1) == 0);
  CHECK(known.insert(2) == 1);
  CHECK(known.touch(2));
}

TEST_CASE("the LRU agrees with a plain list") {
  std::mt19937_64 random(7);
  ServerStatements known(8);
  std::list<std::uint64_t> model;  // most recent first
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t id = 1 + random() % 24;
    const auto it = std::find(model.begin(), model.end(), id);
    const bool present = it != model.end();
    if (random() % 8 == 0) {
      known.erase(id);
      if (present) model.erase(it);
    } else if (known.touch(id)) {
      REQUIRE(present);
      model.splice(model.begin(), model, it);
    } else {
      REQUIRE_FALSE(present);
      const std::uint64_t out = model.size() == 8 ? model.back() : 0;
      REQUIRE(known.insert(id) == out);
      if (out != 0) model.pop_back();
      model.push_front(id);
    }
    REQUIRE(known.size() == model.size());
  }
}

}  // namespace
}  // namespace session
