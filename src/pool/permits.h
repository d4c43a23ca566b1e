// The right to have a server connection open: budgets for the whole process, shared by workers.
// A worker moves a permit, never a socket. Thread-safe; no locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "base/time.h"

namespace pool {

class Permits;

// What a pool that starves says of itself.
struct Claim {
  base::Time since{};      // when its longest wait began; of a budget that owners share, its rank
  std::uint32_t open = 0;  // servers it has
  std::uint32_t need = 0;  // clients that have or want one
  const Permits* owner = nullptr;  // its own budget: pools of other workers have the same one
  std::uint32_t total = 0;         // servers of all of these that are in `since`; 0 = none is
};

// One budget: of a pool on one host, of a database on one host, of a user on one host.
//
// A pool whose clients wait and that found no permit starves, and claims. The claim with the
// longest wait is the one that is kept, or, of a budget that users or databases share, with the
// lowest rank: of who has the fewest servers. It is first in line for what becomes free.
class Permits {
 public:
  // limit, reserve: as config::PoolSizes; limit 0 = unlimited.
  Permits(std::uint32_t limit, std::uint32_t reserve);
  bool try_take(bool with_reserve);
  void give_back();
  void resize(std::uint32_t limit, std::uint32_t reserve);  // a reload; taken ones stay taken
  std::uint32_t taken() const { return taken_.load(std::memory_order_relaxed); }
  // More are taken than the limit: by the reserve, or after a resize. Close idle ones.
  bool over_limit() const { return over_limit(0); }

  bool allows(std::uint32_t count) const;  // the limit is not below that

  // The same questions when `leaving` of those taken are about to be given back.
  bool over_limit(std::uint32_t leaving) const;    // beyond the limit
  bool over_reserve(std::uint32_t leaving) const;  // beyond limit and reserve
  bool full(std::uint32_t leaving) const;          // the limit is reached
  std::uint32_t free(bool with_reserve) const;     // how many may be taken; many when unlimited

  // Of a pool: clients that wait, and connections that are being opened, in all workers.
  void note_waiting(std::int32_t more) { waiting_.fetch_add(more, std::memory_order_relaxed); }
  void note_opening(std::int32_t more) { opening_.fetch_add(more, std::memory_order_relaxed); }
  // Clients in line: beyond those for whom a connection is being opened.
  std::uint32_t in_line() const {
    const auto n = waiting_.load(std::memory_order_relaxed);
    const auto provided = opening_.load(std::memory_order_relaxed);
    return n > provided ? static_cast<std::uint32_t>(n - provided) : 0;
  }

  // A pool starves, once; its longest wait changed, or its claim was displaced by one that may be
  // gone; it starves no more. `from`, `since`: as last given.
  void starve(const Claim& claim);
  void starve_on(base::Time from, const Claim& claim);
  void fed(base::Time since);
  std::uint32_t starving_count() const { return starving_.load(std::memory_order_relaxed); }
  bool starving() const { return starving_count() != 0; }
  // The parts may be of two claims when it is just being changed: a hint, no more.
  std::optional<Claim> claim() const;

 private:
  static constexpr std::int64_t kNoClaim = std::numeric_limits<std::int64_t>::max();
  void claim_if_older(const Claim& claim);
  void set_share(const Claim& claim);

  // Counts that guard no other memory: relaxed everywhere.
  std::atomic<std::uint32_t> taken_{0}, limit_, reserve_, starving_{0};
  std::atomic<std::int32_t> waiting_{0}, opening_{0};
  std::atomic<std::int64_t> claim_{kNoClaim};  // ticks of base::Time
  std::atomic<std::uint64_t> claim_share_{0};  // open, need, total
  std::atomic<const Permits*> claim_owner_{nullptr};
};

// Takes one of each or none.
bool take_all(std::span<Permits* const> permits, bool with_reserve);
void give_back_all(std::span<Permits* const> permits);

}  // namespace pool
