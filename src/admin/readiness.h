// Whether this instance should be sent clients: the answer of /readyz.
#pragma once

#include <string>

#include "proxy/inspect.h"

namespace admin {

// "" = ready; else why not, for people. Ready: not draining, and every cluster has a host that
// serves something: a primary, or a replica fit for reads.
std::string why_not_ready(const proxy::Inspection& inspection, bool draining);

}  // namespace admin
