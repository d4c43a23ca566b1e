// Spans of OpenTelemetry: what became of a statement, for who traces the request that it is part
// of. https://www.w3.org/TR/trace-context/, https://google.github.io/sqlcommenter/spec/,
// https://opentelemetry.io/docs/specs/semconv/database/
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.h"

namespace proxy {

struct TraceContext {
  std::array<std::uint8_t, 16> trace{};
  std::array<std::uint8_t, 8> parent{};  // the caller's span; all zero = there is none
  bool sampled = false;

  bool operator==(const TraceContext&) const = default;
};

// Of a comment of sqlcommenter's in the text of a statement: traceparent='00-...-...-01'. nullopt:
// there is none, or it is malformed. A version that is not known is read as the first one.
std::optional<TraceContext> find_trace_context(std::string_view sql);

struct Span {
  using Value = std::variant<std::string, std::int64_t>;
  struct Attribute {
    std::string_view name;  // static
    Value value;
  };
  enum class Kind : std::uint8_t { kInternal = 1, kClient = 3 };  // as OTLP has them

  std::array<std::uint8_t, 16> trace{};
  std::array<std::uint8_t, 8> id{}, parent{};
  std::string name;
  Kind kind = Kind::kInternal;
  base::WallTime begin{}, end{};
  std::vector<Attribute> attributes;
  std::string error;  // why it failed; "" = it did not
};

// The body of a request to a collector: OTLP over HTTP, in JSON.
std::string to_otlp(const std::vector<Span>& spans, std::string_view service);

}  // namespace proxy
