// For the log of slow statements, if log.parameters is on: with which values they were sent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"
#include "proxy/statement_stats.h"

namespace proxy {

// The texts of queries, and the parameters of Bind, that are on their way. Bounded in number and
// in bytes: what is longer ends in "...".
class SentValues {
 public:
  using Ref = StatementStats::Ref;
  struct Sent {
    Ref what = 0;
    bool is_text = false;  // of a Query: with its constants
    bool ended = false;    // answered
    std::string shown;     // else "$1 = 'a', $2 = NULL, $3 = '\x0102'"; what is binary in hex
  };
  static constexpr std::size_t kSentMax = 16;
  static constexpr std::size_t kValueMax = 256, kShownMax = 4096;  // bytes

  void clear() { sent_.clear(); }
  void on_end(Ref what);  // the oldest one of it has been answered
  void forget_ended();
  void note_text(Ref what, std::string_view text);
  void note_parameters(Ref what, protocol::Bytes of_bind);  // as protocol::Bind::rest
  // The only one of them that was sent; null = there are none or several.
  const Sent* only(Ref what) const;

 private:
  void make_room();

  std::vector<Sent> sent_;
};

}  // namespace proxy
