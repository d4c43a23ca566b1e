// Precompiled, as std.h, where there is a log.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <spdlog/spdlog.h>

#include "pch/std.h"
