// The right to have a server connection open: budgets for the whole process, shared by workers.
// A worker moves a permit, never a socket. Thread-safe; no locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace pool {

// One budget: of a pool on one host, of a database on one host, of a user on one host.
class Permits {
 public:
  // limit, reserve: as config::PoolSizes; limit 0 = unlimited.
  Permits(std::uint32_t limit, std::uint32_t reserve);
  bool try_take(bool with_reserve);
  void give_back();
  void resize(std::uint32_t limit, std::uint32_t reserve);  // a reload; taken ones stay taken
  std::uint32_t taken() const;
  bool over_limit() const;  // after a resize: close idle ones

  // A worker whose clients wait and that found no permit says so, once, and takes it back.
  void starve() { starving_.fetch_add(1); }
  void fed() { starving_.fetch_sub(1); }
  bool starving() const { return starving_.load(std::memory_order_relaxed) != 0; }

 private:
  std::atomic<std::uint32_t> taken_{0}, limit_, reserve_;
  std::atomic<std::int32_t> starving_{0};
};

// Takes one of each or none.
bool take_all(std::span<Permits* const> permits, bool with_reserve);
void give_back_all(std::span<Permits* const> permits);

}  // namespace pool
