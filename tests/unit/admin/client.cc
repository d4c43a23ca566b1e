#include "client.h"

#include <doctest/doctest.h>

#include <chrono>

#include "protocol/frame.h"

namespace admin_test {

namespace {

std::vector<Message> messages_of(protocol::Bytes bytes) {
  std::vector<Message> messages;
  while (!bytes.empty()) {
    protocol::Frame frame;
    REQUIRE(protocol::read_frame(bytes, 1u << 30, frame) == protocol::HeaderStatus::kOk);
    messages.push_back({frame.type, {frame.body.begin(), frame.body.end()}});
    bytes = bytes.subspan(frame.raw.size());
  }
  return messages;
}

const Message* first(const Reply& reply, char type) {
  for (const Message& message : reply.messages) {
    if (message.type == type) return &message;
  }
  return nullptr;
}

struct ColumnView {
  std::string name;
  std::uint32_t oid;
  std::int16_t format;
};

std::vector<ColumnView> described(const Reply& reply) {
  std::vector<ColumnView> columns;
  const Message* message = first(reply, 'T');
  if (message == nullptr) return columns;
  protocol::Reader reader(message->bytes());
  const int count = reader.i16();
  for (int i = 0; i < count; ++i) {
    ColumnView column;
    column.name = reader.cstring();
    reader.u32();
    reader.u16();
    column.oid = reader.u32();
    reader.u16();
    reader.u32();
    column.format = reader.i16();
    columns.push_back(column);
  }
  CHECK(reader.done());
  return columns;
}

}  // namespace

std::string Reply::types() const {
  std::string types;
  for (const Message& message : messages) types += message.type;
  return types;
}

std::vector<std::string> Reply::columns() const {
  std::vector<std::string> names;
  for (const ColumnView& column : described(*this)) names.push_back(column.name);
  return names;
}

std::vector<std::uint32_t> Reply::oids() const {
  std::vector<std::uint32_t> oids;
  for (const ColumnView& column : described(*this)) oids.push_back(column.oid);
  return oids;
}

std::vector<std::int16_t> Reply::column_formats() const {
  std::vector<std::int16_t> formats;
  for (const ColumnView& column : described(*this)) formats.push_back(column.format);
  return formats;
}

std::vector<Row> Reply::rows() const {
  std::vector<Row> rows;
  for (const Message& message : messages) {
    if (message.type != 'D') continue;
    const auto cells = protocol::decode_data_row(message.bytes());
    REQUIRE(cells.has_value());
    Row row;
    for (const auto& cell : *cells) {
      row.push_back(cell ? std::optional(std::string(*cell)) : std::nullopt);
    }
    rows.push_back(row);
  }
  return rows;
}

std::string Reply::tag() const {
  std::string tag;
  for (const Message& message : messages) {
    if (message.type == 'C') tag = protocol::decode_command_complete(message.bytes()).value();
  }
  return tag;
}

namespace {

std::string field(const Reply& reply, char type, std::string_view protocol::ErrorView::* member) {
  const Message* message = first(reply, type);
  if (message == nullptr) return "";
  const auto view = protocol::decode_error(message->bytes());
  REQUIRE(view.has_value());
  return std::string((*view).*member);
}

}  // namespace

std::string Reply::code() const { return field(*this, 'E', &protocol::ErrorView::code); }
std::string Reply::message() const { return field(*this, 'E', &protocol::ErrorView::message); }
std::string Reply::hint() const { return field(*this, 'E', &protocol::ErrorView::hint); }
std::string Reply::notice() const { return field(*this, 'N', &protocol::ErrorView::message); }

char Reply::status() const {
  const Message* message = first(*this, 'Z');
  return message == nullptr ? '\0' : protocol::decode_ready_for_query(message->bytes()).value();
}

void Client::start(char type, protocol::Bytes body) {
  // A copy in memory of its own, so that a view kept too long is a fault under ASan.
  auto copy = std::make_unique<std::vector<std::uint8_t>>(body.begin(), body.end());
  const auto box = box_;
  session_->on_message(type, *copy, [box](protocol::Buffer bytes, bool close) {
    Reply reply{messages_of(bytes.view()), close};
    const std::lock_guard lock(box->mutex);
    box->reply = std::move(reply);
    ++box->replies;
    box->come.notify_all();
  });
}

bool Client::wait(std::chrono::milliseconds how_long) {
  std::unique_lock lock(box_->mutex);
  return box_->come.wait_for(lock, how_long, [&] { return box_->reply.has_value(); });
}

Reply Client::take() {
  const std::lock_guard lock(box_->mutex);
  Reply reply = *std::move(box_->reply);
  box_->reply.reset();
  CHECK(box_->replies == 1);  // exactly one for each message
  box_->replies = 0;
  return reply;
}

Reply Client::send(char type, protocol::Bytes body) {
  start(type, body);
  REQUIRE(wait(std::chrono::seconds(30)));
  return take();
}

Reply Client::send(const protocol::Buffer& messages) {
  Reply all;
  for (const Message& message : messages_of(messages.view())) {
    Reply one = send(message.type, message.bytes());
    for (Message& m : one.messages) all.messages.push_back(std::move(m));
    all.close = all.close || one.close;
  }
  return all;
}

Reply Client::query(std::string_view sql) {
  protocol::Buffer out;
  protocol::write_query(out, sql);
  return send(out);
}

}  // namespace admin_test
