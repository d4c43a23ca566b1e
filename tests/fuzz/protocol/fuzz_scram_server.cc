// SCRAM's server role against any client: two messages, cut at the first line end of the input.
// The proof is never right, because the password is not in the input: nobody may get in.
#include <cstdlib>

#include "protocol/bytes.h"
#include "protocol/scram.h"

namespace {

void talk(std::string_view mechanism, std::string_view binding, std::string_view first,
          std::string_view second) {
  static const protocol::ScramVerifier verifier =
      protocol::make_scram_verifier("a password", "salt", 1);
  protocol::ScramServer server(verifier, "nonce", binding);
  const auto answer = server.first(mechanism, first);
  if (answer && answer->find("nonce,s=c2FsdA==,i=1") == std::string::npos) std::abort();
  if (server.final(second)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = protocol::as_text({data, size});
  const std::size_t line = text.find('\n');
  const std::string_view first = text.substr(0, line);
  const std::string_view second =
      line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
  talk(protocol::kScram, "", first, second);
  talk(protocol::kScram, "hash", first, second);
  talk(protocol::kScramPlus, "hash", first, second);
  (void)protocol::make_scram_verifier(text, "salt", 1);  // prepares the text as a password
  if (const auto verifier = protocol::parse_scram_verifier(text)) {
    if (protocol::format_scram_verifier(*verifier).empty()) std::abort();
  }
  return 0;
}
