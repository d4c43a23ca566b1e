// SET and RESET of Weir's settings.
#pragma once

#include <optional>

#include "admin/statement.h"
#include "admin/words.h"

namespace admin {

// words: behind SET, or RESET. nullopt: a parameter of a session, which the console does not have.
std::optional<Statement> parse_set(Words words);
std::optional<Statement> parse_reset(Words words);

}  // namespace admin
