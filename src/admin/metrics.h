// An Inspection in Prometheus's text format.
#pragma once

#include <string>

#include "proxy/inspect.h"

namespace admin {

// Served as kMetricsType. Times are seconds; counters end in _total.
inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
std::string metrics_text(const proxy::Inspection& inspection);

}  // namespace admin
