// Where we listen and whom we call, as text: "10.0.0.1:5432", "[::1]", "*:6432", "unix:/run/weir".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace config {

inline constexpr std::uint16_t kListenPort = 6432;
inline constexpr std::uint16_t kServerPort = 5432;

struct Endpoint {
  std::string host;  // name, address without brackets, or an absolute directory
  std::optional<std::uint16_t> port;
};

// "name", "name:port", "10.0.0.1:port", "[::1]:port", "::1", "/directory", "/directory:port".
// Nothing when it is no such thing: an empty or odd host, a port that is not 1..65535.
std::optional<Endpoint> parse_endpoint(std::string_view text);

// An IPv4 or IPv6 address, without brackets.
bool is_address(std::string_view text);

// "*" and "*:port" make two listeners (IPv4 and IPv6), all else one. A port that the text leaves
// out is 0 in the answer: see fill_ports. Nothing when the text is not a listening address.
std::optional<std::vector<Listener>> parse_listener(std::string_view text);
// Gives listeners without a port theirs: TCP 6432; Unix sockets that of the first TCP listener.
void fill_ports(std::vector<Listener>& listeners);

// "host:port" with brackets where needed; Unix sockets of hosts as "/directory:port".
std::string format_endpoint(std::string_view host, std::uint16_t port);
std::string format_listener(const Listener& listener);  // as parse_listener reads it

}  // namespace config
