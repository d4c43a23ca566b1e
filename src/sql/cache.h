// Analyses by text and by shape, each with its catalog, bounded in bytes; the least used go first
// (CLOCK).
#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"

namespace sql {

class AnalysisCache {
 public:
  enum class Key : std::uint8_t { kText, kShape };

  // What an analysis is known by: hashed once, however often it is looked for and put in.
  struct Name {
    Name(std::uint64_t by, std::string_view text);
    std::uint64_t catalog;
    std::string_view key;
    std::size_t hash;
  };

  explicit AnalysisCache(std::size_t bytes_max);
  AnalysisCache(const AnalysisCache&) = delete;
  AnalysisCache& operator=(const AnalysisCache&) = delete;

  // nullptr when unknown. The pointer is valid until the next put().
  const AnalysisPtr* find(Key kind, const Name& name);
  // Keeps nothing that would take more than an eighth of the whole. A name must not be in yet.
  void put(Key kind, const Name& name, AnalysisPtr analysis);
  // Whether it was asked about this name before, as far as it can tell: later names overwrite
  // earlier ones. What is never seen again is thus not put in, and pushes nothing out.
  bool seen_before(const Name& name);

  // Keys, analyses and the tables' own memory. An analysis that several entries share counts for
  // each of them, since any may be the last to hold it.
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    AnalysisPtr analysis;
    std::size_t bytes = 0;
    std::uint64_t catalog = 0;
    std::size_t hash = 0;
    Key kind = Key::kText;
    bool used = false;  // since the hand passed
  };

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const Entry* entry) const { return entry->hash; }
    std::size_t operator()(const Name& name) const { return name.hash; }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const Entry* a, const Entry* b) const {
      return a->catalog == b->catalog && a->key == b->key;
    }
    bool operator()(const Entry* a, const Name& b) const {
      return a->catalog == b.catalog && a->key == b.key;
    }
  };

  void evict_one();
  auto& table(Key kind) { return tables_[static_cast<std::size_t>(kind)]; }

  const std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::size_t hand_ = 0;  // index into ring_
  std::vector<std::unique_ptr<Entry>> ring_;
  std::array<absl::flat_hash_set<Entry*, Hash, Equal>, 2> tables_;
  // Parts of hashes, each at the place that the rest of its hash says; 0 = none yet. A power of
  // two of them, or none; beside bytes(), and at most 1/256 of bytes_max_.
  std::vector<std::uint32_t> seen_;
};

}  // namespace sql
