// Bodies of server messages: what decodes must encode to the same bytes, where there is an encoder.
#include <cstdlib>
#include <string>

#include "protocol/backend.h"
#include "protocol/error.h"
#include "protocol/lsn.h"

namespace {

using protocol::Buffer;
using protocol::Bytes;

void require(bool holds) {
  if (!holds) std::abort();
}

void require_same(const Buffer& message, Bytes body) {
  require(protocol::as_text(message.view().subspan(5)) == protocol::as_text(body));
}

void check_row(Bytes body) {
  const auto row = protocol::decode_data_row(body);
  if (!row) return;
  std::vector<std::optional<std::string>> values;
  for (const auto& value : *row) values.emplace_back(value);
  Buffer out;
  write_data_row(out, values);
  require_same(out, body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes body(data, size);
  if (const auto request = protocol::decode_authentication(body)) {
    Buffer out;
    write_authentication(out, request->request, request->rest);
    require_same(out, body);
  }
  if (const auto names = protocol::sasl_mechanisms(body); !names.empty()) {
    Buffer out;
    protocol::write_sasl_mechanisms(out, names);
    require(protocol::as_text(out.view().subspan(9)) == protocol::as_text(body));
  }
  if (const auto status = protocol::decode_parameter_status(body)) {
    Buffer out;
    write_parameter_status(out, status->name, status->value);
    require_same(out, body);
  }
  if (const auto key = protocol::decode_backend_key_data(body)) {
    Buffer out;
    write_backend_key_data(out, key->pid, key->key);
    require_same(out, body);
  }
  if (const auto tag = protocol::decode_command_complete(body)) {
    Buffer out;
    protocol::write_command_complete(out, *tag);
    require_same(out, body);
  }
  (void)protocol::decode_ready_for_query(body);
  (void)protocol::decode_error(body);
  check_row(body);
  if (const auto lsn = protocol::parse_lsn(protocol::as_text(body))) {
    require(protocol::parse_lsn(protocol::format_lsn(*lsn)) == lsn);
  }
  return 0;
}
