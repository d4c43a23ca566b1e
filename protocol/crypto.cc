#include "protocol/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "protocol/bytes.h"

namespace protocol {

ScramKey sha256(std::string_view data) {
  ScramKey digest;
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != digest.size()) {
    std::abort();
  }
  return digest;
}

ScramKey hmac_sha256(std::string_view key, std::string_view data) {
  ScramKey digest;
  unsigned size = 0;
  const char* non_null = key.empty() ? "" : key.data();  // null would mean "the previous key"
  if (HMAC(EVP_sha256(), non_null, static_cast<int>(key.size()), as_bytes(data).data(), data.size(),
           digest.data(), &size) == nullptr ||
      size != digest.size()) {
    std::abort();
  }
  return digest;
}

ScramKey pbkdf2_sha256(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  ScramKey key;
  const char* non_null = password.empty() ? "" : password.data();
  const int rounds = static_cast<int>(
      std::clamp<std::uint32_t>(iterations, 1, std::numeric_limits<std::int32_t>::max()));
  if (PKCS5_PBKDF2_HMAC(non_null, static_cast<int>(password.size()), as_bytes(salt).data(),
                        static_cast<int>(salt.size()), rounds, EVP_sha256(),
                        static_cast<int>(key.size()), key.data()) != 1) {
    std::abort();
  }
  return key;
}

bool equal_in_constant_time(const ScramKey& a, const ScramKey& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace protocol
