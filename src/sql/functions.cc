#include "sql/functions.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "sql/catalog.h"

namespace sql {
namespace {

#include "sql/builtin_functions.inc"

// Volatile in pg_proc, yet they change nothing and run on a replica.
constexpr std::array<std::string_view, 20> kHarmless = {
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "lo_get",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_indexes_size",
    "pg_jit_available",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "random",
    "timeofday",
};

struct Effect {
  std::string_view name;
  std::uint16_t residue;
};

// Of the other built-in functions, those that leave something behind on their connection, and
// (kNoResidue) those that a replica must not run although pg_proc does not call them volatile.
constexpr std::array<Effect, 30> kEffects = {{
    {"currval", kSequenceAsk},
    {"lastval", kSequenceAsk},
    {"nextval", kSequenceState},
    {"pg_advisory_lock", kAdvisoryLock},
    {"pg_advisory_lock_shared", kAdvisoryLock},
    {"pg_backend_pid", kNoResidue},      // as the functions of tells_of_server()
    {"pg_backup_start", kOpaque},        // the backup ends with its session
    {"pg_conf_load_time", kNoResidue},   // of one server
    {"pg_current_xact_id", kNoResidue},  // assigns a transaction id
    {"pg_get_replication_slots", kNoResidue},
    {"pg_listening_channels", kChannelsAsk},
    {"pg_postmaster_start_time", kNoResidue},
    {"pg_replication_origin_oid", kNoResidue},  // a standby refuses it
    {"pg_replication_origin_session_setup", kOpaque},
    {"pg_show_all_settings", kNoResidue},
    {"pg_stat_get_db_sessions", kSessionsAsk},
    {"pg_try_advisory_lock", kAdvisoryLock},
    {"pg_try_advisory_lock_shared", kAdvisoryLock},
    {"pg_walfile_name", kNoResidue},  // a standby refuses it
    {"pg_walfile_name_offset", kNoResidue},
    {"plpgsql_call_handler", kOpaque},
    {"plpgsql_inline_handler", kOpaque},
    {"query_to_xml", kOpaque},  // these run SQL given as a string
    {"query_to_xml_and_xmlschema", kOpaque},
    {"query_to_xmlschema", kOpaque},
    {"setseed", kRandomSeed},
    {"setval", kSequenceState},
    {"ts_rewrite", kOpaque},
    {"ts_stat", kOpaque},
    {"txid_current", kNoResidue},
}};

// Of those that count as writes: not what only sets something, nor what runs SQL, which may be
// anything.
FunctionEffect on_primary(std::uint16_t residue) {
  constexpr unsigned kAnywhere = kOpaque | kRandomSeed;
  return {.residue = residue, .primary_only = (residue & kAnywhere) == 0};
}

// A session takes its server for the primary: what it asks about the server itself is asked there.
bool tells_of_server(std::string_view function) { return function.starts_with("pg_stat_get_"); }

template <typename Names>
bool contains(const Names& sorted, std::string_view name) {
  return std::binary_search(std::begin(sorted), std::end(sorted), name);
}

}  // namespace

std::optional<FunctionEffect> builtin_effect(std::string_view name) {
  if (name == "set_config") return FunctionEffect{.residue = kOpaque, .sets_setting = true};
  const auto effect =
      std::lower_bound(kEffects.begin(), kEffects.end(), name,
                       [](const Effect& e, std::string_view wanted) { return e.name < wanted; });
  if (effect != kEffects.end() && effect->name == name) {
    return on_primary(effect->residue);
  }
  if (tells_of_server(name)) return on_primary(kNoResidue);
  if (contains(kHarmless, name) || contains(kNotVolatile, name)) {
    return FunctionEffect{.access = Access::kRead};
  }
  if (contains(kVolatile, name)) return on_primary(kNoResidue);
  return std::nullopt;
}

FunctionEffect function_effect(std::string_view schema, std::string_view name, int args,
                               const Knowledge& knowledge) {
  std::string full(schema);
  if (!full.empty()) full += '.';
  full += name;
  const auto& harmless = knowledge.harmless;
  const bool said = std::find(harmless.begin(), harmless.end(), full) != harmless.end();
  std::optional<FunctionEffect> found;
  if (schema.empty() || schema == "pg_catalog") {
    found = builtin_effect(name);
    // The other one runs the query that it is given.
    if (name == "ts_rewrite" && args == 3) found = FunctionEffect{.access = Access::kRead};
    // A cast, written as a call.
    if (!found && args == 1 && contains(kTypes, name))
      found = FunctionEffect{.access = Access::kRead};
  }
  if (!found && said) return {.access = Access::kRead};
  // Helpers of the standard's views, none volatile; drivers call them (JDBC's getPrimaryKeys).
  if (schema == "information_schema" && name.starts_with("_pg_")) return {.access = Access::kRead};
  if (knowledge.catalog != nullptr && !said) {
    if (auto finding = knowledge.catalog->function(knowledge.names, schema, name, args)) {
      if (finding->access == Access::kWrite) {
        const unsigned residue = finding->residue | (found ? found->residue : 0u);
        return {.residue = static_cast<std::uint16_t>(residue),
                .primary_only = finding->primary_only || (found && found->primary_only),
                .why = std::move(finding->why)};
      }
      if (!found) found = FunctionEffect{.access = Access::kRead};
    }
  }
  return found.value_or(FunctionEffect{.residue = kOpaque, .unknown = true});
}

std::uint16_t asked_by(std::string_view view) {
  return view == "pg_stat_database" ? kSessionsAsk : kNoResidue;
}

bool shows_server(std::string_view relation) {
  if (!relation.starts_with("pg_")) return false;
  if (relation.starts_with("pg_stat_") || relation.starts_with("pg_statio_")) return true;
  constexpr std::array<std::string_view, 13> kViews = {"pg_backend_memory_contexts",
                                                       "pg_cursors",
                                                       "pg_file_settings",
                                                       "pg_hba_file_rules",
                                                       "pg_ident_file_mappings",
                                                       "pg_locks",
                                                       "pg_prepared_statements",
                                                       "pg_prepared_xacts",
                                                       "pg_replication_origin_status",
                                                       "pg_replication_slots",
                                                       "pg_sequences",  // of each the last value
                                                       "pg_settings",
                                                       "pg_shmem_allocations"};
  return std::ranges::find(kViews, relation) != kViews.end();
}

}  // namespace sql
