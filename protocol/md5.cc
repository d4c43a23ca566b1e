#include <openssl/evp.h>

#include <optional>

#include "protocol/bytes.h"
#include "protocol/scram.h"

namespace protocol {
namespace {

constexpr std::string_view kMd5Prefix = "md5";
constexpr std::size_t kMd5HexDigits = 32;

// nullopt where OpenSSL does not offer MD5 (FIPS mode).
std::optional<std::string> md5_hex(std::string_view data) {
  std::uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), digest, &size, EVP_md5(), nullptr) != 1) {
    return std::nullopt;
  }
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    hex.push_back("0123456789abcdef"[digest[i] >> 4]);
    hex.push_back("0123456789abcdef"[digest[i] & 15]);
  }
  return hex;
}

// As PostgreSQL's get_password_type(): anything else that begins with "md5" is a password.
bool is_md5_secret(std::string_view stored) {
  return stored.size() == kMd5Prefix.size() + kMd5HexDigits && stored.starts_with(kMd5Prefix) &&
         stored.find_first_not_of("0123456789abcdef", kMd5Prefix.size()) == std::string_view::npos;
}

}  // namespace

std::string md5_answer(std::string_view stored, std::string_view user, std::string_view salt4) {
  std::string inner;
  if (is_md5_secret(stored)) {
    inner = stored.substr(kMd5Prefix.size());
  } else if (auto hex = md5_hex(std::string(stored).append(user))) {
    inner = *std::move(hex);
  }
  if (inner.empty()) return {};
  const auto outer = md5_hex(inner.append(salt4));
  return outer ? std::string(kMd5Prefix) + *outer : std::string();
}

}  // namespace protocol
