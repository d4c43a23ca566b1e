// What becomes of each setting of PgBouncer 1.25, and of its databases' and users' parameters.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace config {

enum class PgBouncerKind : std::uint8_t {
  kText,
  kWhole,
  kSeconds,
  kSecondsOrNone,  // -1: as for all
  kPort,
  kAuthType,
  kPoolMode,
  kSslMode,
};

struct PgBouncerSetting {
  std::string_view name;
  PgBouncerKind kind;
  std::string_view default_value;
  std::string_view ours;  // our key; "" = there is none
  std::string_view note;  // for people: what differs, or why there is none
};

// By name. Also those that are older or newer than 1.25, as far as they are known.
std::span<const PgBouncerSetting> pgbouncer_settings();
const PgBouncerSetting* find_pgbouncer_setting(std::string_view name);

struct PgBouncerParameter {
  std::string_view name;
  PgBouncerKind kind;
  std::string_view ours;
  std::string_view note;
};
std::span<const PgBouncerParameter> pgbouncer_database_parameters();
std::span<const PgBouncerParameter> pgbouncer_user_parameters();
std::span<const PgBouncerParameter> pgbouncer_peer_parameters();

}  // namespace config
