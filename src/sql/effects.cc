#include "sql/effects.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "sql/catalog.h"
#include "sql/functions.h"
#include "sql/settings.h"

namespace sql {
namespace {

class Walk {
 public:
  explicit Walk(const Knowledge& knowledge) : knowledge_(knowledge) {}

  Effects run(const PgQuery__Node* root) {
    const PgQuery__WithClause* with = with_clause(root);
    if (with != nullptr) {
      for (const auto* cte : nodes(with->n_ctes, with->ctes)) {
        if (cte->node_case == PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR) {
          local_.emplace_back(cte->common_table_expr->ctename);
        }
      }
    }
    // In the statement itself its names are meant; in its WITH they may be those of tables.
    skipped_ = with;
    walk(root);
    if (with != nullptr) {
      local_.clear();
      skipped_ = nullptr;
      pending_.push_back({nullptr, &with->base});
      walk(nullptr);
    }
    return std::move(effects_);
  }

 private:
  static const PgQuery__WithClause* with_clause(const PgQuery__Node* root) {
    switch (root->node_case) {
      case PG_QUERY__NODE__NODE_SELECT_STMT:
        return root->select_stmt->with_clause;
      case PG_QUERY__NODE__NODE_INSERT_STMT:
        return root->insert_stmt->with_clause;
      case PG_QUERY__NODE__NODE_UPDATE_STMT:
        return root->update_stmt->with_clause;
      case PG_QUERY__NODE__NODE_DELETE_STMT:
        return root->delete_stmt->with_clause;
      default:
        return nullptr;
    }
  }

  void walk(const PgQuery__Node* root) {
    push(root);
    while (!pending_.empty()) {
      const PgQuery__Node* node = pending_.back().node;
      const ProtobufCMessage* message = pending_.back().message;
      pending_.pop_back();
      // A Node is a union of some 240 pointers at one address: don't look at each of its fields.
      if (node != nullptr) {
        if (node->node_case == PG_QUERY__NODE__NODE__NOT_SET) continue;
        visit(node);
        message = &node->alias->base;
      }
      push_fields(message);
    }
  }

  struct Pending {
    const PgQuery__Node* node;  // or
    const ProtobufCMessage* message;
  };

  void push(const PgQuery__Node* node) {
    if (node != nullptr) pending_.push_back({node, nullptr});
  }

  void push_message(const ProtobufCMessage* message) {
    if (message == nullptr || (skipped_ != nullptr && message == &skipped_->base)) return;
    if (message->descriptor == &pg_query__node__descriptor) {
      push(reinterpret_cast<const PgQuery__Node*>(message));
    } else {
      visit_message(message);
      pending_.push_back({nullptr, message});
    }
  }

  void push_fields(const ProtobufCMessage* message) {
    // Constants have no children, and the only other union.
    if (message->descriptor == &pg_query__a__const__descriptor) return;
    const auto* bytes = reinterpret_cast<const char*>(message);
    for (unsigned i = 0; i < message->descriptor->n_fields; ++i) {
      const ProtobufCFieldDescriptor& field = message->descriptor->fields[i];
      if (field.type != PROTOBUF_C_TYPE_MESSAGE) continue;
      if (field.label == PROTOBUF_C_LABEL_REPEATED) {
        std::size_t count = 0;
        ProtobufCMessage** elements = nullptr;
        std::memcpy(&count, bytes + field.quantifier_offset, sizeof count);
        std::memcpy(&elements, bytes + field.offset, sizeof elements);
        for (std::size_t k = 0; k < count; ++k) push_message(elements[k]);
      } else {
        ProtobufCMessage* child = nullptr;
        std::memcpy(&child, bytes + field.offset, sizeof child);
        push_message(child);
      }
    }
  }

  void writes(std::string why, std::uint16_t residue = kNoResidue) {
    effects_.access = Access::kWrite;
    effects_.residue |= residue;
    if (effects_.why.empty()) effects_.why = std::move(why);
  }

  void writes_rows(const char* how, std::uint16_t left) {
    effects_.writes_rows = true;
    writes(how, left);
  }

  void visit(const PgQuery__Node* node) {
    // 240 kinds of node: those that are not named here only hold others.
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_INSERT_STMT:
        return writes_rows("INSERT", left_by_write(node->insert_stmt->relation, knowledge_));
      case PG_QUERY__NODE__NODE_UPDATE_STMT:
        return writes_rows("UPDATE", left_by_write(node->update_stmt->relation, knowledge_));
      case PG_QUERY__NODE__NODE_DELETE_STMT:
        return writes_rows("DELETE", left_by_write(node->delete_stmt->relation, knowledge_));
      case PG_QUERY__NODE__NODE_MERGE_STMT:
        return writes_rows("MERGE", left_by_write(node->merge_stmt->relation, knowledge_));
      case PG_QUERY__NODE__NODE_FUNC_CALL:
        return call(*node->func_call);
      case PG_QUERY__NODE__NODE_A_EXPR:
        effects_.pids_compared += is_pid_call(node->a_expr->lexpr);
        effects_.pids_compared += is_pid_call(node->a_expr->rexpr);
        return oper(nodes(node->a_expr->n_name, node->a_expr->name));
      case PG_QUERY__NODE__NODE_COLUMN_REF:
        return field(nodes(node->column_ref->n_fields, node->column_ref->fields), 2);
      case PG_QUERY__NODE__NODE_A_INDIRECTION:
        return field(nodes(node->a_indirection->n_indirection, node->a_indirection->indirection),
                     1);
      case PG_QUERY__NODE__NODE_SUB_LINK:
        return oper(nodes(node->sub_link->n_oper_name, node->sub_link->oper_name));
      case PG_QUERY__NODE__NODE_SORT_BY:
        return oper(nodes(node->sort_by->n_use_op, node->sort_by->use_op));
      case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE:
        return sample(nodes(node->range_table_sample->n_method, node->range_table_sample->method));
      case PG_QUERY__NODE__NODE_LOCKING_CLAUSE:
        return writes("FOR UPDATE or FOR SHARE");
      case PG_QUERY__NODE__NODE_INTO_CLAUSE:
        return into(*node->into_clause);
      case PG_QUERY__NODE__NODE_RANGE_VAR:
        return relation(*node->range_var);
      case PG_QUERY__NODE__NODE_TYPE_CAST:
        if (node->type_cast->arg != nullptr &&
            node->type_cast->arg->node_case == PG_QUERY__NODE__NODE_ROW_EXPR) {
          of_row_ = node->type_cast->type_name;
        }
        return;
      case PG_QUERY__NODE__NODE_TYPE_NAME:
        return type(*node->type_name);
      case PG_QUERY__NODE__NODE_STRING:
        if (is_temp_schema(node->string->sval)) effects_.names_pg_temp = true;
        return;
      default:
        return;
    }
  }

  // Messages that a field holds without a Node around them.
  void visit_message(const ProtobufCMessage* message) {
    if (message->descriptor == &pg_query__into_clause__descriptor)
      into(*reinterpret_cast<const PgQuery__IntoClause*>(message));
    else if (message->descriptor == &pg_query__range_var__descriptor)
      relation(*reinterpret_cast<const PgQuery__RangeVar*>(message));
    else if (message->descriptor == &pg_query__func_call__descriptor)
      call(*reinterpret_cast<const PgQuery__FuncCall*>(message));
    else if (message->descriptor == &pg_query__type_name__descriptor)
      type(*reinterpret_cast<const PgQuery__TypeName*>(message));
  }

  void into(const PgQuery__IntoClause& clause) {
    effects_.into = &clause;
    writes("SELECT INTO");
  }

  void relation(const PgQuery__RangeVar& range) {
    const std::string_view schema = range.schemaname;
    if (is_temp_schema(schema)) effects_.names_pg_temp = true;
    if (schema.empty() && std::ranges::find(local_, range.relname) != local_.end()) return;
    note(effects_.relations, schema, range.relname);
    if ((schema.empty() || schema == "pg_catalog") && is_system_view(range.relname) &&
        shows_server(range.relname)) {
      effects_.primary_only = true;
      writes(std::string(range.relname) + " shows the server itself", asked_by(range.relname));
    }
    if (knowledge_.catalog == nullptr) return;
    const Extent extent = range.inh != 0 ? Extent::kWhole : Extent::kAlone;
    if (const Finding* finding =
            knowledge_.catalog->relation(knowledge_.names, schema, range.relname, extent)) {
      effects_.refused_relation = true;
      effects_.primary_only = effects_.primary_only || finding->primary_only;
      writes(finding->why, finding->residue);
    }
  }

  // By its name alone, as long as no catalog says which there are.
  bool is_system_view(std::string_view name) const {
    return knowledge_.catalog == nullptr || knowledge_.catalog->is_system_view(name);
  }

  static void note(std::vector<std::string>& names, std::string_view schema,
                   std::string_view name) {
    std::string full(schema);
    if (!full.empty()) full += '.';
    full += name;
    if (names.size() >= Analysis::kNamesMax || std::ranges::find(names, full) != names.end())
      return;
    names.push_back(std::move(full));
  }

  // A cast to it may run a function, but not of ROW(...): that is of no type that has casts.
  void type(const PgQuery__TypeName& type) {
    if (knowledge_.catalog == nullptr) return;
    const QualifiedName name = qualified_name(nodes(type.n_names, type.names));
    const Extent extent = &type == of_row_ ? Extent::kAlone : Extent::kWhole;
    if (const Finding* finding =
            knowledge_.catalog->type(knowledge_.names, name.schema, name.name, extent)) {
      writes(finding->why, finding->residue);
    }
  }

  static bool is_pid(const PgQuery__FuncCall& call) {
    const QualifiedName name = qualified_name(nodes(call.n_funcname, call.funcname));
    return name.name == "pg_backend_pid" && (name.schema.empty() || name.schema == "pg_catalog");
  }

  static bool is_pid_call(const PgQuery__Node* node) {
    return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL &&
           is_pid(*node->func_call);
  }

  void call(const PgQuery__FuncCall& call) {
    const QualifiedName name = qualified_name(nodes(call.n_funcname, call.funcname));
    note(effects_.functions, name.schema, name.name);
    // Of an ordered-set aggregate those behind WITHIN GROUP are arguments, too.
    const std::size_t args = call.n_args + (call.agg_within_group != 0 ? call.n_agg_order : 0);
    FunctionEffect effect =
        function_effect(name.schema, name.name, static_cast<int>(args), knowledge_);
    effects_.unknown_function = effects_.unknown_function || effect.unknown;
    if (effect.access == Access::kRead) return;
    effects_.primary_only = effects_.primary_only || effect.primary_only;
    if (is_pid(call)) {
      ++effects_.pid_calls;
      return writes("pg_backend_pid tells of the server itself");
    }
    std::string why = std::move(effect.why);
    if (why.empty()) why.append("function ").append(name.name).append(" may write");
    if (!effect.sets_setting) return writes(std::move(why), effect.residue);
    const bool local = is_local_set_config(call);
    writes(std::move(why), local || is_named_set_config(call) ? kNoResidue : kUnnamedSetting);
    ++(local ? effects_.local_set_configs : effects_.session_set_configs);
  }

  // row.name may be name(row).
  void field(Nodes parts, std::size_t least) {
    if (knowledge_.catalog == nullptr || parts.count < least) return;
    const std::string_view name = string_of(parts.first[parts.count - 1]);
    const auto finding = knowledge_.catalog->function(knowledge_.names, "", name, 1);
    if (finding && finding->access == Access::kWrite) writes(finding->why, finding->residue);
  }

  // Operators written without a schema are taken for built-in ones (and those of extensions,
  // whose functions read); OPERATOR(schema.+) names a user's on purpose.
  void oper(Nodes name) {
    if (knowledge_.catalog != nullptr && name.count > 0) {
      const auto [schema, op] = qualified_name(name);
      const Finding* finding = knowledge_.catalog->oper(knowledge_.names, schema, op);
      if (finding != nullptr) return writes(finding->why, finding->residue);
      if (name.count >= 2) return;
    }
    if (name.count < 2 || qualified_name(name).schema == "pg_catalog") return;
    std::string why("operator ");
    why.append(qualified_name(name).name).append(" may write");
    writes(std::move(why), kOpaque);
  }

  void sample(Nodes method) {
    const auto [schema, name] = qualified_name(method);
    const bool builtin = schema.empty() || schema == "pg_catalog";
    if (builtin && (name == "system" || name == "bernoulli")) return;
    std::string why("sampling method ");
    why.append(name).append(" may write");
    writes(std::move(why), kOpaque);
  }

  const Knowledge& knowledge_;
  std::vector<Pending> pending_;
  std::vector<std::string_view> local_;  // names that WITH gives
  const PgQuery__WithClause* skipped_ = nullptr;
  const PgQuery__TypeName* of_row_ = nullptr;  // to which the latest ROW(...) is cast
  Effects effects_;
};

}  // namespace

std::uint16_t left_by_write(const PgQuery__RangeVar* table, const Knowledge& knowledge) {
  if (knowledge.catalog == nullptr || table == nullptr) return kOpaque;
  const std::string_view schema = table->schemaname, name = table->relname;
  // The rule of this view sets what is updated.
  if (name == "pg_settings" && (schema.empty() || schema == "pg_catalog")) return kOpaque;
  return knowledge.catalog->left_by_write(knowledge.names, schema, name);
}

Effects effects_of(const PgQuery__Node* root, const Knowledge& knowledge) {
  return Walk(knowledge).run(root);
}

}  // namespace sql
