#include <algorithm>
#include <charconv>
#include <limits>

#include "protocol/base64.h"
#include "protocol/crypto.h"
#include "protocol/saslprep.h"
#include "protocol/scram.h"

namespace protocol {
namespace {

constexpr std::size_t kSaltBytes = 16;  // as many as PostgreSQL makes

// Cuts text at the first `mark` and answers what was before it; nullopt when there is none.
std::optional<std::string_view> cut(std::string_view& text, char mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view before = text.substr(0, at);
  text.remove_prefix(at + 1);
  return before;
}

std::optional<ScramKey> decode_key(std::string_view text) {
  const auto raw = base64_decode(text);
  ScramKey key;
  if (!raw || raw->size() != key.size()) return std::nullopt;
  std::copy(raw->begin(), raw->end(), key.begin());
  return key;
}

}  // namespace

std::optional<ScramVerifier> parse_scram_verifier(std::string_view text) {
  const auto scheme = cut(text, '$');
  const auto iterations = cut(text, ':');
  const auto salt = cut(text, '$');
  const auto stored_key = cut(text, ':');
  if (!scheme || *scheme != kScram || !iterations || !salt || !stored_key) return std::nullopt;
  ScramVerifier verifier;
  const char* end = iterations->data() + iterations->size();
  const auto [stopped, error] = std::from_chars(iterations->data(), end, verifier.iterations);
  if (error != std::errc() || stopped != end || verifier.iterations == 0 ||
      verifier.iterations > std::numeric_limits<std::int32_t>::max()) {
    return std::nullopt;
  }
  auto raw_salt = base64_decode(*salt);
  const auto stored = decode_key(*stored_key);
  const auto server = decode_key(text);
  if (!raw_salt || raw_salt->empty() || !stored || !server) return std::nullopt;
  verifier.salt = *std::move(raw_salt);
  verifier.stored_key = *stored;
  verifier.server_key = *server;
  return verifier;
}

std::string format_scram_verifier(const ScramVerifier& verifier) {
  return std::string(kScram) + "$" + std::to_string(verifier.iterations) + ":" +
         base64_encode(as_bytes(verifier.salt)) + "$" + base64_encode(verifier.stored_key) + ":" +
         base64_encode(verifier.server_key);
}

ScramVerifier make_scram_verifier(std::string_view password, std::string_view salt,
                                  std::uint32_t iterations) {
  return scram_verifier_of(derive_scram_keys(password, salt, iterations), salt, iterations);
}

ScramKeys derive_scram_keys(std::string_view password, std::string_view salt,
                            std::uint32_t iterations) {
  const ScramKey salted = pbkdf2_sha256(saslprep(password), salt, iterations);
  return {.client_key = hmac_sha256(as_text(salted), "Client Key"),
          .server_key = hmac_sha256(as_text(salted), "Server Key")};
}

ScramVerifier scram_verifier_of(const ScramKeys& keys, std::string_view salt,
                                std::uint32_t iterations) {
  return {.iterations = std::max<std::uint32_t>(iterations, 1),
          .salt = std::string(salt),
          .stored_key = sha256(as_text(keys.client_key)),
          .server_key = keys.server_key};
}

std::string scram_salt(std::string_view user, std::string_view seed) {
  const ScramKey key = hmac_sha256(seed, std::string("salt ").append(user));
  return std::string(as_text(key).substr(0, kSaltBytes));
}

ScramVerifier mock_scram_verifier(std::string_view user, std::string_view seed) {
  const auto derive = [&](std::string_view purpose) {
    return hmac_sha256(seed, std::string(purpose).append(user));
  };
  ScramVerifier verifier;
  verifier.salt = scram_salt(user, seed);
  // Not the hash of anything known: no proof fits.
  verifier.stored_key = derive("stored ");
  verifier.server_key = derive("server ");
  return verifier;
}

}  // namespace protocol
