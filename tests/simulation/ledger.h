// The model's messages as the ledger sees them.
#pragma once

#include <string>

#include "../unit/session/expect_of.h"
#include "model_server.h"
#include "session/exchange.h"

namespace simulation {

std::string show(const Messages& messages);

using session::expect_of;  // of CopyData and Flush the ledger is not told

// So that Parse of "known=select 1" can be answered without asking.
void prepare_known(ModelServer& server);

}  // namespace simulation
