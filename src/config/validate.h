// What no single setting can tell: references, duplicates, what needs what. Internal to config/.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/config.h"

namespace config {

// path: {"clusters", "main", "hosts", "[1]"}
using Report = std::function<void(std::vector<std::string> path, std::string message)>;

// Fills in what follows from the rest: see load.h.
void complete(Config& config);
void validate(const Config& config, const Report& report);

}  // namespace config
