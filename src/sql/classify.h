// Parse tree in, what each statement is out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"
#include "sql/functions.h"
#include "sql/parse_tree.h"

namespace sql {

struct Classified {
  Statement statement;
  std::string why;              // "INSERT", "function nextval may write" ...
  bool literals_matter = true;  // another text of the same shape may be something else
  std::vector<std::string> relations, functions;  // as Analysis has them
  bool primary_only = false;                      // likewise
  bool unknown_function = false;
};

// `text` is what was parsed; it is looked at for `why` only.
Classified classify(const PgQuery__RawStmt& raw, std::string_view text, const Knowledge& knowledge);

}  // namespace sql
