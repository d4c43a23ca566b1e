#include "proxy/trace.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <span>

#include "base/hex.h"

namespace proxy {
namespace {

std::optional<int> hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return std::nullopt;
}

// Lower case only, as the standard has it. False: it is none, or all zero.
bool read_hex(std::string_view text, std::span<std::uint8_t> into) {
  bool any = false;
  for (std::size_t i = 0; i < into.size(); ++i) {
    const auto high = hex(text[2 * i]), low = hex(text[2 * i + 1]);
    if (!high || !low) return false;
    into[i] = static_cast<std::uint8_t>(*high << 4 | *low);
    any = any || into[i] != 0;
  }
  return any;
}

std::string nanoseconds(base::WallTime time) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch());
  return std::to_string(since.count());
}

nlohmann::json attribute(std::string_view name, const Span::Value& value) {
  nlohmann::json typed;
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    typed["intValue"] = std::to_string(*number);  // 64 bits are a string in protobuf's JSON
  } else {
    typed["stringValue"] = std::get<std::string>(value);
  }
  return {{"key", std::string(name)}, {"value", std::move(typed)}};
}

}  // namespace

std::optional<TraceContext> find_trace_context(std::string_view sql) {
  constexpr std::string_view kName = "traceparent='";
  constexpr std::size_t kVersion = 2, kTrace = 32, kParent = 16, kFlags = 2;
  constexpr std::size_t kLength = kVersion + 1 + kTrace + 1 + kParent + 1 + kFlags;
  const std::size_t at = sql.rfind(kName);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view text = sql.substr(at + kName.size()).substr(0, kLength);
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-') {
    return std::nullopt;
  }
  TraceContext context;
  const auto version = text.substr(0, kVersion);
  if (!hex(version[0]) || !hex(version[1]) || version == "ff") return std::nullopt;
  const auto flags = hex(text[54]);
  if (!hex(text[53]) || !flags) return std::nullopt;
  if (!read_hex(text.substr(3, kTrace), context.trace)) return std::nullopt;
  if (!read_hex(text.substr(36, kParent), context.parent)) return std::nullopt;
  context.sampled = (*flags & 1) != 0;
  return context;
}

std::string to_otlp(const std::vector<Span>& spans, std::string_view service) {
  nlohmann::json list = nlohmann::json::array();
  for (const Span& span : spans) {
    nlohmann::json one{{"traceId", base::to_hex(span.trace)},
                       {"spanId", base::to_hex(span.id)},
                       {"name", span.name},
                       {"kind", static_cast<int>(span.kind)},
                       {"startTimeUnixNano", nanoseconds(span.begin)},
                       {"endTimeUnixNano", nanoseconds(span.end)}};
    if (span.parent != std::array<std::uint8_t, 8>{})
      one["parentSpanId"] = base::to_hex(span.parent);
    for (const auto& [name, value] : span.attributes) {
      one["attributes"].push_back(attribute(name, value));
    }
    if (!span.error.empty()) one["status"] = {{"code", 2}, {"message", span.error}};
    list.push_back(std::move(one));
  }
  const nlohmann::json scope{{"scope", {{"name", "weir"}}}, {"spans", std::move(list)}};
  const nlohmann::json resource{
      {"resource", {{"attributes", {attribute("service.name", std::string(service))}}}},
      {"scopeSpans", nlohmann::json::array({scope})}};
  const nlohmann::json body{{"resourceSpans", nlohmann::json::array({resource})}};
  // What clients have sent may be no UTF-8.
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace proxy
