#include "sql/parse_tree.h"

#include <pg_query.h>

namespace sql {

void FreeParseResult::operator()(PgQuery__ParseResult* tree) const {
  pg_query__parse_result__free_unpacked(tree, nullptr);
}

ParseTree parse(const std::string& text) {
  if (text.find('\0') != std::string::npos) return nullptr;
  const PgQueryProtobufParseResult result = pg_query_parse_protobuf(text.c_str());
  ParseTree tree;
  if (result.error == nullptr) {
    tree.reset(pg_query__parse_result__unpack(
        nullptr, result.parse_tree.len,
        reinterpret_cast<const std::uint8_t*>(result.parse_tree.data)));
  }
  pg_query_free_protobuf_parse_result(result);
  return tree;
}

std::string_view string_of(const PgQuery__Node* node) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_STRING) return {};
  return node->string->sval;
}

QualifiedName qualified_name(Nodes parts) {
  QualifiedName result;
  if (parts.count > 0) result.name = string_of(parts.first[parts.count - 1]);
  if (parts.count > 1) result.schema = string_of(parts.first[parts.count - 2]);
  return result;
}

}  // namespace sql
