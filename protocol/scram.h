// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), client and server role, and
// PostgreSQL's verifier: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>.
// Passwords are SASLprep'd as PostgreSQL does: ASCII as it is, other text as it is when
// preparation does not apply.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace protocol {

inline constexpr std::string_view kScram = "SCRAM-SHA-256", kScramPlus = "SCRAM-SHA-256-PLUS";

using ScramKey = std::array<std::uint8_t, 32>;

struct ScramVerifier {
  std::uint32_t iterations = 4096;
  std::string salt;  // raw bytes
  ScramKey stored_key{}, server_key{};
};
std::optional<ScramVerifier> parse_scram_verifier(std::string_view text);
std::string format_scram_verifier(const ScramVerifier& verifier);
ScramVerifier make_scram_verifier(std::string_view password, std::string_view salt,
                                  std::uint32_t iterations);
// For a user that does not exist: a verifier that nothing matches, always the same for one name
// and one `seed`, so that a login cannot tell the two apart. Its salt is scram_salt().
ScramVerifier mock_scram_verifier(std::string_view user, std::string_view seed);
// Always the same for one name and one secret `seed`, as a verifier that is stored has it: for
// users of whom a password is known.
std::string scram_salt(std::string_view user, std::string_view seed);

// What a client proved it knows: enough to log into a server with the same verifier without
// the password ("pass-through").
struct ScramKeys {
  ScramKey client_key{}, server_key{};
};
// By PBKDF2: all that is slow in a login. 4096 iterations take about 1 ms.
ScramKeys derive_scram_keys(std::string_view password, std::string_view salt,
                            std::uint32_t iterations);
ScramVerifier scram_verifier_of(const ScramKeys& keys, std::string_view salt,
                                std::uint32_t iterations);

// Server role: feed client-first, then client-final. Feed 18 random bytes
// or more for the nonce (both roles); they are sent as base64 unless they are printable already.
class ScramServer {
 public:
  // channel_binding: tls-server-end-point data. Not "" means that SCRAM-SHA-256-PLUS was offered:
  // a client that says "I could, but you did not offer it" (the "y" flag) was tampered with.
  ScramServer(ScramVerifier verifier, std::string_view nonce, std::string_view channel_binding);
  // mechanism: what the client chose. Answer: server-first. nullopt: malformed or downgrade.
  std::optional<std::string> first(std::string_view mechanism, std::string_view client_first);
  // Answer: server-final; nullopt: wrong password or malformed.
  std::optional<std::string> final(std::string_view client_final);
  const ScramKeys& keys() const { return keys_; }  // valid after final() answered

 private:
  ScramVerifier verifier_;
  std::string nonce_, channel_binding_, gs2_header_, auth_message_, combined_nonce_;
  ScramKeys keys_;
  bool plus_ = false;
};

// Client role.
class ScramClient {
 public:
  // derive: derive_scram_keys(), or what has its answers already.
  using Derive =
      std::function<ScramKeys(std::string_view password, std::string_view salt, std::uint32_t)>;
  ScramClient(std::string_view password, std::string_view nonce, Derive derive = derive_scram_keys);
  // Pass-through. The server's salt and iterations do not matter: the keys are what they make.
  ScramClient(const ScramKeys& keys, std::string_view nonce);
  // channel_binding: "" = none; with it SCRAM-SHA-256-PLUS is spoken. channel_binding_possible: we
  // could bind (TLS, and it is allowed) but the server did not offer PLUS; says "y" instead of "n"
  // in the header, so that a server which did offer it learns of the downgrade.
  std::string first(std::string_view channel_binding, bool channel_binding_possible);
  std::optional<std::string> final(std::string_view server_first);  // client-final
  bool verify(std::string_view server_final) const;                 // the server knew the keys too
  // Bounds a hostile server's iteration count.
  static constexpr std::uint32_t kMaxIterations = 1'000'000;

 private:
  std::string password_, nonce_, gs2_header_, channel_binding_, first_bare_, auth_message_;
  Derive derive_;
  std::optional<ScramKeys> keys_;
  ScramKey server_signature_{};
};

// "md5" + md5(md5(password + user) + salt), what a client answers to AuthenticationMD5Password.
// stored: plain text password or "md5..." secret.
std::string md5_answer(std::string_view stored, std::string_view user, std::string_view salt4);

}  // namespace protocol
