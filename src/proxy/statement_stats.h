// What is known of the statements that clients have run, by shape, database and user: bounded, and
// those that weigh little go first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "base/time.h"
#include "proxy/inspect.h"

namespace proxy {

// Of whom a statement is. One object for each pool set: its address is part of the key.
struct StatementOwner {
  std::string database, user;  // as the client named them
};
using StatementOwnerPtr = std::shared_ptr<const StatementOwner>;

// One per worker; not thread-safe. find() or add() when a statement is sent, count() when it has
// ended: what has been dropped meanwhile is not counted. Nothing but add() allocates.
class StatementStats {
 public:
  using Ref = std::uint64_t;  // 0 = none
  struct End {
    std::uint64_t rows = 0, bytes = 0, wait_us = 0, server_us = 0;
    std::uint32_t retries = 0;
    bool on_primary = false;
    bool failed = false;
    bool goes_on = false;  // a further piece of what was counted as a call already
    bool ran = true;       // on a server
  };
  struct Route {
    bool to_primary = false;
    const char* reason = "";
    int rule = -1;  // of the configuration's; -1 = none
  };

  static constexpr std::size_t kTextMax = 500;  // bytes kept of a text

  explicit StatementStats(std::size_t shapes_max) : shapes_max_(shapes_max) {}

  Ref find(std::uint64_t shape, const StatementOwner* owner) const;
  // It is not in yet. 0: none are kept.
  Ref add(std::uint64_t shape, StatementOwnerPtr owner, std::string_view text, base::Time now);
  // why: what kind of statement it is; kept when it is another one than before.
  void note_route(Ref what, const Route& route, std::string_view why);
  void count(Ref what, const End& end, base::Time now);
  // 95 % of its calls took less, waits included, microseconds; 0 = not known. Of a while ago: it is
  // reckoned anew as calls grow in number.
  std::uint64_t usual_us(Ref what) const;
  // Its calls take some kShortUs on a server at most, by those of late.
  bool is_short(Ref what) const;
  static constexpr double kShortUs = 4000;

  struct Shown {
    std::uint64_t shape = 0;
    std::string_view text;
  };
  Shown shown(Ref what) const;  // empty when it is not kept; valid until the next call

  void set_max(std::size_t shapes_max);
  void forget_rules();  // their numbers mean others now
  void clear();
  std::size_t bytes() const { return bytes_; }

  // reason_of: for people. What was dropped is in one row without a shape.
  void add_rows(std::vector<StatementRow>& into, base::Time now,
                absl::FunctionRef<std::string(const Route&)> reason_of) const;

 private:
  struct Key {
    std::uint64_t shape;
    const StatementOwner* owner;
    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.shape, key.owner);
    }
  };
  struct Slot {
    std::uint64_t shape = 0;
    StatementOwnerPtr owner;  // null: free
    std::string text, why;
    StatementTotals totals;
    Route route;  // the latest
    base::Time first{}, last{};
    double weight = 0;
    double mean_us = 0, deviation_us = 0;                           // of calls of late, on a server
    mutable std::uint64_t usual_us = 0, usual_until = kCallsKnown;  // until there are so many calls
    std::uint32_t generation = 1;
  };

  static constexpr std::uint64_t kCallsKnown = 20;

  Slot* slot_of(Ref what) const;
  static void note_time(Slot& slot, double us);
  static std::size_t bytes_of(const Slot& slot);
  void drop_lightest();
  void drop(std::uint32_t index);

  std::size_t shapes_max_;
  std::size_t bytes_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::uint32_t> free_;
  absl::flat_hash_map<Key, std::uint32_t> by_key_;
  StatementTotals dropped_;
};

// Rows of the same shape, database and user, of several workers, become one.
void merge_statements(std::vector<StatementRow>& rows);

}  // namespace proxy
