#include "protocol/saslprep.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>

#include "protocol/nfkc.h"

namespace protocol {
namespace {

struct CodeRange {
  char32_t first, last;
};

#define PROTOCOL_SASLPREP_TABLES
#include "protocol/unicode_tables.inc"

template <std::size_t kSize>
bool in(const CodeRange (&ranges)[kSize], char32_t code) {
  const auto* const found =
      std::partition_point(std::begin(ranges), std::end(ranges),
                           [&](const CodeRange& range) { return range.last < code; });
  return found != std::end(ranges) && found->first <= code;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

// The code point at the front of `text`, taken off; nullopt when it is not well formed UTF-8.
std::optional<char32_t> take_code_point(std::string_view& text) {
  const auto lead = static_cast<std::uint8_t>(text[0]);
  const std::size_t size = lead < 0x80   ? 1
                           : lead < 0xc0 ? 0
                           : lead < 0xe0 ? 2
                           : lead < 0xf0 ? 3
                                         : 4;
  if (size == 0 || lead >= 0xf8 || size > text.size()) return std::nullopt;
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  char32_t code = size == 1 ? lead : lead & (0x7fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    const auto next = static_cast<std::uint8_t>(text[i]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    code = code << 6 | (next & 0x3fu);
  }
  if (code < kLeast[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
    return std::nullopt;
  }
  text.remove_prefix(size);
  return code;
}

void append_utf8(std::string& out, char32_t code) {
  const auto push = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return push(code);
  if (code < 0x800) {
    push(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      push(0xe0 | code >> 12);
    } else {
      push(0xf0 | code >> 18);
      push(0x80 | (code >> 12 & 0x3f));
    }
    push(0x80 | (code >> 6 & 0x3f));
  }
  push(0x80 | (code & 0x3f));
}

// RFC 4013, section 2.1; nullopt when the text is not UTF-8.
std::optional<std::u32string> mapped(std::string_view text) {
  std::u32string out;
  while (!text.empty()) {
    const auto code = take_code_point(text);
    if (!code) return std::nullopt;
    if (in(kSpaces, *code)) {
      out.push_back(U' ');
    } else if (!in(kMappedToNothing, *code)) {
      out.push_back(*code);
    }
  }
  return out;
}

// Sections 2.3 to 2.5. Asked before normalising, as PostgreSQL does, where the RFC says after.
bool is_allowed(const std::u32string& text) {
  const auto forbidden = [](char32_t code) {
    return in(kProhibited, code) || in(kUnassigned, code);
  };
  if (text.empty() || std::any_of(text.begin(), text.end(), forbidden)) return false;
  const auto right_to_left = [](char32_t code) { return in(kRightToLeft, code); };
  if (std::none_of(text.begin(), text.end(), right_to_left)) return true;
  const auto left_to_right = [](char32_t code) { return in(kLeftToRight, code); };
  return std::none_of(text.begin(), text.end(), left_to_right) && right_to_left(text.front()) &&
         right_to_left(text.back());
}

}  // namespace

std::string saslprep(std::string_view password) {
  if (is_ascii(password)) return std::string(password);
  const auto text = mapped(password);
  if (!text || !is_allowed(*text)) return std::string(password);
  std::string prepared;
  for (const char32_t code : nfkc(*text)) append_utf8(prepared, code);
  return prepared;
}

}  // namespace protocol
