// The console's commands about hosts: CHOOSE PRIMARY, BAN, UNBAN, WEIGHT.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/host_order.h"

namespace admin {

struct Word {
  std::string text;
  bool quoted = false;  // a name, whatever it looks like
};

struct ParsedHostOrder {
  proxy::HostOrder order;
  std::string tag;  // of CommandComplete
  bool is_wrong = false;
  std::string near, hint;  // if it is wrong: where, "" = at the end; and what should be there
};

// nullopt: these are the words of another statement.
std::optional<ParsedHostOrder> parse_host_order(std::span<const Word> words);

inline constexpr std::string_view kHostOrderWords = "CHOOSE PRIMARY, BAN, UNBAN, WEIGHT";
inline constexpr std::string_view kHostOrderHelp =
    "\tCHOOSE PRIMARY <host>|AUTO [<cluster>]\n"
    "\tBAN <host> [<cluster>] [<seconds>]\n"
    "\tUNBAN <host> [<cluster>]\n"
    "\tWEIGHT <host> [<cluster>] <number>|DEFAULT\n";

}  // namespace admin
