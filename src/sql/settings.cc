#include "sql/settings.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "sql/lexer.h"

namespace sql {
namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

// GUC_LIST_QUOTE in PostgreSQL's guc.c: SET takes a list of names; in set_config's one string they
// are separated by commas.
bool is_name_list(std::string_view setting) {
  constexpr std::array<std::string_view, 6> kNameLists = {
      "local_preload_libraries",  "search_path",      "session_preload_libraries",
      "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"};
  return std::find(kNameLists.begin(), kNameLists.end(), setting) != kNameLists.end();
}

const PgQuery__AConst* constant_of(const PgQuery__Node* node) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_A_CONST) return nullptr;
  return node->a_const;
}

// Without the cast around it that a typed literal, and TRUE, have.
const PgQuery__Node* uncast(const PgQuery__Node* node) {
  if (node != nullptr && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST)
    return node->type_cast->arg;
  return node;
}

std::string_view cast_name(const PgQuery__Node* node) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_TYPE_CAST) return {};
  const PgQuery__TypeName* type = node->type_cast->type_name;
  return type == nullptr ? std::string_view{}
                         : qualified_name(nodes(type->n_names, type->names)).name;
}

// One argument of SET: its text as SQL and as a plain string.
struct Argument {
  std::string sql, plain;
};

std::optional<Argument> argument_of(const PgQuery__Node* node) {
  const PgQuery__AConst* constant = constant_of(node);
  if (constant == nullptr || constant->isnull) return std::nullopt;
  switch (constant->val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL: {
      std::string digits = std::to_string(constant->ival->ival);
      return Argument{digits, digits};
    }
    case PG_QUERY__A__CONST__VAL_FVAL:
      return Argument{constant->fval->fval, constant->fval->fval};
    case PG_QUERY__A__CONST__VAL_SVAL:
      return Argument{quote_literal(constant->sval->sval), constant->sval->sval};
    case PG_QUERY__A__CONST__VAL__NOT_SET:
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
    case PG_QUERY__A__CONST__VAL_BSVAL:
    case _PG_QUERY__A__CONST__VAL__CASE_IS_INT_SIZE:
      return std::nullopt;
  }
  return std::nullopt;
}

// SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE: the setting's value is then the string
// INTERVAL '-08:00', which SET timezone TO takes as well (check_timezone in variable.c).
std::optional<std::string> interval_sql(const PgQuery__Node* node) {
  if (cast_name(node) != "interval") return std::nullopt;
  const PgQuery__AConst* constant = constant_of(node->type_cast->arg);
  if (constant == nullptr || constant->val_case != PG_QUERY__A__CONST__VAL_SVAL)
    return std::nullopt;
  std::string value = constant->sval->sval;
  const PgQuery__TypeName& type = *node->type_cast->type_name;
  if (type.n_typmods > 0) {
    // Fields say what a number without a unit means; HH:MM says it itself.
    if (value.find(':') == std::string::npos) {
      constexpr std::int32_t kHour = 1 << 10;  // INTERVAL_MASK(HOUR) of utils/timestamp.h
      const PgQuery__AConst* fields = constant_of(type.typmods[0]);
      if (fields == nullptr || fields->val_case != PG_QUERY__A__CONST__VAL_IVAL ||
          fields->ival->ival != kHour ||
          value.find_first_not_of("0123456789+-. ") != std::string::npos)
        return std::nullopt;
      value += " hours";
    }
  }
  return "TO " + quote_literal("INTERVAL " + quote_literal(value));
}

void add_reset(std::string name, bool local, Statement& statement) {
  statement.sets.push_back({.name = std::move(name), .local = local, .reset = true});
}

void read_value(const PgQuery__VariableSetStmt& set, Statement& statement) {
  SetStatement result{.name = lower(set.name), .local = set.is_local != 0};
  for (const auto* node : nodes(set.n_args, set.args)) {
    const auto argument = argument_of(node);
    if (!argument) {
      const auto interval = interval_sql(node);
      if (!interval || set.n_args != 1) {
        statement.residue |= kOpaque;
        return;
      }
      result.value_sql = *interval;
      break;
    }
    result.value_sql += result.value_sql.empty() ? "TO " : ", ";
    result.value_sql += argument->sql;
    if (set.n_args == 1) result.value = argument->plain;
  }
  if (result.value_sql.empty()) {
    statement.residue |= kOpaque;
    return;
  }
  statement.sets.push_back(std::move(result));
}

// SET SESSION CHARACTERISTICS sets the defaults of the transactions to come.
void read_characteristics(Nodes modes, Statement& statement) {
  Statement said;
  read_transaction_modes(modes, said);
  const auto add = [&](std::string name, std::string value) {
    statement.sets.push_back(
        {.name = std::move(name), .value_sql = "TO " + quote_literal(value), .value = value});
  };
  if (said.isolation) add("default_transaction_isolation", *said.isolation);
  if (said.read_only) add("default_transaction_read_only", *said.read_only ? "on" : "off");
  if (said.deferrable) add("default_transaction_deferrable", *said.deferrable ? "on" : "off");
}

void read_multi(const PgQuery__VariableSetStmt& set, Statement& statement) {
  const std::string_view name = set.name;
  statement.verb = Verb::kSetTransaction;
  if (name == "SESSION CHARACTERISTICS") {
    read_characteristics(nodes(set.n_args, set.args), statement);
  } else if (name == "TRANSACTION") {
    read_transaction_modes(nodes(set.n_args, set.args), statement);
  } else {
    statement.access = Access::kWrite;  // TRANSACTION SNAPSHOT: of a host that we don't know
  }
}

// SplitIdentifierString of varlena.c: names with or without quotes between commas.
std::optional<std::vector<std::string>> split_names(std::string_view list) {
  std::vector<std::string> names;
  const auto skip = [&] {
    const auto begin = list.find_first_not_of(kSpaces);
    list.remove_prefix(begin == std::string_view::npos ? list.size() : begin);
  };
  skip();
  if (list.empty()) return names;
  for (;;) {
    std::string name;
    if (list.starts_with('"')) {
      for (std::size_t from = 1;;) {
        const auto quote = list.find('"', from);
        if (quote == std::string_view::npos) return std::nullopt;
        name += list.substr(from, quote - from);
        from = quote + 1;
        if (from >= list.size() || list[from] != '"') {
          list.remove_prefix(from);
          break;
        }
        name += '"';
        ++from;
      }
    } else {
      const auto end = std::min(list.find_first_of(", \t\n\r\f\v"), list.size());
      if (end == 0) return std::nullopt;
      name = lower(list.substr(0, end));
      list.remove_prefix(end);
    }
    names.push_back(std::move(name));
    skip();
    if (list.empty()) return names;
    if (list[0] != ',') return std::nullopt;
    list.remove_prefix(1);
    skip();
  }
}

std::optional<std::string> set_config_sql(std::string_view name, std::string_view value) {
  if (!is_name_list(name)) return "TO " + quote_literal(value);
  const auto names = split_names(value);
  if (!names) return std::nullopt;
  if (names->empty()) return "TO ''";
  std::string sql;
  for (const std::string& each : *names) {
    sql += sql.empty() ? "TO " : ", ";
    sql += quote_literal(each);
  }
  return sql;
}

// A constant string, perhaps with ::text behind it.
std::optional<std::string_view> text_constant(const PgQuery__Node* node) {
  if (const auto cast = cast_name(node); !cast.empty() && cast != "text") return std::nullopt;
  const PgQuery__AConst* constant = constant_of(uncast(node));
  if (constant == nullptr || constant->isnull || constant->val_case != PG_QUERY__A__CONST__VAL_SVAL)
    return std::nullopt;
  return constant->sval->sval;
}

std::optional<bool> bool_constant(const PgQuery__Node* node) {
  const PgQuery__AConst* constant = constant_of(uncast(node));
  if (constant == nullptr) return std::nullopt;
  if (constant->isnull) return false;  // set_config_by_name takes it for false
  if (constant->val_case == PG_QUERY__A__CONST__VAL_BOOLVAL) return constant->boolval->boolval != 0;
  if (constant->val_case != PG_QUERY__A__CONST__VAL_SVAL) return std::nullopt;
  const std::string word = lower(constant->sval->sval);
  for (const std::string_view yes : {"t", "true", "on", "yes", "1"})
    if (word == yes) return true;
  for (const std::string_view no : {"f", "false", "off", "no", "0"})
    if (word == no) return false;
  return std::nullopt;
}

std::optional<SetStatement> read_set_config(const PgQuery__FuncCall& call) {
  if (call.n_args != 3) return std::nullopt;
  const auto name = text_constant(call.args[0]);
  const auto local = bool_constant(call.args[2]);
  if (!name || !local) return std::nullopt;
  SetStatement result{.name = lower(*name), .local = *local};
  const PgQuery__AConst* null = constant_of(uncast(call.args[1]));
  if (null != nullptr && null->isnull) {
    result.reset = true;
    return result;
  }
  const auto value = text_constant(call.args[1]);
  if (!value) return std::nullopt;
  auto sql = set_config_sql(result.name, *value);
  if (!sql) return std::nullopt;
  result.value_sql = std::move(*sql);
  result.value = std::string(*value);
  return result;
}

bool only_targets(const PgQuery__SelectStmt& s) {
  return s.op == PG_QUERY__SET_OPERATION__SETOP_NONE && s.n_from_clause == 0 &&
         s.where_clause == nullptr && s.n_group_clause == 0 && s.having_clause == nullptr &&
         s.n_distinct_clause == 0 && s.n_values_lists == 0 && s.limit_count == nullptr &&
         s.limit_offset == nullptr && s.into_clause == nullptr && s.with_clause == nullptr &&
         s.n_locking_clause == 0 && s.n_window_clause == 0;
}

bool is_set_config(const PgQuery__FuncCall& call) {
  const auto [schema, name] = qualified_name(nodes(call.n_funcname, call.funcname));
  return name == "set_config" && (schema.empty() || schema == "pg_catalog");
}

}  // namespace

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return result;
}

void read_set(const PgQuery__VariableSetStmt& set, Statement& statement) {
  statement.access = Access::kNone;
  statement.verb = Verb::kSet;
  switch (set.kind) {
    case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE:
      return read_value(set, statement);
    case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_DEFAULT:
      return add_reset(lower(set.name), set.is_local != 0, statement);
    case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI:
      return read_multi(set, statement);
    case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET:
      statement.verb = Verb::kReset;
      return add_reset(lower(set.name), /*local=*/false, statement);
    case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL:
      statement.verb = Verb::kResetAll;
      return;
    case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_CURRENT:
    case PG_QUERY__VARIABLE_SET_KIND__VARIABLE_SET_KIND_UNDEFINED:
    case _PG_QUERY__VARIABLE_SET_KIND_IS_INT_SIZE:
      statement.residue |= kOpaque;
      return;
  }
}

void read_transaction_modes(Nodes modes, Statement& statement) {
  for (const auto* node : modes) {
    if (node->node_case != PG_QUERY__NODE__NODE_DEF_ELEM) continue;
    const std::string_view name = node->def_elem->defname;
    const PgQuery__AConst* constant = constant_of(node->def_elem->arg);
    if (constant == nullptr) continue;
    if (name == "transaction_isolation" && constant->val_case == PG_QUERY__A__CONST__VAL_SVAL) {
      statement.isolation = lower(constant->sval->sval);
    } else if (constant->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
      const bool on = constant->ival->ival != 0;
      if (name == "transaction_read_only") statement.read_only = on;
      if (name == "transaction_deferrable") statement.deferrable = on;
    }
  }
}

bool is_named_set_config(const PgQuery__FuncCall& call) {
  const PgQuery__Node* name = call.n_args == 0 ? nullptr : call.args[0];
  if (name != nullptr && name->node_case == PG_QUERY__NODE__NODE_NAMED_ARG_EXPR) {
    if (name->named_arg_expr->name != std::string_view("setting_name")) return false;
    name = name->named_arg_expr->arg;
  }
  while (name != nullptr && name->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
    name = name->type_cast->arg;
  }
  return name != nullptr && (name->node_case == PG_QUERY__NODE__NODE_A_CONST ||
                             name->node_case == PG_QUERY__NODE__NODE_PARAM_REF);
}

bool is_local_set_config(const PgQuery__FuncCall& call) {
  return call.n_args == 3 && bool_constant(call.args[2]) == true;
}

int read_set_configs(const PgQuery__SelectStmt& select, Statement& statement) {
  if (!only_targets(select)) return 0;
  int session = 0;
  for (const auto* target : nodes(select.n_target_list, select.target_list)) {
    if (target->node_case != PG_QUERY__NODE__NODE_RES_TARGET) continue;
    const PgQuery__Node* value = target->res_target->val;
    if (value == nullptr || value->node_case != PG_QUERY__NODE__NODE_FUNC_CALL ||
        !is_set_config(*value->func_call))
      continue;
    auto set = read_set_config(*value->func_call);
    if (!set) continue;
    if (!set->local) ++session;
    statement.sets.push_back(std::move(*set));
  }
  return session;
}

}  // namespace sql
