#include "route/rules.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace route {
namespace {

bool is_meant(std::string_view name, const std::vector<std::string>& by) {
  return by.empty() || std::ranges::any_of(by, [&](std::string_view one) {
           return one.ends_with('*') ? name.starts_with(one.substr(0, one.size() - 1))
                                     : name == one;
         });
}

std::uint64_t bits_of(const std::vector<std::string>& names, const config::Cluster& cluster) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < cluster.hosts.size(); ++i) {
    if (std::ranges::find(names, cluster.hosts[i].name) != names.end())
      bits |= std::uint64_t{1} << i;
  }
  return bits == 0 ? kAllHosts : bits;
}

Terms terms_of(const config::Rule& rule, int index, const config::Cluster& cluster) {
  const auto number = static_cast<std::int16_t>(index);
  Terms terms{.hosts = bits_of(rule.hosts, cluster), .max_lag = rule.max_lag};
  if (rule.route) {
    terms.route =
        *rule.route == config::Route::kPrimary ? sql::Hint::kPrimary : sql::Hint::kReplica;
    terms.route_rule = number;
  }
  if (rule.consistency) {
    terms.consistency = rule.consistency;
    terms.consistency_rule = number;
  }
  if (terms.hosts != kAllHosts || terms.max_lag.count() != 0) terms.replica_rule = number;
  return terms;
}

// What is open takes what the next one says.
void add(Terms& terms, const Terms& next) {
  if (terms.route == sql::Hint::kNone) {
    terms.route = next.route;
    terms.route_rule = next.route_rule;
  }
  if (!terms.consistency) {
    terms.consistency = next.consistency;
    terms.consistency_rule = next.consistency_rule;
  }
  if (terms.max_lag.count() == 0) {
    terms.max_lag = next.max_lag;
    if (terms.replica_rule == kNoRule) terms.replica_rule = next.replica_rule;
  }
  if (terms.hosts == kAllHosts && next.hosts != kAllHosts) {
    terms.hosts = next.hosts;
    terms.replica_rule = next.replica_rule;
  }
}

std::uint64_t number_of(std::string_view hexadecimal) {
  std::uint64_t number = 0;
  std::from_chars(hexadecimal.data(), hexadecimal.data() + hexadecimal.size(), number, 16);
  return number;
}

}  // namespace

SessionRules::SessionRules(const config::Config& config, const config::Cluster& cluster,
                           std::string_view user, std::string_view database,
                           std::string_view application_name) {
  std::uint64_t next_pattern = 1;
  for (std::size_t i = 0; i < config.rules.size(); ++i) {
    const config::Rule& rule = config.rules[i];
    Rule found{.says = terms_of(rule, static_cast<int>(i), cluster)};
    if (rule.is_on_statements()) {
      found.pattern = next_pattern;
      next_pattern <<= 1;
    }
    if (is_meant(user, rule.users) && is_meant(database, rule.databases) &&
        is_meant(application_name, rule.application_names)) {
      rules_.push_back(found);
      highest_ = std::max(highest_, found.says.consistency.value_or(highest_));
    }
  }
}

Terms SessionRules::terms(std::uint64_t patterns) const {
  Terms terms;
  for (const Rule& rule : rules_) {
    if (rule.pattern == 0 || (rule.pattern & patterns) != 0) add(terms, rule.says);
  }
  return terms;
}

std::uint64_t allowed_hosts(const Terms& rules, const cluster::Snapshot& snapshot) {
  if (rules.max_lag.count() == 0) return rules.hosts;
  std::uint64_t allowed = rules.hosts;
  for (std::size_t i = 0; i < snapshot.hosts.size(); ++i) {
    const std::int64_t lag_ms = snapshot.hosts[i].lag_ms;
    if (lag_ms < 0 || lag_ms > rules.max_lag.count()) allowed &= ~(std::uint64_t{1} << i);
  }
  return allowed;
}

std::vector<sql::Pattern> patterns_of(const config::Config& config) {
  std::vector<sql::Pattern> patterns;
  for (const config::Rule& rule : config.rules) {
    if (!rule.is_on_statements()) continue;
    sql::Pattern pattern{.relations = rule.tables,
                         .functions = rule.functions,
                         .regex = rule.regex,
                         .regex_bytes_max = config::Rule::kRegexBytesMax};
    for (const std::string& shape : rule.shapes) pattern.shapes.push_back(number_of(shape));
    patterns.push_back(std::move(pattern));
  }
  return patterns;
}

}  // namespace route
