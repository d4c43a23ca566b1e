#include "protocol/bytes.h"

#include <cstring>

namespace protocol {

bool Reader::take(std::size_t n) {
  if (ok_ && n <= bytes_.size()) return true;
  ok_ = false;
  bytes_ = {};  // whatever is asked next answers zero as well
  return false;
}

std::uint8_t Reader::u8() {
  if (!take(1)) return 0;
  const std::uint8_t v = bytes_[0];
  bytes_ = bytes_.subspan(1);
  return v;
}

std::uint16_t Reader::u16() {
  if (!take(2)) return 0;
  const std::uint16_t v = load16(bytes_.data());
  bytes_ = bytes_.subspan(2);
  return v;
}

std::uint32_t Reader::u32() {
  if (!take(4)) return 0;
  const std::uint32_t v = load32(bytes_.data());
  bytes_ = bytes_.subspan(4);
  return v;
}

std::string_view Reader::cstring() {
  if (!take(1)) return {};
  const void* nul = std::memchr(bytes_.data(), 0, bytes_.size());
  if (nul == nullptr) {
    take(bytes_.size() + 1);
    return {};
  }
  const auto length =
      static_cast<std::size_t>(static_cast<const std::uint8_t*>(nul) - bytes_.data());
  const std::string_view text = as_text(bytes_.first(length));
  bytes_ = bytes_.subspan(length + 1);
  return text;
}

Bytes Reader::bytes(std::size_t n) {
  if (!take(n)) return {};
  const Bytes taken = bytes_.first(n);
  bytes_ = bytes_.subspan(n);
  return taken;
}

Bytes Reader::rest() { return bytes(bytes_.size()); }

}  // namespace protocol
