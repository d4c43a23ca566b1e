// Instance: what an operator orders of hosts.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "config/settings.h"
#include "proxy/instance.h"

namespace proxy {
namespace {

using What = HostOrder::What;

constexpr std::uint64_t kSecondsMax = 365 * 86'400;

struct Target {
  ClusterPtr cluster;
  std::size_t host = 0;
};

std::string address_of(const config::Host& host) {
  return host.host + ":" + std::to_string(host.port);
}

// Each cluster's one, by name or else by address.
std::vector<Target> matching(const Topology& topology, const HostOrder& order) {
  std::vector<Target> found;
  for (const ClusterPtr& cluster : topology.clusters) {
    if (!order.cluster.empty() && cluster->config.name != order.cluster) continue;
    const auto& hosts = cluster->config.hosts;
    if (order.what == What::kChooseByRules) {
      found.push_back({cluster});
      continue;
    }
    auto host = std::ranges::find(hosts, order.host, &config::Host::name);
    if (host == hosts.end()) host = std::ranges::find(hosts, order.host, address_of);
    if (host == hosts.end()) continue;
    found.push_back({cluster, static_cast<std::size_t>(host - hosts.begin())});
  }
  return found;
}

absl::StatusOr<Target> find_target(const Topology& topology, const HostOrder& order) {
  if (!order.cluster.empty() && topology.find(order.cluster) == nullptr) {
    return absl::NotFoundError(absl::StrCat("no such cluster: ", order.cluster));
  }
  std::vector<Target> found = matching(topology, order);
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("no such host: ", order.host));
  }
  if (found.size() == 1) return std::move(found[0]);
  std::string names;
  for (const Target& target : found) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", target.cluster->config.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the name of a cluster is needed behind it, one of: ", names));
}

absl::StatusOr<std::string> choose_primary(const Target& target, const std::string& by) {
  const std::string& name = target.cluster->config.hosts[target.host].name;
  const std::string why =
      target.cluster->monitor.order([&](cluster::Tracker& tracker, base::Time now) {
        return tracker.choose_primary(target.host, by, now);
      });
  if (!why.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("host \"", name, "\" cannot be the primary: ", why));
  }
  return absl::StrCat(name, " is the primary until CHOOSE PRIMARY AUTO, a promotion, or a restart");
}

std::string choose_by_rules(const Target& target) {
  return target.cluster->monitor.order([&](cluster::Tracker& tracker, base::Time) {
    return tracker.choose_by_rules() ? "" : "no primary was chosen";
  });
}

absl::StatusOr<std::string> ban(const Target& target, const HostOrder& order,
                                const std::string& by) {
  if (order.seconds && (*order.seconds == 0 || *order.seconds > kSecondsMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ban lasts from 1 to ", kSecondsMax, " seconds"));
  }
  target.cluster->monitor.order([&](cluster::Tracker& tracker, base::Time now) {
    cluster::Ban ban{.by = by, .until = std::nullopt};
    if (order.seconds) ban.until = now + base::seconds(*order.seconds);
    tracker.ban(target.host, std::move(ban));
    return "";
  });
  std::string note = order.seconds ? absl::StrCat("for ", *order.seconds, " s")
                                   : std::string("until UNBAN, or a restart");
  const auto snapshot = target.cluster->monitor.snapshot();
  if (snapshot->primary == static_cast<int>(target.host)) {
    note += "; it stays the primary, and serves what only the primary can";
  } else if (std::ranges::none_of(snapshot->hosts, &cluster::Host::reads)) {
    absl::StrAppend(&note, "; no replica of ", target.cluster->config.name, " serves reads now");
  }
  return note;
}

std::string unban(const Target& target) {
  return target.cluster->monitor.order([&](cluster::Tracker& tracker, base::Time) {
    return tracker.unban(target.host) ? "" : "it was not banned";
  });
}

absl::StatusOr<std::string> set_weight(const Target& target, double weight) {
  if (!(weight >= 0 && weight <= config::kWeightMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a weight is greater than 0, up to ", config::kWeightMax));
  }
  target.cluster->monitor.order([&](cluster::Tracker& tracker, base::Time) {
    tracker.set_weight(target.host, weight);
    return "";
  });
  return weight == 0 ? "" : "until the next RELOAD, or a restart";
}

// The note of a PAUSE is for who hears that it has come to rest.
absl::StatusOr<std::string> pause(const Target& target, const std::string& by) {
  const std::string why = target.cluster->monitor.order([&](cluster::Tracker& tracker, base::Time) {
    return tracker.pause(target.host, by) ? "" : "already paused";
  });
  if (!why.empty()) return absl::FailedPreconditionError(why);
  const bool primary = target.cluster->monitor.snapshot()->primary == static_cast<int>(target.host);
  return absl::StrCat("until RESUME HOST, or a restart",
                      primary ? "; it is the primary: writes wait" : "");
}

std::string resume(const Target& target) {
  return target.cluster->monitor.order([&](cluster::Tracker& tracker, base::Time) {
    return tracker.resume(target.host) ? "" : "it was not paused";
  });
}

absl::StatusOr<std::string> carry_out(const HostOrder& order, const Target& target,
                                      const std::string& by) {
  switch (order.what) {
    case What::kChoosePrimary:
      return choose_primary(target, by);
    case What::kChooseByRules:
      return choose_by_rules(target);
    case What::kBan:
      return ban(target, order, by);
    case What::kUnban:
      return unban(target);
    case What::kWeight:
      return set_weight(target, order.weight);
    case What::kPause:
      return pause(target, by);
    case What::kResume:
      return resume(target);
  }
  return absl::InternalError("no such order");
}

// What was begun before a reload goes by the same word.
void follow(const std::vector<ClusterPtr>& retired, const HostOrder& order, const std::string& by) {
  for (const ClusterPtr& cluster : retired) {
    const auto& hosts = cluster->config.hosts;
    const auto host = std::ranges::find(hosts, order.host, &config::Host::name);
    if (cluster->config.name != order.cluster) continue;
    if (host == hosts.end() && order.what != What::kChooseByRules) continue;
    carry_out(order, {cluster, static_cast<std::size_t>(host - hosts.begin())}, by)
        .status()
        .IgnoreError();
  }
}

}  // namespace

std::string to_text(const HostOrder& order) {
  const std::string host = order.cluster.empty() ? order.host : order.cluster + "/" + order.host;
  switch (order.what) {
    case What::kChoosePrimary:
      return "CHOOSE PRIMARY " + host;
    case What::kChooseByRules:
      return "CHOOSE PRIMARY AUTO" + (order.cluster.empty() ? "" : " " + order.cluster);
    case What::kBan:
      return absl::StrCat("BAN ", host, order.seconds ? absl::StrCat(" ", *order.seconds) : "");
    case What::kUnban:
      return "UNBAN " + host;
    case What::kWeight:
      return absl::StrCat("WEIGHT ", host, " ",
                          order.weight == 0 ? "DEFAULT" : absl::StrCat(order.weight));
    case What::kPause:
      return "PAUSE HOST " + host;
    case What::kResume:
      return "RESUME HOST " + host;
  }
  return "";
}

// On the control thread: a reload that is under way would take a cluster away together with what
// was just ordered of it.
void Instance::order(HostOrder order, ConsoleLogin by,
                     absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) {
  loop_.post([this, order = std::move(order), by = std::move(by),
              done = std::move(done)]() mutable {
    const absl::StatusOr<Target> target = find_target(*topology_, order);
    if (target.ok()) {
      order.cluster = target->cluster->config.name;
      if (order.what != What::kChooseByRules) {
        order.host = target->cluster->config.hosts[target->host].name;
      }
    }
    absl::StatusOr<std::string> note = target.ok() ? carry_out(order, *target, by.user)
                                                   : absl::StatusOr<std::string>(target.status());
    if (note.ok()) follow(retired_clusters_, order, by.user);
    const std::string result =
        note.ok() ? "done" : absl::StrCat("refused: ", note.status().message());
    shared_.faults->add(note.ok() ? Fault::Severity::kInfo : Fault::Severity::kWarning, "order",
                        order.host.empty() ? order.cluster : order.cluster + "/" + order.host,
                        absl::StrCat(to_text(order), " by ", by.who, ": ", result));
    if (note.ok() && order.what == What::kResume) end_pause(order);
    if (!note.ok() || order.what != What::kPause) return done(std::move(note));
    awaited_.push_back(
        {.what = Awaited::What::kHostPause,
         .name = order.cluster + "/" + order.host,
         .has_come = [host = order.host, cluster = order.cluster](
                         const Worker& worker) { return worker.is_host_quiet(cluster, host); },
         .given_up = nullptr,
         .done =
             [note = *std::move(note), done = std::move(done)](absl::Status status) mutable {
               if (status.ok()) return done(std::move(note));
               done(std::move(status));
             }});
  });
}

void Instance::end_pause(const HostOrder& order) {
  end_awaited([name = order.cluster + "/" + order.host](const Awaited& one) {
    return one.what == Awaited::What::kHostPause && one.name == name;
  });
}

// Weights are the configuration's again.
void Instance::forget_weights(const Topology& topology) {
  for (const ClusterPtr& cluster : topology.clusters) {
    cluster->monitor.order([](cluster::Tracker& tracker, base::Time) {
      tracker.forget_weights();
      return "";
    });
  }
}

}  // namespace proxy
