// The words by which the configuration file, the console and the logs call each enumerator.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "config/config.h"

namespace config {

// In the order of the enumerators. An unused argument chooses the overload.
using WordList = std::span<const std::string_view>;

inline constexpr std::array<std::string_view, 3> kPoolModeWords{"transaction", "session",
                                                                "statement"};
inline constexpr std::array<std::string_view, 3> kHostRoleWords{"auto", "primary", "replica"};
// PostgreSQL's names (pg_hba.conf).
inline constexpr std::array<std::string_view, 4> kAuthMethodWords{"trust", "password", "md5",
                                                                  "scram-sha-256"};
// libpq's names.
inline constexpr std::array<std::string_view, 6> kSslModeWords{
    "disable", "allow", "prefer", "require", "verify-ca", "verify-full"};
inline constexpr std::array<std::string_view, 5> kBalancingWords{
    "least_connections", "round_robin", "random", "least_latency", "client_address_hash"};
inline constexpr std::array<std::string_view, 3> kConsistencyWords{"eventual", "session", "strong"};
inline constexpr std::array<std::string_view, 2> kNoReplicaWords{"primary", "error"};
inline constexpr std::array<std::string_view, 2> kRouteWords{"primary", "replica"};
inline constexpr std::array<std::string_view, 5> kLogLevelWords{"trace", "debug", "info", "warn",
                                                                "error"};
inline constexpr std::array<std::string_view, 2> kLogFormatWords{"text", "json"};
inline constexpr std::array<std::string_view, 3> kLogOutputWords{"stderr", "syslog", "journald"};
inline constexpr std::array<std::string_view, 12> kLogFacilityWords{
    "daemon", "user",   "auth",   "authpriv", "local0", "local1",
    "local2", "local3", "local4", "local5",   "local6", "local7"};

constexpr WordList words(PoolMode) { return kPoolModeWords; }
constexpr WordList words(HostRole) { return kHostRoleWords; }
constexpr WordList words(AuthMethod) { return kAuthMethodWords; }
constexpr WordList words(SslMode) { return kSslModeWords; }
constexpr WordList words(Balancing) { return kBalancingWords; }
constexpr WordList words(Consistency) { return kConsistencyWords; }
constexpr WordList words(NoReplica) { return kNoReplicaWords; }
constexpr WordList words(Route) { return kRouteWords; }
constexpr WordList words(LogLevel) { return kLogLevelWords; }
constexpr WordList words(LogFormat) { return kLogFormatWords; }
constexpr WordList words(LogOutput) { return kLogOutputWords; }
constexpr WordList words(LogFacility) { return kLogFacilityWords; }

template <class Enum>
constexpr std::string_view word(Enum value) {
  return words(value)[static_cast<std::size_t>(value)];
}

static_assert(word(PoolMode::kStatement) == "statement");
static_assert(word(HostRole::kReplica) == "replica");
static_assert(word(AuthMethod::kScram) == "scram-sha-256");
static_assert(word(SslMode::kVerifyFull) == "verify-full");
static_assert(word(Balancing::kClientAddressHash) == "client_address_hash");
static_assert(word(Consistency::kSession) == "session");
static_assert(word(NoReplica::kError) == "error");
static_assert(word(Route::kReplica) == "replica");
static_assert(word(LogLevel::kError) == "error");
static_assert(word(LogFormat::kJson) == "json");
static_assert(word(LogOutput::kJournald) == "journald");
static_assert(word(LogFacility::kLocal7) == "local7");

}  // namespace config
