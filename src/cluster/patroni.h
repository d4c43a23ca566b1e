// Who is a host of a cluster, by the answer of Patroni's REST API to GET /cluster.
// https://patroni.readthedocs.io/en/latest/rest_api.html#cluster-status-endpoints
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/config.h"

namespace cluster {

inline constexpr std::size_t kPatroniHostsMax = 64;

// In the order of their names. Without members that have no address yet, and without replicas with
// the tag noloadbalance. One that `configured` has at the same address is as it says there, with
// its weight, zone, role and name; others are called as Patroni calls them. An error if it is not
// such an answer, or nobody is left.
absl::StatusOr<std::vector<config::Host>> hosts_of_patroni(
    std::string_view json, const std::vector<config::Host>& configured);

}  // namespace cluster
