// What psql and drivers ask of pg_catalog and information_schema: the console's tables, told as
// PostgreSQL would, and functions that go with them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "admin/table.h"

struct sqlite3;

namespace admin {

// Catalogs; those that are always empty here among them.
std::span<const Table> catalog_tables();
// Whether a statement may name one of these: only then they are made.
bool names_catalogs(std::string_view sql);

// As format_type() has it; "" = none of the console's.
std::string_view type_name(std::int64_t oid);
std::string_view table_help(std::int64_t oid);  // of a table in pg_class

// pg_get_userbyid() and the like, and what REGEXP and MATCH mean.
void add_catalog_functions(sqlite3* db);

}  // namespace admin
