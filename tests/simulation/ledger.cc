#include "ledger.h"

namespace simulation {

std::string show(const Messages& messages) {
  std::string out;
  for (const Message& m : messages) {
    out.append(1, m.type).append(m.text.empty() ? "" : "(" + m.text + ")").append(" ");
  }
  return out;
}

void prepare_known(ModelServer& server) {
  server.feed({'P', "known=select 1"});
  server.feed({'S', ""});
}

}  // namespace simulation
