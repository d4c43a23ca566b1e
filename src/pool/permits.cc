#include "pool/permits.h"

#include <algorithm>

#include "base/check.h"

namespace pool {
namespace {
constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr int kShareBits = 21;  // of each of three counts
constexpr std::uint64_t kShareMax = (1u << kShareBits) - 1;
}  // namespace

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

void Permits::set_share(const Claim& claim) {
  std::uint64_t share = 0;
  for (const std::uint64_t count : {claim.open, claim.need, claim.total}) {
    share = share << kShareBits | std::min(count, kShareMax);
  }
  claim_share_.store(share, kRelaxed);
  claim_owner_.store(claim.owner, kRelaxed);
}

void Permits::claim_if_older(const Claim& claim) {
  const std::int64_t mine = claim.since.time_since_epoch().count();
  std::int64_t current = claim_.load(kRelaxed);
  while (mine < current) {
    if (claim_.compare_exchange_weak(current, mine, kRelaxed)) return set_share(claim);
  }
}

void Permits::starve(const Claim& claim) {
  starving_.fetch_add(1, kRelaxed);
  claim_if_older(claim);
}

void Permits::starve_on(base::Time from, const Claim& claim) {
  std::int64_t mine = from.time_since_epoch().count();
  const std::int64_t next = claim.since.time_since_epoch().count();
  if (!claim_.compare_exchange_strong(mine, next, kRelaxed)) return claim_if_older(claim);
  set_share(claim);
}

void Permits::fed(base::Time since) {
  const std::uint32_t before = starving_.fetch_sub(1, kRelaxed);
  CHECK(before != 0);
  // Another pool's older claim stays. Who starves still but was displaced claims again when it
  // next looks for a permit.
  std::int64_t mine = since.time_since_epoch().count();
  claim_.compare_exchange_strong(mine, kNoClaim, kRelaxed);
}

std::optional<Claim> Permits::claim() const {
  const std::int64_t since = claim_.load(kRelaxed);
  if (since == kNoClaim) return std::nullopt;
  const std::uint64_t share = claim_share_.load(kRelaxed);
  const auto count = [&](int place) {
    return static_cast<std::uint32_t>(share >> (place * kShareBits) & kShareMax);
  };
  return Claim{base::Time(base::Duration(since)), count(2), count(1), claim_owner_.load(kRelaxed),
               count(0)};
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
