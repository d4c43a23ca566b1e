// Durations and sizes as people write them: "1500ms", "5min", "64MB" (PostgreSQL's units).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

namespace config {

// A whole number with one of ms, s, min, h, d; without a unit: milliseconds. Nothing when it is
// anything else or does not fit. At most one space may precede the unit.
std::optional<milliseconds> parse_duration(std::string_view text);
// A whole number with one of B, kB, MB, GB, TB (powers of 1024); without a unit: bytes.
std::optional<std::uint64_t> parse_size(std::string_view text);

// The largest unit that says it exactly; both can be read back.
std::string format_duration(milliseconds value);
std::string format_size(std::uint64_t bytes);

}  // namespace config
