// Client: a replication connection. It speaks the protocol of PostgreSQL's walsender with the
// primary itself, on a server connection of its own; all bytes pass as they are.
#include <algorithm>

#include "proxy/client.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

// postmaster.c, ProcessStartupPacket.
std::optional<Replication> replication_of(std::string_view value) {
  std::string lower(value);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  if (lower == "database") return Replication::kLogical;
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (lower == yes) return Replication::kPhysical;
  }
  for (const char* no : {"", "false", "no", "off", "0"}) {
    if (lower == no) return Replication::kNone;
  }
  return std::nullopt;
}

}  // namespace

bool Client::take_replication(const protocol::StartupMessage& message) {
  const auto asked = replication_of(message.parameter("replication"));
  if (!asked) {
    fail({.severity = protocol::Severity::kFatal,
          .code = protocol::sqlstate::kInvalidParameterValue,
          .message = "invalid value for parameter \"replication\": \"" +
                     std::string(message.parameter("replication")) + "\"",
          .hint = "Valid values are: \"false\", 0, \"true\", 1, \"database\"."});
    return false;
  }
  replication_ = *asked;
  return true;
}

// A physical one is of no database: any of the only cluster will do.
const config::Database* Client::replicated_database() const {
  const auto& config = worker_.config();
  const auto* database = config::find_database(config, database_);
  if (database != nullptr || replication_ == Replication::kLogical) return database;
  return config.clusters.size() == 1 && !config.databases.empty() ? &config.databases[0] : nullptr;
}

// The server is asked for what the client asked for, but who it is.
PoolSet* Client::replication_pools(const config::Database& database) {
  std::vector<std::pair<std::string, std::string>> startup;
  for (const auto& [name, value] : login_->startup.parameters) {
    if (name != "user" && name != "database") startup.emplace_back(name, value);
  }
  return worker_.replication_pools(database, database_, user_, id, std::move(startup));
}

void Client::begin_replication() {
  server->close_when_free = true;
  send_welcome(server->parameters);
  if (is_open()) set_state(State::kReplicating);
  if (!in_.empty()) worker_.run_soon(*this);
}

}  // namespace proxy
