// Conversation's cursors: portals that DECLARE makes and FETCH reads.
#include <algorithm>
#include <utility>

#include "admin/conversation.h"
#include "admin/text.h"

namespace admin {

namespace sqlstate = protocol::sqlstate;

namespace {

// Rows are counted from 1; 0 is in front of the first, rows + 1 behind the last.
struct Stretch {
  std::int64_t first = 0, last = -1;  // backward when first > last and there is a row
  std::int64_t count = 0;
  std::int64_t position = 0;  // afterwards
};

Stretch one(std::int64_t row, std::int64_t rows) {
  const std::int64_t at = std::clamp<std::int64_t>(row, 0, rows + 1);
  return {.first = at, .last = at, .count = at >= 1 && at <= rows, .position = at};
}

Stretch stretch(const CursorMove& move, std::int64_t position, std::int64_t rows) {
  const std::int64_t count = move.count;
  switch (move.by) {
    case CursorMove::By::kAbsolute:
      return one(count < 0 ? rows + 1 + count : count, rows);
    case CursorMove::By::kRelative:
      return one(position + count, rows);
    case CursorMove::By::kForward:
      break;
  }
  if (count == 0) return one(position, rows);
  Stretch to;
  if (count > 0) {
    to.first = position + 1;
    to.last = std::min(position + count, rows);
    to.count = std::max<std::int64_t>(to.last - to.first + 1, 0);
    to.position = std::min(position + count, rows + 1);
  } else {
    to.first = position - 1;
    to.last = std::max<std::int64_t>(position + count, 1);
    to.count = std::max<std::int64_t>(to.first - to.last + 1, 0);
    to.position = std::max<std::int64_t>(position + count, 0);
  }
  return to;
}

std::string no_cursor(std::string_view name) {
  return concat("cursor \"", name, "\" does not exist");
}

}  // namespace

std::optional<protocol::Error> Conversation::not_declarable(const Statement& statement) const {
  if (portals_.contains(statement.argument)) {
    return failure("42P03", concat("cursor \"", statement.argument, "\" already exists")).error;
  }
  if (portals_.size() >= kPortalsMax) {
    return failure(sqlstate::kProgramLimitExceeded, "too many portals").error;
  }
  if (statement.holds || status_ != 'I') return std::nullopt;
  return failure("25P01", "DECLARE CURSOR can only be used in transaction blocks").error;
}

void Conversation::declare(const Statement& statement, Query query, Done done) {
  if (auto refused = not_declarable(statement)) {
    Result result;
    result.error = std::move(refused);
    return done(std::move(result));
  }
  query.style = statement.style();
  query.formats.clear();
  query.columns.clear();
  engine_->run(
      std::move(query), [self = shared_from_this(), name = statement.argument,
                         holds = statement.holds, done = std::move(done)](Result result) mutable {
        if (result.error) return done(std::move(result));
        auto prepared = std::make_shared<Prepared>();
        prepared->statement.action = Action::kQuery;
        prepared->statement.tag = "SELECT";
        prepared->columns = result.columns;
        self->portals_.insert_or_assign(name, Portal{.prepared = std::move(prepared),
                                                     .result = std::move(result),
                                                     .cursor = true,
                                                     .holds = holds});
        Result declared;
        if (self->portal_bytes() > kPortalBytesMax) {
          self->portals_.erase(name);
          declared = failure(sqlstate::kOutOfMemory, "the open portals hold too many rows");
        }
        declared.tag = "DECLARE CURSOR";
        done(std::move(declared));
      });
}

Result Conversation::fetch(const Statement& statement) {
  const auto at = portals_.find(statement.argument);
  if (at == portals_.end() || !at->second.cursor) {
    return failure("34000", no_cursor(statement.argument));
  }
  Portal& portal = at->second;
  const Result& all = *portal.result;
  const auto rows = static_cast<std::int64_t>(all.row_ends.size());
  const Stretch to = stretch(statement.move, portal.position, rows);
  portal.position = to.position;
  Result result;
  result.tag = concat(statement.tag, " ", to.count);
  if (statement.tag == "MOVE") return result;
  result.columns = all.columns;
  const std::int64_t step = to.first <= to.last ? 1 : -1;
  for (std::int64_t n = 0; n < to.count; ++n) {
    const auto row = static_cast<std::size_t>(to.first + step * n - 1);
    const std::size_t from = row == 0 ? 0 : all.row_ends[row - 1];
    result.rows.append(all.rows.view().subspan(from, all.row_ends[row] - from));
    result.row_ends.push_back(result.rows.size());
  }
  return result;
}

Result Conversation::close_cursor(const Statement& statement) {
  const auto is_cursor = [](const auto& each) { return each.second.cursor; };
  Result result;
  result.tag = statement.tag;
  if (statement.argument.empty()) {
    std::erase_if(portals_, is_cursor);
  } else if (const auto at = portals_.find(statement.argument);
             at != portals_.end() && is_cursor(*at)) {
    portals_.erase(at);
  } else {
    return failure("34000", no_cursor(statement.argument));
  }
  return result;
}

void Conversation::end_portals() {
  std::erase_if(portals_, [](const auto& each) { return !each.second.holds; });
}

}  // namespace admin
