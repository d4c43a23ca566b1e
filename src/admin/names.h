// The words that the console and the metrics use for roles and states.
#pragma once

#include <string_view>

#include "cluster/snapshot.h"

namespace admin {

std::string_view role_name(cluster::Role role);         // "primary", "replica", "unknown"
std::string_view state_name(cluster::HostState state);  // "up", "lagging", "down" ...

}  // namespace admin
