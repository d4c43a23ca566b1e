// Functions that psql and drivers call when they read catalogs, and regular expressions.
#include <re2/re2.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "admin/catalog_tables.h"
#include "admin/server_settings.h"
#include "admin/text.h"

namespace admin {
namespace {

std::string_view text_of(sqlite3_value* value) {
  const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
  const int size = sqlite3_value_bytes(value);
  return bytes == nullptr ? std::string_view()
                          : std::string_view(bytes, static_cast<std::size_t>(size));
}

void give(sqlite3_context* context, std::string_view text) {
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

// x REGEXP y, x MATCH y: regexp(y, x). RE2 takes linear time, whatever it is given.
template <bool kAnyCase>
void regexp(sqlite3_context* context, int, sqlite3_value** arguments) {
  if (sqlite3_value_type(arguments[0]) == SQLITE_NULL ||
      sqlite3_value_type(arguments[1]) == SQLITE_NULL) {
    return sqlite3_result_null(context);
  }
  auto* known = static_cast<re2::RE2*>(sqlite3_get_auxdata(context, 0));
  std::unique_ptr<re2::RE2> made;
  if (known == nullptr) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_case_sensitive(!kAnyCase);
    options.set_max_mem(1 << 20);
    const std::string_view pattern = text_of(arguments[0]);
    made = std::make_unique<re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
    known = made.get();
  }
  if (!known->ok()) return sqlite3_result_error(context, "invalid regular expression", -1);
  const std::string_view text = text_of(arguments[1]);
  const bool found = re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *known);
  sqlite3_result_int(context, found ? 1 : 0);
  if (made == nullptr) return;
  sqlite3_set_auxdata(context, 0, made.release(),
                      [](void* pattern) { delete static_cast<re2::RE2*>(pattern); });
}

// x LIKE y: like(y, x). A backslash escapes, as in PostgreSQL; ASCII's case is no matter, as in
// SQLite.
void like(sqlite3_context* context, int, sqlite3_value** arguments) {
  constexpr int kPatternMax = 200;  // time may grow with what it and the text have in common
  const auto* pattern = sqlite3_value_text(arguments[0]);
  const auto* text = sqlite3_value_text(arguments[1]);
  if (pattern == nullptr || text == nullptr) return sqlite3_result_null(context);
  if (sqlite3_value_bytes(arguments[0]) > kPatternMax) {
    return sqlite3_result_error(context, "LIKE or GLOB pattern too complex", -1);
  }
  const auto* of = reinterpret_cast<const char*>(pattern);
  const auto* in = reinterpret_cast<const char*>(text);
  sqlite3_result_int(context, sqlite3_strlike(of, in, '\\') == 0 ? 1 : 0);
}

void format_type(sqlite3_context* context, int, sqlite3_value** arguments) {
  const std::string_view name = type_name(sqlite3_value_int64(arguments[0]));
  if (name.empty()) return sqlite3_result_null(context);
  give(context, name);
}

void table_description(sqlite3_context* context, int count, sqlite3_value** arguments) {
  const auto help = count == 0 ? std::string_view() : table_help(sqlite3_value_int64(arguments[0]));
  if (help.empty()) return sqlite3_result_null(context);
  give(context, help);
}

// One element of an array's text, from `at` on, as JSON; `at` is behind it afterwards.
std::string json_element(std::string_view text, std::size_t& at) {
  const bool quoted = text[at] == '"';
  std::string value;
  for (at += quoted ? 1 : 0; at < text.size(); ++at) {
    if (quoted ? text[at] == '"' : text[at] == ',' || text[at] == '}') break;
    if (text[at] == '\\' && at + 1 < text.size()) ++at;
    value += text[at];
  }
  if (quoted) at = std::min(at + 1, text.size());
  if (!quoted && equal_any_case(value, "null")) return "null";
  if (const auto number = parse_number<std::int64_t>(value); number && !quoted) {
    return std::to_string(*number);
  }
  std::string json = "\"";
  for (char c : value) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
    if (c == '"' || c == '\\') json += '\\';
    json += c;
  }
  return json + '"';
}

// {a,"b c",1} of PostgreSQL's as ["a","b c",1]; anything else as a list of its own.
void array_json(sqlite3_context* context, int count, sqlite3_value** arguments) {
  const std::string_view text = count == 0 ? std::string_view() : text_of(arguments[0]);
  if (!text.starts_with('{') || !text.ends_with('}')) {
    std::string quoted = "{\"";
    for (char c : text) append(quoted, c == '"' || c == '\\' ? "\\" : "", std::string_view(&c, 1));
    std::size_t at = 1;
    return give(context, concat("[", json_element(quoted + "\"}", at), "]"));
  }
  std::string json = "[";
  for (std::size_t at = 1; at + 1 < text.size();) {
    append(json, json.size() > 1 ? "," : "", json_element(text, at));
    if (at < text.size() && text[at] != '}' && text[at] != ',') break;  // not an array
    ++at;
  }
  give(context, json + "]");
}

// current_setting(name [, missing_ok])
void current_setting(sqlite3_context* context, int count, sqlite3_value** arguments) {
  const std::string_view name = count == 0 ? std::string_view() : text_of(arguments[0]);
  if (const ServerSetting* setting = find_server_setting(name)) {
    return give(context, setting->value);
  }
  if (count > 1 && sqlite3_value_int(arguments[1]) != 0) return sqlite3_result_null(context);
  sqlite3_result_error(context, "unrecognized configuration parameter", -1);
}

// set_config(name, value, is_local) changes as little as SET does.
void set_config(sqlite3_context* context, int count, sqlite3_value** arguments) {
  if (count < 2) return sqlite3_result_null(context);
  sqlite3_result_value(context, arguments[1]);
}

void first(sqlite3_context* context, int count, sqlite3_value** arguments) {
  if (count == 0) return sqlite3_result_null(context);
  sqlite3_result_value(context, arguments[0]);
}

void null(sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_null(context); }
void zero(sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_int(context, 0); }
void yes(sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_int(context, 1); }
void owner(sqlite3_context* context, int, sqlite3_value**) { give(context, "weir"); }
void schema(sqlite3_context* context, int, sqlite3_value**) { give(context, "public"); }
void schemas(sqlite3_context* context, int, sqlite3_value**) {
  give(context, "{pg_catalog,public}");
}
void encoding(sqlite3_context* context, int, sqlite3_value**) { give(context, "UTF8"); }
void size(sqlite3_context* context, int, sqlite3_value**) { give(context, "0 bytes"); }

struct Function {
  const char* name;
  void (*call)(sqlite3_context*, int, sqlite3_value**);
};
constexpr auto kFunctions = std::to_array<Function>({
    {"_pg_expandarray", null},
    {"any", first},
    {"array_json", array_json},
    {"array_lower", null},
    {"array_to_string", first},
    {"array_upper", null},
    {"col_description", null},
    {"current_catalog", owner},
    {"current_schema", schema},
    {"current_schemas", schemas},
    {"current_setting", current_setting},
    {"current_user", owner},
    {"format_type", format_type},
    {"has_database_privilege", yes},
    {"has_schema_privilege", yes},
    {"has_table_privilege", yes},
    {"obj_description", table_description},
    {"pg_backend_pid", zero},
    {"pg_encoding_to_char", encoding},
    {"pg_function_is_visible", yes},
    {"pg_get_constraintdef", null},
    {"pg_get_expr", null},
    {"pg_get_function_arguments", null},
    {"pg_get_function_result", null},
    {"pg_get_indexdef", null},
    {"pg_get_partkeydef", null},
    {"pg_get_statisticsobjdef_columns", null},
    {"pg_get_triggerdef", null},
    {"pg_get_userbyid", owner},
    {"pg_get_viewdef", null},
    {"pg_is_in_recovery", zero},
    {"pg_is_wal_replay_paused", zero},
    {"pg_my_temp_schema", zero},
    {"pg_relation_is_publishable", zero},
    {"pg_relation_size", zero},
    {"pg_size_pretty", size},
    {"pg_stat_get_numscans", zero},
    {"pg_table_is_visible", yes},
    {"pg_table_size", zero},
    {"pg_total_relation_size", zero},
    {"pg_type_is_visible", yes},
    {"quote_ident", first},  // of the console's own names none needs it
    {"session_user", owner},
    {"set_config", set_config},
    {"shobj_description", null},
});

}  // namespace

void add_catalog_functions(sqlite3* db) {
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
  constexpr int kAnyNumber = -1;
  for (const Function& each : kFunctions) {
    sqlite3_create_function(db, each.name, kAnyNumber, kFlags, nullptr, each.call, nullptr,
                            nullptr);
  }
  sqlite3_create_function(db, "regexp", 2, kFlags, nullptr, regexp<false>, nullptr, nullptr);
  sqlite3_create_function(db, "like", 2, kFlags, nullptr, like, nullptr, nullptr);
  sqlite3_create_function(db, "match", 2, kFlags, nullptr, regexp<true>, nullptr, nullptr);
}

}  // namespace admin
