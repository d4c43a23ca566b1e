// The server connections of one worker for one (database, user) on one host, and who waits for
// them. Pure bookkeeping: the caller opens and closes sockets.
//
// Flow: acquire() answers Lease (take this idle server), Open (queued, and you may open one),
// Wait (queued), or Refuse (too many are queued). Whoever opens calls opening(), then ready() when
// it is logged in or closed() when it failed. ready() is also how a server comes back; it hands it
// to the longest waiter or says what else becomes of it. After closed(), after a wake-up from
// another worker and in each sweep: `while (pool.may_open(now)) ...` and `while (auto* s =
// pool.surplus(now, idle_max)) ...`. Being in a state is being on its list; invariants() checks the
// counts.
#pragma once

#include <algorithm>
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
    kLeaving,  // the caller was told to close it: counted until closed()
    kClosed,   // not counted any more
  };
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  State pool_state() const { return state_; }
  base::Time idle_since() const { return idle_since_; }
  base::Time opened() const { return opened_; }  // when opening() was called
  std::uint64_t settings_hash = 0;  // of its session::Settings: an equal one is leased first
  // Has what is of use to one client only, which takes it with Pool::lease(): others get it last.
  bool kept = false;

 protected:
  ~Server() = default;

 private:
  friend class Pool;
  static constexpr std::uint16_t kNobody = 0xFFFF;
  State state_ = State::kClosed;
  std::uint16_t group_ = kNobody;  // Waiter::group of who has it
  Pool* pool_ = nullptr;
  base::Time idle_since_{}, opened_{};
  Server *prev_ = nullptr, *next_ = nullptr;
};

// Base of a client that can wait. Must not wait any more when it is destroyed.
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  bool waiting() const { return pool_ != nullptr; }
  base::Time waiting_since() const { return since_; }  // of the present or latest wait
  Pool* waiting_in() const { return pool_; }
  bool has_waited = false;  // it is in line already, here or elsewhere: not refused any more
  // Whom it belongs to among those who share the pool, in all workers: its application. Below
  // Permits::kGroupsMax.
  std::uint16_t group = 0;

 protected:
  ~Waiter();

 private:
  friend class Pool;
  Pool* pool_ = nullptr;
  base::Time since_{};
  bool spares_kept_ = false;  // of the present or latest wait: Kept::kLost
  Waiter *prev_ = nullptr, *next_ = nullptr;
  Waiter *prev_of_group_ = nullptr, *next_of_group_ = nullptr;
};

// Fairness between groups of clients: a server that comes free goes to the group that has the
// fewest, and in it, or of several such, to the longest waiter. So each has the same as the others,
// or all it wants (max-min). Where workers have unlike parts of the groups' clients, a group counts
// as having everywhere as much for each client as here, and permits (below) go where clients are
// whose group is entitled to more.
//
// Fairness between owners of pools, (database, user), that share a budget: the same. When it is
// full and one starves that has fewer servers, by two at least, a pool of one that has more closes
// an idle or released one. An owner without any is let in after kYieldSlack. Groups share what
// their owner has, and are nothing to other owners: clients name themselves, users log in.
//
// Fairness between workers, within an owner: permits go where they are needed, one at a time; a
// client of a group that wants more than an even share counts for its part of that share only. When
// a budget is full and a pool starves for a permit of it, for at least kLendAfter (a shorter wait
// most often ends by itself, sooner than a new connection is there), a pool closes an idle or
// released server
// - if it was not used of late (kPeakWindow), or
// - if with one less it still has more servers for its clients than the claim's pool has. After
//   that the reverse does not hold: permits do not go to and fro; or
// - if the claim has waited for kYieldSlack and more than twice as long as the longest wait here,
//   and the claim's pool has no server at all: fewer permits than pools take turns, or
// - if the server was idle for kLendAfter, and the claim's pool has none (at once, then).
// A permit that has become free is left to claims that come before.
class Pool {
 public:
  static constexpr base::milliseconds kLendAfter{10};
  static constexpr base::milliseconds kYieldSlack{100};
  static constexpr base::milliseconds kPeakWindow{100};
  static constexpr int kHashLook = 4;   // idle servers looked at for equal settings
  static constexpr int kKeptLook = 64;  // kept ones passed over for them

  // permits: all budgets that one server connection of this pool needs, at most 32, the pool's own
  // first; they outlive the Pool. Their limits are the caller's to resize. Of `sizes` only `min`
  // and `waiting` are used here, the rest is the caller's; without permits `waiting` does not
  // count. reserve_after: 0 = the reserve is never used.
  Pool(config::PoolSizes sizes, base::milliseconds reserve_after, std::vector<Permits*> permits);
  ~Pool();  // everything must be closed
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  enum class Kind : std::uint8_t { kLease, kOpen, kWait, kRefuse };
  struct Answer {
    Kind kind;
    Server* server = nullptr;
  };
  enum class Kept : std::uint8_t {
    kUnharmed,  // what is kept on a server outlives the lease
    kLost,      // it does not: a new server rather than one of those, then the longest idle
  };
  // kLease: server is leased, nobody is queued. kOpen: the waiter is queued, and permits were
  // taken; call opening() with the new Server. kWait: the waiter is queued (FIFO). kRefuse: it
  // would have to wait, and PoolSizes::waiting are in line in all workers.
  Answer acquire(Waiter& waiter, std::uint64_t settings_hash, base::Time now,
                 Kept kept = Kept::kUnharmed);
  // The same for one server that is wanted, if it is idle.
  bool lease(Server& wanted, base::Time now, std::uint16_t group);
  // For what need not wait: an idle one that nothing is kept on; null = none.
  Server* lease_spare(std::uint64_t settings_hash, base::Time now, std::uint16_t group);
  void cancel(Waiter& waiter);  // left, timed out; must be waiting

  // A client's request is sent behind another one's, on a leased server, if acquire() would only
  // put it in line, and nobody is there before it. Until unfollow() it counts as one that wants a
  // server, for which may_open() may be true.
  bool must_wait() const { return idle_count_ == 0 && waiting_count_ == 0 && !has_room(); }
  void follow(std::uint16_t group, base::Time now);
  void unfollow(std::uint16_t group);
  void pass_on(Server& leased, std::uint16_t group);  // to one that followed
  // Whom the next server that comes free would go to; null = nobody waits.
  Waiter* next_waiter() const { return fairest(); }

  void opening(Server& server, base::Time now);  // after kOpen, may_open, may_open_for_min
  // What the caller must do now for the pool's clients.
  struct Grant {
    Waiter* waiter = nullptr;  // this one (no longer queued) ...
    Server* server = nullptr;  // ... gets this leased server
  };
  // A server became usable (logged in) or was released clean. The longest waiter gets it (if kept,
  // and new ones are under way for all: the longest that it is unharmed by), or it becomes idle
  // (most recently used first), or, when the budget shrank or another pool needs it more,
  // `close_it` is set and it is leaving: then call closed().
  Grant ready(Server& server, base::Time now, bool& close_it);
  // The server is gone (failed to open, broke, was closed), from any state. Gives the permits back.
  // Others may want them: see others_starve().
  void closed(Server& server);
  // After closed(), until it answers no waiter: a kept server for who had better get a new one.
  Grant make_do(base::Time now);
  // May one more server be opened for those who wait (not more openings than waiters)? Permits
  // are taken when true: call opening(). Ask after closed(), a wake-up, and in each sweep.
  bool may_open(base::Time now);
  // The same to have PoolSizes::min open in a pool that was used before.
  bool may_open_for_min();
  bool may_open_spare();  // the same for lease_spare(), if nobody waits and none is being opened
  // Takes one idle server out to be closed (the least recently used, rather not a kept one) when
  // another pool starves or the budget shrank, or the one that idled for `idle_max` (0 = never) and
  // is beyond min; null = none. It is leaving: call closed().
  Server* surplus(base::Time now, base::milliseconds idle_max);
  Server* any_idle();  // for RECONNECT, KILL, drain: the least recently used, not removed
  // Every waiter whose wait began before `deadline` is handed out one by one and dequeued.
  Waiter* expired(base::Time deadline);
  Waiter* first_waiter();
  // Some pool, perhaps of another worker, waits for a permit of ours: after closed(), wake all.
  bool others_starve() const;

  std::uint32_t idle() const { return idle_count_; }
  std::uint32_t leased() const { return leased_count_; }
  std::uint32_t opening_count() const { return opening_count_; }
  std::uint32_t leaving() const { return leaving_count_; }
  std::uint32_t waiting() const { return waiting_count_; }
  bool starving() const { return starved_ != 0; }
  const config::PoolSizes& sizes() const { return sizes_; }
  bool unused() const;                       // nothing open, nobody waits
  bool allows(std::uint32_t servers) const;  // as its budgets' limits are now
  void resize(config::PoolSizes sizes);
  void invariants() const;

 private:
  Server* best_idle(std::uint64_t settings_hash, bool kept) const;
  Server* least_used() const;
  struct Group {
    std::uint32_t leased = 0, following = 0, waiting = 0;
    // The most that had or wanted a server in this kPeakWindow and in the last one.
    std::uint32_t peak = 0, last_peak = 0;
    std::uint32_t told = 0;    // what Permits::wanted() has of it by this pool
    std::uint32_t in_all = 0;  // that of all workers, as of then
    std::uint64_t weight = Permits::kWhole;
    Waiter *first = nullptr, *last = nullptr;  // who waits
    std::uint32_t wants() const { return leased + following + waiting; }
    std::uint32_t wanted_of_late() const { return std::max({peak, last_peak, wants()}); }
    // In all workers, if it is served there as it is here.
    double has() const {
      const double here = leased + following;
      return told == 0 ? here : here * in_all / told;
    }
  };
  Waiter* waiter_for(const Server& server) const;
  Waiter* fairest() const;
  void lease_to(std::uint16_t group, Server& server);
  void end_lease(Server& server);
  bool has_room() const;
  std::uint32_t& count_of(Server::State state);
  void set_state(Server& server, Server::State to);
  void push_idle(Server& server);  // most recently used
  void unlink_idle(Server& server);
  void push_waiter(Waiter& waiter, base::Time now);
  void unlink_waiter(Waiter& waiter);

  bool all_provided() const { return waiting_count_ <= opening_count_ + promised_; }
  std::uint32_t wanting() const { return waiting_count_ + following_; }
  bool all_have() const { return wanting() <= opening_count_ + promised_; }
  base::Time longest_since() const {
    return wait_first_ != nullptr ? wait_first_->since_ : following_since_;
  }
  Group& group_at(std::uint16_t group);
  bool take(bool with_reserve);
  std::uint32_t blocked(bool with_reserve) const;  // bits: indexes of permits_
  void state_starving(std::uint32_t permits);      // bits
  bool over_reserve() const;
  bool over_limit() const;
  bool is_crowded() const;
  bool yields(base::Time now);
  bool yields_to(const Claim& claim, std::size_t permit, base::Time now);
  Claim claim_of(base::Time since, std::size_t permit) const;
  bool spares(const Server& idle, base::Time now) const;
  void note_need(base::Time now, std::uint16_t group);
  void roll_window(base::Time now);
  void share_needs();
  std::uint64_t need() const;
  std::uint64_t peak_need() const;
  std::uint32_t open() const { return idle_count_ + leased_count_ + opening_count_ + promised_; }
  std::uint64_t open_in_all_workers() const;

  // Fixed after construction, but for resize().
  config::PoolSizes sizes_;
  base::milliseconds reserve_after_;
  std::vector<Permits*> permits_;

  // Who is where.
  Server *idle_first_ = nullptr, *idle_last_ = nullptr;
  Waiter *wait_first_ = nullptr, *wait_last_ = nullptr;
  std::vector<Group> groups_ = std::vector<Group>(1);  // by Waiter::group
  std::uint32_t idle_count_ = 0, leased_count_ = 0, opening_count_ = 0, leaving_count_ = 0,
                waiting_count_ = 0;
  std::uint32_t following_ = 0;
  base::Time following_since_{};  // of late
  std::uint32_t promised_ = 0;    // permits taken whose opening() is still to come
  bool used_ = false;

  base::Time peak_since_{};  // when the groups' present window began
  bool weighted_ = false;    // some group's clients count for less

  // What our permits have been told.
  std::uint32_t starved_ = 0;  // bits: indexes of permits_
  base::Time starved_since_{};
  std::vector<base::Time> claimed_;  // index as permits_: Claim::rank(), as last given
};

}  // namespace pool
