#include "ledger.h"

namespace simulation {

using session::Expect;

std::string show(const Messages& messages) {
  std::string out;
  for (const Message& m : messages) {
    out.append(1, m.type).append(m.text.empty() ? "" : "(" + m.text + ")").append(" ");
  }
  return out;
}

Expect expect_of(char type) {
  switch (type) {
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

void prepare_known(ModelServer& server) {
  server.feed({'P', "known=select 1"});
  server.feed({'S', ""});
}

}  // namespace simulation
