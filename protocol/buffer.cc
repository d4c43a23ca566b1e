#include "protocol/buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/frame.h"

namespace protocol {
namespace {

constexpr std::size_t kSmallest = 256;

// Moving bytes to the front costs their number. It is done only after at least this fraction of
// them was consumed since the last move, so that a queue that is always nearly full and is fed a
// byte at a time does not move itself for every byte.
constexpr std::size_t kCompactFraction = 8;

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::move(other.data_)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  data_ = std::move(other.data_);
  begin_ = std::exchange(other.begin_, 0);
  end_ = std::exchange(other.end_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

void Buffer::append(Bytes bytes) {
  if (bytes.empty()) return;
  std::memcpy(reserve(bytes.size()).data(), bytes.data(), bytes.size());
  end_ += bytes.size();
}

void Buffer::push_back(std::uint8_t byte) {
  if (end_ == capacity_) reserve(1);
  data_[end_++] = byte;
}

std::span<std::uint8_t> Buffer::reserve(std::size_t n) {
  if (capacity_ - end_ < n) {
    const std::size_t held = size();
    if (begin_ > 0 && capacity_ - held >= n && begin_ >= held / kCompactFraction) {
      if (held > 0) std::memmove(data_.get(), data_.get() + begin_, held);
    } else {
      const std::size_t bigger = std::max({held + n, capacity_ * 2, kSmallest});
      auto data = std::make_unique_for_overwrite<std::uint8_t[]>(bigger);
      if (held > 0) std::memcpy(data.get(), data_.get() + begin_, held);
      data_ = std::move(data);
      capacity_ = bigger;
    }
    begin_ = 0;
    end_ = held;
  }
  return {data_.get() + end_, capacity_ - end_};
}

void Buffer::consume(std::size_t n) {
  begin_ += n;
  if (begin_ == end_) clear();
}

void Buffer::truncate(std::size_t size) { end_ = begin_ + std::min(size, this->size()); }

void Buffer::release() {
  data_.reset();
  begin_ = end_ = capacity_ = 0;
}

MessageWriter::MessageWriter(Buffer& out, char type) : out_(out) {
  out_.reserve(kHeaderBytes)[0] = static_cast<std::uint8_t>(type);
  out_.commit(kHeaderBytes);  // the length is filled in at last
  length_at_ = out_.size() - kHeaderBytes + 1;
}

MessageWriter::MessageWriter(Buffer& out) : out_(out), length_at_(out.size()) { u32(0); }

MessageWriter::~MessageWriter() {
  store32(out_.mutable_data() + length_at_, static_cast<std::uint32_t>(out_.size() - length_at_));
}

void MessageWriter::i16(std::int16_t v) {
  const auto bits = static_cast<std::uint16_t>(v);
  const std::uint8_t raw[2] = {static_cast<std::uint8_t>(bits >> 8),
                               static_cast<std::uint8_t>(bits)};
  out_.append(Bytes(raw));
}

void MessageWriter::i32(std::int32_t v) {
  std::uint8_t raw[4];
  store32(raw, static_cast<std::uint32_t>(v));
  out_.append(Bytes(raw));
}

void MessageWriter::cstring(std::string_view text) {
  // A NUL inside would let the rest of the text pass for the next field: cut it there.
  out_.append(text.substr(0, text.find('\0')));
  out_.push_back(0);
}

}  // namespace protocol
