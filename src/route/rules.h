// What the configuration's rules say of one session's requests.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "cluster/snapshot.h"
#include "config/config.h"
#include "sql/analysis.h"
#include "sql/patterns.h"

namespace route {

inline constexpr std::uint64_t kAllHosts = ~std::uint64_t{0};
inline constexpr int kNoRule = -1;

// What they say of one request, each with the rule that says it, as an index into Config::rules.
struct Terms {
  std::uint64_t hosts = kAllHosts;  // that may serve it as replicas: a bit for each of the cluster
  base::milliseconds max_lag{0};    // of a replica; 0 = only the cluster's limit
  sql::Hint route = sql::Hint::kNone;
  std::optional<config::Consistency> consistency;
  std::int16_t route_rule = kNoRule, consistency_rule = kNoRule;
  std::int16_t replica_rule = kNoRule;  // of `hosts`, or of max_lag if none says hosts

  bool operator==(const Terms&) const = default;
};

// The hosts that they let serve it as replicas, fit or not: a bit for each.
std::uint64_t allowed_hosts(const Terms& rules, const cluster::Snapshot& snapshot);

// Those that hold for a session, in order. Made when the session begins, and again when its
// application_name, its cluster or the configuration changes.
class SessionRules {
 public:
  SessionRules() = default;
  // A rule whose hosts are all of other clusters leaves open which hosts serve.
  SessionRules(const config::Config& config, const config::Cluster& cluster, std::string_view user,
               std::string_view database, std::string_view application_name);

  bool empty() const { return rules_.empty(); }
  // patterns: of the request's statements, joined (Analysis::patterns, made by patterns_of()).
  Terms terms(std::uint64_t patterns) const;
  // What one of them asks for at most, of whichever statement.
  config::Consistency highest() const { return highest_; }

 private:
  struct Rule {
    std::uint64_t pattern = 0;  // its bit; 0 = any statement
    Terms says;
  };
  std::vector<Rule> rules_;
  config::Consistency highest_ = config::Consistency::kEventual;
};

// The conditions on statements, for sql::AnalyzerOptions.
std::vector<sql::Pattern> patterns_of(const config::Config& config);

}  // namespace route
