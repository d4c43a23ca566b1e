// What becomes of each setting of PgBouncer 1.25, and of its databases' and users' parameters.
#pragma once

#include <span>
#include <string_view>

namespace config {

struct PgBouncerSetting {
  enum class Kind : std::uint8_t { kText, kWhole, kSeconds, kAuthType, kPoolMode, kSslMode };
  std::string_view name;
  Kind kind;
  std::string_view default_value;
  std::string_view ours;  // our key; "" = there is none
  std::string_view note;  // for people: what differs, or why there is none
};

// By name. Also those that are older or newer than 1.25, as far as they are known.
std::span<const PgBouncerSetting> pgbouncer_settings();
const PgBouncerSetting* find_pgbouncer_setting(std::string_view name);

struct PgBouncerParameter {
  enum class Kind : std::uint8_t { kText, kWhole, kSeconds, kPort, kPoolMode };
  std::string_view name;
  Kind kind;
  std::string_view ours;
  std::string_view note;
};
std::span<const PgBouncerParameter> pgbouncer_database_parameters();
std::span<const PgBouncerParameter> pgbouncer_user_parameters();
std::span<const PgBouncerParameter> pgbouncer_peer_parameters();

}  // namespace config
