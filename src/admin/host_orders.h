// The console's commands about hosts: CHOOSE PRIMARY, BAN, UNBAN, WEIGHT.
#pragma once

#include <optional>

#include "admin/statement.h"
#include "admin/words.h"

namespace admin {

// nullopt: these are the words of another statement.
std::optional<Statement> parse_host_order(Words words);

}  // namespace admin
