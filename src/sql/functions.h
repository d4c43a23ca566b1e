// What a call of a function may do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"
#include "sql/catalog.h"

namespace sql {

// What else than the grammar a statement is judged by.
struct Knowledge {
  // Functions that their owner calls harmless: "name" or "schema.name", lower case, as called.
  const std::vector<std::string>& harmless;
  const Catalog* catalog = nullptr;  // null = not known: every function of a user's is a write
  Names names = Names::kEverything;  // of the session
};

struct FunctionEffect {
  Access access = Access::kWrite;
  std::uint16_t residue = kNoResidue;
  bool sets_setting = false;  // set_config
  bool primary_only = false;  // as Analysis has it
  bool unknown = false;       // neither built in nor in the catalog
  std::string why = {};       // of a write, when there is more to say than its name
};

// `schema` is "" for an unqualified call. It means a built-in function as well as every function
// of that name in the catalog: which one is called depends on types and on the search_path.
FunctionEffect function_effect(std::string_view schema, std::string_view name, int args,
                               const Knowledge& knowledge);

// By name alone; nullopt = no built-in function has that name.
std::optional<FunctionEffect> builtin_effect(std::string_view name);

// What such a view asks of the session that looks at it, as Statement::residue.
std::uint16_t asked_by(std::string_view view);

// A view of pg_catalog that shows a server, or one session on it, and no data.
bool shows_server(std::string_view relation);

}  // namespace sql
