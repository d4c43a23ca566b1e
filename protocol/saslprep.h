// Passwords as they go into SCRAM: SASLprep (RFC 4013). Internal to protocol/.
#pragma once

#include <string>
#include <string_view>

namespace protocol {

// As pg_saslprep() and its callers: what is ASCII, not UTF-8, or may not be prepared (characters
// that are forbidden or younger than Unicode 3.2, mixed directions) stays as it is.
std::string saslprep(std::string_view password);

}  // namespace protocol
