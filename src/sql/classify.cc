#include "sql/classify.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "sql/catalog.h"
#include "sql/custom_settings.h"
#include "sql/effects.h"
#include "sql/lexer.h"
#include "sql/settings.h"

namespace sql {
namespace {

// CURSOR_OPT_HOLD of nodes/parsenodes.h.
constexpr std::int32_t kCursorHold = 0x0020;

bool is_true(const PgQuery__Node* argument) {  // defGetBoolean of define.c, errors taken for true
  if (argument == nullptr) return true;
  if (argument->node_case == PG_QUERY__NODE__NODE_INTEGER) return argument->integer->ival != 0;
  const std::string_view word = string_of(argument);
  return !(word == "false" || word == "off" || word == "FALSE" || word == "OFF" || word == "0");
}

bool option_on(std::size_t count, PgQuery__Node* const* options, std::string_view name) {
  const auto all = nodes(count, options);
  return std::any_of(all.begin(), all.end(), [&](const PgQuery__Node* option) {
    return option->node_case == PG_QUERY__NODE__NODE_DEF_ELEM &&
           option->def_elem->defname == name && is_true(option->def_elem->arg);
  });
}

// Whether a replica would answer SHOW otherwise than the primary that it stands for.
bool is_of_host(std::string_view setting) {
  return setting == "all" || setting == "transaction_read_only" || setting == "in_hot_standby";
}

// Whether a setting makes of its transaction what a standby has none of.
bool is_for_primary(const SetStatement& set) {
  const std::string value = lower(set.value.value_or(""));
  if (set.name == "transaction_isolation") return set.reset || value == "serializable";
  return set.name == "transaction_read_only" && value != "on" && value != "true";
}

bool is_for_primary(std::string_view name, const Statement& set) {
  // Of what another transaction on the primary has exported.
  if (name == "TRANSACTION SNAPSHOT") return true;
  return set.read_only == false || set.isolation == "serializable" ||
         std::ranges::any_of(set.sets, [](const SetStatement& s) { return is_for_primary(s); });
}

// What a READ ONLY transaction may do but for one on a standby: ClassifyUtilityCommandAsReadOnly of
// PostgreSQL's utility.c.
bool maintains(const PgQuery__Node* node) {
  constexpr int kRowExclusiveLock = 3;                           // lockdefs.h
  return node->node_case == PG_QUERY__NODE__NODE_VACUUM_STMT ||  // ANALYZE
         node->node_case == PG_QUERY__NODE__NODE_CLUSTER_STMT ||
         node->node_case == PG_QUERY__NODE__NODE_REINDEX_STMT ||
         (node->node_case == PG_QUERY__NODE__NODE_LOCK_STMT &&
          node->lock_stmt->mode > kRowExclusiveLock);
}

bool is_temporary(const PgQuery__RangeVar* relation) {
  return relation != nullptr && (std::string_view(relation->relpersistence) == "t" ||
                                 is_temp_schema(relation->schemaname));
}

class Classifier {
 public:
  explicit Classifier(const Knowledge& knowledge) : knowledge_(knowledge) {}

  Classified run(const PgQuery__Node* node) {
    if (!transaction_state(node) && !data(node) && !session_state(node)) catalog(node);
    if (runs_nothing(node)) statement().may_advance = false;
    // What pins a session must not pin it to a replica.
    if (out_.statement.residue != kNoResidue) out_.statement.access = Access::kWrite;
    out_.primary_only = out_.primary_only || is_refused_in_recovery() || maintains(node);
    return std::move(out_);
  }

 private:
  Statement& statement() { return out_.statement; }

  // No default, trigger or function.
  static bool runs_nothing(const PgQuery__Node* node) {
    switch (node->node_case) {
      case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
      case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
      case PG_QUERY__NODE__NODE_LOCK_STMT:
      case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
      case PG_QUERY__NODE__NODE_LISTEN_STMT:
      case PG_QUERY__NODE__NODE_NOTIFY_STMT:
        return true;
      default:
        return false;
    }
  }

  // Or left on a connection that is none to the primary.
  bool is_refused_in_recovery() const {
    constexpr unsigned kAnywhere = kOpaque | kUnreadable | kRandomSeed;
    const Verb verb = out_.statement.verb;
    return (out_.statement.residue & ~kAnywhere) != 0 || verb == Verb::kCreateTemp ||
           verb == Verb::kNotify || verb == Verb::kUnlisten || verb == Verb::kUnlistenAll ||
           verb == Verb::kVacuumLike || verb == Verb::kPrepareTransaction;
  }

  void set(Verb verb, Access access, std::uint16_t residue = kNoResidue) {
    statement().verb = verb;
    statement().access = access;
    statement().residue |= residue;
  }
  void set(Verb verb, Access access, const char* name) {
    set(verb, access);
    statement().name = name;
  }

  // Each of the four takes its statements and says whether this was one of them. The enumeration
  // is libpg_query's, with 240 kinds of node, most of which are no statements.
  bool transaction_state(const PgQuery__Node* node);
  bool data(const PgQuery__Node* node);
  bool session_state(const PgQuery__Node* node);
  void catalog(const PgQuery__Node* node);

  void transaction(const PgQuery__TransactionStmt& s);
  void query(const PgQuery__Node* node);
  std::uint16_t left_by_call(const PgQuery__FuncCall& call) const;
  static std::uint16_t left_by_block(const PgQuery__DoStmt& s);
  void truncate(const PgQuery__TruncateStmt& s);
  void copy(const PgQuery__CopyStmt& s);
  void copied(const PgQuery__RangeVar& relation);
  void create_as(const PgQuery__CreateTableAsStmt& s, const PgQuery__Node* node);
  void explain(const PgQuery__ExplainStmt& s);
  void prepare(const PgQuery__PrepareStmt& s);
  void declare(const PgQuery__DeclareCursorStmt& s);
  void discard(const PgQuery__DiscardStmt& s);
  void define(const PgQuery__Node* node);
  static const PgQuery__RangeVar* created(const PgQuery__Node* node);
  static bool runs_alone(const PgQuery__Node* node);

  // What a part of the statement does, with what it names noted.
  Effects part(const PgQuery__Node* node) {
    Effects effects = effects_of(node, knowledge_);
    note_names(effects);
    return effects;
  }
  template <typename From>
  void note_names(const From& from) {
    out_.relations.insert(out_.relations.end(), from.relations.begin(), from.relations.end());
    out_.functions.insert(out_.functions.end(), from.functions.begin(), from.functions.end());
    out_.unknown_function = out_.unknown_function || from.unknown_function;
    out_.primary_only = out_.primary_only || from.primary_only;
  }

  // What executing `node` may do, as residue of a statement that wraps it.
  Classified inner(const PgQuery__Node* node) {
    Classifier classifier(knowledge_);
    Classified result = classifier.run(node);
    note_names(result);
    if (!result.statement.sets.empty()) result.statement.residue |= kOpaque;
    return result;
  }

  const Knowledge& knowledge_;
  Classified out_;
};

bool Classifier::transaction_state(const PgQuery__Node* node) {
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT:
      transaction(*node->transaction_stmt);
      return true;
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
      read_set(*node->variable_set_stmt, statement());
      out_.primary_only = is_for_primary(node->variable_set_stmt->name, statement());
      if (out_.primary_only) statement().access = Access::kWrite;
      return true;
    case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT: {
      const char* name = node->variable_show_stmt->name;
      set(Verb::kShow, is_of_host(name) ? Access::kWrite : Access::kNone, name);
      out_.primary_only = is_of_host(name);
      return true;
    }
    default:
      return false;
  }
}

void Classifier::transaction(const PgQuery__TransactionStmt& s) {
  statement().chain = s.chain != 0;
  switch (s.kind) {
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START:
      set(Verb::kBegin, Access::kNone);
      statement().start = s.kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START;
      return read_transaction_modes(nodes(s.n_options, s.options), statement());
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT:
      return set(Verb::kCommit, Access::kNone);
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK:
      return set(Verb::kRollback, Access::kNone);
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT:
      return set(Verb::kSavepoint, Access::kNone, s.savepoint_name);
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_RELEASE:
      return set(Verb::kRelease, Access::kNone, s.savepoint_name);
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO:
      return set(Verb::kRollbackTo, Access::kNone, s.savepoint_name);
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE:
      return set(Verb::kPrepareTransaction, Access::kWrite, s.gid);
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED:
      return set(Verb::kVacuumLike, Access::kWrite, s.gid);
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANSACTION_STMT_KIND_UNDEFINED:
    case _PG_QUERY__TRANSACTION_STMT_KIND_IS_INT_SIZE:
      return;
  }
}

bool Classifier::data(const PgQuery__Node* node) {
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT:
    case PG_QUERY__NODE__NODE_INSERT_STMT:
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
    case PG_QUERY__NODE__NODE_DELETE_STMT:
    case PG_QUERY__NODE__NODE_MERGE_STMT:
      query(node);
      return true;
    case PG_QUERY__NODE__NODE_COPY_STMT:
      copy(*node->copy_stmt);
      return true;
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT:
      explain(*node->explain_stmt);
      return true;
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
      create_as(*node->create_table_as_stmt, node);
      return true;
    case PG_QUERY__NODE__NODE_CALL_STMT:
      set(Verb::kCall, Access::kWrite, left_by_call(*node->call_stmt->funccall));
      return true;
    case PG_QUERY__NODE__NODE_DO_STMT:
      set(Verb::kCall, Access::kWrite, left_by_block(*node->do_stmt));
      out_.literals_matter = true;
      return true;
    case PG_QUERY__NODE__NODE_TRUNCATE_STMT:
      truncate(*node->truncate_stmt);
      return true;
    case PG_QUERY__NODE__NODE_LOCK_STMT:
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
    case PG_QUERY__NODE__NODE_CHECK_POINT_STMT:
      set(Verb::kOther, Access::kWrite);
      return true;
    default:
      return false;
  }
}

void Classifier::query(const PgQuery__Node* node) {
  Effects effects = part(node);
  const bool select = node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT;
  set(select ? Verb::kSelect : Verb::kOther, effects.access, effects.residue);
  out_.why = std::move(effects.why);
  constexpr unsigned kAdvances = kOpaque | kUnreadable | kSequenceState;
  statement().may_advance = !select || effects.writes_rows || (effects.residue & kAdvances) != 0;
  if (effects.pid_calls > effects.pids_compared) statement().residue |= kBackendPid;
  if (effects.into != nullptr)
    set(is_temporary(effects.into->rel) ? Verb::kCreateTemp : Verb::kDdl, Access::kWrite,
        is_temporary(effects.into->rel) ? kTempObject : kNoResidue);
  int known = 0;
  if (select && effects.session_set_configs + effects.local_set_configs > 0)
    known = read_set_configs(*node->select_stmt, statement());
  if (known < effects.session_set_configs) statement().residue |= kOpaque;
  out_.literals_matter = effects.session_set_configs + effects.local_set_configs > 0;
}

std::uint16_t Classifier::left_by_call(const PgQuery__FuncCall& call) const {
  const auto [schema, name] = qualified_name(nodes(call.n_funcname, call.funcname));
  const auto left =
      function_effect(schema, name, static_cast<int>(call.n_args), knowledge_).residue;
  return kOpaque | (left & kUnnamedSetting);
}

std::uint16_t Classifier::left_by_block(const PgQuery__DoStmt& s) {
  for (const PgQuery__Node* option : nodes(s.n_args, s.args)) {
    if (option->node_case != PG_QUERY__NODE__NODE_DEF_ELEM) continue;
    if (option->def_elem->defname != std::string_view("as")) continue;
    if (sets_unnamed(string_of(option->def_elem->arg))) return kOpaque | kUnnamedSetting;
  }
  return kOpaque;
}

void Classifier::truncate(const PgQuery__TruncateStmt& s) {
  set(Verb::kOther, Access::kWrite);
  for (const PgQuery__Node* table : nodes(s.n_relations, s.relations)) {
    if (table->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) continue;
    statement().residue |= left_by_write(table->range_var, knowledge_);
  }
}

void Classifier::copy(const PgQuery__CopyStmt& s) {
  const bool to_client = s.filename[0] == '\0' && s.is_program == 0;
  if (s.is_from != 0) {
    set(to_client ? Verb::kCopyIn : Verb::kOther, Access::kWrite,
        left_by_write(s.relation, knowledge_));
    if (s.where_clause != nullptr) statement().residue |= part(s.where_clause).residue;
    return;
  }
  set(to_client ? Verb::kCopyOut : Verb::kOther, to_client ? Access::kRead : Access::kWrite);
  if (s.query == nullptr) return copied(*s.relation);
  Classified query = inner(s.query);
  statement().access = std::max(statement().access, query.statement.access);
  statement().residue |= query.statement.residue;
  out_.why = std::move(query.why);
}

// COPY relation TO
void Classifier::copied(const PgQuery__RangeVar& relation) {
  out_.relations.emplace_back(relation.relname);
  if (knowledge_.catalog == nullptr) return;
  const Finding* finding = knowledge_.catalog->relation(knowledge_.names, relation.schemaname,
                                                        relation.relname, Extent::kWhole);
  if (finding == nullptr) return;
  statement().access = Access::kWrite;
  statement().residue |= finding->residue;
  out_.primary_only = out_.primary_only || finding->primary_only;
  out_.why = finding->why;
}

void Classifier::create_as(const PgQuery__CreateTableAsStmt& s, const PgQuery__Node* node) {
  const PgQuery__RangeVar* target = s.into == nullptr ? nullptr : s.into->rel;
  const Effects effects = part(node);
  set(Verb::kDdl, Access::kWrite, effects.residue);
  if (effects.session_set_configs > 0) statement().residue |= kOpaque;
  if (s.query != nullptr && s.query->node_case == PG_QUERY__NODE__NODE_EXECUTE_STMT) {
    statement().name = s.query->execute_stmt->name;
  }
  if (!is_temporary(target)) return;
  const bool dropped = s.into->on_commit == PG_QUERY__ON_COMMIT_ACTION__ONCOMMIT_DROP;
  set(Verb::kCreateTemp, Access::kWrite, dropped ? kNoResidue : kTempObject);
}

void Classifier::explain(const PgQuery__ExplainStmt& s) {
  if (s.query == nullptr) return;
  set(Verb::kOther, Access::kRead);
  if (s.query->node_case == PG_QUERY__NODE__NODE_EXECUTE_STMT)  // prepared on one connection
    return set(Verb::kExecute, Access::kWrite, s.query->execute_stmt->name);
  if (!option_on(s.n_options, s.options, "analyze")) {
    Effects planned = part(s.query);
    if (!planned.refused_relation) return;
    out_.why = std::move(planned.why);
    return set(Verb::kOther, Access::kWrite);
  }
  Classified analyzed = inner(s.query);
  set(Verb::kOther, std::max(Access::kRead, analyzed.statement.access), analyzed.statement.residue);
  out_.why = std::move(analyzed.why);
}

bool Classifier::session_state(const PgQuery__Node* node) {
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_DISCARD_STMT:
      discard(*node->discard_stmt);
      return true;
    case PG_QUERY__NODE__NODE_PREPARE_STMT:
      prepare(*node->prepare_stmt);
      return true;
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
      set(Verb::kExecute, Access::kWrite, node->execute_stmt->name);
      return true;
    case PG_QUERY__NODE__NODE_DEALLOCATE_STMT: {
      const char* name = node->deallocate_stmt->name;
      set(name[0] == '\0' ? Verb::kDeallocateAll : Verb::kDeallocate, Access::kNone, name);
      return true;
    }
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT:
      declare(*node->declare_cursor_stmt);
      return true;
    case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT: {
      const char* name = node->close_portal_stmt->portalname;
      set(name[0] == '\0' ? Verb::kCloseAllCursors : Verb::kCloseCursor, Access::kNone, name);
      return true;
    }
    case PG_QUERY__NODE__NODE_FETCH_STMT:  // of a cursor that one connection has
      set(Verb::kOther, Access::kRead, node->fetch_stmt->portalname);
      return true;
    case PG_QUERY__NODE__NODE_LISTEN_STMT:
      set(Verb::kListen, Access::kWrite, kListening);
      statement().name = node->listen_stmt->conditionname;
      return true;
    case PG_QUERY__NODE__NODE_UNLISTEN_STMT: {
      const char* name = node->unlisten_stmt->conditionname;
      set(name[0] == '\0' ? Verb::kUnlistenAll : Verb::kUnlisten, Access::kNone, name);
      return true;
    }
    case PG_QUERY__NODE__NODE_NOTIFY_STMT:
      set(Verb::kNotify, Access::kWrite, node->notify_stmt->conditionname);
      return true;
    case PG_QUERY__NODE__NODE_LOAD_STMT:
      set(Verb::kLoad, Access::kWrite, kLoadedLibrary);
      return true;
    default:
      return false;
  }
}

void Classifier::discard(const PgQuery__DiscardStmt& s) {
  switch (s.target) {
    case PG_QUERY__DISCARD_MODE__DISCARD_ALL:
      return set(Verb::kDiscardAll, Access::kNone);
    case PG_QUERY__DISCARD_MODE__DISCARD_PLANS:
      return set(Verb::kDiscardOther, Access::kNone, "plans");
    case PG_QUERY__DISCARD_MODE__DISCARD_SEQUENCES:
      return set(Verb::kDiscardOther, Access::kNone, "sequences");
    case PG_QUERY__DISCARD_MODE__DISCARD_TEMP:
      return set(Verb::kDiscardOther, Access::kNone, "temp");
    case PG_QUERY__DISCARD_MODE__DISCARD_MODE_UNDEFINED:
    case _PG_QUERY__DISCARD_MODE_IS_INT_SIZE:
      return;
  }
}

// What EXECUTE will do is counted here, where it can be seen.
void Classifier::prepare(const PgQuery__PrepareStmt& s) {
  set(Verb::kPrepare, Access::kWrite, kSqlPrepared);
  statement().name = s.name;
  if (s.query != nullptr) statement().residue |= inner(s.query).statement.residue;
}

void Classifier::declare(const PgQuery__DeclareCursorStmt& s) {
  Classified query;
  if (s.query != nullptr) query = inner(s.query);
  set(Verb::kOther, query.statement.access, query.statement.residue);
  out_.why = std::move(query.why);
  if ((s.options & kCursorHold) != 0) set(Verb::kDeclareHold, Access::kWrite, kHoldCursor);
  statement().name = s.portalname;
}

// What is left changes catalogs or maintains storage.
void Classifier::catalog(const PgQuery__Node* node) {
  if (runs_alone(node)) return set(Verb::kVacuumLike, Access::kWrite);
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_VACUUM_STMT:  // ANALYZE
    case PG_QUERY__NODE__NODE_CLUSTER_STMT:
    case PG_QUERY__NODE__NODE_REINDEX_STMT:
    case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT:
      return set(Verb::kOther, Access::kWrite);
    case PG_QUERY__NODE__NODE_DROP_STMT:
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:
    case PG_QUERY__NODE__NODE_COMMENT_STMT:
    case PG_QUERY__NODE__NODE_GRANT_STMT:
    case PG_QUERY__NODE__NODE_INDEX_STMT:
    case PG_QUERY__NODE__NODE_RENAME_STMT:
      return set(Verb::kDdl, Access::kWrite);
    case PG_QUERY__NODE__NODE_ALTER_ROLE_SET_STMT:
    case PG_QUERY__NODE__NODE_ALTER_DATABASE_SET_STMT:
      statement().sets_defaults = true;
      return set(Verb::kDdl, Access::kWrite);
    default:
      return define(node);
  }
}

// CREATE of anything. Functions in defaults, checks, views and bodies are stored, not called.
void Classifier::define(const PgQuery__Node* node) {
  set(Verb::kDdl, Access::kWrite);
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_STMT &&
      node->create_stmt->oncommit == PG_QUERY__ON_COMMIT_ACTION__ONCOMMIT_DROP)
    return set(Verb::kCreateTemp, Access::kWrite);  // gone with its transaction
  if (is_temporary(created(node)) || effects_of(node, knowledge_).names_pg_temp)
    set(Verb::kCreateTemp, Access::kWrite, kTempObject);
}

const PgQuery__RangeVar* Classifier::created(const PgQuery__Node* node) {
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_CREATE_STMT:
      return node->create_stmt->relation;
    case PG_QUERY__NODE__NODE_VIEW_STMT:
      return node->view_stmt->view;
    case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT:
      return node->create_seq_stmt->sequence;
    default:
      return nullptr;
  }
}

// PreventInTransactionBlock of utility.c and of the commands themselves.
bool Classifier::runs_alone(const PgQuery__Node* node) {
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_VACUUM_STMT:
      return node->vacuum_stmt->is_vacuumcmd != 0;
    case PG_QUERY__NODE__NODE_CREATEDB_STMT:
    case PG_QUERY__NODE__NODE_DROPDB_STMT:
    case PG_QUERY__NODE__NODE_CREATE_TABLE_SPACE_STMT:
    case PG_QUERY__NODE__NODE_DROP_TABLE_SPACE_STMT:
    case PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT:
    case PG_QUERY__NODE__NODE_CREATE_SUBSCRIPTION_STMT:
    case PG_QUERY__NODE__NODE_ALTER_SUBSCRIPTION_STMT:
    case PG_QUERY__NODE__NODE_DROP_SUBSCRIPTION_STMT:
      return true;
    case PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT:
      return option_on(node->alter_database_stmt->n_options, node->alter_database_stmt->options,
                       "tablespace");
    case PG_QUERY__NODE__NODE_CLUSTER_STMT:
      return node->cluster_stmt->relation == nullptr;
    case PG_QUERY__NODE__NODE_INDEX_STMT:
      return node->index_stmt->concurrent != 0;
    case PG_QUERY__NODE__NODE_DROP_STMT:
      return node->drop_stmt->concurrent != 0;
    case PG_QUERY__NODE__NODE_REINDEX_STMT:
      return node->reindex_stmt->relation == nullptr ||
             option_on(node->reindex_stmt->n_params, node->reindex_stmt->params, "concurrently");
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT: {
      const auto& s = *node->alter_table_stmt;
      const auto commands = nodes(s.n_cmds, s.cmds);
      return std::any_of(commands.begin(), commands.end(), [](const PgQuery__Node* command) {
        if (command->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) return false;
        const PgQuery__Node* def = command->alter_table_cmd->def;
        return def != nullptr && def->node_case == PG_QUERY__NODE__NODE_PARTITION_CMD &&
               def->partition_cmd->concurrent != 0;
      });
    }
    default:
      return false;
  }
}

std::string first_word(const PgQuery__RawStmt& raw, std::string_view text) {
  const auto begin = static_cast<std::size_t>(std::max(raw.stmt_location, 0));
  if (begin >= text.size()) return {};
  Lexer lexer(text.substr(begin));
  Token token = lexer.next();
  while (lexer.is(token, '(')) token = lexer.next();
  std::string word;
  if (token.kind == TokenKind::kWord) word = lexer.text(token);
  for (char& c : word)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - ('a' - 'A'));
  return word;
}

}  // namespace

Classified classify(const PgQuery__RawStmt& raw, std::string_view text,
                    const Knowledge& knowledge) {
  if (raw.stmt == nullptr) return {};
  Classifier classifier(knowledge);
  Classified result = classifier.run(raw.stmt);
  if (result.why.empty()) result.why = first_word(raw, text);
  return result;
}

}  // namespace sql
