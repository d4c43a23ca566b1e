// Bodies of client messages: what decodes must encode to the same bytes.
#include <cstdlib>

#include "protocol/frontend.h"

namespace {

using protocol::Buffer;
using protocol::Bytes;

void require(bool holds) {
  if (!holds) std::abort();
}

void require_same(const Buffer& message, Bytes body) {
  require(protocol::as_text(message.view().subspan(5)) == protocol::as_text(body));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes body(data, size);
  if (const auto parse = protocol::decode_parse(body)) {
    Buffer out;
    write_parse(out, parse->statement, parse->query, parse->types);
    require_same(out, body);
  }
  if (const auto bind = protocol::decode_bind(body)) {
    Buffer out;
    write_bind(out, bind->portal, bind->statement, bind->rest);
    require_same(out, body);
    if (const auto values = bind_text_parameters(*bind)) require(values->size() * 4 <= size);
    const auto formats = bind_result_formats(*bind);
    if (formats) require(formats->size() * 2 <= size);
  }
  if (const auto describe = protocol::decode_describe(body)) {
    Buffer out;
    write_describe(out, describe->kind, describe->name);
    require_same(out, body);
  }
  if (const auto execute = protocol::decode_execute(body)) {
    Buffer out;
    write_execute(out, execute->portal, execute->max_rows);
    if (execute->max_rows != 0) require_same(out, body);
  }
  if (const auto query = protocol::decode_query(body)) {
    Buffer out;
    write_query(out, *query);
    require_same(out, body);
  }
  const protocol::Bind unchecked{"", "", body};
  (void)bind_text_parameters(unchecked);
  (void)bind_result_formats(unchecked);
  return 0;
}
