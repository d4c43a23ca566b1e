// The admin console: SQL on the databases "weir" and "pgbouncer".
#pragma once

#include <memory>

#include "admin/engine.h"
#include "proxy/control.h"

namespace admin {

// SHOW and SELECT over pools, clients, servers, hosts ... and commands; SHOW HELP lists them.
// The engine's Control must outlive the factory and all sessions it made. Factory and sessions may
// be used on any thread, each session on one at a time.
proxy::ConsoleFactory make_console(std::shared_ptr<EngineOwner> engine);

}  // namespace admin
