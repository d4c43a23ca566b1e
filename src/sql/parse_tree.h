// libpg_query's parse tree of a text, owned.
#pragma once

#include <pg_query/pg_query.pb-c.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace sql {

struct FreeParseResult {
  void operator()(PgQuery__ParseResult* tree) const;
};
using ParseTree = std::unique_ptr<PgQuery__ParseResult, FreeParseResult>;

// nullptr when it is not PostgreSQL 15's SQL. `text` must be within Bounds: libpg_query does not
// survive others. Safe from several threads: libpg_query keeps its state per thread.
ParseTree parse(const std::string& text);

// The elements of a repeated field: for (const auto* node : nodes(s.n_args, s.args)).
struct Nodes {
  PgQuery__Node* const* first;
  std::size_t count;
  PgQuery__Node* const* begin() const { return first; }
  PgQuery__Node* const* end() const { return first + count; }
};
inline Nodes nodes(std::size_t count, PgQuery__Node* const* first) { return {first, count}; }

// The text of a String node, else "".
std::string_view string_of(const PgQuery__Node* node);

// A dotted name: the last part, and the one before it ("" if there is none).
struct QualifiedName {
  std::string_view schema, name;
};
QualifiedName qualified_name(Nodes parts);

}  // namespace sql
