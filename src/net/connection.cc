#include "net/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <utility>

namespace net {

void Connection::on_events(std::uint32_t events) {
  if (!stream_.open()) return;
  stream_.on_events(events);
  on_ready();
}

void Connection::ask_for_write() {
  if (asked_for_write_) return;
  asked_for_write_ = true;
  loop_.want_write(stream_.fd(), *this);
}

void Connection::close_stream() {
  if (!stream_.open()) return;
  loop_.unwatch(stream_.fd());
  stream_.close();
  loop_.give(in_);
  loop_.give(out_);
  input_ = run_ = {};
  asked_for_write_ = false;  // the next stream has not
}

void Connection::append_to(protocol::Buffer& buffer, protocol::Bytes bytes) {
  if (bytes.empty()) return;
  if (buffer.capacity() == 0) buffer = loop_.spare();
  buffer.append(bytes);
}

void Connection::relay(protocol::Bytes piece) {
  if (run_.empty()) {
    run_ = piece;
  } else if (run_.data() + run_.size() == piece.data()) {
    run_ = {run_.data(), run_.size() + piece.size()};
  } else {
    append_to(out_, run_);
    run_ = piece;
  }
}

protocol::Buffer& Connection::made() {
  if (out_.capacity() == 0) out_ = loop_.spare();
  out_.append(run_);
  run_ = {};
  return out_;
}

bool Connection::send_relayed() {
  const auto run = std::exchange(run_, {});
  return run.empty() ? flush() : send(run);
}

Io Connection::fill(std::span<std::uint8_t> scratch) {
  if (in_.empty()) {
    loop_.give(in_);
    const Io io = stream_.read(scratch);
    if (io.status == IoStatus::kOk) input_ = {scratch.data(), io.count};
    return io;
  }
  // A message that is larger than one read: let the buffer grow in larger steps.
  const auto room = in_.reserve(std::max<std::size_t>(4096, std::min(in_.size(), scratch.size())));
  const Io io = stream_.read(room);
  if (io.status == IoStatus::kOk) in_.commit(io.count);
  input_ = in_.view();
  return io;
}

void Connection::keep(std::size_t used) {
  if (!stream_.open()) return;
  if (!in_.empty()) {
    in_.consume(used);
    if (in_.empty()) loop_.give(in_);
  } else if (used < input_.size()) {
    append_to(in_, input_.subspan(used));
  }
  input_ = in_.view();
}

void Connection::put_back(protocol::Bytes bytes) {
  protocol::Buffer joined;
  joined.append(bytes);
  joined.append(in_.view());
  in_ = std::move(joined);
  input_ = in_.view();
}

bool Connection::send(protocol::Bytes bytes) {
  if (!out_.empty()) {
    out_.append(bytes);
    return flush();
  }
  const auto taken = write_turn(bytes);
  if (taken) append_to(out_, bytes.subspan(*taken));
  return taken.has_value();
}

bool Connection::flush() {
  const auto taken = write_turn(out_.view());
  if (!taken) return false;
  out_.consume(*taken);
  if (out_.empty() && out_.capacity() > kept_bytes_) loop_.give(out_);
  return true;
}

// A large message is not written at once, whatever the socket takes: others wait.
std::optional<std::size_t> Connection::write_turn(protocol::Bytes bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    if (taken >= kWriteTurn) {
      loop_.want_write(stream_.fd(), *this);  // tells at once that it can be written
      asked_for_write_ = true;
      break;
    }
    const auto rest = bytes.subspan(taken);
    const Io io = stream_.write(rest.first(std::min(rest.size(), kWriteTurn)));
    if (io.status == IoStatus::kBlocked) {
      ask_for_write();
      break;
    }
    if (io.status != IoStatus::kOk) return std::nullopt;
    written_ += io.count;
    taken += io.count;
  }
  return taken;
}

}  // namespace net
