// A libpq connection URI: postgres://user:password@host:5432/database?sslmode=require
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/address.h"

namespace config {

// As in PostgreSQL's documentation, 34.1.1.2. Every part is percent-decoded.
struct ServerUrl {
  std::string user;
  std::optional<std::string> password;
  std::vector<Endpoint> hosts;  // at least one
  std::string database;         // "" = not said
  // The parameters that mean something here; "" = not said.
  std::string sslmode, sslrootcert, sslcert, sslkey, connect_timeout;
};

// http://host[:port][/path], the port 80 by default. nullopt: it is none.
struct HttpUrl {
  std::string host, path = "/";
  std::uint16_t port = 80;
};
std::optional<HttpUrl> parse_http_url(std::string_view text);

bool is_url(std::string_view text);  // starts with postgres:// or postgresql://

// The message never shows the URL, which may hold a password.
absl::StatusOr<ServerUrl> parse_url(std::string_view text);

}  // namespace config
