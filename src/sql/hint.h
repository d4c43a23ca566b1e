// The routing hint in a text's comments: /* weir: primary */ or /* weir: replica */.
#pragma once

#include <string_view>

#include "sql/analysis.h"

namespace sql {

// Of several, kPrimary wins. Looks at the first MiB only.
Hint find_hint(std::string_view text);

}  // namespace sql
