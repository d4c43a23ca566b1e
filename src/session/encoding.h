// Encodings of text, by PostgreSQL's names for them (src/common/encnames.c).
#pragma once

#include <string>
#include <string_view>

namespace session {

// The one name for all that mean the same encoding: lower case, letters and digits only.
std::string plain_encoding(std::string_view name);

// text in another encoding; what that does not have, and what is no text, becomes "?". Both by
// their plain_encoding(). Unchanged if iconv does not know one of them, as SQL_ASCII, which says
// nothing of what it is.
std::string converted(std::string_view text, std::string_view from, std::string_view to);

}  // namespace session
