#include "proxy/lookup.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "world.h"

using absl::StatusCode;
using proxy::AuthLookup;
using proxy::LookupRequest;
using proxy_test::world;
using Answer = absl::StatusOr<AuthLookup::Found>;
using namespace std::chrono_literals;

namespace {

LookupRequest request(const std::string& name, const std::string& query = "") {
  return {.host = "127.0.0.1",
          .port = world()->primary.port(),
          .tls = {},
          .dbname = "postgres",
          .user = "postgres",
          .password = "",
          .query = query,
          .name = name};
}

std::future<Answer> ask_later(AuthLookup& lookup, LookupRequest question) {
  auto promise = std::make_shared<std::promise<Answer>>();
  lookup.find(std::move(question),
              [promise](Answer answer) { promise->set_value(std::move(answer)); });
  return promise->get_future();
}

Answer ask(AuthLookup& lookup, LookupRequest question) {
  return ask_later(lookup, std::move(question)).get();
}

std::string value(const Answer& answer) {
  if (!answer.ok()) return "error: " + std::string(answer.status().message());
  if (!*answer) return "absent";
  return (*answer)->secret + ((*answer)->may_log_in ? "" : ", may not log in");
}

constexpr const char* kCount = "SELECT $1::text, nextval('asked')::text";
constexpr const char* kPid = "SELECT $1::text, pg_backend_pid()::text";
// Backends that sleep in a look-up.
bool one_sleeps() {
  return world()->primary.ask(
             "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
             "AND application_name = 'weir auth_query'") == "1";
}
constexpr const char* kSleep = "SELECT $1::text, pg_sleep(60)::text";

}  // namespace

TEST_CASE("the default query finds secrets that are valid, and who may not log in with them") {
  if (world() == nullptr) return;
  AuthLookup lookup;
  const std::string verifier =
      world()->primary.ask("SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'");
  REQUIRE(verifier.starts_with("SCRAM-SHA-256$"));
  CHECK(value(ask(lookup, request("alice"))) == verifier);
  for (const char* name :
       {"nobody", "nosecret", "expired", "", "alice'--", "ALICE", "x' OR '1'='1"}) {
    CAPTURE(name);
    CHECK(value(ask(lookup, request(name))) == "absent");
  }
  CHECK(value(ask(lookup, request(std::string("alice\0x", 7)))) == "absent");
  const std::string nologin = value(ask(lookup, request("nologin")));
  CHECK(nologin.starts_with("SCRAM-SHA-256$"));
  CHECK(nologin.ends_with(", may not log in"));
}

TEST_CASE("the answer comes on a look-up thread") {
  if (world() == nullptr) return;
  AuthLookup lookup;
  for (int i = 0; i < 2; ++i) {  // asked, then remembered
    std::promise<std::thread::id> where;
    lookup.find(request("alice"), [&](Answer) { where.set_value(std::this_thread::get_id()); });
    CHECK(where.get_future().get() != std::this_thread::get_id());
  }
}

TEST_CASE("equal questions that come together are asked once") {
  if (world() == nullptr) return;
  AuthLookup lookup;
  std::vector<std::future<Answer>> answers;
  const std::string slow = "SELECT $1::text, nextval('asked')::text || pg_sleep(0.1)::text";
  for (int i = 0; i < 50; ++i) answers.push_back(ask_later(lookup, request("alice", slow)));
  std::set<std::string> values;
  for (auto& answer : answers) values.insert(value(answer.get()));
  CHECK(values.size() == 1);
}

TEST_CASE("a found secret is believed for a while, until forgotten") {
  if (world() == nullptr) return;
  AuthLookup lookup;
  const std::string first = value(ask(lookup, request("alice", kCount)));
  CHECK(value(ask(lookup, request("alice", kCount))) == first);
  CHECK(value(ask(lookup, request("plain", kCount))) != first);
  lookup.forget();
  const std::string second = value(ask(lookup, request("alice", kCount)));
  CHECK(second != first);
  lookup.forget();
  lookup.set_found_fresh(0ms);
  const std::string third = value(ask(lookup, request("alice", kCount)));
  CHECK(third != second);
  CHECK(value(ask(lookup, request("alice", kCount))) != third);
}

TEST_CASE("an absent user is believed for less, and another login is another question") {
  if (world() == nullptr) return;
  AuthLookup lookup({.absent_fresh = 60'000ms});
  CHECK(value(ask(lookup, request("newcomer"))) == "absent");
  world()->primary.ask("CREATE ROLE newcomer LOGIN PASSWORD 'x'");
  CHECK(value(ask(lookup, request("newcomer"))) == "absent");
  LookupRequest other = request("newcomer");
  other.dbname = "template1";
  CHECK(value(ask(lookup, other)).starts_with("SCRAM-SHA-256$"));
  AuthLookup brief({.absent_fresh = 0ms});
  world()->primary.ask("DROP ROLE newcomer");
  CHECK(value(ask(brief, request("newcomer"))) == "absent");
  world()->primary.ask("CREATE ROLE newcomer LOGIN PASSWORD 'x'");
  CHECK(value(ask(brief, request("newcomer"))) != "absent");
  world()->primary.ask("DROP ROLE newcomer");
}

TEST_CASE("forget() is not undone by an answer that was under way") {
  if (world() == nullptr) return;
  AuthLookup lookup;
  const std::string slow = "SELECT $1::text, nextval('asked')::text || pg_sleep(0.3)::text";
  auto before = ask_later(lookup, request("alice", slow));
  REQUIRE(proxy_test::eventually(one_sleeps));
  lookup.forget();
  const std::string after = value(ask(lookup, request("alice", slow)));
  CHECK(value(before.get()) != after);
  CHECK(value(ask(lookup, request("alice", slow))) == after);
}

TEST_CASE("connections are kept, replaced when broken, and closed when idle") {
  if (world() == nullptr) return;
  AuthLookup lookup({.threads = 1, .connection_idle = 300ms, .found_fresh = 0ms});
  const std::string pid = value(ask(lookup, request("a", kPid)));
  CHECK(value(ask(lookup, request("b", kPid))) == pid);
  CHECK(world()->primary.ask("SELECT pg_terminate_backend(" + pid + ", 5000)") == "t");
  const std::string next = value(ask(lookup, request("c", kPid)));
  CHECK(next != pid);
  CHECK(std::stoi(next) > 0);
  CHECK(proxy_test::eventually([] {
    return world()->primary.ask(
               "SELECT count(*) FROM pg_stat_activity "
               "WHERE application_name = 'weir auth_query'") == "0";
  }));
}

TEST_CASE("what the query does wrong is an error of its own, and the connection lives on") {
  if (world() == nullptr) return;
  AuthLookup lookup({.threads = 1, .found_fresh = 0ms});
  const std::string pid = value(ask(lookup, request("a", kPid)));
  const auto refuse = [&](const char* query, const char* words) {
    CAPTURE(query);
    const Answer answer = ask(lookup, request("a", query));
    CHECK(answer.status().code() == StatusCode::kFailedPrecondition);
    CHECK(std::string(answer.status().message()).find(words) != std::string::npos);
  };
  refuse("SELECT $1", "two columns");
  refuse("SELECT $1::text, 2, true, 4", "two columns");
  refuse("SELECT $1::text, 2, 3", "boolean");
  refuse("SELECT $1::text, 2, NULL::bool", "boolean");
  CHECK(value(ask(lookup, request("a", "SELECT $1::text, 2, true"))) == "2");
  CHECK(value(ask(lookup, request("a", "SELECT $1::text, 2, false"))) == "2, may not log in");
  refuse("SELECT $1::text, x FROM generate_series(1, 2) x", "one row");
  refuse("SELECT $1::text, x FROM nosuchtable", "(42P01)");
  refuse("SELEC $1", "(42601)");
  CHECK(value(ask(lookup, request("a", kPid))) == pid);
  LookupRequest unprivileged = request("alice");
  unprivileged.user = "plain";
  unprivileged.password = "plain";
  const Answer denied = ask(lookup, unprivileged);
  CHECK(denied.status().code() == StatusCode::kFailedPrecondition);
  CHECK(value(denied) == "error: permission denied for table pg_authid (42501)");
}

TEST_CASE("a COPY and an open transaction cost the connection, nothing else") {
  if (world() == nullptr) return;
  AuthLookup lookup({.threads = 1, .found_fresh = 0ms, .unreachable_fresh = 0ms});
  for (const char* query : {"COPY pg_class TO STDOUT", "COPY asked FROM STDIN", "BEGIN"}) {
    CAPTURE(query);
    LookupRequest bad = request("a", query);
    bad.timeout = 2'000ms;
    CHECK_FALSE(ask(lookup, bad).ok());
    CHECK(std::stoi(value(ask(lookup, request("a", kPid)))) > 0);
  }
}

TEST_CASE("a server that does not answer is given up, and left alone for a moment") {
  if (world() == nullptr) return;
  AuthLookup lookup({.threads = 1, .unreachable_fresh = 60'000ms});
  LookupRequest slow = request("alice", kSleep);
  slow.timeout = 100ms;
  const auto start = std::chrono::steady_clock::now();
  CHECK(ask(lookup, slow).status().code() == StatusCode::kDeadlineExceeded);
  CHECK(std::chrono::steady_clock::now() - start < 2s);
  CHECK(ask(lookup, request("alice")).status().code() == StatusCode::kDeadlineExceeded);
  lookup.forget();
  CHECK(ask(lookup, request("alice")).ok());
  LookupRequest dead = request("alice");
  dead.port = proxy_test::free_port();
  const Answer refused = ask(lookup, dead);
  CHECK(refused.status().code() == StatusCode::kUnavailable);
  CHECK(value(refused) == "error: Connection refused");
  LookupRequest locked_out = request("alice");
  locked_out.user = "plain";
  locked_out.password = "wrong";
  CHECK(value(ask(lookup, locked_out)) ==
        "error: FATAL:  password authentication failed for user \"plain\"");
}

TEST_CASE("different questions are bounded, and the end answers those who wait") {
  if (world() == nullptr) return;
  std::vector<std::future<Answer>> waiting;
  const auto start = std::chrono::steady_clock::now();
  {
    AuthLookup lookup({.threads = 1, .questions_max = 2});
    waiting.push_back(ask_later(lookup, request("a", kSleep)));
    REQUIRE(proxy_test::eventually(one_sleeps));  // and none of a question that was given up
    waiting.push_back(ask_later(lookup, request("b", kSleep)));
    waiting.push_back(ask_later(lookup, request("c", kSleep)));
    waiting.push_back(ask_later(lookup, request("c", kSleep)));  // the same question
    CHECK(ask(lookup, request("d")).status().code() == StatusCode::kResourceExhausted);
  }
  for (auto& answer : waiting) CHECK(answer.get().status().code() == StatusCode::kCancelled);
  CHECK(std::chrono::steady_clock::now() - start < 5s);
}

TEST_CASE("what is remembered is bounded") {
  if (world() == nullptr) return;
  AuthLookup lookup({.threads = 1, .found_max = 2});
  std::set<std::string> values;
  for (int i = 0; i < 20; ++i) {
    values.insert(value(ask(lookup, request("name" + std::to_string(i % 5), kCount))));
  }
  CHECK(values.size() > 5);  // not all five fit
  CHECK(values.size() <= 20);
}

TEST_CASE("many threads ask many questions at once") {
  if (world() == nullptr) return;
  AuthLookup lookup({.found_fresh = 5ms, .absent_fresh = 1ms});
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const bool exists = i % 2 == 0;
        const Answer answer = ask(lookup, request(exists ? "alice" : "nobody"));
        right += answer.ok() && answer->has_value() == exists;
        if (i % 25 == 0) lookup.forget();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 400);
}
