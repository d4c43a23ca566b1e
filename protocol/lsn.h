// WAL positions: "16/B374D848" in text, 64 bits inside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace protocol {

using Lsn = std::uint64_t;  // 0 = unknown

std::optional<Lsn> parse_lsn(std::string_view text);
std::string format_lsn(Lsn lsn);

}  // namespace protocol
