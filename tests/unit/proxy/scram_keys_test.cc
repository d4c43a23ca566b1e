#include "proxy/scram_keys.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace proxy {
namespace {

struct Counted {
  std::atomic<int> derived{0};
  ScramKeyBook book;
  explicit Counted(std::size_t entries_max = ScramKeyBook::kEntriesMax)
      : book(entries_max, [this](auto password, auto salt, auto iterations) {
          ++derived;
          return protocol::derive_scram_keys(password, salt, iterations);
        }) {}
};

protocol::ScramKey client_key(const ScramKeyBook::Of& of) {
  return protocol::derive_scram_keys(of.password, of.salt, of.iterations).client_key;
}

TEST_CASE("keys are derived once for a user, password, salt and number of iterations") {
  Counted counted;
  const ScramKeyBook::Of first{.user = "a", .password = "secret", .salt = "salt", .iterations = 2};
  auto other_user = first, other_salt = first, other_rounds = first, other_password = first;
  other_user.user = "b";
  other_salt.salt = "salz";
  other_rounds.iterations = 3;
  other_password.password = "changed";
  for (const auto& of : {first, other_user, other_salt, other_rounds, other_password}) {
    const int before = counted.derived;
    CHECK(counted.book.keys(of).client_key == client_key(of));
    CHECK(counted.book.keys(of).client_key == client_key(of));
    CHECK(counted.derived == before + 1);
  }
  CHECK(counted.book.size() == 3);  // another password, and other iterations, replaced the first
  CHECK(counted.book.keys(first).client_key == client_key(first));
  CHECK(counted.derived == 6);
  // A name's end is no salt's beginning.
  CHECK(counted.book.keys({"as", "secret", "alt", 2}).client_key ==
        client_key({"as", "secret", "alt", 2}));
  CHECK(counted.derived == 7);
}

TEST_CASE("a verifier's right password is remembered, a wrong one is not, nor replaces it") {
  Counted counted;
  const auto verifier = protocol::make_scram_verifier("right", "salt", 2);
  CHECK(counted.book.matches("a", "right", verifier));
  CHECK(counted.book.matches("a", "right", verifier));
  CHECK(counted.derived == 1);
  CHECK_FALSE(counted.book.matches("a", "wrong", verifier));
  CHECK_FALSE(counted.book.matches("a", "wrong", verifier));
  CHECK(counted.derived == 3);
  CHECK(counted.book.matches("a", "right", verifier));
  CHECK(counted.derived == 3);
  // What a server with the same verifier asks for next is known by then.
  counted.book.keys({"a", "right", "salt", 2});
  CHECK(counted.derived == 3);
  // The stored verifier has changed, not the password that is given.
  CHECK_FALSE(
      counted.book.matches("a", "right", protocol::make_scram_verifier("other", "salt", 2)));
}

TEST_CASE("no more than so many are kept, whatever salts a server makes up") {
  Counted counted(8);
  for (int i = 0; i < 100; ++i) {
    counted.book.keys({"a", "secret", std::to_string(i), 1});
    CHECK(counted.book.size() <= 8);
  }
  CHECK(counted.book.size() == 8);
  CHECK(counted.derived == 100);
}

TEST_CASE("from several threads") {
  Counted counted(8);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string user = std::to_string((i + t) % 12);
        const ScramKeyBook::Of of{user, i % 7 == 0 ? "x" : "y", "salt", 1};
        if (counted.book.keys(of).client_key != client_key(of)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace proxy
