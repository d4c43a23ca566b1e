// PostgreSQL's SQL, as psql and drivers write it to read catalogs, in SQLite's words.
#pragma once

#include <string>
#include <string_view>

namespace admin {

// Of one SELECT. Takes away what SQLite has no word for and what changes nothing here (casts, the
// schemas pg_catalog and public, collations), and writes the rest in another way (regular
// expressions, E'', generate_series, = ANY (ARRAY[...])). What it does not know it leaves.
std::string to_sqlite(std::string_view sql);

// What PostgreSQL calls a column of `sql` that SQLite calls `name`: SQLite takes the text of an
// expression, PostgreSQL its function, or ?column?. Names that were given stay.
std::string postgres_name(std::string_view name, std::string_view sql);

}  // namespace admin
