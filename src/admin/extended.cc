// Conversation's extended protocol: Parse, Bind, Describe, Execute, Close, Sync.
#include <algorithm>
#include <utility>

#include "admin/conversation.h"
#include "admin/meeting.h"
#include "admin/parameters.h"
#include "admin/text.h"
#include "protocol/backend.h"

namespace admin {

namespace sqlstate = protocol::sqlstate;

namespace {

constexpr std::uint32_t kTextOid = 25;

std::string no_statement(std::string_view name) {
  if (name.empty()) return "unnamed prepared statement does not exist";
  return concat("prepared statement \"", name, "\" does not exist");
}

std::string no_portal(std::string_view name) {
  return concat("portal \"", name, "\" does not exist");
}

}  // namespace

void Conversation::on_parse(const TurnPtr& turn, protocol::Bytes body) {
  const auto message = protocol::decode_parse(body);
  if (!message) return malformed(turn);
  auto types = parameter_types(*message);
  if (!types) return malformed(turn);
  std::string name(message->statement);
  if (!name.empty() && statements_.contains(name)) {
    return fail(turn, sqlstate::kDuplicatePreparedStatement,
                concat("prepared statement \"", name, "\" already exists"));
  }
  const auto pieces = split(message->query);
  if (pieces.size() > 1) {
    return fail(turn, sqlstate::kSyntaxError,
                "cannot insert multiple commands into a prepared statement");
  }
  auto prepared = std::make_shared<Prepared>();
  prepared->bytes = message->query.size();
  if (!pieces.empty()) prepared->statement = parse(pieces[0]);
  prepared->parameters = *std::move(types);
  const Statement& statement = prepared->statement;
  if (auto refused = not_allowed(statement)) return fail(turn, *refused);
  if (statement.action == Action::kSetting) {
    prepared->columns.push_back({.name = statement.name, .type = Type::kText});
  }
  if (statement.action == Action::kFetch && statement.tag == "FETCH") {
    const auto cursor = portals_.find(statement.argument);
    if (cursor == portals_.end() || !cursor->second.cursor) {
      return fail(turn, "34000", concat("cursor \"", statement.argument, "\" does not exist"));
    }
    prepared->columns = cursor->second.result->columns;
  }
  const bool declares = statement.action == Action::kDeclare;
  if (statement.action != Action::kQuery && !declares) {
    return add_prepared(turn, name, std::move(prepared));
  }

  const auto self = shared_from_this();
  const auto described = [self, turn, name, prepared, declares](const Description& description) {
    if (description.error) return self->fail(turn, *description.error);
    if (!declares) prepared->columns = description.columns;
    prepared->parameters.resize(
        std::max(prepared->parameters.size(), static_cast<std::size_t>(description.parameters)));
    self->add_prepared(turn, name, prepared);
  };
  auto now = meet<Description>(
      [&](absl::AnyInvocable<void(Description)> done) {
        engine_->describe(statement.sql, statement.style(), std::move(done));
      },
      described);
  if (now) described(*now);
}

void Conversation::add_prepared(const TurnPtr& turn, const std::string& name,
                                std::shared_ptr<Prepared> prepared) {
  for (std::uint32_t& type : prepared->parameters) {
    if (type == 0) type = kTextOid;  // SQLite converts it as the comparison needs
  }
  const auto old = statements_.find(name);  // only the unnamed one is replaced
  const std::size_t freed = old == statements_.end() ? 0 : old->second->bytes;
  if (statement_bytes_ - freed + prepared->bytes > kStatementBytesMax ||
      (old == statements_.end() && statements_.size() >= kStatementsMax)) {
    return fail(turn, sqlstate::kProgramLimitExceeded, "too many prepared statements");
  }
  statement_bytes_ += prepared->bytes;
  statement_bytes_ -= freed;
  statements_.insert_or_assign(name, std::move(prepared));
  protocol::write_parse_complete(turn->out);
  finish(turn);
}

void Conversation::on_bind(const TurnPtr& turn, protocol::Bytes body) {
  const auto message = protocol::decode_bind(body);
  if (!message) return malformed(turn);
  const auto at = statements_.find(message->statement);
  if (at == statements_.end()) {
    return fail(turn, sqlstate::kInvalidStatementName, no_statement(message->statement));
  }
  Portal portal{.prepared = at->second};
  if (auto refused = not_allowed(portal.prepared->statement)) return fail(turn, *refused);
  if (protocol::Error error;
      !bind_parameters(*message, portal.prepared->parameters, portal.parameters, error)) {
    return fail(turn, error);
  }
  auto formats = protocol::bind_result_formats(*message);
  if (!formats) return malformed(turn);
  const std::size_t columns = portal.prepared->columns.size();
  if (formats->size() > 1 && formats->size() != columns) {
    return fail(turn, sqlstate::kProtocolViolation,
                concat("bind message has ", formats->size(), " result formats but query has ",
                       columns, " columns"));
  }
  for (std::int16_t format : *formats) {
    if (format != 0 && format != 1) {
      return fail(turn, sqlstate::kInvalidParameterValue,
                  concat("unsupported format code: ", format));
    }
  }
  if (portal.prepared->statement.action == Action::kFetch && std::ranges::count(*formats, 1) > 0) {
    return fail(turn, sqlstate::kFeatureNotSupported, "cursors of the console have text only");
  }
  portal.formats = *std::move(formats);
  if (!message->portal.empty() && portals_.contains(message->portal)) {
    return fail(turn, "42P03", concat("cursor \"", message->portal, "\" already exists"));
  }
  if (!portals_.contains(message->portal) && portals_.size() >= kPortalsMax) {
    return fail(turn, sqlstate::kProgramLimitExceeded, "too many portals");
  }
  portals_.insert_or_assign(std::string(message->portal), std::move(portal));
  protocol::write_bind_complete(turn->out);
  finish(turn);
}

void Conversation::on_describe(const TurnPtr& turn, protocol::Bytes body) {
  const auto message = protocol::decode_describe(body);
  if (!message || (message->kind != 'S' && message->kind != 'P')) return malformed(turn);
  if (message->kind == 'S') return describe_statement(turn, message->name);
  describe_portal(turn, std::string(message->name));
}

void Conversation::describe_statement(const TurnPtr& turn, std::string_view name) {
  const auto at = statements_.find(name);
  if (at == statements_.end()) {
    return fail(turn, sqlstate::kInvalidStatementName, no_statement(name));
  }
  const std::shared_ptr<Prepared> prepared = at->second;
  if (prepared->typed()) return write_statement(turn, *prepared);
  // An expression's type shows only in a value: run it once, and keep to what came out.
  const auto self = shared_from_this();
  const auto ran = [self, turn, prepared](const Result& result) {
    if (result.error) return self->fail(turn, *result.error);
    prepared->columns = result.columns;
    self->write_statement(turn, *prepared);
  };
  Query query{.sql = prepared->statement.sql,
              .style = prepared->statement.style(),
              .parameters = std::vector<Value>(prepared->parameters.size())};
  auto now = meet<Result>(
      [&](Done done) { execute(prepared->statement, std::move(query), std::move(done)); }, ran);
  if (now) ran(*now);
}

void Conversation::write_statement(const TurnPtr& turn, const Prepared& prepared) {
  {
    protocol::MessageWriter message(turn->out, protocol::backend::kParameterDescription);
    message.i16(static_cast<std::int16_t>(prepared.parameters.size()));
    for (std::uint32_t type : prepared.parameters) message.u32(type);
  }
  if (prepared.columns.empty()) {
    protocol::write_no_data(turn->out);
  } else {
    write_columns(turn->out, prepared.columns, {});
  }
  finish(turn);
}

void Conversation::describe_portal(const TurnPtr& turn, const std::string& name) {
  const auto at = portals_.find(name);
  if (at == portals_.end()) return fail(turn, "34000", no_portal(name));
  const Portal& portal = at->second;
  if (portal.prepared->columns.empty()) {
    protocol::write_no_data(turn->out);
    return finish(turn);
  }
  if (portal.prepared->typed()) {
    write_columns(turn->out, portal.prepared->columns, portal.formats);
    return finish(turn);
  }
  need_result(turn, name, [self = shared_from_this(), turn, name] {
    const Portal& ready = self->portals_.find(name)->second;
    write_columns(turn->out, ready.result->columns, ready.formats);
    self->finish(turn);
  });
}

void Conversation::on_execute(const TurnPtr& turn, protocol::Bytes body) {
  const auto message = protocol::decode_execute(body);
  if (!message) return malformed(turn);
  const std::string name(message->portal);
  const std::uint32_t max_rows = message->max_rows;
  const auto at = portals_.find(name);
  if (at == portals_.end()) return fail(turn, "34000", no_portal(name));
  if (at->second.prepared->statement.action == Action::kNone) {
    protocol::write_empty_query(turn->out);
    return finish(turn);
  }
  need_result(turn, name, [self = shared_from_this(), turn, name, max_rows] {
    self->send_rows(turn, name, max_rows);
  });
}

void Conversation::need_result(const TurnPtr& turn, const std::string& name,
                               absl::AnyInvocable<void()> next) {
  Portal& portal = portals_.find(name)->second;
  if (portal.result) return next();
  const std::shared_ptr<Prepared> prepared = portal.prepared;
  Query query{
      .sql = prepared->statement.sql, .parameters = portal.parameters, .formats = portal.formats};
  if (prepared->typed()) query.columns = prepared->columns;
  const auto self = shared_from_this();
  const auto go_on = std::make_shared<absl::AnyInvocable<void()>>(std::move(next));
  const auto ran = [self, turn, name, go_on](Result result) {
    if (result.error) return self->fail(turn, *result.error);
    // DEALLOCATE and COMMIT take no portal away that is being executed: it is still there.
    self->portals_.find(name)->second.result = std::move(result);
    if (self->portal_bytes() > kPortalBytesMax) {
      return self->fail(turn, sqlstate::kOutOfMemory, "the open portals hold too many rows");
    }
    (*go_on)();
  };
  auto now = meet<Result>(
      [&](Done done) { execute(prepared->statement, std::move(query), std::move(done)); }, ran);
  if (now) ran(*std::move(now));
}

void Conversation::send_rows(const TurnPtr& turn, const std::string& name, std::uint32_t max_rows) {
  Portal& portal = portals_.find(name)->second;
  Result& result = *portal.result;
  for (const protocol::Error& notice : result.notices) protocol::write_notice(turn->out, notice);
  result.notices.clear();
  const std::size_t total = result.row_ends.size();
  const std::size_t end =
      max_rows == 0 ? total : std::min<std::size_t>(total, portal.next + max_rows);
  const std::size_t from = portal.next == 0 ? 0 : result.row_ends[portal.next - 1];
  const std::size_t to = end == 0 ? 0 : result.row_ends[end - 1];
  turn->out.append(result.rows.view().subspan(from, to - from));
  const bool more = max_rows != 0 && end - portal.next == max_rows && end < total;
  const std::size_t sent = end - portal.next;
  portal.next = end;
  if (more) {
    protocol::write_portal_suspended(turn->out);
  } else if (portal.prepared->statement.tag == "SELECT") {
    protocol::write_command_complete(turn->out, concat("SELECT ", sent));
  } else {
    protocol::write_command_complete(turn->out, result.tag);
  }
  finish(turn);
}

void Conversation::on_close(const TurnPtr& turn, protocol::Bytes body) {
  const auto message = protocol::decode_describe(body);
  if (!message || (message->kind != 'S' && message->kind != 'P')) return malformed(turn);
  if (message->kind == 'P') {
    if (const auto at = portals_.find(message->name); at != portals_.end()) portals_.erase(at);
  } else if (const auto at = statements_.find(message->name); at != statements_.end()) {
    statement_bytes_ -= at->second->bytes;
    statements_.erase(at);
  }
  protocol::write_close_complete(turn->out);
  finish(turn);
}

void Conversation::on_sync(const TurnPtr& turn) {
  skipping_ = false;
  if (status_ == 'I') end_portals();
  protocol::write_ready_for_query(turn->out, status_);
  finish(turn);
}

}  // namespace admin
