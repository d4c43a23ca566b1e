// The admin console: SQL on the databases "weir" and "pgbouncer".
#pragma once

#include "proxy/control.h"

namespace admin {

// SHOW and SELECT over pools, clients, servers, hosts ... and commands; SHOW HELP lists them.
// `control` must outlive the factory and all sessions it made. Starts one thread, which ends with
// the last of them. Factory and sessions may be used on any thread, each session on one at a time.
proxy::ConsoleFactory make_console(proxy::Control& control);

}  // namespace admin
