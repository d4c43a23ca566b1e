// Views of bytes and a bounded cursor over a message body.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace protocol {

using Bytes = std::span<const std::uint8_t>;

inline std::string_view as_text(Bytes b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}
inline Bytes as_bytes(std::string_view s) {
  return {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()};
}

// Big endian, as the whole protocol is. `p` must have the bytes.
inline std::uint16_t load16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}
inline std::uint32_t load32(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}
inline void store32(std::uint8_t* p, std::uint32_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 24);
  p[1] = static_cast<std::uint8_t>(v >> 16);
  p[2] = static_cast<std::uint8_t>(v >> 8);
  p[3] = static_cast<std::uint8_t>(v);
}

// Reads a body front to back. A read past the end answers zero or an empty view and clears ok(),
// for good: read everything, then ask ok() once. Views live as long as the bytes read from.
class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}
  std::uint8_t u8() {
    const Bytes taken = bytes(1);
    return taken.empty() ? 0 : taken[0];
  }
  std::uint16_t u16() {
    const Bytes taken = bytes(2);
    return taken.empty() ? 0 : load16(taken.data());
  }
  std::uint32_t u32() {
    const Bytes taken = bytes(4);
    return taken.empty() ? 0 : load32(taken.data());
  }
  std::int16_t i16() { return static_cast<std::int16_t>(u16()); }
  std::int32_t i32() { return static_cast<std::int32_t>(u32()); }
  std::string_view cstring();  // without its NUL; a missing NUL clears ok()
  Bytes bytes(std::size_t n) {
    if (!ok_ || n > bytes_.size()) {
      fail();
      return {};
    }
    const Bytes taken = bytes_.first(n);
    bytes_ = bytes_.subspan(n);
    return taken;
  }
  Bytes rest() { return bytes(bytes_.size()); }  // all that is left, consumed
  std::size_t left() const { return bytes_.size(); }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && bytes_.empty(); }

 private:
  void fail() {
    ok_ = false;
    bytes_ = {};  // whatever is asked next answers zero as well
  }

  Bytes bytes_;
  bool ok_ = true;
};

inline std::string_view Reader::cstring() {
  constexpr std::size_t kShort = 8;  // most names are
  const std::size_t near = std::min(kShort, bytes_.size());
  std::size_t length = 0;
  while (length < near && bytes_[length] != 0) ++length;
  if (length == near) {
    const auto* nul = static_cast<const std::uint8_t*>(
        near < kShort ? nullptr : std::memchr(bytes_.data() + near, 0, bytes_.size() - near));
    if (nul == nullptr) {
      fail();
      return {};
    }
    length = static_cast<std::size_t>(nul - bytes_.data());
  }
  const std::string_view text = as_text(bytes_.first(length));
  bytes_ = bytes_.subspan(length + 1);
  return text;
}

}  // namespace protocol
