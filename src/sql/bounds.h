// Whether a text may be given to libpg_query, whose parser and serialiser recurse and die with a
// full stack on texts that any client may send.
//
// The tokens alone bound the depth of the parse tree from above. A bracket, or CASE ... END, is a
// level; in a level the tree is at most as deep as there are operators (and words that act as such)
// between two commas, since commas separate siblings. So do AND and OR, whose chains PostgreSQL's
// grammar makes flat. Set operations and joins chain across commas, and count until the statement
// ends.
#pragma once

#include <string_view>

namespace sql {

// nullptr, or what was exceeded, for people: static text.
const char* beyond_bounds(std::string_view text);

}  // namespace sql
