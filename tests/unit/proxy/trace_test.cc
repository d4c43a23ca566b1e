#include "proxy/trace.h"

#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "proxy/sent_statements.h"

using namespace proxy;

namespace {

protocol::Bytes bytes(const std::string& text) { return protocol::as_bytes(text); }

}  // namespace

TEST_CASE("a traceparent is read as the standard has it, or not at all") {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c", parent = "b7ad6b7169203331";
  const auto found = [](const std::string& value) {
    return find_trace_context("SELECT 1 /*a='b',traceparent='" + value + "',tracestate='x'*/");
  };
  const auto sampled = found("00-" + trace + "-" + parent + "-01");
  REQUIRE(sampled);
  CHECK(sampled->sampled);
  CHECK(sampled->trace[0] == 0x0a);
  CHECK(sampled->trace[15] == 0x9c);
  CHECK(sampled->parent[7] == 0x31);
  REQUIRE(found("00-" + trace + "-" + parent + "-00"));
  CHECK_FALSE(found("00-" + trace + "-" + parent + "-00")->sampled);
  CHECK(found("00-" + trace + "-" + parent + "-03")->sampled);
  CHECK(found("01-" + trace + "-" + parent + "-01-more"));  // a later version
  CHECK_FALSE(found("ff-" + trace + "-" + parent + "-01"));
  CHECK_FALSE(found("00-" + std::string(32, '0') + "-" + parent + "-01"));
  CHECK_FALSE(found("00-" + trace + "-" + std::string(16, '0') + "-01"));
  CHECK_FALSE(found("00-" + trace + "-" + parent + "-0x"));
  CHECK_FALSE(found("00_" + trace + "-" + parent + "-01"));
  CHECK_FALSE(find_trace_context("SELECT 1"));
  const std::string whole = "traceparent='00-" + trace + "-" + parent + "-01";
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CHECK_FALSE(find_trace_context(std::string_view(whole).substr(0, n)));
  }
}

TEST_CASE("spans are OTLP in JSON, whatever is in them") {
  Span span;
  span.trace[0] = 0xab;
  span.id[7] = 1;
  span.name = "SELECT \xff\"app\"";
  span.kind = Span::Kind::kClient;
  span.begin = base::WallTime(std::chrono::microseconds(1'700'000'000'000'001));
  span.end = span.begin + std::chrono::milliseconds(5);
  span.attributes = {{"db.query.text", std::string("a\0b", 3)}, {"rows", std::int64_t{1} << 60}};
  Span child = span;
  child.parent = span.id;
  child.error = "22012";
  const auto body = nlohmann::json::parse(to_otlp({span, child}, "shop"));
  const auto& resource = body["resourceSpans"][0];
  CHECK(resource["resource"]["attributes"][0]["value"]["stringValue"] == "shop");
  const auto& spans = resource["scopeSpans"][0]["spans"];
  REQUIRE(spans.size() == 2);
  CHECK(spans[0]["traceId"] == "ab" + std::string(30, '0'));
  CHECK(spans[0]["spanId"] == "0000000000000001");
  CHECK_FALSE(spans[0].contains("parentSpanId"));
  CHECK_FALSE(spans[0].contains("status"));
  CHECK(spans[0]["kind"] == 3);
  CHECK(spans[0]["startTimeUnixNano"] == "1700000000000001000");
  CHECK(spans[0]["endTimeUnixNano"] == "1700000000005001000");
  CHECK(spans[0]["attributes"][0]["value"]["stringValue"] == std::string("a\0b", 3));
  CHECK(spans[0]["attributes"][1]["value"]["intValue"] == "1152921504606846976");
  CHECK(spans[1]["parentSpanId"] == "0000000000000001");
  CHECK(spans[1]["status"]["code"] == 2);
}

TEST_CASE("parameters are shown, however wrong the message is") {
  // Formats: text, binary, text; three parameters; no formats of results.
  std::string bind("\0\3\0\0\0\1\0\0\0\3", 10);
  bind += std::string("\0\0\0\4it's", 8) + std::string("\0\0\0\2\1\xff", 6) + "\xff\xff\xff\xff";
  bind += std::string("\0\0", 2);
  CHECK(shown_parameters(bytes(bind)) == "$1 = 'it''s', $2 = '\\x01ff', $3 = NULL");
  for (std::size_t n = 0; n < bind.size(); ++n) {
    CHECK(shown_parameters(bytes(bind.substr(0, n))).size() < 60);
  }
  CHECK(shown_parameters(bytes(std::string("\0\0\x7f\xff", 4))).empty());
  std::string long_one("\0\0\0\1\0\0\3\xe8", 8);
  long_one += std::string(1000, 'x');
  CHECK(shown_parameters(bytes(long_one)) ==
        "$1 = '" + std::string(SentStatements::kValueMax, 'x') + "...'");
  CHECK(shown_text(std::string("SELECT 1\0", 9)) == "SELECT 1");
  CHECK(shown_text(std::string(10'000, 'y')).size() == SentStatements::kShownMax + 3);
}

TEST_CASE("what has ended last is told apart from what is still on its way") {
  SentStatements sent;
  CHECK(sent.ended(1) == nullptr);
  sent.add(1).values = "first";
  sent.add(2).values = "other";
  sent.add(1).values = "second";
  sent.on_end(1);
  REQUIRE(sent.ended(1) != nullptr);
  CHECK(sent.ended(1)->values == "first");
  CHECK(sent.ended(2) == nullptr);
  sent.on_end(2);
  CHECK(sent.ended(2)->values == "other");
  sent.forget_ended();
  sent.on_end(1);
  CHECK(sent.ended(1)->values == "second");
  sent.clear();
  sent.add(3);
  sent.on_retry(base::Time{}, "db1");  // it is sent again
  sent.add(3).values = "again";
  sent.on_end(3);
  CHECK(sent.ended(3)->values == "again");
  REQUIRE(sent.retries().size() == 1);
  CHECK(sent.retries()[0].host == "db1");
  for (int i = 0; i < 100; ++i) sent.add(4);
  sent.on_end(3);
  CHECK(sent.ended(3) == nullptr);  // only so many are kept
}
