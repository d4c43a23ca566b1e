// What a text's block comments say of how it wants to be read: /* weir: primary */,
// /* weir: replica */, /* weir: consistency=strong */, /* weir: min_lsn=0/16B3748 */, or several of
// these with commas between.
#pragma once

#include <string_view>

#include "sql/analysis.h"

namespace sql {

// Looks at the first MiB only. What is not understood is a comment like others.
Hints find_hints(std::string_view text);

}  // namespace sql
