// The model's messages as the ledger sees them.
#pragma once

#include <string>

#include "model_server.h"
#include "session/exchange.h"

namespace simulation {

std::string show(const Messages& messages);

// Of CopyData and Flush it is not told.
session::Expect expect_of(char type);

// So that Parse of "known=select 1" can be answered without asking.
void prepare_known(ModelServer& server);

}  // namespace simulation
