// The dashboard's files, as the build has put them into the binary (scripts/embed.py).
#pragma once

#include <span>
#include <string_view>

namespace admin {

struct Asset {
  std::string_view path;  // as browsers ask for it
  std::string_view type;  // Content-Type
  std::string_view tag;   // ETag: changes with the body
  std::string_view body;
};

std::span<const Asset> assets();                 // static
const Asset* find_asset(std::string_view path);  // null = no such file

}  // namespace admin
