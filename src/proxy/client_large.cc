// Client: messages that are passed on as they come, being too large to wait for.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

using session::Expect;

// What names a message has are in front of it. A client whose names are longer is waited for.
constexpr std::size_t kNamesUpTo = 64u << 10;

void write_front(protocol::Buffer& out, char type, std::size_t total,
                 std::initializer_list<std::string_view> names) {
  std::array<std::uint8_t, 4> length;
  protocol::store32(length.data(), static_cast<std::uint32_t>(total - 1));
  out.push_back(static_cast<std::uint8_t>(type));
  out.append(protocol::Bytes(length));
  for (const std::string_view name : names) {
    out.append(name);
    out.push_back(0);
  }
}

}  // namespace

// Not whole yet. Query, Parse, Bind, CopyData and FunctionCall may be so large that they never
// should be; everything else is waited for.
std::size_t Client::forward_large(protocol::Bytes in, const protocol::Header& header) {
  const bool copy = header.type == protocol::frontend::kCopyData;
  if (!copy && header.total <= worker_.config().limits.gather_bytes) return 0;
  discard_message_ = false;
  may_write_ = server->may_write();
  switch (header.type) {
    case protocol::frontend::kCopyData:
      server->relay(in);
      break;
    case protocol::frontend::kQuery:
      if (refuse_stale_unread()) break;
      note_unread_statement();
      count_as(*worker_.unread_analysis(), {});
      drop_unnamed();
      if (expect({.what = Expect::kQuery, .analysis = worker_.unread_analysis()})) {
        note_names(in);
        server->relay(in);
      }
      break;
    case protocol::frontend::kFunctionCall:
      if (refuse_stale_unread()) break;
      note_unread_statement();
      if (expect({.what = Expect::kFunctionCall})) {
        note_names(in);
        server->relay(in);
      }
      break;
    case protocol::frontend::kParse:
      if (in.size() < kNamesUpTo) return 0;
      if (!forward_parse_start(in, header.total)) return wait_for_whole(header);
      break;
    case protocol::frontend::kBind:
      if (in.size() < kNamesUpTo) return 0;
      forward_bind_start(in, header.total);
      break;
    default:
      return wait_for_whole(header);
  }
  force_forward_ = false;
  stream_left_ = header.total - in.size();
  stream_discard_ = discard_message_;
  return in.size();
}

// A Query or a FunctionCall. What comes of it is the same.
bool Client::refuse_stale_unread() {
  if (!may_be_stale(*worker_.unread_analysis())) return false;
  expect_failure(Expect::kQuery, kNoteStale);
  discard_message_ = true;
  return true;
}

std::size_t Client::wait_for_whole(const protocol::Header& header) {
  if (header.total > worker_.config().limits.client_prepared_bytes) {
    fail({.severity = protocol::Severity::kFatal,
          .code = protocol::sqlstate::kProgramLimitExceeded,
          .message = "message is longer than limits.client_prepared_bytes"});
  }
  return 0;
}

std::size_t Client::on_stream_bytes(protocol::Bytes in) {
  const auto piece = in.first(std::min(stream_left_, in.size()));
  if (!stream_discard_ && server != nullptr) server->relay(piece);
  stream_left_ -= piece.size();
  if (names_end_) note_names(piece);
  if (stream_left_ == 0) names_end_.reset();
  if (large_parse_ != nullptr) on_parse_bytes(piece);
  return piece.size();
}

// Of settings, in a message that comes in pieces: one may be cut.
void Client::note_names(protocol::Bytes piece) {
  constexpr std::size_t kLongest = 128;
  const std::string_view text = protocol::as_text(piece);
  if (!names_end_) names_end_.emplace();
  names_end_->append(text.substr(0, kLongest));
  note_opaque(*names_end_);
  note_opaque(text);
  names_end_->append(text.size() > kLongest ? text.substr(text.size() - kLongest) : "");
  names_end_->erase(0, names_end_->size() - std::min(names_end_->size(), kLongest));
}

// It is kept piece by piece, so that no other client waits while a long text is copied, and shared
// with nobody. False: it must be whole first.
bool Client::forward_parse_start(protocol::Bytes in, std::size_t total) {
  protocol::Reader reader(in.subspan(protocol::kHeaderBytes));
  const std::string_view name = reader.cstring();
  const bool keep = statements_.bytes() + total <= worker_.config().limits.client_prepared_bytes;
  if (!reader.ok() || (!name.empty() && (!keep || status_ == 'E' || has_sql_prepared(name) ||
                                         statements_.find(name) != nullptr))) {
    return false;
  }
  if (server->exchange.skipping()) {
    discard_message_ = true;
    return true;
  }
  ++pools_->stats.client_parse_count;
  ++pools_->stats.server_parse_count;
  meter_.sending = 0;
  count_as(*worker_.unread_analysis(), {});
  large_parse_ = std::make_unique<LargeParse>(
      std::string(name),
      worker_.statements().make(pools_->catalog_feed.get(), worker_.unread_analysis()));
  session::PreparedStatement& statement = *large_parse_->statement;
  statement.kept = keep;
  if (keep) statement.query.reserve(total);
  if (name.empty()) {
    server->unnamed_statement = statement.id;
    expect({.what = Expect::kParse, .statement = statement.id, .note = kNoteUnnamed});
  } else {
    make_room(statement);
    expect({.what = Expect::kParse, .statement = statement.id});
  }
  const std::string_view here = name.empty() ? "" : std::string_view(statement.server_name);
  write_front(server->made(), protocol::frontend::kParse, total - name.size() + here.size(),
              {here});
  const protocol::Bytes text = reader.rest();
  server->relay(text);
  stream_left_ = total - in.size();
  on_parse_bytes(text);
  return true;
}

// Of its text, and of what is behind that.
void Client::on_parse_bytes(protocol::Bytes piece) {
  session::PreparedStatement& statement = *large_parse_->statement;
  if (statement.kept) statement.query.append(protocol::as_text(piece));
  if (stream_left_ != 0) return;
  const auto parse = std::exchange(large_parse_, nullptr);
  if (stream_discard_ || parse->skipped) return;
  if (statement.kept) {
    const auto end = statement.query.find('\0');
    if (end == std::string::npos) return;  // the server says so
    statement.types = statement.query.substr(end + 1);
    statement.query.resize(end);
  }
  if (parse->name.empty()) return put_unnamed(parse->statement);
  statements_.put(parse->name, parse->statement);
  pending_parses_.emplace_back(statement.id, parse->name);
}

// Its length changes with the name.
void Client::forward_bind_start(protocol::Bytes in, std::size_t total) {
  if (server->exchange.skipping()) {
    discard_message_ = true;
    return;
  }
  protocol::Reader reader(in.subspan(protocol::kHeaderBytes));
  const std::string_view portal = reader.cstring();
  const std::string_view statement = reader.cstring();
  if (!reader.ok()) {
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kProtocolViolation,
                 .message = "invalid string in message"});
  }
  const session::StatementPtr* known = statements_.find(statement);
  if (known != nullptr && may_be_stale(*analysis_of(**known))) {
    expect_failure(Expect::kBind, kNoteStale);
    discard_message_ = true;
    return;
  }
  note_portal(portal, known);
  const std::string name(server_name_of(statement, known));
  expect({.what = Expect::kBind});
  write_front(server->made(), protocol::frontend::kBind, total - statement.size() + name.size(),
              {portal, name});
  const protocol::Bytes values = reader.rest();
  if (known != nullptr && ((*known)->analysis->residue & sql::kOpaque) != 0) {
    note_opaque((*known)->query);
    note_names(values);
  }
  server->relay(values);
}

}  // namespace proxy
