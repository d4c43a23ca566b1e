// SET, RESET, set_config(): from the parse tree to what sets the same again elsewhere.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sql/analysis.h"
#include "sql/parse_tree.h"

namespace sql {

// The names of settings, and most of their words, are read without regard to case.
std::string lower(std::string_view text);

// Fills verb, sets, residue and the transaction's properties of SET and RESET in all their forms.
void read_set(const PgQuery__VariableSetStmt& set, Statement& statement);

// BEGIN's and SET TRANSACTION's ISOLATION LEVEL, READ ONLY, DEFERRABLE.
void read_transaction_modes(Nodes modes, Statement& statement);

// Whether the third argument is the constant true.
// Its first argument is a constant or a parameter.
bool is_named_set_config(const PgQuery__FuncCall& call);
bool is_local_set_config(const PgQuery__FuncCall& call);

// SELECT set_config(...), ... and nothing else that could keep the calls from being made: adds
// them to statement.sets. Returns how many calls that last longer than the transaction it
// accounted for.
int read_set_configs(const PgQuery__SelectStmt& select, Statement& statement);

}  // namespace sql
