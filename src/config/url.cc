#include "config/url.h"

#include <algorithm>
#include <utility>

#include "config/concat.h"
#include "config/problems.h"

namespace config {
namespace {

constexpr std::string_view kSchemes[] = {"postgresql://", "postgres://"};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

absl::StatusOr<std::string> decode(std::string_view text, std::string_view what) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0)) {
      return absl::InvalidArgumentError(
          concat("the ", what, " in the URL has a bad percent-encoding"));
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

absl::Status parse_login(std::string_view text, ServerUrl& url) {
  const std::size_t colon = text.find(':');
  auto user = decode(text.substr(0, colon), "user");
  if (!user.ok()) return user.status();
  url.user = *std::move(user);
  if (colon == std::string_view::npos) return absl::OkStatus();
  auto password = decode(text.substr(colon + 1), "password");
  if (!password.ok()) return password.status();
  url.password = *std::move(password);
  return absl::OkStatus();
}

absl::Status parse_hosts(std::string_view text, ServerUrl& url) {
  while (true) {
    const std::size_t comma = text.find(',');
    auto decoded = decode(text.substr(0, comma), "host");
    if (!decoded.ok()) return decoded.status();
    const auto endpoint = parse_endpoint(decoded->empty() ? "localhost" : *decoded);
    if (!endpoint) {
      return absl::InvalidArgumentError(concat("the URL has a bad host: ", quoted(*decoded)));
    }
    url.hosts.push_back(*endpoint);
    if (comma == std::string_view::npos) return absl::OkStatus();
    text.remove_prefix(comma + 1);
  }
}

absl::Status parse_parameter(std::string_view text, ServerUrl& url) {
  const std::size_t equals = text.find('=');
  const std::string_view key = text.substr(0, equals);
  if (equals == std::string_view::npos) {
    return absl::InvalidArgumentError(concat("the URL parameter ", quoted(key), " has no value"));
  }
  auto value = decode(text.substr(equals + 1), "parameter");
  if (!value.ok()) return value.status();
  const std::pair<std::string_view, std::string*> known[] = {
      {"sslmode", &url.sslmode},
      {"sslrootcert", &url.sslrootcert},
      {"sslcert", &url.sslcert},
      {"sslkey", &url.sslkey},
      {"connect_timeout", &url.connect_timeout},
  };
  for (const auto& [name, member] : known) {
    if (name != key) continue;
    *member = *std::move(value);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      concat("unknown URL parameter ", quoted(key),
             "; known are sslmode, sslrootcert, sslcert, sslkey and connect_timeout"));
}

}  // namespace

bool is_url(std::string_view text) {
  return text.starts_with(kSchemes[0]) || text.starts_with(kSchemes[1]);
}

absl::StatusOr<ServerUrl> parse_url(std::string_view text) {
  if (!is_url(text)) {
    return absl::InvalidArgumentError("the URL does not start with postgres:// or postgresql://");
  }
  text.remove_prefix(text.find("//") + 2);
  ServerUrl url;

  std::string_view parameters;
  if (const std::size_t mark = text.find('?'); mark != std::string_view::npos) {
    parameters = text.substr(mark + 1);
    text = text.substr(0, mark);
  }
  std::string_view authority = text;
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    authority = text.substr(0, slash);
    auto database = decode(text.substr(slash + 1), "database");
    if (!database.ok()) return database.status();
    url.database = *std::move(database);
  }
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    if (const absl::Status status = parse_login(authority.substr(0, at), url); !status.ok()) {
      return status;
    }
    authority.remove_prefix(at + 1);
  }
  if (url.user.empty()) {
    return absl::InvalidArgumentError("the URL names no user: postgres://user:password@host:port");
  }
  if (const absl::Status status = parse_hosts(authority, url); !status.ok()) return status;
  while (!parameters.empty()) {
    const std::size_t end = parameters.find('&');
    const absl::Status status = parse_parameter(parameters.substr(0, end), url);
    if (!status.ok()) return status;
    parameters = end == std::string_view::npos ? "" : parameters.substr(end + 1);
  }
  return url;
}

std::optional<HttpUrl> parse_http_url(std::string_view text) {
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) return std::nullopt;
  text.remove_prefix(kScheme.size());
  HttpUrl url;
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    url.path = text.substr(slash);
    text = text.substr(0, slash);
  }
  const auto is_strange = [](char c) { return c <= ' ' || c == 127; };
  if (std::ranges::any_of(url.path, is_strange)) return std::nullopt;
  const auto endpoint = parse_endpoint(text);
  if (!endpoint || endpoint->host.starts_with('/')) return std::nullopt;
  url.host = endpoint->host;
  url.port = endpoint->port.value_or(url.port);
  return url;
}

}  // namespace config
