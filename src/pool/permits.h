// The right to have a server connection open: budgets for the whole process, shared by workers.
// A worker moves a permit, never a socket. Thread-safe; no locks.
#pragma once

#include <array>
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
  base::Time since{};              // when its longest wait began
  std::uint32_t open = 0;          // servers it has
  std::uint64_t need = 0;          // clients that have or want one, by Pool::Group::weight
  const Permits* owner = nullptr;  // its own budget: pools of other workers have the same one
  std::uint32_t total = 0;         // servers of all of these; 0 in the owner's own budget

  // More than anybody waits: of two owners, who has fewer servers comes first.
  static constexpr base::Duration kServerWeighs = std::chrono::hours(24);
  // Ratios of servers to needs count as the same up to this factor: counts are of different
  // moments.
  static constexpr double kAlike = 1.125;
  base::Time rank() const { return since + kServerWeighs * total; }
  // Of one owner's workers, who has fewer servers for his clients' needs, or waits longer: `total`
  // changes while a permit moves between them.
  bool is_before(const Claim& other) const;
};

// One budget: of a pool on one host, of a database on one host, of a user on one host.
//
// A pool whose clients wait and that found no permit starves, and claims. The claim that comes
// before the others (Claim::is_before) is the one that is kept. It is first in line for what
// becomes free.
class Permits {
 public:
  static constexpr std::size_t kGroupsMax = 256;

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

  // Of a pool: clients by group (Waiter::group) that had or wanted a server of late, in all
  // workers.
  void note_wanted(std::uint16_t group, std::uint32_t before, std::uint32_t now);
  std::uint32_t wanted(std::uint16_t group) const {
    return wanted_[group].load(std::memory_order_relaxed);
  }
  // How many servers, in parts of kWhole, each of these groups has that wants more, if what is
  // taken is shared evenly; kNoLevel = there are no two groups.
  static constexpr std::uint64_t kWhole = 1u << 20;
  static constexpr std::uint64_t kNoLevel = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t level() const;

  // A pool starves, once; its longest wait changed, or its claim was displaced by one that may be
  // gone; it starves no more. `from`, `rank`: Claim::rank() as last given.
  void starve(const Claim& claim);
  void starve_on(base::Time from, const Claim& claim);
  void fed(base::Time rank);
  std::uint32_t starving_count() const { return starving_.load(std::memory_order_relaxed); }
  bool starving() const { return starving_count() != 0; }
  // The parts may be of two claims when it is just being changed: a hint, no more.
  std::optional<Claim> claim() const;

 private:
  static constexpr std::int64_t kNoClaim = std::numeric_limits<std::int64_t>::max();
  void claim_if_before(const Claim& claim);
  void set_share(const Claim& claim);

  // Counts that guard no other memory: relaxed everywhere.
  std::atomic<std::uint32_t> taken_{0}, limit_, reserve_, starving_{0};
  std::atomic<std::int32_t> waiting_{0}, opening_{0};
  std::array<std::atomic<std::uint32_t>, kGroupsMax> wanted_{};
  std::atomic<std::uint32_t> groups_{0};       // 1 + the highest that was ever wanted
  std::atomic<std::int64_t> claim_{kNoClaim};  // its rank, ticks of base::Time
  std::atomic<std::uint32_t> claim_open_{0}, claim_total_{0};
  std::atomic<std::uint64_t> claim_need_{0};
  std::atomic<const Permits*> claim_owner_{nullptr};
};

// Takes one of each or none.
bool take_all(std::span<Permits* const> permits, bool with_reserve);
void give_back_all(std::span<Permits* const> permits);

}  // namespace pool
