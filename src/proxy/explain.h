// Where a request goes and why, in lines for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cluster/snapshot.h"
#include "config/config.h"
#include "route/router.h"
#include "sql/analysis.h"

namespace proxy {

struct ExplainedRoute {
  const config::Config& config;
  const sql::Analysis& analysis;
  const route::Decision& decision;
  const route::SessionView& session;
  const cluster::Snapshot& snapshot;
};

// "route: ", "host: ", "reason: ", "statement: ", what it names, the session's level, then a line
// for each host.
std::vector<std::string> explain(const ExplainedRoute& of);

std::string_view target_word(route::Target target);

}  // namespace proxy
