#include "protocol/lsn.h"

#include <charconv>

namespace protocol {
namespace {

// 1 to 8 hexadecimal digits and nothing else, as pg_lsn_in().
std::optional<std::uint32_t> parse_half(std::string_view text) {
  if (text.empty() || text.size() > 8) return std::nullopt;
  std::uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value, 16);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return value;
}

void append_hex(std::string& out, std::uint32_t value) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  int shift = 28;
  while (shift > 0 && (value >> shift) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) out.push_back(kDigits[value >> shift & 15]);
}

}  // namespace

std::optional<Lsn> parse_lsn(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto high = parse_half(text.substr(0, slash));
  const auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return Lsn{*high} << 32 | *low;
}

std::string format_lsn(Lsn lsn) {
  std::string out;
  append_hex(out, static_cast<std::uint32_t>(lsn >> 32));
  out.push_back('/');
  append_hex(out, static_cast<std::uint32_t>(lsn));
  return out;
}

}  // namespace protocol
