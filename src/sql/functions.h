// What a call of a function may do, by the function's name alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"

namespace sql {

struct FunctionEffect {
  Access access = Access::kWrite;
  std::uint16_t residue = kNoResidue;
  bool sets_setting = false;  // set_config
};

// `schema` is "" for an unqualified call. pg_catalog is searched before every other schema unless
// a session asks otherwise, so an unqualified name of a built-in function means that function.
// (A user's overload of the same name with other argument types is not seen; a replica refuses
// what it would write.) `harmless` holds "name" or "schema.name", lower case, exactly as called.
FunctionEffect function_effect(std::string_view schema, std::string_view name,
                               const std::vector<std::string>& harmless);

}  // namespace sql
