// What the dashboard shows, as JSON: docs/api.md describes each member.
#pragma once

#include <string>

#include "admin/table.h"
#include "proxy/inspect.h"

namespace admin {

inline constexpr proxy::InspectParts kOverviewNeeds{.faults = true};
// Every second: hosts, pools, databases, faults and a point of the charts. Bounded.
std::string overview_json(const Source& source, bool draining);

// Every few seconds: what takes more to collect. The rows of clients (who waits, who pins) are
// left out, null, where there are more than kDetailClients: to copy them all would hold up workers.
inline constexpr std::uint64_t kDetailClients = 2000;
proxy::InspectParts detail_needs(std::uint64_t clients);
std::string detail_json(const Source& source, const proxy::InspectParts& parts);

}  // namespace admin
