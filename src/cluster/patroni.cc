#include "cluster/patroni.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace cluster {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kNameMax = 63, kAddressMax = 255;

std::string text_of(const Json& from, const char* key, std::size_t most) {
  const auto found = from.find(key);
  if (found == from.end() || !found->is_string()) return "";
  const auto& text = found->get_ref<const std::string&>();
  const bool plain = std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
  return plain && text.size() <= most ? text : "";
}

bool takes_no_reads(const Json& member) {
  const auto tags = member.find("tags");
  if (tags == member.end() || !tags->is_object()) return false;
  const auto tag = tags->find("noloadbalance");
  return tag != tags->end() && tag->is_boolean() && tag->get<bool>();
}

}  // namespace

absl::StatusOr<std::vector<config::Host>> hosts_of_patroni(
    std::string_view json, const std::vector<config::Host>& configured) {
  const Json answer = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  const auto members = answer.is_object() ? answer.find("members") : answer.end();
  if (!answer.is_object() || members == answer.end() || !members->is_array()) {
    return absl::InvalidArgumentError("not what Patroni answers: no list of members");
  }
  std::vector<config::Host> hosts;
  for (const Json& member : *members) {
    if (!member.is_object()) continue;
    const auto port = member.find("port");
    config::Host host{.name = text_of(member, "name", kNameMax),
                      .host = text_of(member, "host", kAddressMax)};
    const bool has_port = port != member.end() && port->is_number_unsigned() &&
                          port->get<std::uint64_t>() >= 1 && port->get<std::uint64_t>() <= 65535;
    if (host.name.empty() || host.host.empty() || !has_port) continue;
    host.port = port->get<std::uint16_t>();
    const std::string role = text_of(member, "role", kNameMax);
    const bool leads = role == "leader" || role == "master" || role == "standby_leader";
    if (!leads && takes_no_reads(member)) continue;
    const auto known = std::ranges::find_if(configured, [&](const config::Host& one) {
      return one.host == host.host && one.port == host.port;
    });
    const auto same = [&](const config::Host& one) {
      return one.name == host.name || (one.host == host.host && one.port == host.port);
    };
    if (known != configured.end()) host = *known;
    if (std::ranges::any_of(hosts, same)) continue;
    if (hosts.size() == kPatroniHostsMax) {
      return absl::InvalidArgumentError("Patroni has more than 64 members");
    }
    hosts.push_back(std::move(host));
  }
  if (hosts.empty()) return absl::InvalidArgumentError("Patroni has no member with an address");
  std::ranges::sort(hosts, {}, &config::Host::name);
  return hosts;
}

}  // namespace cluster
