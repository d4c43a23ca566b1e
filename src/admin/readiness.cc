#include "admin/readiness.h"

#include <algorithm>

#include "admin/text.h"

namespace admin {

std::string why_not_ready(const proxy::Inspection& inspection, bool draining) {
  if (draining) return "draining";
  for (const proxy::ClusterRow& row : inspection.clusters) {
    if (row.snapshot == nullptr) return concat("cluster ", row.name, ": not measured yet");
    const auto& hosts = row.snapshot->hosts;
    const bool usable =
        row.snapshot->primary >= 0 ||
        std::any_of(hosts.begin(), hosts.end(), [](const cluster::Host& h) { return h.reads; });
    if (!usable) return concat("cluster ", row.name, ": no primary and no fit replica");
  }
  return "";
}

}  // namespace admin
