#include "admin/http.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "http_client.h"

namespace {

using admin_test::FakeControl;
using admin_test::has;
using admin_test::Server;
using admin_test::Socket;
using admin_test::start;

TEST_CASE("paths and methods") {
  Server server;
  const std::string health = server.get("/healthz");
  CHECK(health.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(health.ends_with("\r\n\r\nok\n"));
  CHECK(server.get("/healthz?probe=1").starts_with("HTTP/1.1 200"));
  CHECK(server.get("/nothing").starts_with("HTTP/1.1 404"));
  CHECK(server.get("/metrics/x").starts_with("HTTP/1.1 404"));
  const std::string post = server.get("/metrics", "POST");
  CHECK(post.starts_with("HTTP/1.1 405"));
  CHECK(has(post, "Allow: GET, HEAD\r\n"));
  CHECK(server.get("/readyz", "DELETE").starts_with("HTTP/1.1 405"));
  const std::string head = server.get("/healthz", "HEAD");
  CHECK(head.starts_with("HTTP/1.1 200"));
  CHECK(has(head, "Content-Length: 3\r\n"));
  CHECK(head.ends_with("\r\n\r\n"));
}

TEST_CASE("metrics in Prometheus's text format") {
  Server server;
  server.control.set([&](auto& a) { a.inspection.pools[0].user = "bad\xff\"\n\\user"; });
  const std::string text = server.get("/metrics");
  CHECK(text.starts_with("HTTP/1.1 200"));
  CHECK(has(text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  CHECK(has(text, "# TYPE weir_queries_total counter\n"));
  CHECK(has(text, "# HELP weir_queries_total "));
  CHECK(has(text, "weir_queries_total{database=\"shop\"} 4000\n"));
  CHECK(has(text, "weir_received_bytes_total{database=\"shop\"} 12345678901\n"));
  CHECK(has(text, "weir_requests_total{database=\"shop\",route=\"replica_read\"} 30\n"));
  CHECK(has(text,
            "weir_pool_servers{database=\"blog\",user=\"bob\",host=\"alpha\",state=\"idle\"} 7"));
  CHECK(has(text, "user=\"bad\xef\xbf\xbd\\\"\\n\\\\user\""));
  CHECK(has(text, "weir_host_lag_seconds{cluster=\"main\",host=\"beta\"} 1.5\n"));
  CHECK(has(text, "weir_host_role{cluster=\"main\",host=\"alpha\",role=\"primary\"} 1\n"));
  CHECK(has(text, "weir_pins{reason=\"advisory lock\"} 1\n"));
  // Buckets are cumulative, in seconds; +Inf equals the count.
  CHECK(has(text, "weir_query_duration_seconds_bucket{le=\"0.0001\"} 2\n"));
  CHECK(has(text, "weir_query_duration_seconds_bucket{le=\"0.001\"} 3\n"));
  CHECK(has(text, "weir_query_duration_seconds_bucket{le=\"30\"} 3\n"));
  CHECK(has(text, "weir_query_duration_seconds_bucket{le=\"+Inf\"} 4\n"));
  CHECK(has(text, "weir_query_duration_seconds_count 4\n"));
  CHECK(has(text, "weir_query_duration_seconds_sum 40.0009"));
  CHECK_FALSE(has(text, "nan"));
}

TEST_CASE("metrics as OpenMetrics") {
  Server server;
  const std::string text =
      server.get("/metrics", "GET", "Accept: Application/OpenMetrics-Text; version=1.0.0\r\n");
  CHECK(has(text, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
  CHECK(has(text, "Vary: Accept\r\n"));
  CHECK(has(text, "# TYPE weir_queries counter\n"));
  CHECK(has(text, "# HELP weir_queries Queries completed.\n"));
  CHECK(has(text, "\nweir_queries_total{database=\"shop\"} 4000\n"));
  CHECK(has(text, "# TYPE weir_host_lag_seconds gauge\n"));
  CHECK(text.ends_with("\n# EOF\n"));
}

TEST_CASE("readiness") {
  Server server;
  CHECK(server.get("/readyz").starts_with("HTTP/1.1 200"));
  auto snapshot = *admin_test::sample_inspection().clusters[0].snapshot;
  snapshot.primary = -1;
  const auto publish = [&] {
    server.control.set([&](auto& answers) {
      answers.inspection.clusters[0].snapshot = std::make_shared<cluster::Snapshot>(snapshot);
    });
  };
  publish();
  std::string text = server.get("/readyz");
  CHECK(text.starts_with("HTTP/1.1 503"));
  CHECK(text.ends_with("cluster main: no primary and no fit replica\n"));
  CHECK(server.get("/healthz").starts_with("HTTP/1.1 200"));
  snapshot.hosts[1].reads = true;  // reads can still be served
  publish();
  CHECK(server.get("/readyz").starts_with("HTTP/1.1 200"));
  server.control.set([&](auto& a) { a.draining = true; });
  CHECK(server.get("/readyz").ends_with("\r\n\r\ndraining\n"));
  server.control.set([&](auto& a) { a.draining = false; });
  server.control.set([&](auto& a) { a.inspection.clusters[0].snapshot = nullptr; });
  CHECK(server.get("/readyz").ends_with("cluster main: not measured yet\n"));
}

TEST_CASE("requests follow each other on one connection") {
  Server server;
  Socket socket(server.http->port());
  for (int i = 0; i < 3; ++i) {
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(socket.read("ok\n").starts_with("HTTP/1.1 200"));
    socket.write("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(socket.read("ok\n").starts_with("HTTP/1.1 200"));
  }
  // Two in one packet.
  socket.write("GET /healthz HTTP/1.1\r\n\r\nGET /no HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string both = socket.read();
  CHECK(has(both, "HTTP/1.1 200"));
  CHECK(has(both, "HTTP/1.1 404"));
}

TEST_CASE("a proxy that does not answer is a 503") {
  Server server({.inspect = std::chrono::milliseconds(50)});
  server.control.set([&](auto& a) { a.how = FakeControl::Answer::kNever; });
  CHECK(server.get("/metrics").starts_with("HTTP/1.1 503"));
  CHECK(server.get("/healthz").starts_with("HTTP/1.1 200"));
}

TEST_CASE("what is too long, wrong or slow") {
  Server server({.header_bytes = 500, .idle = std::chrono::milliseconds(100)});
  Socket big(server.http->port());
  big.write("GET /healthz HTTP/1.1\r\nX: " + std::string(1000, 'x') + "\r\n\r\n");
  CHECK(big.read().starts_with("HTTP/1.1 431"));
  Socket body(server.http->port());
  body.write("GET /healthz HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789");
  CHECK_FALSE(body.read().starts_with("HTTP/1.1 2"));
  Socket wrong(server.http->port());
  wrong.write("\x16\x03\x01 TLS is not spoken here\r\n\r\n");
  CHECK(wrong.read().starts_with("HTTP/1.1 400"));
  Socket slow(server.http->port());
  slow.write("GET /heal");
  CHECK(slow.read() == "");  // closed
  CHECK(server.get("/healthz").starts_with("HTTP/1.1 200"));
}

TEST_CASE("no more connections than allowed") {
  Server server({.connections = 2});
  Socket one(server.http->port()), two(server.http->port()), three(server.http->port());
  CHECK(three.read() == "");
  one.write("GET /healthz HTTP/1.1\r\n\r\n");
  CHECK(one.read("ok\n").starts_with("HTTP/1.1 200"));
}

TEST_CASE("it stops with requests under way") {
  for (int round = 0; round < 10; ++round) {
    FakeControl control;
    auto http = start(control);
    REQUIRE(http.ok());
    (*http)->begin();
    Socket waiting((*http)->port()), idle((*http)->port());
    waiting.write("GET /metrics HTTP/1.1\r\n\r\n");
    if (round % 2 == 0) waiting.read("weir_info");
    http->reset();
  }
}

TEST_CASE("it serves who came before it began") {
  FakeControl control;
  auto http = start(control);
  REQUIRE(http.ok());
  Socket early((*http)->port());
  early.write("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
  (*http)->begin();
  CHECK(early.read().starts_with("HTTP/1.1 200"));
}

TEST_CASE("retired, it keeps no connection, but answers what it was asked") {
  Server server;
  Socket idle(server.http->port()), half(server.http->port());
  idle.write("GET /healthz HTTP/1.1\r\n\r\n");
  CHECK(idle.read("ok\n").starts_with("HTTP/1.1 200"));
  half.write("GET /healthz HT");
  Socket other(server.http->port());  // accepted behind half, whose bytes are there by then
  other.write("GET /healthz HTTP/1.1\r\n\r\n");
  other.read("ok\n");
  server.http->retire();
  CHECK(idle.read().empty());
  half.write("TP/1.1\r\n\r\n");
  const std::string answer = half.read();
  CHECK(answer.starts_with("HTTP/1.1 200"));
  CHECK(has(answer, "Connection: close\r\n"));
}

TEST_CASE("an address that cannot be had is an error that says which") {
  FakeControl control;
  auto first = start(control);
  REQUIRE(first.ok());
  const auto port = (*first)->port();
  const auto second = start(control, port);
  CHECK_FALSE(second.ok());
  CHECK(has(std::string(second.status().message()), std::to_string(port)));
  CHECK_FALSE(start(control, 0, {}, "not an address").ok());
}

}  // namespace
