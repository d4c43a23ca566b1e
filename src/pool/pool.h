// The server connections of one worker for one (database, user) on one host, and who waits for
// them. Pure bookkeeping: the caller opens and closes sockets.
//
// Flow: acquire() answers Lease (take this idle server), Open (you may open one: then report
// opened() or open_failed()), or Wait (the waiter is queued; a later release(), opened() or
// permit_freed() hands it a server or asks for an Open through Grant). Being in a state is being
// on its list; invariants() checks the counts.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"
#include "config/config.h"
#include "pool/permits.h"

namespace pool {

class Pool;

// Base of a server connection. Intrusive: no allocation.
class Server {
 public:
  enum class State : std::uint8_t {
    kOpening,  // counted, not usable yet
    kIdle,     // on the idle list
    kLeased,   // one client's
    kClosed,   // not counted any more
  };
  State pool_state() const { return state_; }
  base::Time idle_since() const { return idle_since_; }
  std::uint64_t settings_hash = 0;  // of its session::Settings: an equal one is leased first

 private:
  friend class Pool;
  State state_ = State::kClosed;
  bool reserve_ = false;
  base::Time idle_since_{}, opened_{};
  Server *prev_ = nullptr, *next_ = nullptr;
};

// Base of a client that can wait.
class Waiter {
 public:
  bool waiting() const { return pool_ != nullptr; }
  base::Time waiting_since() const { return since_; }
  Pool* waiting_in() const { return pool_; }

 private:
  friend class Pool;
  Pool* pool_ = nullptr;
  base::Time since_{};
  Waiter *prev_ = nullptr, *next_ = nullptr;
};

class Pool {
 public:
  // permits: all budgets that one server connection of this pool needs; they outlive the Pool.
  Pool(config::PoolSizes sizes, base::milliseconds reserve_after, std::vector<Permits*> permits);
  ~Pool();  // everything must be closed

  enum class Kind : std::uint8_t { kLease, kOpen, kWait };
  struct Answer { Kind kind; Server* server = nullptr; };
  // kLease: server is leased. kOpen: a permit was taken; call opening() with the new Server.
  // kWait: waiter is queued (FIFO).
  Answer acquire(Waiter& waiter, std::uint64_t settings_hash, base::Time now);
  void cancel(Waiter& waiter);  // left, timed out; must be waiting

  void opening(Server& server, base::Time now);  // after kOpen
  // What the caller must do now for the pool's clients.
  struct Grant {
    Waiter* waiter = nullptr;  // this one (no longer queued) ...
    Server* server = nullptr;  // ... gets this leased server
  };
  // A server became usable (logged in) or was released clean. The longest waiter gets it, or it
  // becomes idle (most recently used first), or, when over_limit or another worker starves and
  // nobody waits here, `close_it` is set: then call closed().
  Grant ready(Server& server, base::Time now, bool& close_it);
  // The server is gone (failed to open, broke, was closed). Gives the permits back.
  void closed(Server& server);
  // May one more server be opened for those who wait (not more openings than waiters)? A permit
  // is taken when true: call opening(). Ask after closed(), a wake-up, and in each sweep.
  bool may_open(base::Time now);
  // Removes one idle server to close (the least recently used) when another worker starves, the
  // budget shrank, or it idled longer than `idle_max` (0 = never) beyond min; null = none.
  Server* surplus(base::Time now, base::milliseconds idle_max);
  Server* any_idle();  // for RECONNECT, KILL, drain: the least recently used, not removed
  // Every waiter whose wait began before `deadline` is handed out one by one and dequeued.
  Waiter* expired(base::Time deadline);
  Waiter* first_waiter();

  std::uint32_t idle() const { return idle_count_; }
  std::uint32_t leased() const { return leased_count_; }
  std::uint32_t opening_count() const { return opening_count_; }
  std::uint32_t waiting() const { return waiting_count_; }
  bool unused() const;  // nothing open, nobody waits
  void resize(config::PoolSizes sizes);
  void invariants() const;

 private:
  config::PoolSizes sizes_;
  base::milliseconds reserve_after_;
  std::vector<Permits*> permits_;
  Server *idle_first_ = nullptr, *idle_last_ = nullptr;
  Waiter *wait_first_ = nullptr, *wait_last_ = nullptr;
  std::uint32_t idle_count_ = 0, leased_count_ = 0, opening_count_ = 0, waiting_count_ = 0;
  bool starving_ = false;
};

}  // namespace pool
