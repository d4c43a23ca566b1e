// What no single setting can tell: references, duplicates, what needs what. Internal to config/.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace config {

struct Report {
  // path: {"clusters", "main", "hosts", "[1]"}
  std::function<void(std::vector<std::string> path, std::string message)> add;
  std::function<bool()> full;  // further problems would not be kept: no need to look for them

  void operator()(std::vector<std::string> path, std::string message) const {
    add(std::move(path), std::move(message));
  }
};

// Fills in what follows from the rest: see load.h.
void complete(Config& config);
void validate(const Config& config, const Report& report);
void check_rules(const Config& config, const Report& report);  // of validate(): [[rules]]

}  // namespace config
