#include "admin/server_settings.h"

#include <algorithm>
#include <array>

#include "admin/text.h"
#include "proxy/control.h"

namespace admin {
namespace {

constexpr auto kSettings = std::to_array<ServerSetting>({
    {"application_name", ""},
    {"block_size", "8192"},
    {"bytea_output", "hex"},
    {"client_encoding", "UTF8"},
    {"client_min_messages", "notice"},
    {"datestyle", "ISO, MDY"},
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_read_only", "off"},
    {"extra_float_digits", "1"},
    {"in_hot_standby", "off"},
    {"integer_datetimes", "on"},
    {"intervalstyle", "postgres"},
    {"is_superuser", "off"},
    {"lc_collate", "C"},
    {"lc_ctype", "C"},
    {"max_identifier_length", "63"},
    {"max_index_keys", "32"},
    {"search_path", "public"},
    {"server_encoding", "UTF8"},
    {"server_version", proxy::kConsoleServerVersion},
    {"server_version_num", "150000"},
    {"standard_conforming_strings", "on"},
    {"statement_timeout", "0"},
    {"timezone", "UTC"},
    {"transaction_isolation", "read committed"},
    {"transaction_read_only", "off"},
});

}  // namespace

std::span<const ServerSetting> server_settings() { return kSettings; }

const ServerSetting* find_server_setting(std::string_view name) {
  const auto found = std::ranges::find_if(
      kSettings, [&](const ServerSetting& each) { return equal_any_case(each.name, name); });
  return found == kSettings.end() ? nullptr : &*found;
}

}  // namespace admin
