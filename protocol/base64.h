// Base64 (RFC 4648, with padding) as SCRAM uses it. Internal to protocol/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/bytes.h"

namespace protocol {

std::string base64_encode(Bytes bytes);

// nullopt for anything but the one canonical encoding: no blanks, full padding, no stray bits.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace protocol
