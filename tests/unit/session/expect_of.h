// What the ledger calls a message of the client: by its type, or a script's letter for it.
#pragma once

#include "session/exchange.h"

namespace session {

inline Expect expect_of(char c) {
  switch (c) {
    case 'P':
      return Expect::kParse;
    case 'B':
      return Expect::kBind;
    case 'D':
      return Expect::kDescribe;
    case 'E':
      return Expect::kExecute;
    case 'C':
      return Expect::kClose;
    case 'S':
      return Expect::kSync;
    case 'Q':
      return Expect::kQuery;
    case 'F':
      return Expect::kFunctionCall;
    default:
      return Expect::kCopyEnd;
  }
}

}  // namespace session
