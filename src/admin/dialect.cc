#include "admin/dialect.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "admin/catalog_tables.h"
#include "admin/table.h"
#include "admin/text.h"

namespace admin {
namespace {

// Functions that are tables, by the catalog that has their rows here.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kTableFunctions = {{
    {"pg_get_keywords", "pg_get_keywords"},
    {"pg_show_all_settings", "pg_settings"},
}};

// Columns that are flags wherever their name is one; in the tables they are 0 and 1.
bool is_flag(std::string_view column) {
  static const auto kFlags = [] {
    std::set<std::string, std::less<>> flags, others;
    for (const auto tables : {admin::tables(), catalog_tables()}) {
      for (const Table& table : tables) {
        for (const ColumnDef& one : table.columns) {
          (one.type == Type::kBool ? flags : others).emplace(one.name);
        }
      }
    }
    std::erase_if(flags, [&](const std::string& name) { return others.contains(name); });
    return flags;
  }();
  return kFlags.contains(lower(column));
}

// 'true' and the like, as PostgreSQL reads them; "" = it is none.
std::string_view number_of_flag(std::string_view literal) {
  const std::string word = lower(literal.substr(1, literal.size() - 2));
  for (std::string_view yes : {"t", "true", "y", "yes", "on", "1"}) {
    if (word == yes) return "1";
  }
  for (std::string_view no : {"f", "false", "n", "no", "off", "0"}) {
    if (word == no) return "0";
  }
  return "";
}

constexpr int kDepthMax = 20;  // of what is translated together with its arguments, in one another

struct Token {
  enum class Kind : std::uint8_t { kWord, kQuoted, kOther } kind = Kind::kOther;
  std::string_view text;   // as written
  std::string_view blank;  // in front of it: spaces and comments
};

bool is_word(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || (c & 0x80) != 0 ||
         c == '_' || c == '$';
}

std::size_t blank_end(std::string_view sql, std::size_t at) {
  while (at < sql.size()) {
    if (is_space(sql[at])) {
      ++at;
    } else if (sql.substr(at, 2) == "--") {
      at = std::min(sql.find('\n', at), sql.size());
    } else if (sql.substr(at, 2) == "/*") {
      const std::size_t end = sql.find("*/", at + 2);
      at = end == std::string_view::npos ? sql.size() : end + 2;
    } else {
      break;
    }
  }
  return at;
}

std::size_t quoted_end(std::string_view sql, std::size_t at, bool escapes) {
  const char quote = sql[at];
  for (++at; at < sql.size(); ++at) {
    if (escapes && sql[at] == '\\') {
      ++at;
    } else if (sql[at] == quote) {
      return at + 1;
    }
  }
  return sql.size();
}

std::vector<Token> tokens_of(std::string_view sql) {
  std::vector<Token> tokens;
  for (std::size_t at = 0;;) {
    const std::size_t begin = blank_end(sql, at);
    Token token{.blank = sql.substr(at, begin - at)};
    std::size_t end = begin;
    if (begin == sql.size()) {
      token.text = {};
      tokens.push_back(token);
      return tokens;  // the last one is empty
    }
    const char c = sql[begin];
    const bool escapes = lower(c) == 'e' && sql.substr(begin + 1, 1) == "'";
    if (escapes || c == '\'' || c == '"' || c == '`') {
      token.kind = Token::Kind::kQuoted;
      end = quoted_end(sql, begin + (escapes ? 1 : 0), escapes);
    } else if (is_word(c)) {
      token.kind = Token::Kind::kWord;
      while (end < sql.size() && is_word(sql[end])) ++end;
    } else {
      end = begin + 1;
      for (std::string_view op : {"!~~*", "!~~", "~~*", "!~*", "!~", "~*", "~~", "::"}) {
        if (sql.substr(begin, op.size()) != op) continue;
        end = begin + op.size();
        break;
      }
    }
    token.text = sql.substr(begin, end - begin);
    tokens.push_back(token);
    at = end;
  }
}

// E'...' as '...'.
std::string without_escapes(std::string_view literal) {
  std::string out;
  for (std::size_t i = 1; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 >= literal.size()) {
      out += literal[i];
      continue;
    }
    const char c = literal[++i];
    out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    if (c == '\'') out += c;
  }
  return out;
}

class Translation {
 public:
  Translation(std::string_view sql, int depth) : tokens_(tokens_of(sql)), depth_(depth) {}

  std::string run() {
    while (!peek().text.empty()) step();
    append(out_, peek().blank);
    return std::move(out_);
  }

 private:
  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool is(std::size_t ahead, std::string_view text) const {
    return peek(ahead).kind != Token::Kind::kQuoted && equal_any_case(peek(ahead).text, text);
  }
  void skip(std::size_t count = 1) { at_ = std::min(at_ + count, tokens_.size() - 1); }
  void put(std::string_view text) {
    append(out_, peek().blank);
    last_ = out_.size();
    append(out_, text);
  }
  void put_and_skip(std::string_view text, std::size_t count = 1) {
    put(text);
    skip(count);
  }

  void step() {
    if (peek().kind == Token::Kind::kQuoted) {
      const bool escapes = lower(peek().text[0]) == 'e';
      const auto flag = is_compared_with_flag() ? number_of_flag(peek().text) : "";
      if (!flag.empty()) return put_and_skip(flag);
      return escapes ? put_and_skip(without_escapes(peek().text)) : put_and_skip(peek().text);
    }
    if (is(0, "::")) return skip_cast();
    if (peek().kind == Token::Kind::kWord) return step_word();
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kOperators = {{
        {"~", " REGEXP "},
        {"!~", " NOT REGEXP "},
        {"~*", " MATCH "},
        {"!~*", " NOT MATCH "},
        {"~~", " LIKE "},
        {"~~*", " LIKE "},
        {"!~~", " NOT LIKE "},
        {"!~~*", " NOT LIKE "},
    }};
    for (const auto& [theirs, ours] : kOperators) {
      if (is(0, theirs)) return put_and_skip(ours);
    }
    // The element of an array, and there are no arrays.
    const bool element = is(0, "[") && peek().blank.empty() && !out_.empty() &&
                         (is_word(out_.back()) || out_.back() == ')');
    if (element) return skip_brackets("[", "]");
    // A field of a record, and there are no records.
    const bool field = is(0, ".") && peek().blank.empty() && out_.ends_with(')');
    if (field) return skip(2);
    put_and_skip(peek().text);
  }

  // The literal behind name =, name <> or name !=.
  bool is_compared_with_flag() const {
    const auto behind = [this](std::size_t count) {
      return at_ < count ? std::string_view() : tokens_[at_ - count].text;
    };
    if (peek().text[0] != '\'') return false;
    if (behind(1) == "=") return is_flag(behind(behind(2) == "!" ? 3 : 2));
    return behind(1) == ">" && behind(2) == "<" && is_flag(behind(3));
  }

  void step_word() {
    const bool dotted = is(1, ".");
    if (dotted && (is(0, "pg_catalog") || is(0, "public"))) {
      append(out_, peek().blank);
      return skip(2);
    }
    if (dotted && is(0, "information_schema")) {
      if (is(3, "(")) return skip(2);
      const std::string name = concat("\"information_schema.", lower(peek(2).text), "\"");
      return put_and_skip(name, 3);
    }
    if (is(0, "operator") && is(1, "(")) {  // OPERATOR(pg_catalog.~)
      skip(is(2, "pg_catalog") ? 4 : 2);
      if (peek().kind != Token::Kind::kOther) return;
      const std::size_t closing = at_ + 1;
      step();
      if (at_ == closing && is(0, ")")) skip();
      return;
    }
    if (is(0, "collate")) {
      const std::size_t name = is(1, "pg_catalog") && is(2, ".") ? 3 : 1;
      if (is(name, "default") || peek(name).text == "\"default\"" || peek(name).text == "\"C\"") {
        return skip(name + 1);
      }
    }
    const bool too_deep = depth_ + nested_ >= kDepthMax;
    if (is(1, "(") && !too_deep &&
        ((is(0, "any") && out_.ends_with('=')) || (is(0, "all") && out_.ends_with("<>")))) {
      return is(2, "array") && is(3, "[") ? any_of_array() : any_of_value();
    }
    if (is(0, "trim") && is(1, "(") && !too_deep &&
        (is(2, "both") || is(2, "leading") || is(2, "trailing"))) {
      return trim();
    }
    if (is(0, "substring") && is(1, "(") && !too_deep) return substring();
    if (is(0, "array") && is(1, "(")) return put_and_skip("");  // its first element at least
    if (is(0, "ilike")) return put_and_skip("LIKE");
    if (is(0, "string_agg")) return put_and_skip("group_concat");
    const bool called = is(1, "(");
    const bool of_table = out_.ends_with('.');
    for (std::string_view word :
         {"current_user", "session_user", "current_catalog", "current_schema"}) {
      if (!called && !dotted && !of_table && is(0, word)) return put_and_skip(concat(word, "()"));
    }
    for (const auto& [theirs, ours] : kTableFunctions) {
      if (called && is(2, ")") && is(0, theirs)) return put_and_skip(ours, 3);
    }
    if (called && (is(0, "generate_series") || is(0, "unnest"))) return series();
    put_and_skip(peek().text);
  }

  // 'name'::regclass is looked up; everything else has the type that it needs.
  void skip_cast() {
    skip();
    if (is(0, "pg_catalog") && is(1, ".")) skip(2);
    if (is(0, "regclass") && last_ < out_.size() && out_[last_] == '\'') {
      const std::string name = out_.substr(last_);
      out_.resize(last_);
      append(out_, "(SELECT oid FROM pg_class WHERE relname = ", name, ")");
    }
    const bool two_words = is(0, "double") || is(0, "character");
    const bool zoned = is(0, "timestamp") || is(0, "time");
    skip(two_words && (is(1, "precision") || is(1, "varying")) ? 2 : 1);
    if (is(0, "(")) skip_brackets("(", ")");
    if (zoned && (is(0, "with") || is(0, "without"))) skip(3);
    while (is(0, "[")) skip_brackets("[", "]");
  }

  void skip_brackets(std::string_view open, std::string_view close) {
    int depth = 0;
    do {
      if (is(0, open)) ++depth;
      if (is(0, close)) --depth;
      skip();
    } while (depth > 0 && !peek().text.empty());
  }

  // Of what stands in brackets, the opening one being next; behind it afterwards.
  std::vector<std::string> arguments(std::string_view open, std::string_view close) {
    std::vector<std::string> found(1);
    int depth = 0;
    for (; !peek().text.empty(); skip()) {
      if (is(0, open)) ++depth;
      if (is(0, close)) --depth;
      if (depth == 0) break;
      if (depth == 1 && is(0, open)) continue;
      if (depth == 1 && is(0, ",")) {
        found.emplace_back();
      } else {
        append(found.back(), peek().blank, peek().text);
      }
    }
    skip();
    for (std::string& each : found) each = Translation(each, depth_ + 1).run();
    return found;
  }

  // TRIM(BOTH '"' FROM name), up to the closing bracket.
  void trim() {
    put(is(2, "both") ? "trim(" : is(2, "leading") ? "ltrim(" : "rtrim(");
    skip(3);
    std::string_view what;
    if (peek().kind == Token::Kind::kQuoted && is(1, "from")) {
      what = peek().text;
      skip();
    }
    if (is(0, "from")) skip();
    arguments_end([](std::string_view) { return false; });
    if (!what.empty()) append(out_, ", ", what);
  }

  // SUBSTRING(name FROM 1 FOR 3), up to the closing bracket.
  void substring() {
    put("substr(");
    skip(2);
    arguments_end([](std::string_view word) {
      return equal_any_case(word, "from") || equal_any_case(word, "for");
    });
  }

  // Translates until the bracket that closes these arguments is next; what `is_comma` of their own
  // words separates them.
  void arguments_end(bool (*is_comma)(std::string_view)) {
    ++nested_;
    translate_arguments(is_comma);
    --nested_;
  }

  void translate_arguments(bool (*is_comma)(std::string_view)) {
    for (int depth = 0; !peek().text.empty();) {
      if (is(0, "(")) ++depth;
      if (is(0, ")") && depth-- == 0) return;
      if (depth == 0 && peek().kind == Token::Kind::kWord && is_comma(peek().text)) {
        put_and_skip(",");
      } else {
        step();
      }
    }
  }

  // In place of the operator, and up to the list's opening bracket.
  void in() {
    const bool all = is(0, "all");
    out_.resize(out_.size() - (all ? 2 : 1));
    put(all ? " NOT IN (" : " IN (");
  }

  void any_of_array() {
    in();
    skip(3);
    if (depth_ >= kDepthMax) return skip_brackets("[", "]");
    const char* separator = "";
    for (const std::string& each : arguments("[", "]")) {
      append(out_, std::exchange(separator, ","), each);
    }
    if (is(0, "::")) skip_cast();
  }

  // = ANY ('{1,2}'), = ANY ($1), = ANY (SELECT ...)
  void any_of_value() {
    in();
    skip(2);
    if (is(0, "array") && is(1, "(")) {  // ARRAY(SELECT ...)
      skip(2);
      arguments_end([](std::string_view) { return false; });
      return skip();
    }
    if (is(0, "select") || is(0, "with") || is(0, "values")) return;
    append(out_, "SELECT value FROM json_each(array_json(");
    arguments_end([](std::string_view) { return false; });
    append(out_, "))");
  }

  // A table of one column, which has the alias's name unless the alias names it: s(n).
  void series() {
    const bool counts = is(0, "generate_series");
    std::string column(peek().text);
    append(out_, peek().blank);
    skip();
    if (depth_ >= kDepthMax) return skip_brackets("(", ")");
    const auto of = arguments("(", ")");
    if (is(0, "as")) skip();
    if (peek().kind == Token::Kind::kWord && !ends_from()) {
      column = peek().text;
      skip();
    }
    const std::string alias = column;
    if (is(0, "(") && peek(1).kind == Token::Kind::kWord && is(2, ")")) {
      column = peek(1).text;
      skip(3);
    }
    if (counts && of.size() == 2) {
      // Each bound once: they may be series themselves.
      append(out_, "(WITH RECURSIVE weir_bounds(weir_low, weir_high) AS (SELECT ", of[0], ", ",
             of[1], "), weir_series(", column, ") AS (SELECT weir_low FROM weir_bounds UNION ALL ",
             "SELECT ", column, " + 1 FROM weir_series, weir_bounds WHERE ", column,
             " < weir_high) SELECT ", column, " FROM weir_series, weir_bounds WHERE ", column,
             " <= weir_high) ", alias, " ");
    } else {
      append(out_, "(SELECT NULL AS ", column, " WHERE 0) ", alias, " ");
    }
  }

  bool ends_from() const {
    for (std::string_view word : {"where", "group", "order", "limit", "join", "left", "inner",
                                  "cross", "on", "union", "having"}) {
      if (is(0, word)) return true;
    }
    return false;
  }

  const std::vector<Token> tokens_;
  const int depth_;  // of Translations in one another
  int nested_ = 0;   // in this one
  std::size_t at_ = 0;
  std::string out_;
  std::size_t last_ = 0;  // where what was written last begins
};

// Whether `text` is one call, maybe with FILTER or OVER; the name ends at `open`.
bool is_call(std::string_view text, std::size_t open) {
  int depth = 0;
  for (std::size_t at = open; at < text.size();) {
    if (text[at] == '\'' || text[at] == '"') {
      at = quoted_end(text, at, false);
      continue;
    }
    if (text[at] == '(') ++depth;
    if (text[at] == ')') --depth;
    ++at;
    if (depth > 0) continue;
    const std::string_view rest = text.substr(blank_end(text, at));
    return rest.empty() || equal_any_case(rest.substr(0, 6), "filter") ||
           equal_any_case(rest.substr(0, 4), "over");
  }
  return false;
}

}  // namespace

std::string postgres_name(std::string_view name, std::string_view sql) {
  const auto end = static_cast<std::size_t>(std::ranges::find_if_not(name, is_word) - name.begin());
  const bool number = !name.empty() && (name[0] == '$' || (name[0] >= '0' && name[0] <= '9'));
  if (end == name.size() && !number) return std::string(name);
  for (std::string_view quotes : {"\"\"", "''", "[]", "``"}) {
    const std::string given = concat(quotes.substr(0, 1), name, quotes.substr(1));
    if (sql.find(given) != std::string_view::npos) return std::string(name);
  }
  const std::string word = lower(name.substr(0, end));
  if (word == "case") return word;
  const std::size_t open = blank_end(name, end);
  const bool call = end > 0 && !number && name.substr(open, 1) == "(" && is_call(name, open);
  return call ? word : "?column?";
}

std::string to_sqlite(std::string_view sql) {
  constexpr std::size_t kTextMax = 256 << 10;  // longer ones are refused anyway
  return sql.size() > kTextMax ? std::string(sql) : Translation(sql, 0).run();
}

}  // namespace admin
