// The part of loading that a file and a connection string share. Internal to config/.
#pragma once

#include <toml++/toml.h>

#include <string>
#include <vector>

#include "config/load.h"
#include "config/problems.h"

namespace config {

// source: for Config::source. Takes all of `problems`.
LoadResult load_table(toml::table root, std::string source, Problems& problems,
                      const std::vector<std::string>& overrides);

}  // namespace config
