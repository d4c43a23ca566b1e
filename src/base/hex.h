// Bytes as hexadecimal digits, in lower case.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace base {

inline void append_hex(std::string& to, std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::uint8_t byte : bytes) {
    to += kDigits[byte >> 4];
    to += kDigits[byte & 15];
  }
}

inline std::string to_hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  append_hex(text, bytes);
  return text;
}

}  // namespace base
