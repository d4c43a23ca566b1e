#include <re2/re2.h>

#include <algorithm>
#include <set>

#include "config/concat.h"
#include "config/problems.h"
#include "config/suggest.h"
#include "config/validate.h"

namespace config {
namespace {

using Path = std::vector<std::string>;

Path at(std::size_t rule, std::string key) {
  return {"rules", concat("[", rule, "]"), std::move(key)};
}

void check_regex(const std::string& regex, std::size_t index, const Report& report) {
  if (regex.empty()) return;
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(Rule::kRegexBytesMax);
  const RE2 compiled(regex, options);
  if (compiled.ok()) return;
  report(at(index, "regex"), concat("expected a regular expression as RE2 knows it, found ",
                                    quoted(regex), ": ", compiled.error()));
}

void check_databases(const Config& config, const Rule& rule, std::size_t index,
                     const Report& report) {
  for (const std::string& name : rule.databases) {
    if (name.ends_with('*') || find_database(config, name) != nullptr) continue;
    std::vector<std::string> names;
    for (const Database& database : config.databases) names.push_back(database.name);
    report(at(index, "database"), concat("expected a database that clients can ask for, found ",
                                         quoted(name), did_you_mean(nearest(name, names))));
  }
}

void check_hosts(const Config& config, const Rule& rule, std::size_t index, const Report& report) {
  std::vector<std::string> names;
  for (const Cluster& cluster : config.clusters) {
    for (const Host& host : cluster.hosts) names.push_back(host.name);
  }
  for (const std::string& name : rule.hosts) {
    if (std::ranges::find(names, name) != names.end()) continue;
    report(at(index, "hosts"), concat("expected the name of a cluster's host, found ", quoted(name),
                                      did_you_mean(nearest(name, names))));
  }
}

void check_effects(const Rule& rule, std::size_t index, const Report& report) {
  const bool of_replicas = !rule.hosts.empty() || rule.max_lag.count() != 0;
  if (!rule.route && !rule.consistency && !of_replicas) {
    report({"rules", concat("[", index, "]")},
           "expected at least one of route, hosts, consistency, max_lag: the rule does nothing");
  }
  if (rule.route == Route::kPrimary && of_replicas) {
    report(at(index, rule.hosts.empty() ? "max_lag" : "hosts"),
           "expected none, since the rule's route is \"primary\"");
  }
}

}  // namespace

void check_rules(const Config& config, const Report& report) {
  std::set<std::string_view> names;
  std::size_t on_statements = 0;
  for (std::size_t i = 0; i < config.rules.size(); ++i) {
    if (report.full()) return;
    const Rule& rule = config.rules[i];
    if (!names.insert(rule.name).second) {
      report(at(i, "name"),
             concat("expected a name of its own, found ", quoted(rule.name), " again"));
    }
    if (rule.is_on_statements() && ++on_statements == Rule::kOnStatementsMax + 1) {
      report({"rules", concat("[", i, "]")},
             concat("expected at most ", Rule::kOnStatementsMax,
                    " rules with table, function, shape or regex, found another one"));
    }
    check_regex(rule.regex, i, report);
    check_databases(config, rule, i, report);
    check_hosts(config, rule, i, report);
    check_effects(rule, i, report);
  }
}

}  // namespace config
