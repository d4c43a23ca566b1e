"""A bank, a log and counters under faults: who was told what, and is it true?

    verdict = campaign(Plan(seconds=60, seed=1), say)
    assert not verdict.violations, verdict.report()

Starts a primary with two replicas (a commit waits for one of them, so that no promotion loses what
was acknowledged), network paths to all three, and Weir. Sessions of two drivers add lines, move
money in transactions, count, read back what they wrote, and vanish now and then. One fault
after the other is made meanwhile; behind each the sessions stop for a moment, and all is looked at:

    acknowledged   what a session was told is committed is there, once
    undone         what it was told has failed is not, in no part
    unknown        what it was told nothing certain of is there once, or not; whole, or not at all
    answers        each is that to the question that was asked
    sessions       go on, unless the proxy itself dies
    in time        no request takes longer than DEADLINE_S
    own writes     are seen by the session's next read
    nothing stays  no session in a transaction, no server connection in use, none too many
"""
import asyncio
import collections
import contextlib
import dataclasses
import itertools
import multiprocessing
import random
import time

from support import SLOW, loss, network
from support.chaos_faults import Hosts, Troubles
from support.cluster import running_cluster, wait_until
from support.consistency import DRIVERS, FAILURES
from support.relay import Relay
from support.weir import Weir

ACCOUNTS, SUM = 8, 1000
SCHEMA = f"""
CREATE TABLE lines (id int, owner int);
CREATE INDEX ON lines (id);
CREATE TABLE accounts (id int PRIMARY KEY, balance int);
CREATE TABLE moves (id int, account int, amount int);
CREATE TABLE counters (id int PRIMARY KEY, n int);
INSERT INTO accounts SELECT id, {SUM} FROM generate_series(0, {ACCOUNTS} - 1) id;
"""
DEADLINE_S = 25.0
POOL = 6
DONE, UNDONE, UNKNOWN = "done", "undone", "unknown"
# What is said of a request that was lost, by whom it is known not to have happened.
CERTAIN = {loss.NOT_DONE, loss.ROLLED_BACK, loss.FAILED}


@dataclasses.dataclass
class Plan:
    seconds: float = 30.0
    sessions: int = 16
    seed: int = 1
    workers: int = 2
    think_ms: float = 10.0
    kinds: tuple = ()  # of faults; () = all
    rounds: int = 0  # so often each of them, instead of for so many seconds


@dataclasses.dataclass
class Verdict:
    plan: Plan
    requests: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    errors: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    longest: float = 0.0
    violations: list = dataclasses.field(default_factory=list)

    def report(self):
        listed = lambda counts: ", ".join(f"{n} {k}" for k, n in sorted(counts.items())) or "none"
        return "\n".join([
            f"{self.plan.sessions} sessions, seed {self.plan.seed}; faults: {listed(self.faults)}",
            f"requests: {listed(self.requests)}; the longest took {self.longest:.2f} s",
            f"writes: {listed(self.outcomes)}",
            f"errors that clients saw: {listed(self.errors)}",
            f"violations: {len(self.violations)}", *self.violations[:20]])


class Session:
    def __init__(self, run, number):
        self.run, self.number = run, number
        self.rng = random.Random(f"{run.plan.seed} session {number}")
        self.driver = DRIVERS[number % 2]
        self.client, self.latest, self.begun = None, None, 0

    async def live(self):
        while not self.run.over:
            await self.run.open.wait()
            self.run.busy += 1
            begun = time.monotonic()
            try:
                await asyncio.wait_for(self.step(), DEADLINE_S * SLOW)
            except FAILURES as failed:
                if isinstance(failed, asyncio.TimeoutError):
                    self.run.violation(f"session {self.number} waited {DEADLINE_S} s: {self.doing}")
                self.run.note_error(failed, ends=True)
                await self.leave()
            finally:
                self.run.busy -= 1
            self.run.verdict.longest = max(self.run.verdict.longest, time.monotonic() - begun)
            await asyncio.sleep(self.rng.expovariate(1000 / self.run.plan.think_ms))
        await self.leave()

    async def leave(self):
        if self.client:
            client, self.client, self.latest = self.client, None, None
            with contextlib.suppress(*FAILURES):
                await client.close()

    async def step(self):
        self.doing = "connect"
        if self.begun != self.run.generation:
            await self.leave()
        if self.client is None:
            self.begun = self.run.generation
            self.client = await self.driver.open(self.run.weir, "")
        what = self.rng.choices((self.add, self.move, self.count, self.read, self.vanish),
                                (4, 4, 2, 8, 0.3))[0]
        self.doing = what.__name__
        self.run.verdict.requests[self.doing] += 1
        await what()

    async def write(self, book, key, action):
        """Runs it, and enters in the book what its client was told of it."""
        book[key] = UNKNOWN
        try:
            result = await action()
            book[key] = DONE
            return result
        except FAILURES as failed:
            if getattr(failed, "sqlstate", None) in CERTAIN:
                book[key] = UNDONE
            raise
        finally:
            self.run.verdict.outcomes[book[key]] += 1

    async def tolerant(self, action):
        """An error after which the session goes on does not end it."""
        try:
            return await action()
        except FAILURES as failed:
            if getattr(failed, "sqlstate", None) not in CERTAIN | {loss.UNKNOWN}:
                raise
            self.run.note_error(failed)
        for left in reversed(range(POOL + 2)):  # every connection may be one that is lost
            try:
                await self.client.run("ROLLBACK")
                return None
            except FAILURES as failed:
                if getattr(failed, "sqlstate", None) not in CERTAIN or not left:
                    raise

    async def add(self):
        number = next(self.run.numbers)
        text = "INSERT INTO lines VALUES ($1, $2) RETURNING id"
        got = await self.tolerant(lambda: self.write(
            self.run.lines, number, lambda: self.client.rows(text, number, self.number)))
        if got:
            self.latest = number
            self.expect(got[0][0] == number, f"asked to add {number}, was told {got}")

    async def count(self):
        text = "UPDATE counters SET n = n + 1 WHERE id = $1 RETURNING n, id"
        key = (self.number, next(self.run.numbers))
        got = await self.tolerant(lambda: self.write(
            self.run.counts, key, lambda: self.client.rows(text, self.number)))
        if got:
            self.expect(got[0][1] == self.number, f"counted {self.number}, was told {got}")
            self.expect(got[0][0] not in self.run.told[self.number], f"was told {got} twice")
            self.run.told[self.number].add(got[0][0])

    async def move(self):
        number, amount = next(self.run.numbers), self.rng.randrange(1, 100)
        first, second = sorted(self.rng.sample(range(ACCOUNTS), 2))
        ends = "COMMIT" if self.rng.random() < 0.8 else "ROLLBACK"
        change = "UPDATE accounts SET balance = balance + $2 WHERE id = $1 RETURNING id"

        async def transfer():
            await self.begin()
            await self.client.rows(change, first, -amount)
            for account, moved in ((first, -amount), (second, amount)):
                await self.client.rows("INSERT INTO moves VALUES ($1, $2, $3) RETURNING id",
                                       number, account, moved)
            await self.client.rows(change, second, amount)

        async def whole():
            # Nothing is committed before the client asks for it, whatever goes wrong.
            try:
                await transfer()
            except FAILURES:
                book[number] = UNDONE
                raise
            if ends == "ROLLBACK":
                await self.client.run(ends)
                return
            await self.write(book, number, lambda: self.client.run(ends))

        book = self.run.moves
        book[number] = UNDONE
        await self.tolerant(whole)

    async def read(self):
        if self.latest is not None and self.rng.random() < 0.5:
            number = self.latest
            got = await self.tolerant(lambda: self.client.rows(
                "SELECT id, owner FROM lines WHERE id = $1", number))
            self.expect(got is None or [tuple(row) for row in got] == [(number, self.number)],
                        f"read its line {number}: {got}")
            return
        marker = self.rng.randrange(1 << 30)
        got = await self.tolerant(lambda: self.client.rows(
            "SELECT $1::int, count(*) FROM accounts", marker))
        self.expect(got is None or tuple(got[0]) == (marker, ACCOUNTS), f"asked {marker}: {got}")

    async def begin(self):
        """A BEGIN that fails has begun nothing: few clients would roll it back."""
        try:
            await self.client.run("BEGIN")
        except FAILURES as failed:
            code = getattr(failed, "sqlstate", None)
            self.expect(code not in (loss.ROLLED_BACK, loss.FAILED), f"began, and was told {code}")
            raise
        return True

    async def vanish(self):
        """In the middle of a request, maybe of a transaction. What was asked for may happen."""
        number = next(self.run.numbers)
        self.run.lines[number] = UNKNOWN
        if self.rng.random() < 0.5 and await self.tolerant(self.begin):
            self.run.lines[number] = UNDONE
        asked = asyncio.create_task(self.client.rows("INSERT INTO lines VALUES ($1, $2) "
                                                     "RETURNING id", number, self.number))
        await asyncio.sleep(self.rng.choice((0, 0.001, 0.01)))
        await self.leave()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    def expect(self, holds, words):
        if not holds:
            self.run.violation(f"session {self.number} {words}")


class Run:
    def __init__(self, plan, weir, hosts, say, isolated):
        self.plan, self.weir, self.hosts, self.say = plan, weir, hosts, say
        self.kinds = [kind for kind in plan.kinds or Troubles.KINDS + Troubles.PACKETS
                      if isolated or kind not in Troubles.PACKETS]
        self.verdict = Verdict(plan)
        self.lines, self.moves, self.counts = {}, {}, {}
        self.told = collections.defaultdict(set)
        self.settled = set()  # what was unknown, and was looked for since
        self.numbers = itertools.count(1)
        self.over, self.busy, self.kind = False, 0, ""
        self.generation = 0  # sessions of an older one leave

    def violation(self, words):
        self.verdict.violations.append(f"{time.monotonic() - self.begun:7.2f} s  {self.kind}: "
                                       f"{words}")
        self.say(self.verdict.violations[-1])

    def note_error(self, failed, ends=False):
        code = getattr(failed, "sqlstate", None) or type(failed).__name__
        self.verdict.errors[code] += 1
        # Of epoll: vanish() closed a socket that asyncio watched, and its number was used again.
        ours = isinstance(failed, FileNotFoundError)
        if ends and not ours and self.kind != "weir_killed":
            # None of them has anything that dies with its server.
            self.violation(f"a session ended: {code} {str(failed).strip()}")

    async def sessions(self):
        self.open = asyncio.Event()
        self.open.set()
        self.begun = time.monotonic()
        await asyncio.gather(self.conduct(), *(Session(self, number).live()
                                               for number in range(self.plan.sessions)))

    async def conduct(self):
        """Fault after fault; every kind comes once before any comes again."""
        troubles = Troubles(self.hosts, self.weir, random.Random(f"{self.plan.seed} faults"),
                            self.recycle)
        kinds = []
        try:
            while self.goes_on():
                kinds = kinds or troubles.shuffled(self.kinds)
                kind = self.kind = kinds.pop()
                self.say(f"{time.monotonic() - self.begun:7.2f} s  {kind.replace('_', ' ')}")
                await asyncio.sleep(0.3)
                await asyncio.to_thread(getattr(troubles, kind))
                await asyncio.sleep(0.3)
                self.verdict.faults[kind] += 1
                await self.look()
        finally:
            self.over = True
            self.open.set()

    def recycle(self):
        self.generation += 1

    def goes_on(self):
        if self.plan.rounds:
            return self.verdict.faults.total() < self.plan.rounds * len(self.kinds)
        return time.monotonic() - self.begun < self.plan.seconds

    async def look(self):
        self.open.clear()
        deadline = time.monotonic() + (DEADLINE_S + 5) * SLOW
        while self.busy and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        if self.busy:
            self.violation(f"{self.busy} sessions hang")
        await asyncio.to_thread(self.verify)
        self.open.set()

    # --- is it true? --------------------------------------------------------------------------

    def verify(self):
        self.quiet()
        primary = self.hosts.primary
        found = collections.Counter()
        for (number,) in self.hosts.sql(primary, "SELECT id FROM lines"):
            found[int(number)] += 1
        self.compare("line", self.lines, found, whole=1)
        found.clear()
        for (number,) in self.hosts.sql(primary, "SELECT id FROM moves"):
            found[int(number)] += 1
        self.compare("move", self.moves, found, whole=2)
        wrong = self.hosts.sql(primary, f"""
            SELECT id, balance, {SUM} + coalesce((SELECT sum(amount) FROM moves
                                                  WHERE account = accounts.id), 0)
            FROM accounts WHERE balance <> {SUM} + coalesce((SELECT sum(amount) FROM moves
                                                             WHERE account = accounts.id), 0)""")
        if wrong:
            self.violation(f"account, balance, and what was moved: {wrong}")
        counted = {int(k): int(n) for k, n in self.hosts.sql(primary, "SELECT * FROM counters")}
        for number in range(self.plan.sessions):
            mine = [state for (owner, _), state in self.counts.items() if owner == number]
            least = mine.count(DONE)
            if not least <= counted[number] <= least + mine.count(UNKNOWN):
                self.violation(f"counter {number} is {counted[number]}: {mine.count(DONE)} done, "
                               f"{mine.count(UNKNOWN)} unknown")

    def compare(self, what, book, found, whole):
        """What was unknown is settled once it has been looked at."""
        for number in set(found) - set(book):
            self.violation(f"{what} {number} was never asked for")
        for number, state in book.items():
            count = found[number]
            allowed = {DONE: (whole,), UNDONE: (0,), UNKNOWN: (0, whole)}[state]
            if count not in allowed:
                settled = ", as was found before" if (what, number) in self.settled else ""
                self.violation(f"{what} {number}, {state}{settled}, is there {count} times, not "
                               f"{' or '.join(map(str, allowed))}")
            if state == UNKNOWN:
                self.settled.add((what, number))
            book[number] = DONE if count else UNDONE

    def quiet(self):
        """Nobody asks: nothing is in use, and no more is kept than may be."""
        def used(*keys):
            in_use[:] = [f"{row['user']}: {key} {row[key]}" for row in self.weir.show("POOLS")
                         for key in keys if row["user"] == "app" and int(row[key])]
            return in_use
        in_use = []
        try:
            wait_until(lambda: not used("cl_waiting", "sv_active"), lambda: in_use, 10 * SLOW,
                       every=0.05)
        except AssertionError as failed:
            self.violation(f"in use while nobody asks: {failed}")
        # What a client that has left asked for may still be on its way to its server.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not used("sv_tested", "sv_being_canceled"), "", 5 * SLOW, every=0.05)
        for number in self.hosts.numbers:
            def forgotten(number=number):
                rows[:] = self.hosts.sql(number, """
                    SELECT pid, state, left(query, 60) FROM pg_stat_activity
                    WHERE usename = 'app' AND datname = 'app'
                      AND backend_type = 'client backend'""")
                return len(rows) <= POOL + 2 and all(state == "idle" for _, state, _ in rows)
            rows = []
            try:
                wait_until(forgotten, lambda rows=rows: rows, 10 * SLOW, every=0.05)
            except AssertionError as failed:
                self.violation(f"backends on host {number}: {failed}")


@contextlib.contextmanager
def stage(plan):
    """Servers and the paths between them, with the tables that the sessions use."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(running_cluster(2))
        relays = [stack.enter_context(Relay(port)) for port in cluster.ports]
        hosts = Hosts(cluster, relays)
        for number in hosts.numbers:
            hosts.sql(number, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (walreceiver)'")
            hosts.sql(number, "SELECT pg_reload_conf()")
        hosts.sql(0, "SET ROLE app;" + SCHEMA + "INSERT INTO counters SELECT id, 0 FROM "
                     f"generate_series(0, {plan.sessions} - 1) id")
        weir = Weir(cluster, {
            "clusters": {"main": {"hosts": [f"127.0.0.1:{relay.port}" for relay in relays],
                                  "monitor": {"timeout": "1s"}}},
            "routing": {"hedge_reads": True},
            "pool": {"size": POOL},
            "timeouts": {"server_retry": "100ms", "query_wait": "20s", "connect": "2s"},
        }, workers=plan.workers)
        stack.callback(weir.discard)
        weir.start().wait_ready()
        yield weir, hosts


def campaign(plan, say=print):
    """In a process of its own, with a network of its own where that can be had."""
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)

    def conduct():
        isolated = network.isolate()
        if not isolated:
            say("no network of its own: without faults of packets")
        with stage(plan) as (weir, hosts):
            run = Run(plan, weir, hosts, say, isolated)
            asyncio.run(run.sessions())
            sender.send(run.verdict)

    process = fork.Process(target=conduct)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise AssertionError("the campaign itself has failed, as it has said") from None
    except BaseException:
        process.terminate()  # then, too, it stops its servers
        raise
    finally:
        process.join()
