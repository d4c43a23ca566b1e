// The digests that authentication needs, over OpenSSL. Internal to protocol/.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocol/scram.h"

namespace protocol {

// OpenSSL refuses SHA-256 only when it is out of memory or broken: these abort then, because no
// answer would be safe to go on with.
ScramKey sha256(std::string_view data);
ScramKey hmac_sha256(std::string_view key, std::string_view data);
// Hi() of RFC 5802. iterations: 1 to 2^31 - 1; what is outside counts as the nearest of them.
ScramKey pbkdf2_sha256(std::string_view password, std::string_view salt, std::uint32_t iterations);

bool equal_in_constant_time(const ScramKey& a, const ScramKey& b);

inline std::string_view as_text(const ScramKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

}  // namespace protocol
