#include "config/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace config {
namespace {

constexpr std::size_t kHostMax = 255;  // of a DNS name
constexpr std::string_view kUnix = "unix:";

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || stop != end || port == 0) return std::nullopt;
  return port;
}

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kHostMax &&
         std::all_of(text.begin(), text.end(), is_host_char);
}

// An absolute directory whose longest socket name still fits into sockaddr_un.
bool is_socket_directory(std::string_view text) {
  constexpr std::size_t kFileMax = std::string_view("/.s.PGSQL.65535").size() + 1;
  return text.starts_with('/') && text.size() + kFileMax <= sizeof(sockaddr_un::sun_path) &&
         std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::optional<Endpoint> with_port(std::string_view host, std::string_view port) {
  const auto number = parse_port(port);
  if (!number) return std::nullopt;
  return Endpoint{std::string(host), number};
}

}  // namespace

bool is_address(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN) return false;
  std::array<char, INET6_ADDRSTRLEN> zero_terminated{};
  std::memcpy(zero_terminated.data(), text.data(), text.size());
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, zero_terminated.data(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, zero_terminated.data(), bytes.data()) == 1;
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view host = text.substr(1, close - 1);
    if (host.find(':') == std::string_view::npos || !is_address(host)) return std::nullopt;
    const std::string_view rest = text.substr(close + 1);
    if (rest.empty()) return Endpoint{std::string(host), std::nullopt};
    if (rest.front() != ':') return std::nullopt;
    return with_port(host, rest.substr(1));
  }
  if (is_address(text))
    return Endpoint{std::string(text), std::nullopt};  // "::1" needs no brackets

  const std::size_t colon = text.rfind(':');
  const std::string_view host = text.substr(0, colon);
  if (!is_name(host) && !is_socket_directory(host)) return std::nullopt;
  if (colon == std::string_view::npos) return Endpoint{std::string(host), std::nullopt};
  return with_port(host, text.substr(colon + 1));
}

std::optional<std::vector<Listener>> parse_listener(std::string_view text) {
  const bool is_unix = text.starts_with(kUnix);
  if (is_unix) text.remove_prefix(kUnix.size());
  const bool any = text == "*" || text.starts_with("*:");
  const std::string plain = any ? "0.0.0.0" + std::string(text.substr(1)) : std::string(text);

  const auto endpoint = parse_endpoint(plain);
  if (!endpoint) return std::nullopt;
  const std::uint16_t port = endpoint->port.value_or(0);
  if (is_unix) {
    if (!endpoint->host.starts_with('/')) return std::nullopt;
    return std::vector<Listener>{{.host = "", .port = port, .unix_dir = endpoint->host}};
  }
  if (any) return std::vector<Listener>{{"0.0.0.0", port, ""}, {"::", port, ""}};
  const std::string host = endpoint->host == "localhost" ? "127.0.0.1" : endpoint->host;
  if (!is_address(host)) return std::nullopt;
  return std::vector<Listener>{{host, port, ""}};
}

void fill_ports(std::vector<Listener>& listeners) {
  std::uint16_t tcp_port = 0;
  for (Listener& listener : listeners) {
    if (!listener.unix_dir.empty()) continue;
    if (listener.port == 0) listener.port = kListenPort;
    if (tcp_port == 0) tcp_port = listener.port;
  }
  for (Listener& listener : listeners) {
    if (listener.port == 0) listener.port = tcp_port == 0 ? kListenPort : tcp_port;
  }
}

std::string format_endpoint(std::string_view host, std::uint16_t port) {
  const bool brackets = !host.starts_with('/') && host.find(':') != std::string_view::npos;
  std::string text = brackets ? "[" + std::string(host) + "]" : std::string(host);
  return text + ":" + std::to_string(port);
}

std::string format_listener(const Listener& listener) {
  if (listener.unix_dir.empty()) return format_endpoint(listener.host, listener.port);
  return std::string(kUnix) + format_endpoint(listener.unix_dir, listener.port);
}

}  // namespace config
