// Where log lines go, and their form.
#pragma once

#include "config/config.h"

namespace proxy {

// At start and at each reload: a file is opened again, so that it can be rotated.
void configure_log(const config::Logging& logging);

// At the end: what is queued is written, if that does not take too long. Later lines are lost.
void close_log();

}  // namespace proxy
