#include "proxy/statement_stats.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace proxy {
namespace {

constexpr std::size_t kWhyMax = 100;
constexpr std::size_t kDroppedShare = 20;  // one of so many goes when there is no room
constexpr double kFading = 0.99;           // what a weight keeps each time, as pg_stat_statements
constexpr double kCallWeight = 10;         // us that a call weighs besides its time
// An entry of the table, half empty at worst, a pointer, the allocator's own.
constexpr std::size_t kOverhead = 96;

// Never within a UTF-8 character.
std::string_view front(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

}  // namespace

StatementStats::Ref StatementStats::find(std::uint64_t shape, const StatementOwner* owner) const {
  const auto found = by_key_.find(Key{shape, owner});
  if (found == by_key_.end()) return 0;
  return std::uint64_t{slots_[found->second]->generation} << 32 | (found->second + 1);
}

StatementStats::Slot* StatementStats::slot_of(Ref what) const {
  const std::uint64_t index = (what & 0xFFFFFFFF) - 1;
  if (index >= slots_.size()) return nullptr;
  Slot* slot = slots_[index].get();
  return slot->generation == what >> 32 ? slot : nullptr;
}

StatementStats::Shown StatementStats::shown(Ref what) const {
  const Slot* slot = slot_of(what);
  return slot == nullptr ? Shown{} : Shown{slot->shape, slot->text};
}

StatementStats::Ref StatementStats::add(std::uint64_t shape, StatementOwnerPtr owner,
                                        std::string_view text, base::Time now) {
  if (shapes_max_ == 0) return 0;
  if (by_key_.size() >= shapes_max_) drop_lightest();
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.push_back(std::make_unique<Slot>());
  }
  const std::uint32_t index = free_.back();
  Slot& slot = *slots_[index];
  const bool is_new = by_key_.emplace(Key{shape, owner.get()}, index).second;
  CHECK(is_new);
  free_.pop_back();
  slot.shape = shape;
  slot.owner = std::move(owner);
  slot.text = front(text, kTextMax);
  slot.first = slot.last = now;
  bytes_ += bytes_of(slot);
  return find(shape, slot.owner.get());
}

std::size_t StatementStats::bytes_of(const Slot& slot) {
  return sizeof slot + kOverhead + slot.text.capacity() + slot.why.capacity();
}

void StatementStats::note_route(Ref what, const Route& route, std::string_view why) {
  Slot* slot = slot_of(what);
  if (slot == nullptr) return;
  ++(route.to_primary ? slot->totals.to_primary : slot->totals.to_replica);
  slot->route = route;
  why = front(why, kWhyMax);
  if (slot->why == why) return;
  bytes_ -= bytes_of(*slot);
  slot->why = why;
  bytes_ += bytes_of(*slot);
}

void StatementStats::count(Ref what, const End& end, base::Time now) {
  Slot* slot = slot_of(what);
  if (slot == nullptr) return;
  StatementTotals& totals = slot->totals;
  const std::uint64_t took = end.wait_us + end.server_us;
  totals.rows += end.rows;
  totals.bytes += end.bytes;
  totals.wait_us += end.wait_us;
  totals.server_us += end.server_us;
  totals.retries += end.retries;
  if (end.failed) ++totals.errors;
  if (!end.goes_on) {
    ++totals.calls;
    if (end.ran) ++(end.on_primary ? totals.on_primary : totals.on_replica);
    totals.times.add(took);
    note_time(*slot, static_cast<double>(end.server_us));
  }
  slot->weight += static_cast<double>(took) + kCallWeight;
  slot->last = now;
}

// As TCP does it with round trips (RFC 6298).
void StatementStats::note_time(Slot& slot, double us) {
  slot.deviation_us += (std::abs(us - slot.mean_us) - slot.deviation_us) / 4;
  slot.mean_us += (us - slot.mean_us) / 8;
}

bool StatementStats::is_short(Ref what) const {
  const Slot* slot = slot_of(what);
  return slot != nullptr && slot->totals.calls >= kCallsKnown &&
         slot->mean_us + slot->deviation_us < kShortUs;
}

std::uint64_t StatementStats::usual_us(Ref what) const {
  const Slot* slot = slot_of(what);
  if (slot == nullptr) return 0;
  const std::uint64_t calls = slot->totals.calls;
  if (calls >= slot->usual_until) {
    slot->usual_us = static_cast<std::uint64_t>(slot->totals.times.quantile(0.95));
    slot->usual_until = calls + kCallsKnown + calls / 16;
  }
  return slot->usual_us;
}

// Who has come last has had no time to gain weight: a share goes, not one, so that it gets some.
void StatementStats::drop_lightest() {
  std::vector<std::uint32_t> used;
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i]->owner == nullptr) continue;
    used.push_back(i);
    slots_[i]->weight *= kFading;
  }
  const std::size_t kept = shapes_max_ - std::min(shapes_max_, shapes_max_ / kDroppedShare + 1);
  if (used.size() <= kept) return;
  const auto end = used.begin() + static_cast<std::ptrdiff_t>(used.size() - kept);
  if (end != used.end()) {
    std::ranges::nth_element(used, end, {}, [&](auto i) { return slots_[i]->weight; });
  }
  for (auto it = used.begin(); it != end; ++it) drop(*it);
}

void StatementStats::drop(std::uint32_t index) {
  Slot& slot = *slots_[index];
  bytes_ -= bytes_of(slot);
  dropped_ += slot.totals;
  by_key_.erase(Key{slot.shape, slot.owner.get()});
  const std::uint32_t generation = slot.generation + 1;
  slot = {};
  slot.generation = generation == 0 ? 1 : generation;
  free_.push_back(index);
}

void StatementStats::set_max(std::size_t shapes_max) {
  shapes_max_ = shapes_max;
  if (by_key_.size() > shapes_max_) drop_lightest();
}

void StatementStats::forget_rules() {
  for (const auto& slot : slots_) slot->route.rule = -1;
}

void StatementStats::clear() {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i]->owner != nullptr) drop(i);
  }
  dropped_ = {};
}

void StatementStats::add_rows(std::vector<StatementRow>& into, base::Time now,
                              absl::FunctionRef<std::string(const Route&)> reason_of) const {
  for (const auto& slot : slots_) {
    if (slot->owner == nullptr) continue;
    into.push_back({.shape = slot->shape,
                    .database = slot->owner->database,
                    .user = slot->owner->user,
                    .text = slot->text,
                    .totals = slot->totals,
                    .to_primary_last = slot->route.to_primary,
                    .reason = reason_of(slot->route),
                    .why = slot->why,
                    .first_seen = wall_time(slot->first, now),
                    .last_seen = wall_time(slot->last, now)});
  }
  if (dropped_.calls != 0) into.push_back({.is_rest = true, .totals = dropped_});
}

void merge_statements(std::vector<StatementRow>& rows) {
  const auto key = [](const StatementRow& row) {
    return std::tie(row.is_rest, row.shape, row.database, row.user);
  };
  std::ranges::sort(rows, {}, key);
  std::vector<StatementRow> merged;
  for (StatementRow& row : rows) {
    if (merged.empty() || key(merged.back()) != key(row)) {
      merged.push_back(std::move(row));
      continue;
    }
    StatementRow& into = merged.back();
    into.totals += row.totals;
    into.first_seen = std::min(into.first_seen, row.first_seen);
    if (row.last_seen < into.last_seen) continue;
    into.last_seen = row.last_seen;
    into.to_primary_last = row.to_primary_last;
    into.reason = std::move(row.reason);
    into.why = std::move(row.why);
  }
  rows = std::move(merged);
}

}  // namespace proxy
