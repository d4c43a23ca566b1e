// Analyses by text and by shape, each with its catalog, bounded in bytes; the least used go first
// (CLOCK).
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sql/analysis.h"

namespace sql {

class AnalysisCache {
 public:
  enum class Key : std::uint8_t { kText, kShape };

  explicit AnalysisCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  AnalysisCache(const AnalysisCache&) = delete;
  AnalysisCache& operator=(const AnalysisCache&) = delete;

  // nullptr when unknown. The pointer is valid until the next put().
  const AnalysisPtr* find(Key kind, std::uint64_t catalog, std::string_view key);
  // Keeps nothing that would take more than an eighth of the whole. A key must not be in yet.
  void put(Key kind, std::uint64_t catalog, std::string_view key, AnalysisPtr analysis);

  // visit(key, analysis) of each entry of Key::kShape.
  template <typename Visit>
  void each_shape(Visit visit) const {
    for (const auto& entry : ring_) {
      if (entry->kind == Key::kShape) visit(std::string_view(entry->key), *entry->analysis);
    }
  }

  // Keys, analyses and the tables' own memory. An analysis that several entries share counts for
  // each of them, since any may be the last to hold it.
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    AnalysisPtr analysis;
    std::size_t bytes = 0;
    std::uint64_t catalog = 0;
    Key kind = Key::kText;
    bool used = false;  // since the hand passed
  };

  void evict_one();
  auto& table(Key kind) { return tables_[static_cast<std::size_t>(kind)]; }

  const std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::size_t hand_ = 0;  // index into ring_
  std::vector<std::unique_ptr<Entry>> ring_;
  // Keys are Entry::catalog and Entry::key.
  std::array<absl::flat_hash_map<std::pair<std::uint64_t, std::string_view>, Entry*>, 2> tables_;
};

}  // namespace sql
