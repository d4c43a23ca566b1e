// Unicode's normalisation form KC, for characters of Unicode 3.2. Internal to protocol/.
// https://www.unicode.org/reports/tr15/
#pragma once

#include <string>
#include <string_view>

namespace protocol {

std::u32string nfkc(std::u32string_view text);

}  // namespace protocol
