// The parts of Reader that deal with addresses: listeners, hosts, the HTTP address.
#include "config/address.h"
#include "config/concat.h"
#include "config/document.h"
#include "config/reader.h"

namespace config {
namespace {

constexpr std::size_t kListenersMax = 64;
constexpr std::size_t kHostsMax = 64;

constexpr std::string_view kHostForms =
    "a host such as \"10.0.0.1:5432\", \"db.example.net\", \"[::1]:5432\" or \"/run/postgresql\"";

// A list's elements, or the one value that stands for a list of one.
std::vector<const toml::node*> elements(const toml::node& node) {
  const toml::array* list = node.as_array();
  if (list == nullptr) return {&node};
  std::vector<const toml::node*> found;
  for (const toml::node& element : *list) found.push_back(&element);
  return found;
}

}  // namespace

void Reader::listeners(std::string_view key, std::vector<Listener>& value) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const std::vector<const toml::node*> list = elements(*node);
  if (list.empty() || list.size() > kListenersMax) {
    return expected(*node, below(key), concat("a list of 1 to ", kListenersMax, " addresses"));
  }
  std::vector<Listener> listeners;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto* text = list[i]->as_string();
    const auto parsed = text == nullptr ? std::nullopt : parse_listener(text->get());
    if (!parsed) {
      const std::string path = node->is_array() ? concat(below(key), "[", i, "]") : below(key);
      expected(*list[i], path,
               "an address such as \"127.0.0.1:6432\", \"[::1]:6432\", \"*:6432\" or "
               "\"unix:/run/weir\"");
      continue;
    }
    listeners.insert(listeners.end(), parsed->begin(), parsed->end());
  }
  fill_ports(listeners);
  value = std::move(listeners);
}

void Reader::http(std::string_view key, Admin& value) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const auto* text = node->as_string();
  if (text != nullptr && text->get().empty()) {
    value.http_port = 0;
    return;
  }
  const auto parsed = text == nullptr ? std::nullopt : parse_listener(text->get());
  if (!parsed || parsed->front().host.empty() || parsed->front().port == 0) {
    return expected(*node, below(key),
                    "an address and port such as \"127.0.0.1:9127\", or \"\" for none");
  }
  value.http_host = parsed->front().host;
  value.http_port = parsed->front().port;
}

void Reader::host(std::string_view key, Host& value) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const auto* text = node->as_string();
  const auto endpoint = text == nullptr ? std::nullopt : parse_endpoint(text->get());
  if (!endpoint) return expected(*node, below(key), kHostForms);
  value.host = endpoint->host;
  if (endpoint->port) value.port = *endpoint->port;
  if (endpoint->port && table_.contains("port")) {
    expected(*node, below(key), "a host without a port, which the key port gives");
  }
}

std::optional<Host> Reader::read_host(const toml::node& node, const std::string& path) {
  Host host;
  if (const auto* text = node.as_string()) {
    const auto endpoint = parse_endpoint(text->get());
    if (!endpoint) {
      expected(node, path, kHostForms);
      return std::nullopt;
    }
    host.host = endpoint->host;
    host.port = endpoint->port.value_or(kServerPort);
  } else if (const toml::table* table = node.as_table()) {
    read_inner(*table, path, [&](Reader& inner) { visit_host(inner, host); });
    if (!table->contains("host")) {
      add_at(problems_, node.source(), key_below(path, "host"),
             concat("expected ", kHostForms, ", found nothing"));
    }
    if (host.host.empty()) return std::nullopt;
  } else {
    expected(node, path, kHostForms);
    return std::nullopt;
  }
  if (host.name.empty()) host.name = format_endpoint(host.host, host.port);
  return host;
}

void Reader::hosts(std::string_view key, std::vector<Host>& value) {
  const toml::node* node = take(key);
  if (node == nullptr) return;
  const std::vector<const toml::node*> list = elements(*node);
  if (list.empty() || list.size() > kHostsMax) {
    return expected(*node, below(key), concat("a list of 1 to ", kHostsMax, " hosts"));
  }
  std::vector<Host> hosts;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string path = node->is_array() ? concat(below(key), "[", i, "]") : below(key);
    if (auto host = read_host(*list[i], path)) hosts.push_back(*std::move(host));
  }
  value = std::move(hosts);
}

}  // namespace config
