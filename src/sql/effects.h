// What a query may do, from a walk over its whole parse tree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"
#include "sql/functions.h"
#include "sql/parse_tree.h"

namespace sql {

struct Effects {
  Access access = Access::kRead;
  std::uint16_t residue = kNoResidue;
  std::string why;  // the first thing found that makes it a write; "" for a read
  // set_config(..., true) lasts as long as its transaction; others are not in `residue`, since the
  // caller may know what they set.
  int local_set_configs = 0, session_set_configs = 0;
  const PgQuery__IntoClause* into = nullptr;      // SELECT INTO
  bool names_pg_temp = false;                     // as a schema, anywhere
  int pid_calls = 0, pids_compared = 0;           // of pg_backend_pid(); operands of an operator
  std::vector<std::string> relations, functions;  // as Analysis has them
  bool unknown_function = false;
  bool primary_only = false;      // as Analysis has it
  bool writes_rows = false;       // INSERT, UPDATE, DELETE, MERGE, anywhere
  bool refused_relation = false;  // a replica cannot even plan it: the catalog is against one
};

// Iterative: the depth of the tree costs no stack.
Effects effects_of(const PgQuery__Node* root, const Knowledge& knowledge);

// What a write to a table leaves, by functions that it calls unseen (triggers, defaults ...). With
// no catalog any may leave anything.
std::uint16_t left_by_write(const PgQuery__RangeVar* table, const Knowledge& knowledge);

inline bool is_temp_schema(std::string_view schema) { return schema.starts_with("pg_temp"); }

}  // namespace sql
