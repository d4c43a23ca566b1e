// weir route: what would become of a statement, without a proxy that runs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/command_line.h"
#include "config/config.h"

namespace proxy {

// Measures the hosts and reads the catalog, as a proxy does that has just started; waits for either
// for a few seconds at most. An error: no such database.
absl::StatusOr<std::vector<std::string>> offline_route(const config::Config& config,
                                                       const config::CommandLine::Route& asked);

}  // namespace proxy
