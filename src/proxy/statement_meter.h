// Of one client: which statement is on its way, and what its answer was like.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/time.h"
#include "proxy/statement_stats.h"

namespace proxy {

// Flow: `sending` is set while a statement's messages are entered into the ledger, which keeps it
// for their answers; on_end() for each statement that ends or fails, on_ready() at ReadyForQuery.
// A statement's time lasts until the next one of its batch ends, or until ReadyForQuery: that of
// the last one has the batch's commit in it.
class StatementMeter {
 public:
  using Ref = StatementStats::Ref;
  struct Answer {  // since the last one
    std::uint64_t rows = 0, bytes = 0;
    std::string_view sqlstate = "";  // of an error; "" = not known
  };
  struct Server {
    base::Time busy_since{};
    bool on_primary = false;
    std::uint64_t slow_us = UINT64_MAX;  // what takes so long is told to OnSlow
  };
  struct Slow {
    Ref what = 0;
    const StatementStats::End& end;
    std::string_view sqlstate;
    base::Time until{};  // when it ended
  };
  using OnSlow = absl::FunctionRef<void(const Slow&)>;
  enum class Ended : std::uint8_t {
    kInQuery,    // one of the statements of a Query
    kExecute,    // of the extended protocol
    kSuspended,  // the same, and its portal has more
    kFailed,
  };

  Ref sending = 0;

  void note_portal(std::string_view portal);  // a named one, bound to what is being sent
  bool has_portals() const { return !portals_.empty(); }
  void use_portal(std::string_view portal);  // likewise, executed

  void on_wait(std::uint64_t us) { waited_us_ = us; }
  void on_retry() { ++retries_; }
  void on_end(StatementStats& stats, Ref what, Ended how, const Answer& answer,
              const Server& server, base::Time now, OnSlow on_slow);
  void on_ready(StatementStats& stats, const Answer& answer, const Server& server, base::Time now,
                bool ends_transaction, OnSlow on_slow);

 private:
  void close(StatementStats& stats, const Server& server, base::Time until, OnSlow on_slow);

  struct Open {
    Ref what = 0;
    StatementStats::End end;
    base::Time at{};  // of its last answer
    std::array<char, 5> sqlstate{};
    bool is_open = false;
  };
  Open open_;
  Ref suspended_ = 0;  // has answered a part
  base::Time counted_until_{};
  std::uint64_t waited_us_ = 0;  // of the request that is next to be answered
  std::uint32_t retries_ = 0;
  std::vector<std::pair<std::string, Ref>> portals_;  // until the transaction ends
};

}  // namespace proxy
