// Clusters, databases and users out of PgBouncer's. Internal to the import.
#pragma once

#include <string>
#include <vector>

#include "config/pgbouncer_source.h"
#include "config/toml_draft.h"

namespace config {

struct ObjectPlan {
  struct Cluster {
    std::string name, host;  // host: as PgBouncer's; a list, or "" for a Unix socket
    std::string port;
    std::vector<std::string> hosts;  // as ours; empty: not possible here
  };
  std::string method, method_note, auth_user;
  bool looks_up = false;  // some database has an auth_user, or all have
  std::vector<Cluster> clusters;
  std::vector<std::size_t> cluster_of;  // index as the source's databases
};

bool is_auth_query(std::string_view query);  // that validation takes
ObjectPlan plan_objects(const PgBouncerSource& source);
void write_objects(const ObjectPlan& plan, const PgBouncerSource& source, TomlDraft& draft);

}  // namespace config
