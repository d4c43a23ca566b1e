// Who may use the API: by the token that a request carries.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/config.h"

namespace admin {

enum class Access : std::uint8_t {
  kNobody,     // no token, and one is needed
  kWrong,      // a token that is none of ours
  kNameNeeds,  // without a token only if it asks for an address: see access_of
  kClosed,     // no token is configured, and nothing goes without one
  kLook,
  kCommand,
};

// authorization, host: those headers; "" = none. Only Bearer is a token. Tokens are compared in
// constant time.
//
// Without a token (admin.view_without_token) the Host must be an address or localhost: a page of
// someone else's, whose name was made to mean our address (DNS rebinding), would read all for it.
Access access_of(const config::Admin& admin, std::string_view authorization, std::string_view host);

// Equal, in a time that depends on the sizes only.
bool same_secret(std::string_view given, std::string_view secret);

}  // namespace admin
