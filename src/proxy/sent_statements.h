// Statements that are on their way, for what tells of each of them: the log of slow ones, with
// their values, and traces. Kept only while one of these is switched on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "protocol/bytes.h"
#include "proxy/statement_stats.h"
#include "proxy/trace.h"

namespace proxy {

// Bounded in number and in bytes: what is longer ends in "...", and the oldest one goes.
class SentStatements {
 public:
  using Ref = StatementStats::Ref;
  struct Retry {
    base::Time at{};
    std::string host;  // where it was lost, or refused
  };
  struct Sent {
    Ref what = 0;
    bool ended = false;    // answered
    bool is_text = false;  // `values` is the text of a Query, with its constants
    std::string values;    // else "$1 = 'a', $2 = NULL, $3 = '\x0102'"; "" = not kept
    std::optional<TraceContext> trace;
    std::string reason;  // of its route; "" = it went where its transaction is
  };
  static constexpr std::size_t kSentMax = 16, kRetriesMax = 8;
  static constexpr std::size_t kValueMax = 256, kShownMax = 4096;  // bytes

  Sent& add(Ref what);                                   // valid until the next call
  void on_end(Ref what);                                 // the oldest one of it has been answered
  void on_retry(base::Time now, std::string_view host);  // what has not ended is sent again
  void forget_ended();
  void clear();
  // The one that ended last, if it is of that kind; null = it is not known.
  const Sent* ended(Ref what) const;
  bool any_traced() const;
  const std::vector<Retry>& retries() const { return retries_; }

 private:
  std::vector<Sent> sent_;
  std::vector<Retry> retries_;
};

std::string shown_text(std::string_view text);
std::string shown_parameters(protocol::Bytes of_bind);  // as protocol::Bind::rest

}  // namespace proxy
