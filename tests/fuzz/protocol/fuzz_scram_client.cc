// SCRAM's client role against any server: two messages, cut at the first line end of the input.
// The server does not know the password: it must never pass for the right one.
#include <cstdlib>

#include "protocol/bytes.h"
#include "protocol/scram.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = protocol::as_text({data, size});
  const std::size_t line = text.find('\n');
  const std::string_view first = text.substr(0, line);
  const std::string_view second =
      line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
  // Keys, not a password: otherwise the input could ask for a million rounds each time.
  protocol::ScramKeys keys;
  keys.client_key.fill(1);
  keys.server_key.fill(2);
  protocol::ScramClient client(keys, "nonce");
  client.first("", false);
  if (const auto answer = client.final(first)) {
    if (!answer->starts_with("c=biws,r=nonce")) std::abort();
  }
  if (client.verify(second)) std::abort();
  return 0;
}
