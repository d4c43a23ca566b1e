// The number that a client gets at log-in in place of a process id, and sends with a cancel
// request.
//
// It tells where the session is: bits 30..24 are the peer_id of its Weir, 23..0 the worker and the
// slot in the worker's table. Bit 31 is never given to a client. A Weir that passes a cancel
// request on to a peer sets it, and one that has come so is not passed on again: there is no
// circle, whatever the configurations of the peers say. The rest of the key is random, and proves
// the right to cancel.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>

namespace proxy {

class SessionNumbers {
 public:
  struct Place {
    std::uint32_t worker = 0, slot = 0;
  };

  SessionNumbers() : SessionNumbers(0, 1) {}
  // peer: 0..127, 0 = this Weir has none. workers: 1..256.
  SessionNumbers(std::uint32_t peer, std::uint32_t workers)
      : peer_(peer), slot_bits_(kLocalBits - std::bit_width(std::max(workers, 1u) - 1)) {}

  std::uint32_t peer() const { return peer_; }
  // Slots that a worker may have: with 256 workers 65536.
  std::uint32_t slots() const { return 1u << slot_bits_; }
  std::uint32_t of(Place place) const {
    return peer_ << kLocalBits | place.worker << slot_bits_ | place.slot;
  }
  // Whoever sent it, and however it came. nullopt = of another Weir.
  std::optional<Place> find(std::uint32_t number) const {
    if (peer_of(number) != peer_) return std::nullopt;
    const std::uint32_t local = number & ((1u << kLocalBits) - 1);
    return Place{.worker = local >> slot_bits_, .slot = local & (slots() - 1)};
  }

  static std::uint32_t peer_of(std::uint32_t number) { return (number & ~kPassedOn) >> kLocalBits; }
  static bool is_passed_on(std::uint32_t number) { return (number & kPassedOn) != 0; }
  static std::uint32_t passed_on(std::uint32_t number) { return number | kPassedOn; }

 private:
  static constexpr int kLocalBits = 24;
  static constexpr std::uint32_t kPassedOn = 1u << 31;

  std::uint32_t peer_;
  int slot_bits_;
};

}  // namespace proxy
