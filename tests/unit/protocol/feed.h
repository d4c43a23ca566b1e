// Literals of wire bytes, and ways of feeding them that a socket may choose.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/buffer.h"
#include "protocol/bytes.h"

namespace feed {

// "..."_wire: the bytes of a literal with its inner NULs, without the closing one.
constexpr std::string_view operator""_wire(const char* text, std::size_t size) {
  return {text, size};
}

inline std::string join(std::string_view a, std::string_view b) { return std::string(a).append(b); }

inline std::string written(const protocol::Buffer& buffer) {
  return std::string(protocol::as_text(buffer.view()));
}

// The body of the message at the front.
inline protocol::Bytes body(const protocol::Buffer& buffer) { return buffer.view().subspan(5); }

// Calls `decode` with each proper prefix of the text. In a copy of exact size on the heap, so that
// a sanitizer sees a read past the end.
template <class Decode>
void every_prefix(std::string_view text, Decode decode) {
  for (std::size_t n = 0; n < text.size(); ++n) {
    const std::vector<std::uint8_t> prefix(text.begin(), text.begin() + static_cast<long>(n));
    decode(protocol::Bytes(prefix));
  }
}

// Random texts around a good one: bytes changed, cut out, or doubled. Always the same for a seed.
template <class Decode>
void every_mutation(std::string_view text, unsigned seed, Decode decode) {
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint8_t> bytes(text.begin(), text.end());
    for (auto n = random() % 3 + 1; n > 0 && !bytes.empty(); --n) {
      const auto at = bytes.begin() + static_cast<long>(random() % bytes.size());
      switch (random() % 3) {
        case 0:
          *at = static_cast<std::uint8_t>(random());
          break;
        case 1:
          bytes.erase(at);
          break;
        default:
          bytes.insert(at, *at);
          break;
      }
    }
    decode(protocol::Bytes(bytes));
  }
}

// Appends the text to a queue in random pieces and calls `advance(queue)` after each piece.
template <class Advance>
void random_pieces(std::string_view text, unsigned seed, Advance advance) {
  std::mt19937 random(seed);
  protocol::Buffer queue;
  while (!text.empty()) {
    const std::size_t n = std::min<std::size_t>(text.size(), random() % 12 + 1);
    queue.append(text.substr(0, n));
    text.remove_prefix(n);
    advance(queue);
  }
}

}  // namespace feed
