#include "admin/cursor_statement.h"

#include <algorithm>
#include <string>
#include <utility>

#include "admin/statement.h"
#include "admin/text.h"

namespace admin {
namespace {

using By = CursorMove::By;

std::optional<std::int64_t> take_count(Words& words) {
  Words ahead = words;
  const bool negative = ahead.take('-');
  if (!negative) ahead.take('+');
  const auto count = parse_number<std::int64_t>(ahead.next());
  if (!count) return std::nullopt;
  words = ahead;
  // No result has that many rows.
  const std::int64_t bounded = std::clamp(*count, -CursorMove::kAll, CursorMove::kAll);
  return negative ? -bounded : bounded;
}

std::optional<CursorMove> take_move(Words& words) {
  if (words.take("NEXT")) return CursorMove{};
  if (words.take("PRIOR")) return CursorMove{.count = -1};
  if (words.take("FIRST")) return CursorMove{.by = By::kAbsolute, .count = 1};
  if (words.take("LAST")) return CursorMove{.by = By::kAbsolute, .count = -1};
  for (By by : {By::kAbsolute, By::kRelative}) {
    if (!words.take(by == By::kAbsolute ? "ABSOLUTE" : "RELATIVE")) continue;
    const auto count = take_count(words);
    if (!count) return std::nullopt;
    return CursorMove{.by = by, .count = *count};
  }
  const bool backward = words.take("BACKWARD");
  if (!backward) words.take("FORWARD");
  const std::int64_t count = words.take("ALL") ? CursorMove::kAll : take_count(words).value_or(1);
  return CursorMove{.count = backward ? -count : count};
}

Statement parse_fetch(Words words, std::string tag) {
  Statement statement{.action = Action::kFetch, .tag = std::move(tag)};
  const auto move = take_move(words);
  if (!move) return syntax_error(words.rest(), "A number is needed.");
  statement.move = *move;
  if (!words.take("FROM")) words.take("IN");
  const std::string_view at = words.rest();
  statement.argument = words.next();
  if (statement.argument.empty()) return syntax_error(at, "The name of a cursor is needed.");
  if (!words.done()) return syntax_error(words.rest());
  return statement;
}

Statement parse_declare(Words words) {
  const std::string_view at = words.rest();
  const std::string name = words.next();
  if (name.empty()) return syntax_error(at, "The name of a cursor is needed.");
  while (words.take("ASENSITIVE") || words.take("INSENSITIVE") || words.take("NO") ||
         words.take("SCROLL")) {
  }
  if (!words.take("CURSOR")) return syntax_error(words.rest());
  const bool hold = words.take("WITH");
  if ((hold || words.take("WITHOUT")) && !words.take("HOLD")) return syntax_error(words.rest());
  if (!words.take("FOR")) return syntax_error(words.rest());
  Statement statement = parse(words.rest());
  if (statement.action == Action::kInvalid) return statement;
  if (statement.action != Action::kQuery) return syntax_error(words.rest());
  statement.action = Action::kDeclare;
  statement.argument = name;
  statement.holds = hold;
  return statement;
}

}  // namespace

std::optional<Statement> parse_cursor(Words words) {
  if (words.take("DECLARE")) return parse_declare(words);
  if (words.take("FETCH")) return parse_fetch(words, "FETCH");
  if (words.take("MOVE")) return parse_fetch(words, "MOVE");
  if (!words.take("CLOSE")) return std::nullopt;
  Statement statement{.action = Action::kCloseCursor, .tag = "CLOSE CURSOR"};
  if (words.take("ALL") && words.done()) {
    statement.tag = "CLOSE CURSOR ALL";
    return statement;
  }
  const std::string_view at = words.rest();
  statement.argument = words.next();
  if (statement.argument.empty()) return syntax_error(at);
  if (!words.done()) return syntax_error(words.rest());
  return statement;
}

}  // namespace admin
