// Names of customized options (`app.user`) in text of any kind: pg_settings does not list those
// that no library has defined, so whoever wants to know their values must ask for them by name.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace sql {

enum class NamedIn : std::uint8_t {
  kValues,  // SQL, parameters, whatever: any two words with a point between them
  kBody,    // a function's source: in front of quotes, as set_config has it, or behind SET
};

// Adds them, in lower case, until there are `most`. Names with anything else than letters, digits,
// "_" and "$" are not found.
void add_custom_settings(std::string_view text, NamedIn in, std::size_t most,
                         std::set<std::string, std::less<>>& into);

// Whether a function of this source, in SQL or PL/pgSQL, may set one that is not named there: by
// set_config or SET with a name that it is given or puts together, or by EXECUTE of what is none of
// its own strings.
bool sets_unnamed(std::string_view body);

}  // namespace sql
