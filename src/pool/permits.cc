#include "pool/permits.h"

#include <algorithm>

#include "base/check.h"

namespace pool {
namespace {
constexpr auto kRelaxed = std::memory_order_relaxed;
std::int64_t ticks(base::Time time) { return time.time_since_epoch().count(); }
}  // namespace

bool Claim::is_before(const Claim& other) const {
  if (owner != other.owner) return rank() < other.rank();
  const double mine = static_cast<double>(other.need) * open;
  const double theirs = static_cast<double>(need) * other.open;
  if (mine * kAlike < theirs) return true;
  if (theirs * kAlike < mine) return false;
  return since < other.since;
}

Permits::Permits(std::uint32_t limit, std::uint32_t reserve) : limit_(limit), reserve_(reserve) {}

bool Permits::try_take(bool with_reserve) {
  std::uint32_t taken = taken_.load(kRelaxed);
  do {
    const std::uint64_t limit = limit_.load(kRelaxed);
    const std::uint64_t reserve = with_reserve ? reserve_.load(kRelaxed) : 0;
    if (limit != 0 && taken >= limit + reserve) return false;
  } while (!taken_.compare_exchange_weak(taken, taken + 1, kRelaxed));
  return true;
}

void Permits::give_back() {
  const std::uint32_t before = taken_.fetch_sub(1, kRelaxed);
  CHECK(before != 0);
}

void Permits::resize(std::uint32_t limit, std::uint32_t reserve) {
  limit_.store(limit, kRelaxed);
  reserve_.store(reserve, kRelaxed);
}

bool Permits::allows(std::uint32_t count) const {
  const std::uint32_t limit = limit_.load(kRelaxed);
  return limit == 0 || limit >= count;
}

bool Permits::over_limit(std::uint32_t leaving) const {
  const std::uint64_t limit = limit_.load(kRelaxed);
  return limit != 0 && taken() > limit + leaving;
}

bool Permits::over_reserve(std::uint32_t leaving) const {
  const std::uint64_t limit = limit_.load(kRelaxed);
  return limit != 0 && taken() > limit + reserve_.load(kRelaxed) + leaving;
}

bool Permits::full(std::uint32_t leaving) const {
  const std::uint64_t limit = limit_.load(kRelaxed);
  return limit != 0 && taken() >= limit + leaving;
}

std::uint32_t Permits::free(bool with_reserve) const {
  constexpr std::uint64_t kMany = std::numeric_limits<std::uint32_t>::max();
  const std::uint64_t limit = limit_.load(kRelaxed);
  if (limit == 0) return static_cast<std::uint32_t>(kMany);
  const std::uint64_t most = limit + (with_reserve ? reserve_.load(kRelaxed) : 0u);
  const std::uint64_t used = taken();
  return static_cast<std::uint32_t>(most > used ? std::min(most - used, kMany) : 0);
}

void Permits::note_wanted(std::uint16_t group, std::uint32_t before, std::uint32_t now) {
  wanted_[group].fetch_add(now - before, kRelaxed);
  std::uint32_t known = groups_.load(kRelaxed);
  while (known <= group && !groups_.compare_exchange_weak(known, group + 1u, kRelaxed)) {
  }
}

// By filling: who wants less than an even share of what is left gets that, and the others share
// what remains.
std::uint64_t Permits::level() const {
  const std::uint32_t groups = groups_.load(kRelaxed);
  std::uint64_t level = 0;
  while (true) {
    std::uint64_t left = std::uint64_t{taken()} * kWhole;
    std::uint32_t content = 0, sharing = 0;
    for (std::uint32_t g = 0; g < groups; ++g) {
      const std::uint64_t wants = wanted_[g].load(kRelaxed) * kWhole;
      if (wants == 0) continue;
      ++(wants > level ? sharing : content);
      if (wants <= level) left -= std::min(left, wants);
    }
    if (content + sharing < 2) return kNoLevel;
    if (sharing == 0 || left / sharing <= level) return level;
    level = left / sharing;
  }
}

void Permits::set_share(const Claim& claim) {
  claim_open_.store(claim.open, kRelaxed);
  claim_need_.store(claim.need, kRelaxed);
  claim_total_.store(claim.total, kRelaxed);
  claim_owner_.store(claim.owner, kRelaxed);
}

void Permits::claim_if_before(const Claim& claim) {
  while (true) {
    const auto current = this->claim();
    if (current && !claim.is_before(*current)) return;
    std::int64_t expected = current ? ticks(current->rank()) : kNoClaim;
    if (claim_.compare_exchange_weak(expected, ticks(claim.rank()), kRelaxed)) {
      return set_share(claim);
    }
  }
}

void Permits::starve(const Claim& claim) {
  starving_.fetch_add(1, kRelaxed);
  claim_if_before(claim);
}

void Permits::starve_on(base::Time from, const Claim& claim) {
  std::int64_t mine = ticks(from);
  if (!claim_.compare_exchange_strong(mine, ticks(claim.rank()), kRelaxed)) {
    return claim_if_before(claim);
  }
  set_share(claim);
}

void Permits::fed(base::Time rank) {
  const std::uint32_t before = starving_.fetch_sub(1, kRelaxed);
  CHECK(before != 0);
  // Another pool's claim that comes before it stays. Who starves still but was displaced claims
  // again when it next looks for a permit.
  std::int64_t mine = ticks(rank);
  claim_.compare_exchange_strong(mine, kNoClaim, kRelaxed);
}

std::optional<Claim> Permits::claim() const {
  const std::int64_t rank = claim_.load(kRelaxed);
  if (rank == kNoClaim) return std::nullopt;
  const std::uint32_t total = claim_total_.load(kRelaxed);
  return Claim{base::Time(base::Duration(rank)) - Claim::kServerWeighs * total,
               claim_open_.load(kRelaxed), claim_need_.load(kRelaxed), claim_owner_.load(kRelaxed),
               total};
}

bool take_all(std::span<Permits* const> permits, bool with_reserve) {
  for (std::size_t i = 0; i < permits.size(); ++i) {
    if (permits[i]->try_take(with_reserve)) continue;
    give_back_all(permits.first(i));
    return false;
  }
  return true;
}

void give_back_all(std::span<Permits* const> permits) {
  for (Permits* p : permits) p->give_back();
}

}  // namespace pool
