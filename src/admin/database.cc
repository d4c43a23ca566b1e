#include "admin/database.h"

#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "admin/catalog_tables.h"
#include "admin/dialect.h"
#include "admin/text.h"

namespace admin {
namespace {

using protocol::Error;
namespace sqlstate = protocol::sqlstate;

// SQLite's affinities follow from these: "INT" makes INTEGER, "FLOA" REAL.
std::string_view sql_type(Type type) {
  switch (type) {
    case Type::kText:
      return "TEXT";
    case Type::kInt4:
      return "INT4";
    case Type::kInt8:
      return "INT8";
    case Type::kNumeric:
      return "NUMERIC";
    case Type::kFloat8:
      return "FLOAT8";
    case Type::kBool:
      return "BOOL";
    case Type::kTimestamp:
      return "TIMESTAMPTZ";
    case Type::kTimeText:  // a result's only
      break;
  }
  return "TEXT";
}

std::optional<Type> declared_type(const char* declaration) {
  if (declaration == nullptr) return std::nullopt;
  for (Type type : {Type::kText, Type::kInt4, Type::kInt8, Type::kNumeric, Type::kFloat8,
                    Type::kBool, Type::kTimestamp}) {
    if (sql_type(type) == declaration) return type;
  }
  return std::nullopt;
}

Error error(std::string_view code, std::string message, std::string hint = "") {
  Error e;
  e.code = code;
  e.message = std::move(message);
  e.hint = std::move(hint);
  return e;
}

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using DatabasePtr = std::unique_ptr<sqlite3, CloseDatabase>;
using StatementPtr = std::unique_ptr<sqlite3_stmt, Finalize>;

// To open one, with its functions, takes longer than most queries: a small one is used again by
// the same thread. `tables` are there, empty.
struct Spare {
  static constexpr int kBytesMax = 1 << 20;

  DatabasePtr db;
  std::set<std::string_view> tables;
};
thread_local Spare spare;

void version_function(sqlite3_context* context, int, sqlite3_value**) {
  static constexpr const char* kVersion = "PostgreSQL 15.0 (Weir console), Weir " WEIR_VERSION;
  sqlite3_result_text(context, kVersion, -1, SQLITE_STATIC);
}
void database_function(sqlite3_context* context, int, sqlite3_value**) {
  sqlite3_result_text(context, "weir", -1, SQLITE_STATIC);
}
void null_function(sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_null(context); }

class Database {
 public:
  explicit Database(const QueryLimits& limits) : limits_(limits) {}
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The tables that `sql` may name, empty: to make all of them takes a millisecond.
  std::optional<Error> open(std::string_view sql);
  // Compiles a SELECT; afterwards read_tables() are the tables it names.
  std::optional<Error> prepare(std::string_view sql, StatementPtr& statement);
  std::optional<Error> fill(const Source& source);
  // As sqlite3_step, counted.
  int step(sqlite3_stmt* statement);
  Error last_error() const;

 private:
  enum class Mode : std::uint8_t { kBuild, kRead };

  static int authorize(void* self, int action, const char* first, const char* second,
                       const char* database, const char* trigger);
  static int progress(void* self);
  bool connect();
  void set_limits();
  std::optional<Error> fill(const Table& table, const Source& source);

  const QueryLimits& limits_;
  // Steps alone do not bound the time: one step may call a function that takes milliseconds.
  base::Time deadline_{};  // set by the first step(); filling is bounded by what there is
  std::vector<Table> tables_;
  DatabasePtr db_;
  std::set<std::string_view> made_;  // the tables that are there
  Mode mode_ = Mode::kBuild;
  std::set<std::string, std::less<>> read_;
  std::int64_t steps_ = 0;
};

constexpr int kStepsPerCall = 1000;

std::optional<Error> Database::open(std::string_view sql) {
  const std::string text = lower(sql);
  const auto may_be_named = [&](const Table& table) {
    return text.find(table.name) != std::string::npos;
  };
  std::ranges::copy_if(tables(), std::back_inserter(tables_), may_be_named);
  if (names_catalogs(sql)) {
    std::ranges::copy_if(catalog_tables(), std::back_inserter(tables_), may_be_named);
  }
  sqlite3_hard_heap_limit64(limits_.heap_bytes);
  if (!connect()) return error(sqlstate::kOutOfMemory, "out of memory");
  sqlite3_set_authorizer(db_.get(), &Database::authorize, this);
  sqlite3_progress_handler(db_.get(), kStepsPerCall, &Database::progress, this);
  std::string schema;
  for (const Table& table : tables_) {
    if (!made_.insert(table.name).second) continue;
    append(schema, "CREATE TABLE \"", table.name, "\" (");
    for (const ColumnDef& column : table.columns) {
      append(schema, &column == table.columns.data() ? "\"" : ", \"", column.name, "\" ",
             sql_type(column.type));
    }
    schema += ");";
  }
  // What = ANY reads of arrays; it declares its columns when it is named first.
  if (text.find("json_each") != std::string::npos) schema += "SELECT 1 FROM json_each('[]');";
  if (sqlite3_exec(db_.get(), schema.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return last_error();
  }
  return std::nullopt;
}

bool Database::connect() {
  db_ = std::move(spare.db);
  made_ = std::exchange(spare.tables, {});
  if (db_ != nullptr) {
    set_limits();
    return true;
  }
  sqlite3* raw = nullptr;
  // One thread at a time holds a Database: no mutexes.
  const int opened = sqlite3_open_v2(
      ":memory:", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  db_.reset(raw);
  if (opened != SQLITE_OK) return false;
  set_limits();
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
  sqlite3_create_function(db_.get(), "version", 0, kFlags, nullptr, version_function, nullptr,
                          nullptr);
  sqlite3_create_function(db_.get(), "current_database", 0, kFlags, nullptr, database_function,
                          nullptr, nullptr);
  add_catalog_functions(db_.get());
  // asyncpg resets a pooled connection with it.
  sqlite3_create_function(db_.get(), "pg_advisory_unlock_all", 0, kFlags, nullptr, null_function,
                          nullptr, nullptr);
  // No files, whatever is sorted.
  return sqlite3_exec(db_.get(), "PRAGMA temp_store = MEMORY", nullptr, nullptr, nullptr) ==
         SQLITE_OK;
}

Database::~Database() {
  if (db_ == nullptr) return;
  mode_ = Mode::kBuild;
  const int code = sqlite3_errcode(db_.get());
  const bool sound = code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE;
  int bytes = 0, most = 0;
  sqlite3_db_status(db_.get(), SQLITE_DBSTATUS_CACHE_USED, &bytes, &most, 0);
  if (!sound || sqlite3_get_autocommit(db_.get()) == 0 || bytes > Spare::kBytesMax) return;
  std::string empty;
  for (const Table& table : tables_) {
    if (read_.contains(table.name)) append(empty, "DELETE FROM \"", table.name, "\";");
  }
  if (sqlite3_exec(db_.get(), empty.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) {
    spare = {.db = std::move(db_), .tables = std::move(made_)};
  }
}

void Database::set_limits() {
  sqlite3_limit(db_.get(), SQLITE_LIMIT_LENGTH, limits_.value_bytes);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_SQL_LENGTH, limits_.text_bytes);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_EXPR_DEPTH, 200);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_COMPOUND_SELECT, 50);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_VDBE_OP, 100'000);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_VARIABLE_NUMBER, 1000);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_WORKER_THREADS, 0);
  sqlite3_limit(db_.get(), SQLITE_LIMIT_COLUMN, 500);
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
}

int Database::authorize(void* self, int action, const char* first, const char*, const char*,
                        const char*) {
  auto* database = static_cast<Database*>(self);
  if (database->mode_ == Mode::kBuild) return SQLITE_OK;
  switch (action) {  // codes of SQLite's, an open set
    case SQLITE_SELECT:
    case SQLITE_FUNCTION:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_READ:
      if (first != nullptr) database->read_.emplace(first);
      return SQLITE_OK;
    default:
      return SQLITE_DENY;
  }
}

int Database::progress(void* self) {
  auto* database = static_cast<Database*>(self);
  if (database->mode_ == Mode::kBuild) return 0;
  database->steps_ += kStepsPerCall;
  if (database->deadline_ == base::Time{}) return 0;  // compiling
  const bool late = std::chrono::steady_clock::now() > database->deadline_;
  return database->steps_ > database->limits_.steps || late ? 1 : 0;
}

std::optional<Error> Database::prepare(std::string_view sql, StatementPtr& statement) {
  if (sql.size() > static_cast<std::size_t>(limits_.text_bytes)) {
    return error(sqlstate::kProgramLimitExceeded, "statement is too long");
  }
  mode_ = Mode::kRead;
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  const int size = static_cast<int>(sql.size());
  const int prepared = sqlite3_prepare_v2(db_.get(), sql.data(), size, &raw, &tail);
  statement.reset(raw);
  mode_ = Mode::kBuild;
  if (prepared != SQLITE_OK) return last_error();
  if (raw == nullptr || sqlite3_stmt_readonly(raw) == 0) {
    return error(sqlstate::kSyntaxError, "only SELECT is possible here");
  }
  // split() and SQLite may disagree on a hostile text; then the text is not one statement.
  const std::string_view rest(tail, static_cast<std::size_t>(sql.data() + sql.size() - tail));
  if (!std::all_of(rest.begin(), rest.end(), is_space)) {
    return error(sqlstate::kSyntaxError, "cannot run several statements as one");
  }
  return std::nullopt;
}

std::optional<Error> Database::fill(const Source& source) {
  if (sqlite3_exec(db_.get(), "BEGIN", nullptr, nullptr, nullptr) != SQLITE_OK) {
    return last_error();
  }
  for (const Table& table : tables_) {
    if (!read_.contains(table.name)) continue;
    if (auto failed = fill(table, source)) return failed;
  }
  if (sqlite3_exec(db_.get(), "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK) {
    return last_error();
  }
  return std::nullopt;
}

// Text of a client's own making (application_name) must not stop the others' rows.
constexpr std::size_t kCellBytes = 4096;

int bind(sqlite3_stmt* statement, int index, const Value& value,
         std::size_t text_bytes = std::string::npos) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return sqlite3_bind_int64(statement, index, *number);
  }
  if (const auto* number = std::get_if<double>(&value)) {
    return sqlite3_bind_double(statement, index, *number);
  }
  if (const auto* text = std::get_if<std::string>(&value)) {
    return sqlite3_bind_text64(statement, index, text->data(), std::min(text->size(), text_bytes),
                               SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  return sqlite3_bind_null(statement, index);
}

std::optional<Error> Database::fill(const Table& table, const Source& source) {
  std::string sql = concat("INSERT INTO \"", table.name, "\" VALUES (?");
  for (std::size_t i = 1; i < table.columns.size(); ++i) sql += ",?";
  sql += ")";
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &raw, nullptr) != SQLITE_OK) {
    return last_error();
  }
  const StatementPtr insert(raw);
  bool failed = false;
  const auto take = [&](Emit::Row row) {
    if (failed) return;
    int index = 0;
    for (const Value& value : row) {
      failed |= bind(raw, ++index, value, kCellBytes) != SQLITE_OK;
    }
    failed = failed || sqlite3_step(raw) != SQLITE_DONE;
    failed = sqlite3_reset(raw) != SQLITE_OK || failed;
  };
  table.fill(source, Emit(take));
  if (failed) return last_error();
  return std::nullopt;
}

int Database::step(sqlite3_stmt* statement) {
  if (deadline_ == base::Time{}) deadline_ = std::chrono::steady_clock::now() + limits_.time;
  mode_ = Mode::kRead;
  const int stepped = sqlite3_step(statement);
  mode_ = Mode::kBuild;
  return stepped;
}

// SQLite's messages in PostgreSQL's words where drivers or people look for them.
Error Database::last_error() const {
  const int code = sqlite3_errcode(db_.get());
  const std::string message = sqlite3_errmsg(db_.get());
  std::string_view name = message;
  const std::string hint = "SHOW TABLES lists the tables and their columns.";
  switch (code) {  // codes of SQLite's, an open set
    case SQLITE_INTERRUPT:
      return error(sqlstate::kProgramLimitExceeded, "the query takes too many steps",
                   "Narrow it with WHERE, or join fewer rows.");
    case SQLITE_NOMEM:
      return error(sqlstate::kOutOfMemory, "out of memory");
    case SQLITE_TOOBIG:
      return error(sqlstate::kProgramLimitExceeded, message);
    case SQLITE_AUTH:
      return error(sqlstate::kReadOnlyTransaction, "the console's tables are read-only");
    default:
      break;
  }
  if (take_prefix(name, "no such table: ")) {
    return error(sqlstate::kUndefinedTable, concat("relation \"", name, "\" does not exist"), hint);
  }
  if (take_prefix(name, "no such column: ")) {
    return error("42703", concat("column \"", name, "\" does not exist"), hint);
  }
  if (take_prefix(name, "no such function: ")) {
    return error("42883", concat("function ", name, " does not exist"));
  }
  if (take_prefix(name, "ambiguous column name: ")) {
    return error("42702", concat("column reference \"", name, "\" is ambiguous"));
  }
  if (code == SQLITE_ERROR) return error(sqlstate::kSyntaxError, message);
  return error(sqlstate::kInternalError, message);
}

// Parameters are named $n; anything else (?, :a, @a) is not PostgreSQL's.
std::optional<Error> parameter_number(sqlite3_stmt* statement, int index, int& number) {
  const char* raw = sqlite3_bind_parameter_name(statement, index);
  std::string_view name = raw == nullptr ? "?" : raw;
  const std::string_view whole = name;
  constexpr int kMaxParameter = 1000;
  const bool dollar = take_prefix(name, "$");
  number = parse_number<int>(name).value_or(0);
  if (!dollar || number < 1 || number > kMaxParameter) {
    return error(sqlstate::kSyntaxError, concat("syntax error at or near \"", whole, "\""),
                 "Parameters are $1, $2 ...");
  }
  return std::nullopt;
}

std::optional<Type> in_style(std::optional<Type> type, Style style) {
  if (style == Style::kTyped) return type;
  if (type == Type::kBool) return Type::kInt4;
  if (type == Type::kTimestamp) return Type::kTimeText;
  return type;
}

std::vector<ResultColumn> columns_of(sqlite3_stmt* statement, std::string_view sql, Style style) {
  std::vector<ResultColumn> columns;
  const int count = sqlite3_column_count(statement);
  columns.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const char* name = sqlite3_column_name(statement, i);
    columns.push_back(
        {.name = name == nullptr ? "?column?" : postgres_name(name, sql),
         .type = in_style(declared_type(sqlite3_column_decltype(statement, i)), style)});
  }
  return columns;
}

std::optional<Error> bind_all(sqlite3_stmt* statement, const std::vector<Value>& parameters) {
  for (int i = 1; i <= sqlite3_bind_parameter_count(statement); ++i) {
    int number = 0;
    if (auto bad = parameter_number(statement, i, number)) return bad;
    if (static_cast<std::size_t>(number) > parameters.size()) {
      return error("42P02", concat("there is no parameter $", number));
    }
    if (bind(statement, i, parameters[static_cast<std::size_t>(number) - 1]) != SQLITE_OK) {
      return error(sqlstate::kProgramLimitExceeded, concat("parameter $", number, " is too long"));
    }
  }
  return std::nullopt;
}

Value column_value(sqlite3_stmt* statement, int index) {
  switch (sqlite3_column_type(statement, index)) {  // codes of SQLite's
    case SQLITE_INTEGER:
      return std::int64_t{sqlite3_column_int64(statement, index)};
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, index);
    case SQLITE_NULL:
      return std::monostate();
    default:
      break;
  }
  const void* bytes = sqlite3_column_blob(statement, index);
  const int size = sqlite3_column_bytes(statement, index);
  if (bytes == nullptr) return std::string();
  return std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

Type type_of(const Value& value) {
  if (std::holds_alternative<std::int64_t>(value)) return Type::kInt8;
  if (std::holds_alternative<double>(value)) return Type::kFloat8;
  return Type::kText;
}

Error mixed_types(const ResultColumn& column) {
  return error("42804", concat("column \"", column.name, "\" holds values of different types"),
               "CAST it to TEXT.");
}

Error too_large() {
  return error(sqlstate::kProgramLimitExceeded, "the result is too large",
               "Narrow it with WHERE or LIMIT.");
}

// Steps through the rows. Types still open are decided by the first row.
std::optional<Error> collect(Database& database, sqlite3_stmt* statement, const Query& query,
                             const QueryLimits& limits, Result& result) {
  std::vector<Value> values(result.columns.size());
  for (;;) {
    const int stepped = database.step(statement);
    if (stepped == SQLITE_DONE) break;
    if (stepped != SQLITE_ROW) return database.last_error();
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = column_value(statement, static_cast<int>(i));
      if (!result.columns[i].type) result.columns[i].type = type_of(values[i]);
    }
    std::size_t column = 0;
    if (!write_row(result.rows, result.columns, query.formats, values, column)) {
      return mixed_types(result.columns[column]);
    }
    result.row_ends.push_back(result.rows.size());
    if (result.rows.size() > limits.result_bytes) {
      return too_large();
    }
  }
  for (ResultColumn& column : result.columns) {
    if (!column.type) column.type = Type::kText;
  }
  return std::nullopt;
}

Result failed(Error e) {
  Result result;
  result.error = std::move(e);
  return result;
}

// What exporters ask most, SHOW of a table without more, needs no SQLite: it would take four
// times as long. Null: something else.
const Table* whole_table(std::string_view sql) {
  if (!take_prefix(sql, "SELECT * FROM ")) return nullptr;
  while (sql.ends_with(' ')) sql.remove_suffix(1);
  return find_table(sql);
}

std::vector<ResultColumn> columns_of(const Table& table, Style style) {
  std::vector<ResultColumn> columns;
  columns.reserve(table.columns.size());
  for (const ColumnDef& column : table.columns) {
    columns.push_back({.name = std::string(column.name), .type = in_style(column.type, style)});
  }
  return columns;
}

// As it comes out of a column of SQLite's.
Value stored(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->substr(0, kCellBytes);
  const auto* number = std::get_if<double>(&value);
  if (number != nullptr && std::isnan(*number)) return std::monostate();
  return value;
}

std::optional<Error> collect(const Table& table, const Query& query, const Source& source,
                             const QueryLimits& limits, Result& result) {
  std::optional<Error> failed;
  std::vector<Value> values(table.columns.size());
  const auto take = [&](Emit::Row row) {
    if (failed) return;
    std::ranges::transform(row, values.begin(), stored);
    std::size_t column = 0;
    if (!write_row(result.rows, result.columns, query.formats, values, column)) {
      failed = mixed_types(result.columns[column]);
    }
    result.row_ends.push_back(result.rows.size());
    if (result.rows.size() > limits.result_bytes) failed = too_large();
  };
  table.fill(source, Emit(take));
  return failed;
}

}  // namespace

Description describe(std::string_view sql, Style style, const QueryLimits& limits) {
  Description description;
  if (const Table* table = whole_table(sql)) {
    description.columns = columns_of(*table, style);
    return description;
  }
  Database database(limits);
  StatementPtr statement;
  description.error = database.open(sql);
  if (!description.error) description.error = database.prepare(sql, statement);
  if (description.error) return description;
  for (int i = 1; i <= sqlite3_bind_parameter_count(statement.get()); ++i) {
    int number = 0;
    description.error = parameter_number(statement.get(), i, number);
    if (description.error) return description;
    description.parameters = std::max(description.parameters, number);
  }
  description.columns = columns_of(statement.get(), sql, style);
  return description;
}

Result run(const Query& query, const Source& source, const QueryLimits& limits) {
  const Table* table = whole_table(query.sql);
  Database database(limits);
  StatementPtr statement;  // goes before its database
  Result result;
  if (table == nullptr) {
    if (auto e = database.open(query.sql)) return failed(*std::move(e));
    if (auto e = database.prepare(query.sql, statement)) return failed(*std::move(e));
    if (auto e = bind_all(statement.get(), query.parameters)) return failed(*std::move(e));
    if (auto e = database.fill(source)) return failed(*std::move(e));
    result.columns = columns_of(statement.get(), query.sql, query.style);
  } else {
    result.columns = columns_of(*table, query.style);
  }
  const std::size_t columns = result.columns.size();
  if (!query.columns.empty()) {
    if (query.columns.size() != columns) {
      return failure(sqlstate::kFeatureNotSupported, "cached plan must not change result type");
    }
    result.columns = query.columns;
  }
  if (query.formats.size() > 1 && query.formats.size() != columns) {
    return failure(sqlstate::kProtocolViolation,
                   concat("bind message has ", query.formats.size(),
                          " result formats but query has ", columns, " columns"));
  }
  auto e = table == nullptr ? collect(database, statement.get(), query, limits, result)
                            : collect(*table, query, source, limits, result);
  if (e) return failed(*std::move(e));
  return result;
}

}  // namespace admin
