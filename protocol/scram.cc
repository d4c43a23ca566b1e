#include "protocol/scram.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "protocol/base64.h"
#include "protocol/bytes.h"
#include "protocol/crypto.h"

namespace protocol {
namespace {

constexpr std::string_view kEndPointFlag = "p=tls-server-end-point";
// Far above any real message. Keeps sizes within the int that OpenSSL wants.
constexpr std::size_t kMaxMessageBytes = 64 * 1024;

bool is_printable(std::string_view text) {
  for (const char c : text) {
    if (c < 0x21 || c > 0x7e || c == ',') return false;
  }
  return true;
}

// A nonce on the wire is printable and without commas (RFC 5802, section 5.1).
std::string printable_nonce(std::string_view nonce) {
  return is_printable(nonce) ? std::string(nonce) : base64_encode(as_bytes(nonce));
}

// Takes "<name>=<value>" and the comma behind it, if there is one, off the front of `text`.
std::optional<std::string_view> take_attribute(std::string_view& text, char name) {
  if (text.size() < 2 || text[0] != name || text[1] != '=') return std::nullopt;
  const std::size_t end = text.find(',');
  const std::string_view value = text.substr(2, end == std::string_view::npos ? end : end - 2);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return value;
}

// True when what is left of a message is extensions ("x=value,..."), which we ignore, or nothing.
bool only_extensions(std::string_view text) {
  while (!text.empty()) {
    const char name = static_cast<char>(text[0] | 0x20);
    if (name < 'a' || name > 'z' || !take_attribute(text, text[0])) return false;
  }
  return true;
}

// Undone by itself: turns a client key into a proof, and a proof into the client key.
ScramKey exclusive_or(const ScramKey& a, const ScramKey& b) {
  ScramKey result;
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = a[i] ^ b[i];
  return result;
}

std::optional<ScramKey> decode_key(std::string_view base64) {
  const auto raw = base64_decode(base64);
  ScramKey key;
  if (!raw || raw->size() != key.size()) return std::nullopt;
  std::copy(raw->begin(), raw->end(), key.begin());
  return key;
}

bool has_nul_or_is_huge(std::string_view message) {
  return message.size() > kMaxMessageBytes || message.find('\0') != std::string_view::npos;
}

}  // namespace

ScramServer::ScramServer(ScramVerifier verifier, std::string_view nonce,
                         std::string_view channel_binding)
    : verifier_(std::move(verifier)),
      nonce_(printable_nonce(nonce)),
      channel_binding_(channel_binding) {}

std::optional<std::string> ScramServer::first(std::string_view mechanism,
                                              std::string_view client_first) {
  gs2_header_.clear();
  plus_ = mechanism == kScramPlus;
  if (mechanism != kScram && !plus_) return std::nullopt;
  if (plus_ && channel_binding_.empty()) return std::nullopt;
  if (has_nul_or_is_huge(client_first)) return std::nullopt;

  const std::string_view flag = client_first.substr(0, client_first.find(','));
  if (plus_) {
    if (flag != kEndPointFlag) return std::nullopt;
  } else if (flag == "y") {
    if (!channel_binding_.empty()) return std::nullopt;  // we did offer it: a downgrade
  } else if (flag != "n") {
    return std::nullopt;
  }
  // No authorization identity between the two commas: PostgreSQL knows none.
  std::string_view rest = client_first.substr(flag.size());
  if (!rest.starts_with(",,")) return std::nullopt;
  rest.remove_prefix(2);
  const std::string_view bare = rest;
  // The name is not used, as in PostgreSQL: the startup packet told it.
  if (!take_attribute(rest, 'n')) return std::nullopt;
  const auto client_nonce = take_attribute(rest, 'r');
  if (!client_nonce || client_nonce->empty() || !is_printable(*client_nonce)) return std::nullopt;
  if (!only_extensions(rest)) return std::nullopt;

  gs2_header_ = std::string(flag) + ",,";
  combined_nonce_ = std::string(*client_nonce) + nonce_;
  std::string server_first = "r=" + combined_nonce_ +
                             ",s=" + base64_encode(as_bytes(verifier_.salt)) +
                             ",i=" + std::to_string(verifier_.iterations);
  auth_message_ = std::string(bare) + "," + server_first + ",";
  return server_first;
}

std::optional<std::string> ScramServer::final(std::string_view client_final) {
  if (gs2_header_.empty() || has_nul_or_is_huge(client_final)) return std::nullopt;
  std::string_view rest = client_final;
  const auto binding = take_attribute(rest, 'c');
  const std::string expected = gs2_header_ + (plus_ ? channel_binding_ : std::string());
  if (!binding || *binding != base64_encode(as_bytes(expected))) return std::nullopt;
  const auto nonce = take_attribute(rest, 'r');
  if (!nonce || *nonce != combined_nonce_) return std::nullopt;

  // The proof is the last attribute; extensions may stand before it.
  const std::size_t comma = client_final.rfind(',');
  std::string_view proof_text = client_final.substr(comma + 1);
  const std::string_view without_proof = client_final.substr(0, comma);
  const auto proof_base64 = take_attribute(proof_text, 'p');
  if (!proof_base64) return std::nullopt;
  const std::size_t extension_bytes = rest.size() - std::min(rest.size(), proof_base64->size() + 2);
  if (!only_extensions(rest.substr(0, extension_bytes))) return std::nullopt;
  const auto proof = decode_key(*proof_base64);
  if (!proof) return std::nullopt;

  const std::string auth_message = auth_message_ + std::string(without_proof);
  gs2_header_.clear();  // one attempt
  const ScramKey client_key =
      exclusive_or(*proof, hmac_sha256(as_text(verifier_.stored_key), auth_message));
  if (!equal_in_constant_time(sha256(as_text(client_key)), verifier_.stored_key)) {
    return std::nullopt;
  }
  keys_ = {.client_key = client_key, .server_key = verifier_.server_key};
  return "v=" + base64_encode(hmac_sha256(as_text(verifier_.server_key), auth_message));
}

ScramClient::ScramClient(std::string_view password, std::string_view nonce, Derive derive)
    : password_(password), nonce_(printable_nonce(nonce)), derive_(std::move(derive)) {}

ScramClient::ScramClient(const ScramKeys& keys, std::string_view nonce)
    : nonce_(printable_nonce(nonce)), keys_(keys) {}

std::string ScramClient::first(std::string_view channel_binding, bool channel_binding_possible) {
  channel_binding_ = channel_binding;
  if (!channel_binding_.empty()) {
    gs2_header_ = std::string(kEndPointFlag) + ",,";
  } else {
    gs2_header_ = channel_binding_possible ? "y,," : "n,,";
  }
  first_bare_ = "n=,r=" + nonce_;  // no name: PostgreSQL takes the startup packet's
  return gs2_header_ + first_bare_;
}

std::optional<std::string> ScramClient::final(std::string_view server_first) {
  auth_message_.clear();
  if (first_bare_.empty() || has_nul_or_is_huge(server_first)) return std::nullopt;
  std::string_view rest = server_first;
  const auto nonce = take_attribute(rest, 'r');
  if (!nonce || !nonce->starts_with(nonce_) || nonce->size() == nonce_.size() ||
      !is_printable(*nonce)) {
    return std::nullopt;
  }
  const auto salt_base64 = take_attribute(rest, 's');
  const auto count = take_attribute(rest, 'i');
  if (!salt_base64 || !count || !rest.empty() || server_first.ends_with(',')) return std::nullopt;
  const auto salt = base64_decode(*salt_base64);
  std::uint32_t iterations = 0;
  const char* end = count->data() + count->size();
  const auto [stopped, error] = std::from_chars(count->data(), end, iterations);
  if (!salt || salt->empty() || error != std::errc() || stopped != end || iterations == 0) {
    return std::nullopt;
  }
  ScramKeys keys;
  if (keys_) {
    keys = *keys_;
  } else {
    if (iterations > kMaxIterations) return std::nullopt;
    keys = derive_(password_, *salt, iterations);
  }
  const std::string without_proof =
      "c=" + base64_encode(as_bytes(gs2_header_ + channel_binding_)) + ",r=" + std::string(*nonce);
  auth_message_ = first_bare_ + "," + std::string(server_first) + "," + without_proof;
  server_signature_ = hmac_sha256(as_text(keys.server_key), auth_message_);
  const ScramKey stored_key = sha256(as_text(keys.client_key));
  const ScramKey proof =
      exclusive_or(keys.client_key, hmac_sha256(as_text(stored_key), auth_message_));
  return without_proof + ",p=" + base64_encode(proof);
}

bool ScramClient::verify(std::string_view server_final) const {
  if (auth_message_.empty() || !server_final.starts_with("v=")) return false;
  const auto signature = decode_key(server_final.substr(2));
  return signature && equal_in_constant_time(*signature, server_signature_);
}

}  // namespace protocol
