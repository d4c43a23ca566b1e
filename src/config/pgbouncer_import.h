// weir import-pgbouncer: a configuration of ours out of PgBouncer's.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/load.h"

namespace config {

struct PgBouncerImport {
  std::string toml;               // with a comment for whatever is not the same
  std::vector<Problem> problems;  // what weir --check says of it: the operator has to finish it
};

// An error is "FILE:LINE: what was expected". userlist: "" = the ini's auth_file.
absl::StatusOr<PgBouncerImport> import_pgbouncer(const std::string& ini,
                                                 const std::string& userlist);

}  // namespace config
