// A configuration for people: the summary that --check prints, and the rows of SHOW CONFIG.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace config {

// Many lines. Never shows a secret.
std::string describe(const Config& config);

struct ConfigRow {
  std::string key;            // as in the file: "timeouts.query_wait", "users.app.pool.size"
  std::string value;          // as the file could say it; secrets "********", lists with ", "
  std::string default_value;  // what it would be if the file did not say it
  bool changeable = true;     // by a reload
};
// Every setting, those of each cluster, database, user and rule included, in the file's order.
std::vector<ConfigRow> explain(const Config& config);
// The same without those of clusters, databases, users and rules.
std::vector<ConfigRow> explain_general(const Config& config);

}  // namespace config
