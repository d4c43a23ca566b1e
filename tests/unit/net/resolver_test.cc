#include "net/resolver.h"

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"

using net::Address;
using net::literal_address;
using net::Resolver;
using Addresses = Resolver::Addresses;
using Answer = absl::StatusOr<Addresses>;

namespace {

std::future<Answer> ask(Resolver& resolver, const std::string& host, std::uint16_t port = 5432) {
  auto promise = std::make_shared<std::promise<Answer>>();
  resolver.resolve(host, port, [promise](Answer answer) { promise->set_value(std::move(answer)); });
  return promise->get_future();
}

Addresses one(const char* host) { return {*literal_address(host, 0)}; }

}  // namespace

TEST_CASE("literals are answered at once, in the caller") {
  Resolver resolver({.lookup = [](const std::string&) -> Answer {
    return absl::InternalError("must not be asked");
  }});
  std::thread::id where;
  std::string text;
  resolver.resolve("192.0.2.7", 5432, [&](Answer answer) {
    where = std::this_thread::get_id();
    REQUIRE(answer.ok());
    text = answer->at(0).text();
  });
  CHECK(where == std::this_thread::get_id());
  CHECK(text == "192.0.2.7");
  CHECK(ask(resolver, "/tmp").get()->at(0).is_unix());
  const Answer too_long = ask(resolver, "/" + std::string(200, 'x')).get();
  CHECK(too_long.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_FALSE(ask(resolver, "").get().ok());
}

TEST_CASE("the system knows localhost") {
  Resolver resolver;
  const Answer answer = ask(resolver, "localhost", 6432).get();
  REQUIRE(answer.ok());
  REQUIRE_FALSE(answer->empty());
  const std::string text = answer->front().text();
  CHECK((text == "127.0.0.1" || text == "::1"));
  CHECK(answer->front().port() == 6432);
}

TEST_CASE("a name that cannot exist fails in libpq's words") {
  Resolver resolver;
  const Answer answer = ask(resolver, "no such host").get();  // a space: no server is asked
  REQUIRE_FALSE(answer.ok());
  CHECK(std::string(answer.status().message())
            .starts_with("could not translate host name \"no such host\" to address: "));
}

TEST_CASE("names are asked for on the resolver's thread, once while fresh") {
  std::atomic<int> asked{0};
  Resolver resolver({.lookup = [&](const std::string&) -> Answer {
    ++asked;
    return one("192.0.2.1");
  }});
  std::promise<std::thread::id> where;
  resolver.resolve("db", 1, [&](Answer) { where.set_value(std::this_thread::get_id()); });
  CHECK(where.get_future().get() != std::this_thread::get_id());
  const Answer again = ask(resolver, "db", 7).get();
  REQUIRE(again.ok());
  CHECK(again->at(0).text() == "192.0.2.1");
  CHECK(again->at(0).port() == 7);
  CHECK(asked == 1);
  CHECK(ask(resolver, "other").get().ok());
  CHECK(asked == 2);
}

TEST_CASE("an answer that is no longer fresh is asked for again") {
  std::atomic<int> asked{0};
  Resolver resolver({.fresh = base::Duration::zero(), .lookup = [&](const std::string&) -> Answer {
                       return ++asked == 1 ? one("192.0.2.1") : one("192.0.2.2");
                     }});
  CHECK(ask(resolver, "db").get()->at(0).text() == "192.0.2.1");
  CHECK(ask(resolver, "db").get()->at(0).text() == "192.0.2.2");
}

TEST_CASE("the last good answer stands in for a failed look-up") {
  std::atomic<int> asked{0};
  Resolver resolver({.fresh = base::Duration::zero(),
                     .failure_fresh = base::seconds(60),
                     .lookup = [&](const std::string&) -> Answer {
                       if (++asked == 1) return one("192.0.2.1");
                       return absl::UnavailableError("no DNS");
                     }});
  for (int i = 0; i < 3; ++i) {
    const Answer answer = ask(resolver, "db").get();
    REQUIRE(answer.ok());
    CHECK(answer->at(0).text() == "192.0.2.1");
  }
  CHECK(asked == 2);  // the failure is believed too
}

TEST_CASE("a failure with nothing to fall back on, and an empty answer, are failures") {
  Resolver resolver({.lookup = [](const std::string& host) -> Answer {
    if (host == "empty") return Addresses{};
    return absl::UnavailableError("no DNS");
  }});
  CHECK(ask(resolver, "db").get().status().message() == "no DNS");
  CHECK_FALSE(ask(resolver, "empty").get().ok());
}

TEST_CASE("the queue is bounded, and the waiting are told when it ends") {
  std::counting_semaphore<> go(0), entered(0);
  std::vector<std::future<Answer>> waiting;
  {
    Resolver resolver({.queue_max = 2, .lookup = [&](const std::string&) -> Answer {
                         entered.release();
                         go.acquire();
                         return one("192.0.2.1");
                       }});
    waiting.push_back(ask(resolver, "a"));
    entered.acquire();  // it left the queue
    waiting.push_back(ask(resolver, "b"));
    waiting.push_back(ask(resolver, "c"));
    CHECK(ask(resolver, "d").get().status().code() == absl::StatusCode::kResourceExhausted);
    CHECK(ask(resolver, "127.0.0.1").get().ok());  // nobody is in a literal's way
    std::thread opener([&] { go.release(8); });
    opener.join();
  }
  for (auto& answer : waiting) {
    const Answer got = answer.get();
    CHECK((got.ok() || absl::IsCancelled(got.status())));
  }
}

TEST_CASE("a callback may ask again") {
  Resolver resolver({.lookup = [](const std::string&) -> Answer { return one("192.0.2.1"); }});
  std::promise<bool> done;
  resolver.resolve("a", 1, [&](Answer) {
    resolver.resolve("b", 1, [&](Answer answer) { done.set_value(answer.ok()); });
  });
  CHECK(done.get_future().get());
}

TEST_CASE("the memory is bounded: the stalest name goes") {
  std::atomic<int> asked{0};
  Resolver resolver({.cache_max = 2, .lookup = [&](const std::string&) -> Answer {
                       ++asked;
                       return one("192.0.2.1");
                     }});
  for (const char* host : {"a", "b", "c"}) CHECK(ask(resolver, host).get().ok());
  CHECK(ask(resolver, "c").get().ok());
  CHECK(ask(resolver, "b").get().ok());
  CHECK(asked == 3);
  CHECK(ask(resolver, "a").get().ok());
  CHECK(asked == 4);
}
