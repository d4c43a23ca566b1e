// What drivers and psql ask of any server: its settings, none of which can be changed here.
#pragma once

#include <span>
#include <string_view>

namespace admin {

struct ServerSetting {
  std::string_view name;  // lower case
  std::string_view value;
};

std::span<const ServerSetting> server_settings();
const ServerSetting* find_server_setting(std::string_view name);  // any case; null = not known

}  // namespace admin
