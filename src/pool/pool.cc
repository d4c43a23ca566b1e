#include "pool/pool.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace pool {

using base::Time;
using State = Server::State;

Waiter::~Waiter() { CHECK(!waiting()); }

Pool::Pool(config::PoolSizes sizes, base::milliseconds reserve_after, std::vector<Permits*> permits)
    : sizes_(sizes),
      reserve_after_(reserve_after),
      permits_(std::move(permits)),
      claimed_(permits_.size()) {
  CHECK(permits_.size() <= 32);
}

Pool::~Pool() {
  CHECK(unused());
  CHECK(starved_ == 0);
  if (permits_.empty()) return;
  for (std::uint16_t i = 0; i < groups_.size(); ++i) {
    permits_[0]->note_wanted(i, groups_[i].told, 0);
  }
}

// --- what the caller asks -------------------------------------------------------------------

Pool::Answer Pool::acquire(Waiter& waiter, std::uint64_t settings_hash, Time now, Kept kept) {
  CHECK(!waiter.waiting());
  used_ = true;
  const bool lost = kept == Kept::kLost;
  waiter.spares_kept_ = lost;
  Server* best = best_idle(settings_hash, /*kept=*/false);
  if (best == nullptr && idle_first_ != nullptr) {
    if (lost && has_room()) {
      push_waiter(waiter, now);
      note_need(now, waiter.group);
      if (may_open(now)) return {Kind::kOpen};
      unlink_waiter(waiter);  // another worker was faster
    }
    best = lost ? idle_last_ : best_idle(settings_hash, /*kept=*/true);
  }
  if (best != nullptr) {
    lease_to(waiter.group, *best);
    note_need(now, waiter.group);
    return {Kind::kLease, best};
  }
  push_waiter(waiter, now);
  note_need(now, waiter.group);
  if (may_open(now)) return {Kind::kOpen};
  if (waiter.has_waited || !is_crowded()) return {Kind::kWait};
  unlink_waiter(waiter);
  return {Kind::kRefuse};
}

bool Pool::is_crowded() const {
  return sizes_.waiting != 0 && !permits_.empty() && permits_[0]->in_line() > sizes_.waiting;
}

// Of the idle servers that are kept, or are not, the latest used, or one with equal settings.
Server* Pool::best_idle(std::uint64_t settings_hash, bool kept) const {
  Server* best = nullptr;
  int looked = 0, passed = 0;
  for (Server* s = idle_first_; s != nullptr && looked < kHashLook; s = s->next_) {
    if (s->kept != kept) {
      if (++passed == kKeptLook) break;
      continue;
    }
    ++looked;
    if (s->settings_hash == settings_hash) return s;
    if (best == nullptr) best = s;
  }
  return best;
}

bool Pool::has_room() const {
  return std::ranges::all_of(permits_, [](const Permits* p) {
    return p->free(/*with_reserve=*/false) != 0 && !p->starving();
  });
}

bool Pool::lease(Server& wanted, Time now, std::uint16_t group) {
  if (wanted.pool_ != this || wanted.state_ != State::kIdle) return false;
  lease_to(group, wanted);
  note_need(now, group);
  return true;
}

Server* Pool::lease_spare(std::uint64_t settings_hash, Time now, std::uint16_t group) {
  Server* spare = best_idle(settings_hash, /*kept=*/false);
  if (spare != nullptr) lease(*spare, now, group);
  return spare;
}

void Pool::cancel(Waiter& waiter) {
  CHECK(waiter.pool_ == this);
  unlink_waiter(waiter);
}

void Pool::follow(std::uint16_t group, Time now) {
  // Some client follows all the time, none of them for long.
  const bool renewed = following_ == 0 || now - following_since_ >= kPeakWindow;
  if (renewed) following_since_ = now;
  ++following_;
  ++group_at(group).following;
  note_need(now, group);
  if (starved_ == 0 && !all_have()) {
    state_starving(blocked(/*with_reserve=*/false));
  } else if (renewed) {
    state_starving(starved_);
  }
}

void Pool::unfollow(std::uint16_t group) {
  CHECK(following_ != 0 && groups_[group].following != 0);
  --following_;
  --groups_[group].following;
  if (starved_ != 0) state_starving(all_have() ? 0 : starved_);
}

void Pool::pass_on(Server& leased, std::uint16_t group) {
  CHECK(leased.state_ == State::kLeased);
  end_lease(leased);
  leased.group_ = group;
  ++group_at(group).leased;
}

void Pool::opening(Server& server, Time now) {
  CHECK(promised_ != 0);
  CHECK(server.state_ == State::kClosed);
  --promised_;
  server.opened_ = now;
  set_state(server, State::kOpening);
}

Pool::Grant Pool::ready(Server& server, Time now, bool& close_it) {
  CHECK(server.pool_ == this);
  CHECK(server.state_ == State::kOpening || server.state_ == State::kLeased);
  // A server that was just opened for a waiter of ours is not closed for one of others.
  const bool released = server.state_ == State::kLeased;
  close_it = over_reserve() || (wait_first_ == nullptr && over_limit()) ||
             ((released || wait_first_ == nullptr) && yields(now));
  if (close_it) {
    set_state(server, State::kLeaving);
    return {};
  }
  end_lease(server);
  Waiter* waiter = waiter_for(server);
  if (waiter == nullptr) {
    server.idle_since_ = now;
    set_state(server, State::kIdle);
    return {};
  }
  lease_to(waiter->group, server);  // before unlink_waiter(): it looks at the counts
  unlink_waiter(*waiter);
  return {waiter, &server};
}

Waiter* Pool::waiter_for(const Server& server) const {
  if (!server.kept || !all_provided()) return fairest();
  Waiter* waiter = wait_first_;
  while (waiter != nullptr && waiter->spares_kept_) waiter = waiter->next_;
  return waiter;
}

Waiter* Pool::fairest() const {
  Waiter* best = wait_first_;  // the first of its group
  if (best == nullptr || groups_.size() == 1) return best;
  double fewest = groups_[best->group].has();
  for (const Group& group : groups_) {
    if (group.first == nullptr || group.has() > fewest) continue;
    if (group.has() == fewest && group.first->since_ >= best->since_) continue;
    best = group.first;
    fewest = group.has();
  }
  return best;
}

Pool::Group& Pool::group_at(std::uint16_t group) {
  if (groups_.size() <= group) groups_.resize(group + 1u);
  return groups_[group];
}

void Pool::lease_to(std::uint16_t group, Server& server) {
  set_state(server, State::kLeased);
  server.group_ = group;
  ++group_at(group).leased;
}

void Pool::end_lease(Server& server) {
  const std::uint16_t group = std::exchange(server.group_, Server::kNobody);
  if (group != Server::kNobody) --groups_[group].leased;
}

void Pool::closed(Server& server) {
  CHECK(server.pool_ == this);
  set_state(server, State::kClosed);
  give_back_all(permits_);
}

Pool::Grant Pool::make_do(Time now) {
  if (wait_first_ == nullptr || idle_last_ == nullptr || all_provided()) return {};
  Waiter* waiter = fairest();
  Server* server = idle_last_;
  lease_to(waiter->group, *server);
  note_need(now, waiter->group);
  unlink_waiter(*waiter);
  return {waiter, server};
}

bool Pool::may_open(Time now) {
  if (all_have()) {
    state_starving(0);
    return false;
  }
  const bool reserve = reserve_after_.count() != 0 && wait_first_ != nullptr &&
                       now - wait_first_->since_ >= reserve_after_;
  std::uint32_t lacking = blocked(reserve);
  if (lacking == 0) {
    if (take(reserve)) {
      // Whoever still waits without an opening starves on, or asks next.
      state_starving(all_have() ? 0 : starved_);
      return true;
    }
    lacking = blocked(reserve);  // 0: another worker was faster and has given it back by now
  }
  state_starving(lacking);
  return false;
}

bool Pool::may_open_for_min() {
  if (!used_ || open_in_all_workers() + promised_ >= sizes_.min || others_starve()) return false;
  return take(/*with_reserve=*/false);
}

bool Pool::may_open_spare() {
  if (waiting_count_ != 0 || opening_count_ != 0 || promised_ != 0 || others_starve()) return false;
  return take(/*with_reserve=*/false);
}

Server* Pool::surplus(Time now, base::milliseconds idle_max) {
  roll_window(now);
  Server* oldest = idle_last_;
  if (oldest == nullptr) return nullptr;
  const bool idled = idle_max.count() != 0 && now - oldest->idle_since_ >= idle_max &&
                     open_in_all_workers() > sizes_.min;
  if (!idled && !over_limit() && !yields(now) && !spares(*oldest, now)) return nullptr;
  Server* least = idled ? oldest : least_used();
  set_state(*least, State::kLeaving);
  return least;
}

// What is kept only when there is nothing else.
Server* Pool::least_used() const {
  int passed = 0;
  for (Server* s = idle_last_; s != nullptr && passed < kKeptLook; s = s->prev_, ++passed) {
    if (!s->kept) return s;
  }
  return idle_last_;
}

Server* Pool::any_idle() { return idle_last_; }

Waiter* Pool::expired(Time deadline) {
  Waiter* first = wait_first_;
  if (first == nullptr || first->since_ >= deadline) return nullptr;
  unlink_waiter(*first);
  return first;
}

Waiter* Pool::first_waiter() { return wait_first_; }

bool Pool::others_starve() const {
  for (std::size_t i = 0; i < permits_.size(); ++i) {
    const std::uint32_t ours = (starved_ >> i) & 1u;
    if (permits_[i]->starving_count() > ours) return true;
  }
  return false;
}

bool Pool::unused() const {
  return idle_count_ == 0 && leased_count_ == 0 && opening_count_ == 0 && leaving_count_ == 0 &&
         promised_ == 0 && wanting() == 0;
}

bool Pool::allows(std::uint32_t servers) const {
  return std::ranges::all_of(permits_, [&](const Permits* p) { return p->allows(servers); });
}

void Pool::resize(config::PoolSizes sizes) { sizes_ = sizes; }

// --- budgets --------------------------------------------------------------------------------

bool Pool::take(bool with_reserve) {
  if (!take_all(permits_, with_reserve)) return false;
  ++promised_;
  return true;
}

// The permits that keep the longest waiter from a server of its own: none is free, or those that
// are belong to longer waits elsewhere.
std::uint32_t Pool::blocked(bool with_reserve) const {
  std::uint32_t result = 0;
  for (std::size_t i = 0; i < permits_.size(); ++i) {
    const Permits& p = *permits_[i];
    const std::uint32_t free = p.free(with_reserve);
    const std::uint32_t ours = (starved_ >> i) & 1u;
    const auto claim = p.claim();
    const bool is_ours = ours != 0 && claim && claim->rank() == claimed_[i];
    const bool others_first = claim && !is_ours && claim->is_before(claim_of(longest_since(), i)) &&
                              p.starving_count() >= free + ours;
    if (free == 0 || (free != UINT32_MAX && others_first)) result |= 1u << i;
  }
  return result;
}

void Pool::state_starving(std::uint32_t permits) {
  if (permits == 0 && starved_ == 0) return;
  const Time since = wanting() == 0 ? starved_since_ : longest_since();
  for (std::size_t i = 0; i < permits_.size(); ++i) {
    const Claim claim = claim_of(since, i);
    const bool was = (starved_ >> i) & 1u, is = (permits >> i) & 1u;
    if (was && is) {
      permits_[i]->starve_on(claimed_[i], claim);
    } else if (was) {
      permits_[i]->fed(claimed_[i]);
    } else if (is) {
      permits_[i]->starve(claim);
    }
    claimed_[i] = claim.rank();
  }
  starved_ = permits;
  starved_since_ = since;
}

Claim Pool::claim_of(Time since, std::size_t permit) const {
  return {since, open(), need(), permits_[0], permit == 0 ? 0 : permits_[0]->taken()};
}

bool Pool::over_reserve() const {
  for (const Permits* p : permits_) {
    if (p->over_reserve(leaving_count_)) return true;
  }
  return false;
}

bool Pool::over_limit() const {
  for (const Permits* p : permits_) {
    if (p->over_limit(leaving_count_)) return true;
  }
  return false;
}

void Pool::note_need(Time now, std::uint16_t group) {
  roll_window(now);
  Group& noted = group_at(group);
  noted.peak = std::max(noted.peak, noted.wants());
}

// Also tells other workers what is wanted here, and looks what is wanted there.
void Pool::roll_window(Time now) {
  if (now - peak_since_ < kPeakWindow) return;
  const bool just_past = now - peak_since_ < 2 * kPeakWindow;
  peak_since_ = now;
  for (Group& group : groups_) {
    group.last_peak = just_past ? group.peak : 0;
    group.peak = group.wants();
  }
  if (!permits_.empty()) share_needs();
}

void Pool::share_needs() {
  for (std::uint16_t i = 0; i < groups_.size(); ++i) {
    Group& group = groups_[i];
    const std::uint32_t wants = group.wanted_of_late();
    if (wants != group.told) permits_[0]->note_wanted(i, group.told, wants);
    group.told = wants;
  }
  const std::uint64_t level = permits_[0]->level();
  weighted_ = false;
  for (std::uint16_t i = 0; i < groups_.size(); ++i) {
    Group& group = groups_[i];
    group.in_all = permits_[0]->wanted(i);
    const bool content = group.in_all * Permits::kWhole <= level;
    group.weight = content ? Permits::kWhole : level / group.in_all;
    weighted_ = weighted_ || !content;
  }
}

std::uint64_t Pool::need() const {
  std::uint64_t sum = 0;
  for (const Group& group : groups_) sum += group.weight * group.wants();
  return sum;
}

std::uint64_t Pool::peak_need() const {
  std::uint64_t sum = 0;
  for (const Group& group : groups_) sum += group.weight * group.wanted_of_late();
  return sum;
}

// Only while a budget is full: the one permit that is then given back shall be taken before the
// next one is.
bool Pool::yields(Time now) {
  for (std::size_t i = 0; i < permits_.size(); ++i) {
    const Permits& p = *permits_[i];
    if (!p.starving() || !p.full(leaving_count_)) continue;
    const auto claim = p.claim();
    if (claim && yields_to(*claim, i, now)) return true;
  }
  return false;
}

bool Pool::spares(const Server& idle, Time now) const {
  if (wait_first_ != nullptr || now - idle.idle_since_ < kLendAfter) return false;
  return std::ranges::any_of(permits_, [this](const Permits* p) {
    const auto claim = p->claim();
    return p->full(leaving_count_) && p->starving() && claim && claim->open == 0;
  });
}

bool Pool::yields_to(const Claim& claim, std::size_t permit, Time now) {
  if (wait_first_ != nullptr && !claim.is_before(claim_of(wait_first_->since_, permit)))
    return false;
  const base::Duration theirs = now - claim.since;
  if (theirs < kLendAfter) return false;
  roll_window(now);
  const std::uint64_t most = peak_need();
  if (most == 0) return true;
  if (permit != 0 && claim.owner != permits_[0]) {
    if (claim.owner == nullptr) return false;  // it is just being made
    const std::uint32_t has = claim.owner->taken();
    return permits_[0]->taken() > has + 1 || (has == 0 && theirs > kYieldSlack);
  }
  // (open - 1) / most > claim.open / claim.need; weights may be a window old.
  const double left = std::max(open(), 1u) - 1;
  const double needed = (weighted_ ? Claim::kAlike : 1.0) * claim.open * static_cast<double>(most);
  if (left * static_cast<double>(claim.need) > needed) return true;
  const base::Duration ours = wait_first_ == nullptr ? base::Duration{} : now - wait_first_->since_;
  return claim.open == 0 && theirs > 2 * ours + kYieldSlack;
}

std::uint64_t Pool::open_in_all_workers() const {
  if (permits_.empty()) return std::uint64_t{idle_count_} + leased_count_ + opening_count_;
  const std::uint32_t taken = permits_[0]->taken();
  return taken > leaving_count_ ? taken - leaving_count_ : 0;
}

// --- lists ----------------------------------------------------------------------------------

std::uint32_t& Pool::count_of(State state) {
  switch (state) {
    case State::kOpening:
      return opening_count_;
    case State::kIdle:
      return idle_count_;
    case State::kLeased:
      return leased_count_;
    case State::kLeaving:
      return leaving_count_;
    case State::kClosed:
      break;
  }
  CHECK(false);
  return leaving_count_;
}

void Pool::set_state(Server& server, State to) {
  const State from = server.state_;
  switch (to) {
    case State::kOpening:
      CHECK(from == State::kClosed);
      break;
    case State::kIdle:
      CHECK(from == State::kOpening || from == State::kLeased);
      break;
    case State::kLeased:
      CHECK(from == State::kOpening || from == State::kIdle || from == State::kLeased);
      break;
    case State::kLeaving:
      CHECK(from == State::kOpening || from == State::kIdle || from == State::kLeased);
      break;
    case State::kClosed:
      CHECK(from != State::kClosed);
      break;
  }
  if (!permits_.empty() && (from == State::kOpening) != (to == State::kOpening)) {
    permits_[0]->note_opening(to == State::kOpening ? 1 : -1);
  }
  if (from == State::kIdle) unlink_idle(server);
  if (from == State::kLeased) end_lease(server);
  if (from != State::kClosed) --count_of(from);
  if (to != State::kClosed) ++count_of(to);
  if (to == State::kIdle) push_idle(server);
  server.state_ = to;
  server.pool_ = to == State::kClosed ? nullptr : this;
}

void Pool::push_idle(Server& server) {
  server.next_ = idle_first_;
  server.prev_ = nullptr;
  (idle_first_ != nullptr ? idle_first_->prev_ : idle_last_) = &server;
  idle_first_ = &server;
}

void Pool::unlink_idle(Server& server) {
  (server.prev_ != nullptr ? server.prev_->next_ : idle_first_) = server.next_;
  (server.next_ != nullptr ? server.next_->prev_ : idle_last_) = server.prev_;
  server.prev_ = server.next_ = nullptr;
}

void Pool::push_waiter(Waiter& waiter, Time now) {
  waiter.pool_ = this;
  // A worker's clock reading may be a cached one; the queue stays in order.
  waiter.since_ = wait_last_ != nullptr ? std::max(now, wait_last_->since_) : now;
  waiter.next_ = nullptr;
  waiter.prev_ = wait_last_;
  (wait_last_ != nullptr ? wait_last_->next_ : wait_first_) = &waiter;
  wait_last_ = &waiter;
  Group& group = group_at(waiter.group);
  waiter.next_of_group_ = nullptr;
  waiter.prev_of_group_ = group.last;
  (group.last != nullptr ? group.last->next_of_group_ : group.first) = &waiter;
  group.last = &waiter;
  ++group.waiting;
  ++waiting_count_;
  if (!permits_.empty()) permits_[0]->note_waiting(1);
}

// Also keeps what the permits know of our longest waiter true: a claim that grew older than it
// would take servers from others unduly.
void Pool::unlink_waiter(Waiter& waiter) {
  (waiter.prev_ != nullptr ? waiter.prev_->next_ : wait_first_) = waiter.next_;
  (waiter.next_ != nullptr ? waiter.next_->prev_ : wait_last_) = waiter.prev_;
  waiter.prev_ = waiter.next_ = nullptr;
  Group& group = groups_[waiter.group];
  Waiter *const prev = waiter.prev_of_group_, *const next = waiter.next_of_group_;
  (prev != nullptr ? prev->next_of_group_ : group.first) = next;
  (next != nullptr ? next->prev_of_group_ : group.last) = prev;
  waiter.prev_of_group_ = waiter.next_of_group_ = nullptr;
  waiter.pool_ = nullptr;
  --group.waiting;
  --waiting_count_;
  if (!permits_.empty()) permits_[0]->note_waiting(-1);
  state_starving(all_have() ? 0 : starved_);
}

void Pool::invariants() const {
  std::uint32_t n = 0;
  const Server* last = nullptr;
  for (const Server* s = idle_first_; s != nullptr; last = s, s = s->next_, ++n) {
    CHECK(s->prev_ == last);
    CHECK(s->state_ == State::kIdle && s->pool_ == this);
    CHECK(n < idle_count_);  // no ring
  }
  CHECK(n == idle_count_ && idle_last_ == last);

  n = 0;
  const Waiter* last_waiter = nullptr;
  for (const Waiter* w = wait_first_; w != nullptr; last_waiter = w, w = w->next_, ++n) {
    CHECK(w->prev_ == last_waiter && w->pool_ == this);
    CHECK(last_waiter == nullptr || last_waiter->since_ <= w->since_);  // FIFO
    CHECK(n < waiting_count_);
  }
  CHECK(n == waiting_count_ && wait_last_ == last_waiter);
  n = 0;
  std::uint32_t leased = 0, waiting = 0;
  for (const Group& group : groups_) {
    const Waiter* before = nullptr;
    for (const Waiter* w = group.first; w != nullptr; before = w, w = w->next_of_group_, ++n) {
      CHECK(w->prev_of_group_ == before && w->pool_ == this && &groups_[w->group] == &group);
      CHECK(before == nullptr || before->since_ <= w->since_);
    }
    CHECK(group.last == before);
    leased += group.leased;
    waiting += group.waiting;
  }
  CHECK(n == waiting_count_ && waiting == n && leased == leased_count_);

  // Nobody waits beside an idle server, but for a new one.
  CHECK(idle_count_ == 0 || all_provided());
  CHECK(starved_ == 0 || (wanting() != 0 && starved_since_ == longest_since()));
  CHECK(std::accumulate(groups_.begin(), groups_.end(), 0u, [](std::uint32_t sum, const Group& g) {
          return sum + g.following;
        }) == following_);
  const std::uint64_t ours =
      std::uint64_t{idle_count_} + leased_count_ + opening_count_ + leaving_count_ + promised_;
  for (const Permits* p : permits_) CHECK(p->taken() >= ours);
}

}  // namespace pool
