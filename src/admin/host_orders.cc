#include "admin/host_orders.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "admin/text.h"

namespace admin {
namespace {

using What = proxy::HostOrder::What;

bool is(const Word& word, std::string_view keyword) {
  return !word.quoted && equal_any_case(word.text, keyword);
}

Statement wrong(std::span<const Word> at, std::string_view hint) {
  return syntax_error(at.empty() ? "" : at.front().text, std::string(hint));
}

std::optional<std::uint64_t> whole(const Word& word) {
  if (word.quoted) return std::nullopt;
  return parse_number<std::uint64_t>(word.text);
}

// Of a decimal fraction. A weight that is too large, or 0, is refused later.
std::optional<double> decimal(const Word& word) {
  double value = 0;
  const char* end = word.text.data() + word.text.size();
  const auto parsed = std::from_chars(word.text.data(), end, value, std::chars_format::fixed);
  const bool ok = parsed.ec == std::errc() && parsed.ptr == end && std::isfinite(value);
  return ok && !word.quoted ? std::optional(value) : std::nullopt;
}

// The last word of WEIGHT. 0 stands for "as configured" from there on, and so cannot be asked for.
bool take_weight(std::span<const Word>& words, double& weight) {
  if (words.empty()) return false;
  const Word& last = words.back();
  if (is(last, "DEFAULT")) {
    weight = 0;
  } else if (const auto number = decimal(last)) {
    weight = *number == 0 ? -1 : *number;
  } else {
    return false;
  }
  words = words.first(words.size() - 1);
  return true;
}

}  // namespace

std::optional<Statement> parse_host_order(Words words) {
  std::vector<Word> all;
  while (!words.done()) all.push_back(words.next_plain());
  if (all.empty()) return std::nullopt;
  const Word& verb = all.front();
  auto rest = std::span<const Word>(all).subspan(1);
  Statement statement{.action = Action::kHostOrder, .tag = upper(verb.text)};
  proxy::HostOrder& order = statement.order;
  if (is(verb, "CHOOSE")) {
    if (rest.empty() || !is(rest.front(), "PRIMARY")) return wrong(rest, "PRIMARY may follow.");
    statement.tag = "CHOOSE PRIMARY";
    rest = rest.subspan(1);
    const bool by_rules = !rest.empty() && is(rest.front(), "AUTO");
    order.what = by_rules ? What::kChooseByRules : What::kChoosePrimary;
  } else if (is(verb, "BAN")) {
    order.what = What::kBan;
  } else if (is(verb, "UNBAN")) {
    order.what = What::kUnban;
  } else if (is(verb, "WEIGHT")) {
    order.what = What::kWeight;
  } else if ((is(verb, "PAUSE") || is(verb, "RESUME")) && rest.size() > 1 &&
             is(rest.front(), "HOST")) {
    order.what = is(verb, "PAUSE") ? What::kPause : What::kResume;
    statement.tag += " HOST";
    rest = rest.subspan(1);
  } else {
    return std::nullopt;
  }
  if (rest.empty()) return wrong(rest, "The name of a host is needed: SHOW HOSTS has it.");
  if (order.what != What::kChooseByRules) order.host = rest.front().text;
  rest = rest.subspan(1);
  if (order.what == What::kWeight && !take_weight(rest, order.weight)) {
    return wrong(rest.empty() ? rest : rest.last(1), "A number, or DEFAULT, is needed at the end.");
  }
  if (order.what == What::kBan && !rest.empty()) {
    order.seconds = whole(rest.back());
    if (order.seconds) rest = rest.first(rest.size() - 1);
  }
  if (!rest.empty()) {
    order.cluster = rest.front().text;
    rest = rest.subspan(1);
  }
  if (!rest.empty()) return wrong(rest, "");
  return statement;
}

}  // namespace admin
