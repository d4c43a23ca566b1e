#include "sql/cache.h"

#include <utility>

namespace sql {
namespace {

// A pointer in the ring, a slot and a control byte in the table, both of them half empty at
// worst; the allocator's own; the shared_ptr's counts.
constexpr std::size_t kOverhead = 160;

std::size_t heap_bytes(const std::string& text) {
  return text.capacity() > 15 ? text.capacity() + 1 : 0;
}

std::size_t bytes_of(const Analysis& analysis) {
  std::size_t bytes = sizeof analysis + heap_bytes(analysis.why) +
                      analysis.statements.capacity() * sizeof(Statement);
  for (const auto* names : {&analysis.relations, &analysis.functions}) {
    bytes += names->capacity() * sizeof(std::string);
    for (const std::string& name : *names) bytes += heap_bytes(name);
  }
  for (const Statement& statement : analysis.statements) {
    bytes += heap_bytes(statement.name) + heap_bytes(statement.shown);
    bytes += statement.sets.capacity() * sizeof(SetStatement);
    if (statement.isolation) bytes += heap_bytes(*statement.isolation);
    for (const SetStatement& set : statement.sets) {
      bytes += heap_bytes(set.name) + heap_bytes(set.value_sql);
      if (set.value) bytes += heap_bytes(*set.value);
    }
  }
  return bytes;
}

}  // namespace

const AnalysisPtr* AnalysisCache::find(Key kind, std::uint64_t catalog, std::string_view key) {
  const auto found = table(kind).find({catalog, key});
  if (found == table(kind).end()) return nullptr;
  found->second->used = true;
  return &found->second->analysis;
}

void AnalysisCache::put(Key kind, std::uint64_t catalog, std::string_view key,
                        AnalysisPtr analysis) {
  const std::size_t bytes = sizeof(Entry) + kOverhead + key.size() + bytes_of(*analysis);
  if (bytes > bytes_max_ / 8) return;
  while (bytes_ + bytes > bytes_max_) evict_one();
  auto entry = std::make_unique<Entry>(
      Entry{std::string(key), std::move(analysis), bytes, catalog, kind, /*used=*/false});
  if (!table(kind).try_emplace({catalog, entry->key}, entry.get()).second) return;
  bytes_ += bytes;
  ring_.push_back(std::move(entry));
}

void AnalysisCache::evict_one() {
  for (;; ++hand_) {
    if (hand_ >= ring_.size()) hand_ = 0;
    Entry& entry = *ring_[hand_];
    if (std::exchange(entry.used, false)) continue;
    bytes_ -= entry.bytes;
    table(entry.kind).erase({entry.catalog, entry.key});
    std::swap(ring_[hand_], ring_.back());
    ring_.pop_back();
    return;
  }
}

}  // namespace sql
