// A byte queue that grows, and the writing of messages into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "protocol/bytes.h"

namespace protocol {

// Append at the end, consume at the front. An empty Buffer that was release()d owns no memory.
// Views are valid until the next call that is not const.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&&) noexcept;
  Buffer& operator=(Buffer&&) noexcept;

  Bytes view() const { return {data_.get() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  std::size_t capacity() const { return capacity_; }

  void append(Bytes bytes);
  void append(std::string_view text) { append(as_bytes(text)); }
  void push_back(std::uint8_t byte);
  // At least n writable bytes at the end; commit() says how many were written.
  std::span<std::uint8_t> reserve(std::size_t n);
  void commit(std::size_t n) { end_ += n; }
  void consume(std::size_t n);      // n <= size()
  void truncate(std::size_t size);  // keeps the first `size` bytes
  void clear() { begin_ = end_ = 0; }
  void release();  // clear, and give the memory back
  std::uint8_t* mutable_data() { return data_.get() + begin_; }

 private:
  std::unique_ptr<std::uint8_t[]> data_;
  std::size_t begin_ = 0, end_ = 0, capacity_ = 0;
};

// Writes one message: type byte, length (filled in when destroyed), fields.
//   { MessageWriter m(out, 'C'); m.cstring("SELECT 1"); }
class MessageWriter {
 public:
  MessageWriter(Buffer& out, char type);
  explicit MessageWriter(Buffer& out);  // no type byte: startup packets
  ~MessageWriter();
  MessageWriter(const MessageWriter&) = delete;
  MessageWriter& operator=(const MessageWriter&) = delete;

  void u8(std::uint8_t v) { out_.push_back(v); }
  void i16(std::int16_t v);
  void i32(std::int32_t v);
  void u32(std::uint32_t v) { i32(static_cast<std::int32_t>(v)); }
  void cstring(std::string_view text);  // text must hold no NUL
  void bytes(Bytes b) { out_.append(b); }
  void text(std::string_view t) { out_.append(t); }  // no NUL added

 private:
  Buffer& out_;
  std::size_t length_at_;  // offset of the length word from the front of out_
};

}  // namespace protocol
