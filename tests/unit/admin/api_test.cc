// The API over HTTP: who may, what is answered, what is logged; and those who watch.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "http_client.h"

namespace {

using admin_test::has;
using admin_test::Server;
using admin_test::Socket;

const std::string kToken = "command-0123456789", kView = "view-0123456789abc";
const std::string kMayCommand = "Authorization: Bearer " + kToken + "\r\n";
const std::string kMayLook = "Authorization: Bearer " + kView + "\r\n";
const std::string kJson = "Content-Type: application/json\r\n";

void configure(Server& server, const config::Admin& admin) {
  auto config = std::make_shared<config::Config>(*admin_test::sample_config());
  config->admin = admin;
  server.control.set_config(std::move(config));
}

struct Api : Server {
  explicit Api(admin::HttpLimits limits = {}) : Server(limits) {
    configure(*this, {.token = kToken, .view_token = kView});
  }
  std::string post(std::string_view body, const std::string& header = kMayCommand + kJson) {
    return get("/api/v1/commands", "POST", header, body);
  }
  std::string command(const std::string& text) { return post("{\"command\":\"" + text + "\"}"); }
};

bool is(const std::string& answer, int status) {
  return answer.starts_with("HTTP/1.1 " + std::to_string(status) + " ");
}

TEST_CASE("nothing of the API without a token; the page itself needs none") {
  Api api;
  for (const char* path :
       {"/api/v1/tables", "/api/v1/tables/pools", "/api/v1/overview", "/api/v1/detail",
        "/api/v1/history", "/api/v1/events", "/api/v1/access", "/api/v1/nothing", "/api/"}) {
    const std::string answer = api.get(path);
    CHECK_MESSAGE(is(answer, 401), path);
    CHECK(has(answer, "WWW-Authenticate: Bearer\r\n"));
    CHECK(has(answer, "\"code\":\"no_token\""));
    CHECK(is(api.get(path, "GET", "Authorization: Bearer 0123456789012345\r\n"), 401));
  }
  CHECK(is(api.get("/api/v1/commands", "POST"), 401));
  CHECK(is(api.get("/"), 200));
  configure(api, {});
  CHECK(has(api.get("/api/v1/overview"), "\"code\":\"closed\""));
  configure(api, {.view_without_token = true});
  CHECK(is(api.get("/api/v1/overview"), 421));  // Host: x
  CHECK(api.control.calls().empty());
}

TEST_CASE("headers: nothing is kept, guessed or framed") {
  Api api;
  for (const char* path : {"/api/v1/overview", "/api/v1/nothing", "/", "/chart.min.js"}) {
    const std::string answer = api.get(path, "GET", kMayLook);
    CHECK(has(answer, "Content-Security-Policy: default-src 'self';"));
    CHECK(has(answer, "frame-ancestors 'none'"));
    CHECK(has(answer, "X-Content-Type-Options: nosniff\r\n"));
    CHECK(has(answer, "X-Frame-Options: DENY\r\n"));
    const bool api_path = std::string_view(path).starts_with("/api");
    CHECK(has(answer, api_path ? "Cache-Control: no-store\r\n" : "Cache-Control: no-cache\r\n"));
    CHECK_FALSE(has(answer, "Access-Control-Allow"));
  }
  const std::string script = api.get("/chart.min.js");
  CHECK(has(script, "Content-Type: text/javascript; charset=utf-8\r\n"));
  const std::size_t tag = script.find("ETag: ") + 6;
  const std::string etag = script.substr(tag, script.find("\r\n", tag) - tag);
  const std::string same = api.get("/chart.min.js", "GET", "If-None-Match: " + etag + "\r\n");
  CHECK(is(same, 304));
  CHECK(same.ends_with("\r\n\r\n"));
  CHECK(is(api.get("/chart.min.js", "GET", "If-None-Match: \"other\"\r\n"), 200));
}

TEST_CASE("tables") {
  Api api;
  const std::string hosts =
      api.get("/api/v1/tables/hosts?order_by=lag_ms&descending=true&limit=1", "GET", kMayLook);
  CHECK(is(hosts, 200));
  CHECK(has(hosts, "Content-Type: application/json\r\n"));
  CHECK(has(hosts, "\"rows\":[{\"cluster\":\"main\",\"host\":\"beta\""));
  CHECK(hosts.ends_with("],\"count\":2}"));
  CHECK(has(api.get("/api/v1/tables", "GET", kMayLook), "{\"name\":\"pools\",\"help\":"));
  for (const char* wrong : {"?limit=10001", "?limit=-1", "?limit", "?order_by=none", "?x=1",
                            "?descending=2", "?limit=1&&&y"}) {
    CHECK_MESSAGE(is(api.get(std::string("/api/v1/tables/hosts") + wrong, "GET", kMayLook), 400),
                  wrong);
  }
  CHECK(is(api.get("/api/v1/tables/none", "GET", kMayLook), 404));
  CHECK(is(api.get("/api/v1/tables/", "GET", kMayLook), 404));
  CHECK(is(api.get("/api/v2/tables", "GET", kMayLook), 404));
  const std::string post = api.get("/api/v1/tables", "POST", kMayCommand);
  CHECK(is(post, 405));
  CHECK(has(post, "Allow: GET, HEAD\r\n"));
  CHECK(has(post, "\"code\":\"method\""));
  CHECK(is(api.get("/api/v1/commands", "GET", kMayCommand), 405));
  CHECK(is(api.get("/api/v1/overview", "GET", kMayLook, "a body"), 413));
  CHECK(is(api.get("/api/v1/overview", "OPTIONS", kMayLook), 405));
}

TEST_CASE("documents") {
  Api api;
  CHECK(has(api.get("/api/v1/overview", "GET", kMayLook), "\"pins_by_reason\":"));
  CHECK(has(api.get("/api/v1/detail", "GET", kMayLook), "\"statements\":"));
  CHECK(has(api.get("/api/v1/history", "GET", kMayLook), "\"points\":["));
  CHECK(has(api.get("/api/v1/access", "GET", kMayLook), "{\"may_command\":false}"));
  CHECK(has(api.get("/api/v1/access", "GET", kMayCommand), "{\"may_command\":true}"));
}

TEST_CASE("a proxy that does not answer is a 503 here, too") {
  Api api({.inspect = std::chrono::milliseconds(50)});
  api.control.set([](auto& a) { a.how = admin_test::FakeControl::Answer::kNever; });
  for (const char* path : {"/api/v1/tables/pools", "/api/v1/overview", "/api/v1/detail"}) {
    CHECK(is(api.get(path, "GET", kMayLook), 503));
  }
}

TEST_CASE("commands: as on the console, and logged with who and from where") {
  Api api;
  CHECK(has(api.command("PAUSE shop"), "{\"command\":\"PAUSE\",\"done\":true,\"notices\":[]}"));
  CHECK(is(api.command("RELOAD;"), 200));
  CHECK(is(api.command("BAN alpha main 10"), 200));
  CHECK(api.control.calls() ==
        std::vector<std::string>{"pause shop", "reload",
                                 "ban for 10 host=alpha cluster=main by=admin.token"});
  const auto records = api.control.records();
  REQUIRE(records.size() == 3);
  CHECK(records[0].command == "PAUSE shop");
  CHECK(records[0].who.starts_with("http 127.0.0.1:"));
  CHECK(records[0].who.ends_with(" admin.token"));
  api.control.set([](auto& a) { a.status = absl::NotFoundError("no such database: none"); });
  const std::string failed = api.command("RESUME none");
  CHECK(is(failed, 404));
  CHECK(has(failed, "\"sqlstate\":\"3D000\",\"message\":\"no such database: none\""));
}

TEST_CASE("commands: who may only look is refused, and logged") {
  Api api;
  const std::string refused = api.post("{\"command\":\"KILL shop\"}", kMayLook + kJson);
  CHECK(is(refused, 403));
  CHECK(has(refused, "\"sqlstate\":\"42501\""));
  CHECK(api.control.calls().empty());
  REQUIRE(api.control.records().size() == 1);
  CHECK(api.control.records()[0].sqlstate == "42501");
}

TEST_CASE("commands: what is none") {
  Api api;
  for (const char* body : {"", "PAUSE", "{}", "[]", "{\"command\":1}", "{\"command\":\"\"}",
                           "{\"command\":\"PAUSE; RESUME\"}", "{\"command\":\"SHOW POOLS\"}",
                           "{\"command\":\"SELECT 1\"}", "{\"command\":\"BEGIN\"}",
                           "{\"command\":\"PAUSE\",\"x\":1}", "{\"command\":\"NOTHING\"}",
                           "{\"command\":\"PAUSE\"", "\"PAUSE\"", "{\"command\":\"\\ud800\"}"}) {
    CHECK_MESSAGE(is(api.post(body), 400), body);
  }
  CHECK(is(api.post(std::string(10'000, '[')), 400));
  CHECK(is(api.post("{\"command\":\"PAUSE\"}", kMayCommand), 415));
  CHECK(is(api.post("{\"command\":\"PAUSE\"}", kMayCommand + "Content-Type: text/plain\r\n"), 415));
  CHECK(is(api.post(std::string(17 << 10, ' ')), 413));
  CHECK(api.control.calls().empty());
}

TEST_CASE("commands that take long: told that they are under way; what waits is given up") {
  Api api({.command = std::chrono::milliseconds(50)});
  api.control.set([](auto& a) { a.hold_pause = true; });
  const std::string answer = api.command("WAIT_CLOSE");
  CHECK(is(answer, 202));
  CHECK(answer.ends_with("{\"command\":\"WAIT_CLOSE\",\"done\":false}"));
  REQUIRE(api.control.held.size() == 1);
  CHECK(api.control.has_given_up());
  api.control.held[0](absl::OkStatus());  // nobody is told any more
  CHECK(is(api.get("/healthz"), 200));
}

std::string wait_close() {
  const std::string body = "{\"command\":\"WAIT_CLOSE\"}";
  return "POST /api/v1/commands HTTP/1.1\r\nHost: x\r\n" + kMayCommand + kJson +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

template <class Condition>
bool soon(Condition condition) {
  for (int i = 0; i < 300 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

TEST_CASE("commands that wait are given up when their client leaves") {
  Api api;
  api.control.set([](auto& a) { a.hold_pause = true; });
  {
    Socket leaves(api.http->port());
    leaves.write(wait_close());
    CHECK(soon([&] { return api.control.holds(); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    CHECK_FALSE(api.control.has_given_up());
  }
  CHECK(soon([&] { return api.control.has_given_up(); }));
  CHECK(is(api.get("/healthz"), 200));
}

TEST_CASE("commands that wait: another request of the same client waits behind them") {
  Api api;
  api.control.set([](auto& a) { a.hold_pause = true; });
  Socket socket(api.http->port());
  socket.write(wait_close());
  CHECK(soon([&] { return api.control.holds(); }));
  socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK_FALSE(api.control.has_given_up());
  api.control.held[0](absl::OkStatus());
  const std::string answers = socket.read("ok\n");
  CHECK(has(answers, "\"done\":true"));
  CHECK(answers.ends_with("ok\n"));
}

std::string watch(const std::string& token = kMayLook) {
  return "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n" + token + "\r\n";
}

TEST_CASE("events: one sample for all who watch, until they leave") {
  Api api({.watchers = 2, .watch = std::chrono::milliseconds(20)});
  Socket first(api.http->port());
  first.write(watch());
  const std::string began = first.read("event: overview\ndata: {");
  CHECK(is(began, 200));
  CHECK(has(began, "Content-Type: text/event-stream\r\n"));
  CHECK(has(began, "Connection: close\r\n"));
  CHECK(has(began, "\r\n\r\nevent: "));
  CHECK(has(began, "\nevent: overview\ndata: {"));  // either may come first
  CHECK(has(began + first.read("event: detail\ndata: {"), "\nevent: detail\ndata: {"));
  {
    Socket second(api.http->port());
    second.write(watch());
    CHECK(is(second.read("event: overview"), 200));
    const std::string third = api.get("/api/v1/events", "GET", kMayLook);
    CHECK(is(third, 503));
    CHECK(has(third, "Retry-After: 5\r\n"));
  }
  std::string again;
  for (int i = 0; i < 100 && !is(again, 200); ++i) {  // once it was seen that the second has left
    Socket next(api.http->port());
    next.write(watch());
    again = next.read("\n\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(is(again, 200));
  CHECK(is(api.get("/api/v1/events", "HEAD", kMayLook), 200));
  api.http->retire();
  CHECK_FALSE(first.read().ends_with("<timeout>"));  // closed
}

TEST_CASE("events: who does not read is dropped") {
  Api api({.watchers = 1, .watch = std::chrono::milliseconds(1)});
  api.control.set([](auto& a) {
    a.inspection.clusters[0].name.assign(200'000, 'x');
    a.how = admin_test::FakeControl::Answer::kAtOnce;
  });
  Socket idle(api.http->port());
  idle.write(watch());
  std::string answer;
  for (int i = 0; i < 500; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    Socket next(api.http->port());
    next.write(watch());
    answer = next.read("\r\n\r\n");
    if (is(answer, 200)) break;
  }
  CHECK(is(answer, 200));  // there is room again
}

TEST_CASE("events: it stops while some watch") {
  for (int round = 0; round < 5; ++round) {
    Api api({.watch = std::chrono::milliseconds(1)});
    Socket one(api.http->port()), two(api.http->port());
    one.write(watch());
    two.write(watch());
    if (round % 2 == 0) two.read("event: detail");
    api.http.reset();
  }
}

}  // namespace
