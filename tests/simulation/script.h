// What a random client sends: a script of messages, made from a seed.
#pragma once

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "model_server.h"

namespace simulation {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

struct Sent {
  Message message;
  bool boundary = false;  // before it the server is at rest, whatever happened
  bool in_batch = false;  // belongs to a batch without COPY: more may be injected before it
};

struct Script {
  std::vector<Sent> sent;
  bool chaos = false;          // messages in any order, even such as no driver would send
  bool transactions = false;   // a failure may matter beyond its batch
  bool early_failure = false;  // a COPY may fail without having read the Sync behind it
};

Script make_script(Random& random);

}  // namespace simulation
