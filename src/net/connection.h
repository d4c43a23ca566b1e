// A watched stream with what could not be written yet and what was not understood yet.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/loop.h"
#include "net/stream.h"
#include "protocol/buffer.h"

namespace net {

// Base of the two kinds of connections. Idle connections hold no buffer: reading goes through a
// scratch area that the worker shares among all, and only a remainder is kept.
//
// Flow: on_events() notes and calls on_ready(); the derived class loops
//   while (wants input) { fill -> look at input -> keep(what was used) }
class Connection : public Loop::Handler {
 public:
  Connection(Loop& loop, Stream stream) : loop_(loop), stream_(std::move(stream)) {}
  ~Connection() override { close_stream(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void on_events(std::uint32_t events) final;

  bool is_open() const { return stream_.open(); }
  std::size_t unsent() const { return out_.size() + run_.size(); }
  std::uint64_t written() const { return written_; }  // bytes that the socket has taken
  std::size_t buffered() const { return in_.capacity() + out_.capacity(); }

  // Bytes of another connection's input, not copied if they can be written at once: adjacent
  // pieces travel as one. A piece must stay valid until send_relayed().
  void relay(protocol::Bytes piece);
  protocol::Buffer& made();  // for messages of our own making, behind what was relayed

 protected:
  // Something may be read or written; never called when closed.
  virtual void on_ready() = 0;

  void watch() { loop_.watch(stream_.fd(), *this); }
  void ask_for_write();
  void close_stream();

  // Reads once, behind what is left in in_ if there is something, else into `scratch`.
  // kOk: input() is longer now.
  Io fill(std::span<std::uint8_t> scratch);
  protocol::Bytes input() const { return input_; }
  // The first `used` bytes of input() are done with; the rest is kept. input() is in_'s view then.
  void keep(std::size_t used);
  // These were input once and shall be so again, before all that is kept.
  void put_back(protocol::Bytes bytes);

  // Writes now what the socket takes, up to a turn's bytes; keeps the rest. False: the connection
  // is broken.
  bool send(protocol::Bytes bytes);
  bool flush();         // writes out_
  bool send_relayed();  // writes out_ and what was relayed behind it

  Loop& loop_;
  Stream stream_;
  protocol::Buffer in_, out_;   // empty ones hold the loop's spare memory for a moment only
  std::size_t kept_bytes_ = 0;  // an empty out_ of up to this capacity is not given back

 private:
  static constexpr std::size_t kWriteTurn = 512u << 10;

  void append_to(protocol::Buffer& buffer, protocol::Bytes bytes);
  std::optional<std::size_t> write_turn(protocol::Bytes bytes);  // nullopt: broken

  protocol::Bytes run_;    // relayed, not written yet
  protocol::Bytes input_;  // a view of scratch or of in_
  std::uint64_t written_ = 0;
  bool asked_for_write_ = false;
};

}  // namespace net
