#include "route/router.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>
#include <string>

#include "fixture.h"

using namespace route;
using sql::Access;
using sql::Hint;

namespace {
std::size_t allocations = 0;
}

// Counted: decide() must not allocate.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size == 0 ? 1 : size)) return p;
  std::abort();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {

struct Case {
  Scene scene;
  SessionView session;

  explicit Case(std::size_t replicas = 2) : scene(replicas) {}
  Decision decide(Access access, Hint hint = Hint::kNone) {
    Router router(scene.config, 7);
    return router.decide(access, hint, session, scene.snapshot, {});
  }
  void no_replica_fit() {
    for (auto& host : scene.snapshot.hosts) host.reads = false;
  }
};

void check(const Decision& d, Target target, const char* reason) {
  CHECK(d.target == target);
  CHECK(std::string(d.reason) == reason);
  if (target == Target::kPrimary) CHECK(d.host == 0);
  if (target == Target::kReplica) CHECK(d.host >= 1);
  if (target == Target::kNoPrimary || target == Target::kNoReplica) CHECK(d.host == -1);
}

}  // namespace

TEST_CASE("router: reads to replicas, writes to the primary") {
  Case c;
  check(c.decide(Access::kRead), Target::kReplica, "read");
  check(c.decide(Access::kNone), Target::kReplica, "no data");
  check(c.decide(Access::kWrite), Target::kPrimary, "write");
}

TEST_CASE("router: a read-only transaction may go to a replica, whatever it says") {
  Case c;
  c.session.read_only_transaction = true;
  check(c.decide(Access::kWrite), Target::kReplica, "read-only transaction");
  check(c.decide(Access::kRead), Target::kReplica, "read");
  c.session.route = Hint::kPrimary;
  check(c.decide(Access::kWrite), Target::kPrimary, "weir.route");
}

TEST_CASE("router: the statement's hint is above all, the session's route above the rules") {
  Case c;
  for (const Access access : {Access::kNone, Access::kRead, Access::kWrite}) {
    check(c.decide(access, Hint::kPrimary), Target::kPrimary, "hint");
    check(c.decide(access, Hint::kReplica), Target::kReplica, "hint");
  }
  c.session.route = Hint::kReplica;
  check(c.decide(Access::kRead), Target::kReplica, "weir.route");
  check(c.decide(Access::kWrite), Target::kPrimary, "write");  // a route does not move writes
  check(c.decide(Access::kRead, Hint::kPrimary), Target::kPrimary, "hint");
  c.session.route = Hint::kPrimary;
  check(c.decide(Access::kRead), Target::kPrimary, "weir.route");
  check(c.decide(Access::kNone), Target::kPrimary, "weir.route");
  check(c.decide(Access::kRead, Hint::kReplica), Target::kReplica, "hint");
}

TEST_CASE("router: split_reads off") {
  Case c;
  c.scene.config.routing.split_reads = false;
  check(c.decide(Access::kRead), Target::kPrimary, "split_reads is off");
  check(c.decide(Access::kNone), Target::kPrimary, "split_reads is off");
  check(c.decide(Access::kRead, Hint::kReplica), Target::kReplica, "hint");
  c.session.route = Hint::kReplica;
  check(c.decide(Access::kRead), Target::kReplica, "weir.route");
}

TEST_CASE("router: a session reads what it wrote") {
  Case c;
  c.session.as_of = at(50);  // the sample asked for at 100 said 800
  check(c.decide(Access::kRead), Target::kReplica, "read");
  c.scene.snapshot.hosts[1].lsn = 799;
  c.scene.snapshot.hosts[2].lsn = 800;
  for (int i = 0; i < 10; ++i) CHECK(c.decide(Access::kRead).host == 2);
  c.scene.snapshot.hosts[2].lsn = 799;
  check(c.decide(Access::kRead), Target::kPrimary, "own writes");
  check(c.decide(Access::kNone), Target::kPrimary, "own writes");  // SET ROLE: it may be new
  check(c.decide(Access::kRead, Hint::kReplica), Target::kPrimary, "own writes");

  SUBCASE("no sample since: the primary, however far the replicas are") {
    c.session.as_of = at(201);
    c.scene.snapshot.hosts[1].lsn = 99'999;
    check(c.decide(Access::kRead), Target::kPrimary, "own writes");
  }
  SUBCASE("unless consistency is eventual") {
    c.session.consistency = config::Consistency::kEventual;
    check(c.decide(Access::kRead), Target::kReplica, "read");
  }
  SUBCASE("not an error, although no_replica says so: replicas are fit, only not for this") {
    c.scene.config.routing.no_replica = config::NoReplica::kError;
    check(c.decide(Access::kRead), Target::kPrimary, "own writes");
  }
  SUBCASE("without a primary it waits for one") {
    c.scene.snapshot.primary = -1;
    check(c.decide(Access::kRead), Target::kNoPrimary, "own writes");
  }
}

TEST_CASE("router: a session does not go back in time") {
  Case c;
  c.session.now = at(300);
  c.session.host = 2;
  c.session.host_as_of = at(290);
  for (auto& host : c.scene.snapshot.hosts) host.sampled = at(200);
  // Nobody can say how far the others are beside what it saw on its replica.
  for (int i = 0; i < 10; ++i) CHECK(c.decide(Access::kRead).host == 2);
  CHECK(c.decide(Access::kRead).kept);

  SUBCASE("its replica was sampled since: whoever is as far") {
    c.scene.snapshot.hosts[2].sampled = at(295);
    c.scene.snapshot.hosts[1].lsn = 999;
    for (int i = 0; i < 10; ++i) CHECK(c.decide(Access::kRead).host == 2);
    CHECK_FALSE(c.decide(Access::kRead).kept);
    c.scene.snapshot.hosts[1].lsn = 1000;
    c.scene.snapshot.hosts[2].reads = false;
    CHECK(c.decide(Access::kRead).host == 1);
  }
  SUBCASE("the primary was sampled since: whoever is as far as that") {
    c.scene.snapshot.primary_history.push_back({at(291), 1100});
    c.scene.snapshot.hosts[1].lsn = 1100;
    for (int i = 0; i < 10; ++i) CHECK(c.decide(Access::kRead).host == 1);
  }
  SUBCASE("its replica is not fit any more: the primary") {
    c.scene.snapshot.hosts[2].reads = false;
    check(c.decide(Access::kRead), Target::kPrimary, "earlier reads");
  }
  SUBCASE("eventual consistency does not care") {
    c.session.consistency = config::Consistency::kEventual;
    c.scene.snapshot.hosts[2].reads = false;
    CHECK(c.decide(Access::kRead).host == 1);
  }
  SUBCASE("it has said to be further than all were when they were sampled: it stays") {
    c.session.host_lsn = 1100;
    c.session.kept_since = at(280);
    for (int i = 0; i < 10; ++i) CHECK(c.decide(Access::kRead).host == 2);
    CHECK(c.decide(Access::kRead).kept);
    CHECK(c.decide(Access::kNone).host == 2);
    // Once in a while the others are asked.
    c.session.now = at(280) + Router::kLook;
    check(c.decide(Access::kRead), Target::kAwait, "read");
    c.session.awaiting_since = at(270) + Router::kLook;
    check(c.decide(Access::kRead), Target::kAwait, "read");
    c.scene.snapshot.hosts[1].sampled = c.scene.snapshot.hosts[2].sampled = at(275) + Router::kLook;
    CHECK(c.decide(Access::kRead).host == 2);
    c.scene.snapshot.hosts[1].lsn = 1100;
    CHECK(c.decide(Access::kRead).host == 1);
    CHECK_FALSE(c.decide(Access::kRead).kept);
  }
  SUBCASE("its replica has said how far it was: whoever is as far") {
    c.session.host_lsn = 1000;
    c.scene.snapshot.hosts[2].reads = false;
    CHECK(c.decide(Access::kRead).host == 1);
    c.session.host_lsn = 1001;
    check(c.decide(Access::kRead), Target::kPrimary, "earlier reads");
  }
}

TEST_CASE("router: strong reads see all that was committed when they began") {
  Case c;
  c.session.consistency = config::Consistency::kStrong;
  c.session.now = c.session.as_of = at(300);
  for (auto& host : c.scene.snapshot.hosts) host.lag_ms = 0, host.sampled = at(250);
  check(c.decide(Access::kRead), Target::kAwait, "strong consistency");
  c.session.awaiting_since = at(300);
  c.session.now = at(301);
  check(c.decide(Access::kRead), Target::kAwait, "strong consistency");
  c.scene.snapshot.primary_history.push_back({at(301), 1100});
  check(c.decide(Access::kRead), Target::kAwait, "strong consistency");
  c.scene.snapshot.hosts[1].lsn = 1100;
  CHECK(c.decide(Access::kRead).host == 1);
  c.scene.snapshot.hosts[1].lsn = 1099;
  SUBCASE("no replica is as far: the primary") {
    for (auto& host : c.scene.snapshot.hosts) host.sampled = at(301);
    check(c.decide(Access::kRead), Target::kPrimary, "strong consistency");
  }
  SUBCASE("nobody answers in time: the primary") {
    c.session.now = c.session.awaiting_since + Router::kProof;
    check(c.decide(Access::kRead), Target::kPrimary, "strong consistency");
  }
  SUBCASE("what touches no data does not wait") {
    check(c.decide(Access::kNone), Target::kPrimary, "strong consistency");
  }
}

TEST_CASE("router: waiting for a replica costs no more than was spent on the primary") {
  Case c;
  c.session.as_of = at(210);
  c.scene.snapshot.primary_history.push_back({at(211), 1100});
  for (auto& host : c.scene.snapshot.hosts) host.lag_ms = 20;
  c.session.now = at(215);
  check(c.decide(Access::kRead), Target::kPrimary, "own writes");
  c.session.on_primary_since = at(211);  // 4 ms of at least 15
  check(c.decide(Access::kRead), Target::kPrimary, "own writes");
  c.session.now = at(221);  // 10 ms of at least 9
  check(c.decide(Access::kRead), Target::kAwait, "own writes");
  SUBCASE("but not for longer than it may") {
    c.scene.config.routing.consistency_wait = base::milliseconds(19);
    check(c.decide(Access::kRead), Target::kPrimary, "own writes");
  }
  SUBCASE("by its lag it should be there: only the proof is waited for") {
    c.session.on_primary_since = {};
    c.session.now = at(230);
    check(c.decide(Access::kRead), Target::kAwait, "own writes");
    c.session.awaiting_since = at(230);
    for (auto& host : c.scene.snapshot.hosts) host.sampled = at(231);
    check(c.decide(Access::kRead), Target::kPrimary, "own writes");
  }
}

TEST_CASE("router: min_lsn, whatever the consistency") {
  Case c;
  c.session.consistency = config::Consistency::kEventual;
  c.session.min_lsn = 1000;
  check(c.decide(Access::kRead), Target::kReplica, "read");
  c.scene.snapshot.hosts[2].lsn = 999;
  for (int i = 0; i < 10; ++i) CHECK(c.decide(Access::kRead).host == 1);
  c.session.min_lsn = 1001;
  check(c.decide(Access::kRead), Target::kPrimary, "weir.min_lsn");

  // Of both, the reason is the one that asks for more.
  c.session.consistency = config::Consistency::kSession;
  c.session.as_of = at(50);  // 800
  check(c.decide(Access::kRead), Target::kPrimary, "weir.min_lsn");
  c.session.min_lsn = 700;
  c.scene.snapshot.hosts[1].lsn = c.scene.snapshot.hosts[2].lsn = 750;
  check(c.decide(Access::kRead), Target::kPrimary, "own writes");
}

TEST_CASE("router: no replica is fit") {
  Case c;
  c.no_replica_fit();
  check(c.decide(Access::kRead), Target::kPrimary, "no replica is fit");
  check(c.decide(Access::kRead, Hint::kReplica), Target::kPrimary, "no replica is fit");
  c.session.as_of = at(50);
  check(c.decide(Access::kRead), Target::kPrimary, "no replica is fit");
  c.scene.config.routing.no_replica = config::NoReplica::kError;
  check(c.decide(Access::kRead), Target::kNoReplica, "no replica is fit");
  check(c.decide(Access::kNone), Target::kPrimary, "no replica is fit");
  check(c.decide(Access::kWrite), Target::kPrimary, "write");
}

TEST_CASE("router: no replica is configured") {
  Case c(0);
  c.scene.config.routing.no_replica = config::NoReplica::kError;
  check(c.decide(Access::kRead), Target::kPrimary, "no replica is configured");
  check(c.decide(Access::kNone), Target::kPrimary, "no replica is configured");
  c.scene.snapshot.primary = -1;
  check(c.decide(Access::kRead), Target::kNoPrimary, "no replica is configured");
  // A lone host that is a replica serves reads all the same.
  c.scene.snapshot.hosts[0].reads = true;
  const Decision d = c.decide(Access::kRead);
  CHECK(d.target == Target::kReplica);
  CHECK(d.host == 0);
  // Said to be one and not fit: that is an error, as configured.
  c.scene.snapshot.hosts[0].reads = false;
  c.scene.config.hosts[0].role = config::HostRole::kReplica;
  check(c.decide(Access::kRead), Target::kNoReplica, "no replica is fit");
}

TEST_CASE("router: no primary") {
  Case c;
  c.scene.snapshot.primary = -1;
  check(c.decide(Access::kWrite), Target::kNoPrimary, "write");
  check(c.decide(Access::kRead, Hint::kPrimary), Target::kNoPrimary, "hint");
  check(c.decide(Access::kRead), Target::kReplica, "read");  // reads go on
  c.no_replica_fit();
  check(c.decide(Access::kRead), Target::kNoPrimary, "no replica is fit");
  const cluster::Snapshot nothing;
  Router router(c.scene.config, 1);
  check(router.decide(Access::kRead, Hint::kNone, {}, nothing, {}), Target::kNoPrimary,
        "no replica is fit");
}

TEST_CASE("router: a banned primary does not stand in for a replica") {
  Case c;
  c.scene.snapshot.hosts[0].banned = true;
  check(c.decide(Access::kWrite), Target::kPrimary, "write");
  check(c.decide(Access::kRead), Target::kReplica, "read");
  // What it is told by name it does.
  check(c.decide(Access::kRead, Hint::kPrimary), Target::kPrimary, "hint");
  c.session.route = Hint::kPrimary;
  check(c.decide(Access::kRead), Target::kPrimary, "weir.route");
  c.session.route = Hint::kNone;
  SUBCASE("none is fit") {
    c.no_replica_fit();
    check(c.decide(Access::kRead), Target::kNoPrimary, "no replica is fit");
    check(c.decide(Access::kNone), Target::kPrimary, "no replica is fit");
    check(c.decide(Access::kWrite), Target::kPrimary, "write");
    c.scene.config.routing.no_replica = config::NoReplica::kError;
    check(c.decide(Access::kRead), Target::kNoReplica, "no replica is fit");
  }
  SUBCASE("none is fresh enough") {
    c.session.min_lsn = 2000;
    c.session.no_await_before = at(1000);
    check(c.decide(Access::kRead), Target::kNoPrimary, "weir.min_lsn");
  }
  SUBCASE("the configuration tells it, too") {
    c.scene.config.routing.split_reads = false;
    check(c.decide(Access::kRead), Target::kPrimary, "split_reads is off");
  }
}

TEST_CASE("router: reads of many sessions are spread over the replicas") {
  Case c(2);
  Router router(c.scene.config, 3);
  int counts[3] = {};
  for (int i = 0; i < 1000; ++i) {
    ++counts[router.decide(Access::kRead, Hint::kNone, {}, c.scene.snapshot, {}).host];
  }
  CHECK(counts[0] == 0);
  CHECK(counts[1] == 500);
  CHECK(counts[2] == 500);
}

TEST_CASE("router: deciding does not allocate") {
  using config::Balancing;
  for (const Balancing balancing :
       {Balancing::kLeastConnections, Balancing::kRoundRobin, Balancing::kRandom,
        Balancing::kLeastLatency, Balancing::kClientAddressHash}) {
    Case c(5);
    c.scene.config.routing.balancing = balancing;
    c.session.as_of = at(50);
    Router router(c.scene.config, 3);
    const std::size_t before = allocations;
    int sum = 0;
    for (int i = 0; i < 200; ++i) {
      const auto access = static_cast<Access>(i % 3);
      sum += router.decide(access, Hint::kNone, c.session, c.scene.snapshot, {}).host;
    }
    const std::size_t after = allocations;
    CHECK(after == before);
    CHECK(sum > 0);
  }
}

// Sanitizers keep equal literals of several source files apart.
TEST_CASE("router: reasons are known by their address in every source file") {
  Case c;
  c.session.min_lsn = 5000;
  const Decision d = c.decide(Access::kRead);
  check(d, Target::kPrimary, "weir.min_lsn");
  CHECK(d.reason == reason::kMinLsn);
  CHECK(is_for_freshness(d.reason));
}

TEST_CASE("router: a paused primary is as none") {
  Case c;
  c.scene.snapshot.hosts[0].paused = true;
  check(c.decide(Access::kWrite), Target::kNoPrimary, "write");
  check(c.decide(Access::kRead, Hint::kPrimary), Target::kNoPrimary, "hint");
  check(c.decide(Access::kRead), Target::kReplica, "read");
  c.no_replica_fit();
  check(c.decide(Access::kRead), Target::kNoPrimary, "no replica is fit");
}
