// SET and RESET of Weir's settings.
#include "admin/set_statement.h"

#include <utility>
#include <vector>

#include "admin/text.h"
#include "admin/words.h"

namespace admin {
namespace {

namespace sqlstate = protocol::sqlstate;
using What = config::Meant::What;

constexpr std::string_view kHidden = "********";

// Up to a comment or the end, without the blanks there.
std::string_view plain_value(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && !is_comment(text, end)) {
    const std::size_t behind = skip_quoted(text, end);
    end = behind > end ? behind : end + 1;
  }
  text = text.substr(0, end);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

protocol::Error error(std::string_view code, std::string message, std::string hint = "") {
  protocol::Error made;
  made.code = code;
  made.message = std::move(message);
  made.hint = std::move(hint);
  return made;
}

// What is wrong with the name; nullopt = nothing.
std::optional<protocol::Error> refusal(const config::Meant& meant, std::string_view name) {
  if (meant.what == What::kRestart) {
    return error(sqlstate::kCantChangeNow,
                 concat("parameter \"", name, "\" cannot be changed without restarting Weir"));
  }
  if (meant.what == What::kUnknown) {
    return error(sqlstate::kUndefinedObject,
                 concat("unrecognized configuration parameter \"", name, "\""), meant.hint);
  }
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& path) {
  std::string name;
  for (const std::string& part : path) append(name, name.empty() ? "" : ".", part);
  return name;
}

Statement command(std::string_view tag, const config::Meant& meant,
                  const std::vector<std::string>& path) {
  Statement statement{.action = Action::kSet, .tag = std::string(tag)};
  const std::string name = joined(path);
  if (auto wrong = refusal(meant, name)) statement.error = *std::move(wrong);
  statement.change = config::reset_of(meant);
  if (meant.path.empty()) statement.change.key = name;
  statement.shown = concat(tag, " ", statement.change.key);
  return statement;
}

}  // namespace

std::optional<Statement> parse_set(Words words) {
  const bool prefixed = words.take("SESSION") || words.take("LOCAL");
  const std::vector<std::string> path = words.next_path();
  const config::Meant meant = config::what_is_meant(path);
  // SET TIME ZONE, SET SESSION AUTHORIZATION ... begin with no setting of ours.
  if (meant.what == What::kSession || (prefixed && path.size() == 1)) return std::nullopt;
  if (prefixed) return syntax_error(joined(path), "Settings of Weir's are of no session.");
  if (!words.take('=') && !words.take("TO")) {
    return syntax_error(words.rest(), "SET <setting> = <value>");
  }
  Words as_default = words;
  if (as_default.take("DEFAULT") && as_default.done()) return command("SET", meant, path);
  const std::string_view rest = words.rest();
  const auto literal = words.next_literal();
  if (literal && !words.done()) return syntax_error(words.rest());
  const std::string value = literal ? *literal : std::string(plain_value(rest));
  if (!literal && (value.empty() || value[0] == '{')) {
    return syntax_error(rest, "One setting has one value: SET <setting> = <value>");
  }
  Statement statement = command("SET", meant, path);
  if (!statement.error.message.empty()) {
    append(statement.shown, " = ", kHidden);
    return statement;
  }
  statement.change = config::change_of(meant, value, literal.has_value());
  const bool open = config::may_be_shown(statement.change);
  append(statement.shown, " = ", open ? excerpt(rest, kShownMax) : std::string(kHidden));
  return statement;
}

std::optional<Statement> parse_reset(Words words) {
  const std::vector<std::string> path = words.next_path();
  const config::Meant meant = config::what_is_meant(path);
  if (meant.what == What::kSession) return std::nullopt;
  if (!words.done()) return syntax_error(words.rest());
  return command("RESET", meant, path);
}

}  // namespace admin
