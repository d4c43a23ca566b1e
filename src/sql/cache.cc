#include "sql/cache.h"

#include <absl/hash/hash.h>

#include <bit>
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

AnalysisCache::Name::Name(std::uint64_t by, std::string_view text)
    : catalog(by), key(text), hash(absl::HashOf(by, text)) {}

AnalysisCache::AnalysisCache(std::size_t bytes_max)
    : bytes_max_(bytes_max), seen_(std::bit_floor(bytes_max / 256 / sizeof(std::uint32_t))) {}

const AnalysisPtr* AnalysisCache::find(Key kind, const Name& name) {
  const auto found = table(kind).find(name);
  if (found == table(kind).end()) return nullptr;
  Entry& entry = **found;
  entry.used = true;
  return &entry.analysis;
}

bool AnalysisCache::seen_before(const Name& name) {
  if (seen_.empty()) return false;
  const std::uint32_t part = static_cast<std::uint32_t>(std::uint64_t{name.hash} >> 32) | 1;
  return std::exchange(seen_[name.hash & (seen_.size() - 1)], part) == part;
}

void AnalysisCache::put(Key kind, const Name& name, AnalysisPtr analysis) {
  const std::size_t bytes = sizeof(Entry) + kOverhead + name.key.size() + bytes_of(*analysis);
  if (bytes > bytes_max_ / 8) return;
  while (bytes_ + bytes > bytes_max_) evict_one();
  auto entry = std::make_unique<Entry>(Entry{.key = std::string(name.key),
                                             .analysis = std::move(analysis),
                                             .bytes = bytes,
                                             .catalog = name.catalog,
                                             .hash = name.hash,
                                             .kind = kind});
  if (!table(kind).insert(entry.get()).second) return;
  bytes_ += bytes;
  ring_.push_back(std::move(entry));
}

void AnalysisCache::evict_one() {
  for (;; ++hand_) {
    if (hand_ >= ring_.size()) hand_ = 0;
    Entry& entry = *ring_[hand_];
    if (std::exchange(entry.used, false)) continue;
    bytes_ -= entry.bytes;
    table(entry.kind).erase(&entry);
    std::swap(ring_[hand_], ring_.back());
    ring_.pop_back();
    return;
  }
}

}  // namespace sql
