// Plays a script against an Exchange in a notation of one letter a message.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "expect_of.h"
#include "session/exchange.h"

namespace session {

struct Conversation {
  Exchange exchange;
  Step last;
  std::uint32_t sent = 0;  // notes count from 1

  // Letters of the client's messages ('c' CopyDone). Answers those that the ledger refused.
  std::string client(std::string_view letters, Fate fate = Fate::kForward) {
    std::string refused;
    for (const char c : letters) {
      if (c == ' ') continue;
      if (!exchange.expect({.what = expect_of(c), .fate = fate, .note = ++sent})) refused += c;
      exchange.invariants();
    }
    return refused;
  }
  std::string swallowed(std::string_view letters) { return client(letters, Fate::kSwallow); }
  std::string made_up(std::string_view letters) { return client(letters, Fate::kMakeUp); }

  // Letters of the server's messages; ReadyForQuery is written as its status after 'Z'. Answers
  // what the client sees; '!' for an unexpected message, '*' for a reply that we make up.
  std::string server(std::string_view letters) {
    std::string seen = made();
    for (std::size_t i = 0; i < letters.size(); ++i) {
      const char type = letters[i];
      if (type == ' ') continue;
      std::string body;
      if (type == 'Z') body = letters[++i];
      last = exchange.on_server(type, protocol::as_bytes(body));
      exchange.invariants();
      if (last.unexpected) seen += '!';
      if (last.forward) seen += type + body;
      seen += made();
    }
    return seen;
  }
  std::string made() {
    std::string out;
    while (exchange.take_made_up()) out += '*';
    return out;
  }
  std::string dropped() const {
    std::string notes;
    for (const Entry& entry : exchange.dropped()) notes += std::to_string(entry.note) + " ";
    return notes;
  }
};

}  // namespace session
