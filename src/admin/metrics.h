// An Inspection in Prometheus's text format, or OpenMetrics.
#pragma once

#include <string>
#include <string_view>

#include "proxy/inspect.h"

namespace admin {

// Times are seconds; counters end in _total. Labels are names of databases, users, hosts and
// clusters, and words of ours: there are no more series than pools, hosts and workers make.
inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
std::string metrics_text(const proxy::Inspection& inspection);

// The same as OpenMetrics 1.0.
inline constexpr const char* kOpenMetricsType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";
std::string open_metrics(std::string_view metrics_text);
bool accepts_open_metrics(std::string_view accept);  // an Accept header

}  // namespace admin
