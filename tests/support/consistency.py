"""Looks for stale reads: random sessions on replicas in trouble, every read judged.

    figures = check(cluster, [weir, another_weir], Plan(judge=("own", "monotonic")))
    assert not figures.violations, figures.report()

All that is stored has a version that only grows: a row's, which one session writes; a counter's,
which all increment; the number of a session's entries; a clock's, which one more session sets
forward fifty times a second and every read returns. So a read is judged by comparing numbers:

    own        a session sees at least what it has committed itself
    monotonic  a session sees at least what it has seen before, wherever that was
    strong     every session sees at least what was acknowledged to any before the read was sent
    token      a session that was given another's weir.lsn sees what that one had committed

All sessions live in one thread, so what is noted when a commit's answer arrives was true before
any read that is sent later. The price: an answer that waits for the thread is noted a bit late,
which hides a violation now and then and never invents one.

A standby may replay a commit before the primary shows it: PostgreSQL writes and sends a commit's
WAL first, and marks it as visible then. A session that read it on a standby, and then reads on the
primary, may miss it there until it is acknowledged. Nothing outside of PostgreSQL can prevent
that; such reads are counted apart.
"""
import asyncio
import collections
import contextlib
import dataclasses
import random
import re
import time

import asyncpg
import psycopg

from support import SLOW
from support.cluster import fresh_name
from support.faults import Faults, steady_lag

ROWS_EACH, COUNTERS = 4, 4
# Rows so wide that the planner takes the secondary indexes.
SCHEMA = """
CREATE TABLE {t}_rows (id int PRIMARY KEY, owner int, label text, version int, filler text);
CREATE INDEX ON {t}_rows (owner);
CREATE INDEX ON {t}_rows (label);
CREATE TABLE {t}_counters (id int PRIMARY KEY, version int);
CREATE TABLE {t}_clock (version int);
CREATE TABLE {t}_entries (owner int, n int, PRIMARY KEY (owner, n));
INSERT INTO {t}_rows SELECT id, id / {rows_each}, id || '-0', 0, repeat('x', 900)
  FROM generate_series(0, {rows} - 1) id;
INSERT INTO {t}_counters SELECT id, 0 FROM generate_series(0, {counters} - 1) id;
INSERT INTO {t}_clock VALUES (0);
"""
TABLES = ("rows", "counters", "entries", "clock")
# First of every read's columns: who answers, and how late it is there.
WHERE_AND_WHEN = "SELECT inet_server_port(), (SELECT version FROM {t}_clock), "
ROW = WHERE_AND_WHEN + "id, version FROM {t}_rows WHERE id = $1"
ROWS_OF = WHERE_AND_WHEN + "id, version FROM {t}_rows WHERE owner = $1"
LABEL = WHERE_AND_WHEN + "max(version) FROM {t}_rows WHERE label = $1"
COUNTER = WHERE_AND_WHEN + "version FROM {t}_counters WHERE id = $1"
ENTRIES = WHERE_AND_WHEN + "count(*) FROM {t}_entries WHERE owner = $1"
UPDATE_ROW = ("UPDATE {t}_rows SET version = version + 1, label = id || '-' || version + 1 "
              "WHERE id = $1 RETURNING version")
INCREMENT = "UPDATE {t}_counters SET version = version + 1 WHERE id = $1 RETURNING version"
ADD_ENTRY = ("INSERT INTO {t}_entries SELECT $1::int, 1 + coalesce(max(n), 0) FROM {t}_entries "
             "WHERE owner = $1 RETURNING n")

TICK = "UPDATE {t}_clock SET version = version + 1 RETURNING version"
CLOCK, TICK_S = ("clock", 0), 0.02

STEP_S = 30.0  # no request takes so long, unless it hangs
# InternalClientError is what asyncpg has to say when a FATAL arrives between two requests.
FAILURES = (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError,
            asyncpg.InternalClientError, OSError, asyncio.TimeoutError)
PRIMARY = "/* weir: primary */ "
STRONG = "/* weir: consistency=strong */ "


@dataclasses.dataclass
class Plan:
    """What to run. Think times are exponential: with a mean of 30 ms every tenth is below 3 ms."""

    judge: tuple = ("own", "monotonic")
    strong: bool = False  # sessions ask for it, each in one of three ways
    tokens: bool = False  # sessions hand tokens to each other
    sessions: int = 24
    seconds: float = 10.0
    think_ms: float = 30.0
    write_share: float = 0.1
    primary_share: float = 0.05  # of reads that ask for the primary, which sees the latest
    lag_ms: int | None = None  # steady, instead of faults
    seed: int = 1


@dataclasses.dataclass
class Known:
    """A version that a read must not fall behind, and whence it is known."""

    version: int
    whence: str
    at: float = dataclasses.field(default_factory=time.monotonic)


def raise_to(floors, key, known):
    if key not in floors or floors[key].version < known.version:
        floors[key] = known


@dataclasses.dataclass
class Figures:
    plan: Plan
    hosts: int
    reads: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # by host
    bound_reads: int = 0  # in transactions that write, or asked of the primary
    writes: int = 0
    tokens: int = 0
    errors: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    violations: list = dataclasses.field(default_factory=list)
    kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    ahead: int = 0  # reads of the primary that missed what a standby had shown too early

    def replica_share(self):
        return 1 - self.reads[0] / max(sum(self.reads.values()), 1)

    def report(self, most=None):
        plan, total = self.plan, sum(self.reads.values())
        listed = lambda counts: ", ".join(f"{n} {k}" for k, n in sorted(counts.items())) or "none"
        trouble = f"{plan.lag_ms} ms of lag" if plan.lag_ms is not None else \
            f"faults: {listed(self.faults)}"
        hosts = ", ".join(f"host {number}: {self.reads[number]}" for number in range(self.hosts))
        lines = [
            f"{plan.sessions} sessions for {plan.seconds:.0f} s, thinking for {plan.think_ms:g} ms "
            f"on average, write share {plan.write_share:g}, seed {plan.seed}; {trouble}",
            f"reads: {total}, {self.replica_share():.1%} on replicas ({hosts}); {self.bound_reads} "
            "more in transactions that write or with a hint to the primary",
            f"writes: {self.writes}; tokens passed: {self.tokens}; "
            f"connections lost: {listed(self.errors)}",
            f"violations: {listed(self.kinds)} (judged by {', '.join(plan.judge)}); "
            f"commits that a standby showed before the primary did: in {self.ahead} reads",
            *self.violations[:most]]
        if most is not None and len(self.violations) > most:
            lines.append(f"... and {len(self.violations) - most} more")
        return "\n".join(lines)


# --- drivers ----------------------------------------------------------------------------------


class Psycopg:
    """Simple queries, extended ones, and prepared ones from the sixth time on."""

    @classmethod
    async def open(cls, target, options):
        self, more = cls(), {"options": options} if options else {}
        self.connection = await psycopg.AsyncConnection.connect(target.conninfo(**more),
                                                                autocommit=True)
        return self

    async def execute(self, sql, *values):
        named = {str(number): value for number, value in enumerate(values, 1)}
        return await self.connection.execute(re.sub(r"\$(\d)", r"%(\1)s", sql), named or None)

    async def rows(self, sql, *values):
        return await (await self.execute(sql, *values)).fetchall()

    async def in_one_go(self, *statements):
        """Each a transaction of its own: all are sent before the first is answered."""
        async with self.connection.pipeline() as pipeline:
            cursors = []
            for statement in statements:
                cursors.append(await self.execute(*statement))
                await pipeline.sync()
        return [await cursor.fetchall() for cursor in cursors]

    async def run(self, sql):
        await self.connection.execute(sql)

    async def close(self):
        await self.connection.close()


class Asyncpg:
    """Prepared statements for all that returns rows."""

    @classmethod
    async def open(cls, target, options):
        self = cls()
        self.connection = await asyncpg.connect(
            host=target.host, port=target.port, user="app", password="app", database="app",
            ssl=False, server_settings={"options": options} if options else {})
        return self

    async def rows(self, sql, *values):
        return await self.connection.fetch(sql, *values)

    async def in_one_go(self, *statements):
        """One after the other: it has no pipelines."""
        return [await self.rows(*statement) for statement in statements]

    async def run(self, sql):
        await self.connection.execute(sql)

    async def close(self):
        self.connection.terminate()


DRIVERS = (Psycopg, Asyncpg)


# --- sessions ---------------------------------------------------------------------------------


class Session:
    """One client: what it does next is up to its seed, what it must see is in `own` and `seen`."""

    def __init__(self, run, number):
        self.run, self.plan, self.number = run, run.plan, number
        self.rng = random.Random(f"{run.plan.seed} session {number}")
        self.driver = DRIVERS[number % 2]
        self.target = run.targets[number // 2 % len(run.targets)]
        # Every way of asking goes with every driver and every proxy.
        way = ("set", "startup", "comment")[number // 2 // len(run.targets) % 3]
        self.way = way if run.plan.strong else ""
        self.prefix = STRONG if self.way == "comment" else ""
        self.client = None
        self.doing = "begin"
        self.name = f"session {number} ({' '.join((self.driver.__name__, self.way)).strip()})"

    async def live(self):
        while time.monotonic() < self.run.until:
            try:
                await asyncio.wait_for(self.step(), STEP_S * SLOW)
            except FAILURES as failed:
                self.run.note_failure(self, failed)
                await self.leave()
            await asyncio.sleep(self.rng.expovariate(1000 / self.plan.think_ms))
        await self.leave()

    async def begin(self):
        """A new connection is a new session, which has seen nothing yet."""
        self.doing = "begin"
        self.own, self.seen, self.labels = {}, {}, {}
        options = "-c weir.consistency=strong" if self.way == "startup" else ""
        self.client = await self.driver.open(self.target, options)
        if self.way == "set":
            await self.client.run("SET weir.consistency TO 'strong'")

    async def leave(self):
        if self.client:
            client, self.client = self.client, None
            with contextlib.suppress(*FAILURES):
                await client.close()

    async def step(self):
        if self.client is None:
            await self.begin()
        if self.rng.random() < self.plan.write_share:
            await self.do(self.rng.choice((self.write, self.write, self.write_twice,
                                           self.transaction)))
            if self.plan.tokens:
                await self.do(self.give_token)
        elif self.plan.tokens and self.run.tokens and self.rng.random() < 0.2:
            await self.do(self.take_token)
        elif self.rng.random() < 0.1:
            await self.do(self.read_only_transaction)
        else:
            await self.do(self.read)

    async def do(self, action):
        self.doing = action.__name__
        await action()

    # --- reads --------------------------------------------------------------------------------

    def some_read(self):
        """A statement, its parameter, and the keys that its rows are the versions of."""
        owner = self.rng.choice((self.number, self.rng.randrange(self.plan.sessions)))
        row = owner * ROWS_EACH + self.rng.randrange(ROWS_EACH)
        counter = self.rng.randrange(COUNTERS)
        label = self.labels.get(row)
        return self.rng.choice((
            (ROW, row, [("row", row)]),
            (ROWS_OF, owner, self.rows_of(owner)),
            (COUNTER, counter, [("counter", counter)]),
            (ENTRIES, owner, [("entries", owner)]),
            (LABEL, label, [("row", row)]) if label else (ROW, row, [("row", row)])))

    @staticmethod
    def rows_of(owner):
        return [("row", owner * ROWS_EACH + number) for number in range(ROWS_EACH)]

    async def read(self):
        if self.rng.random() < self.plan.primary_share:
            await self.observe(PRIMARY, *self.some_read(), bound=True)
        else:
            await self.observe(self.prefix, *self.some_read())

    async def read_only_transaction(self):
        """Two reads. What a strong one must see is what was true when it began; with a single
        snapshot, when the first one did."""
        reads = [self.some_read(), self.some_read()]
        isolation = self.rng.choice(("", "ISOLATION LEVEL REPEATABLE READ, "))
        await self.client.run(f"{self.prefix}BEGIN {isolation}READ ONLY")
        acknowledged = dict(self.run.acknowledged) if isolation else None
        for read in reads:
            await self.observe(self.prefix, *read, acknowledged=acknowledged)
        await self.client.run("COMMIT")

    async def observe(self, prefix, sql, value, keys, *, acknowledged=None, token=None,
                      bound=False):
        """Reads, judges, and remembers what was seen."""
        source = self.run.acknowledged if acknowledged is None else acknowledged
        # As of now: other sessions go on while this one waits for its answer.
        strong = {key: source.get(key) for key in (*keys, CLOCK)}
        rows = await self.client.rows(prefix + sql.format(t=self.run.table), value)
        host = self.run.host_of(rows[0][0])
        if bound:
            self.run.figures.bound_reads += 1
        else:
            self.run.figures.reads[host] += 1
        versions = {("row", row[2]): row[3] for row in rows} if len(rows[0]) == 4 else \
            {keys[0]: rows[0][2]}
        versions[CLOCK] = rows[0][1]
        for key in (*keys, CLOCK):
            version = versions.get(key)
            if version is None:
                version = -1  # no such row, or not yet with that label: older than all
            self.run.judge(self, sql, key, version, host, {
                "own": self.own.get(key), "monotonic": self.seen.get(key), "strong": strong[key],
                "token": (token or {}).get(key)})
            raise_to(self.seen, key, Known(version, f"it saw that on host {host}"))

    # --- writes -------------------------------------------------------------------------------

    async def write(self):
        """One statement, committed by itself."""
        row = self.number * ROWS_EACH + self.rng.randrange(ROWS_EACH)
        counter = self.rng.randrange(COUNTERS)
        sql, value, key = self.rng.choice((
            (UPDATE_ROW, row, ("row", row)),
            (INCREMENT, counter, ("counter", counter)),
            (ADD_ENTRY, self.number, ("entries", self.number))))
        self.committed({key: await self.change(sql, value)})

    async def write_twice(self):
        """Two commits in one go; the second waits for other transactions now and then."""
        row = self.number * ROWS_EACH + self.rng.randrange(ROWS_EACH)
        counter = self.rng.randrange(COUNTERS)
        first, second = await self.client.in_one_go(
            (UPDATE_ROW.format(t=self.run.table), row),
            (INCREMENT.format(t=self.run.table), counter))
        self.committed({("row", row): first[0][0], ("counter", counter): second[0][0]})

    async def change(self, sql, value):
        return (await self.client.rows(sql.format(t=self.run.table), value))[0][0]

    async def transaction(self):
        """Reads someone's rows on the primary, writes a row and a counter, mostly commits."""
        row = self.number * ROWS_EACH + self.rng.randrange(ROWS_EACH)
        counter = self.rng.randrange(COUNTERS)
        other = self.rng.randrange(self.plan.sessions)
        await self.client.run("BEGIN")
        await self.observe("", ROWS_OF, other, self.rows_of(other), bound=True)
        changed = {("row", row): await self.change(UPDATE_ROW, row),
                   # The last: all other sessions' increments wait for this transaction's end.
                   ("counter", counter): await self.change(INCREMENT, counter)}
        if self.rng.random() < 0.2:
            await self.client.run("ROLLBACK")
        else:
            await self.client.run("COMMIT")
            self.committed(changed)

    def committed(self, changed):
        """These versions are the session's own, and everybody's who reads from now on."""
        self.run.figures.writes += 1
        for key, version in changed.items():
            self.own[key] = Known(version, "its own commit")
            if key[0] == "row":
                self.labels[key[1]] = f"{key[1]}-{version}"
            raise_to(self.run.acknowledged, key, Known(version, f"{self.name} committed it"))

    # --- tokens -------------------------------------------------------------------------------

    async def give_token(self):
        token = (await self.client.rows("SHOW weir.lsn"))[0][0]
        covered = {key: Known(known.version, f"by the token {token} of {self.name}")
                   for key, known in self.own.items()}
        self.run.tokens.append((self.number, token, covered))

    async def take_token(self):
        """What the token covers is asked of the very next read: a later token may be an older
        one of another session's, and replaces this one."""
        owner, token, covered = self.run.tokens[-1]
        await self.client.run(f"SET weir.min_lsn = '{token}'")
        self.run.figures.tokens += 1
        await self.observe("", ROWS_OF, owner, self.rows_of(owner), token=covered)


# --- the run ----------------------------------------------------------------------------------


class Run:
    def __init__(self, cluster, targets, plan, say):
        self.ports, self.targets, self.plan, self.say = cluster.ports, targets, plan, say
        self.table = fresh_name("consistency")
        self.figures = Figures(plan, len(cluster.ports))
        self.acknowledged = {}  # by key: the latest version that anyone was told is committed
        self.tokens = collections.deque(maxlen=4)

    def host_of(self, port):
        return self.ports.index(port)

    async def sessions(self):
        self.begun = time.monotonic()
        self.until = self.begun + self.plan.seconds
        await asyncio.gather(self.tick(), *(Session(self, number).live()
                                            for number in range(self.plan.sessions)))

    async def tick(self):
        """Sets the clock forward, through the last proxy. The primary is never in trouble: this
        may not fail."""
        client = await Psycopg.open(self.targets[-1], "")
        while time.monotonic() < self.until:
            version = (await client.rows(TICK.format(t=self.table)))[0][0]
            raise_to(self.acknowledged, CLOCK, Known(version, "it was set"))
            await asyncio.sleep(TICK_S)
        await client.close()

    def note_failure(self, session, failed):
        code = getattr(failed, "sqlstate", None) or type(failed).__name__
        self.figures.errors[f"{session.doing} {code}"] += 1
        self.say(f"{time.monotonic() - self.begun:7.2f} s  {session.name} lost its connection, "
                 f"{session.doing} {code}: {str(failed).strip()}")

    def judge(self, session, sql, key, version, host, floors):
        """`floors`: what is known, by the rule that makes it the least that may be seen. A read of
        a key is one violation at most, of the first rule that it breaks."""
        for rule, known in floors.items():
            if rule in self.plan.judge and known and version < known.version:
                sure = floors["strong"]  # committed before the read was sent
                if rule == "monotonic" and host == 0 and \
                        (not sure or sure.version < known.version):
                    self.figures.ahead += 1
                    continue
                now = time.monotonic()
                self.figures.kinds[rule] += 1
                self.figures.violations.append(
                    f"{now - self.begun:7.2f} s  {rule}: {session.name} saw version {version} of "
                    f"{key[0]} {key[1]} on host {host}, not {known.version} ({known.whence}, "
                    f"{(now - known.at) * 1000:.0f} ms before the answer): {session.doing}, "
                    f"{sql.removeprefix(WHERE_AND_WHEN).format(t=self.table)}")
                return


def check(cluster, targets, plan, say=print):
    """Runs the plan through these proxies; the replicas are in trouble meanwhile, and `say` is told
    of that and of lost connections."""
    run = Run(cluster, targets, plan, say)
    rows = plan.sessions * ROWS_EACH
    cluster.sql(0, "SET ROLE app;" + SCHEMA.format(t=run.table, rows_each=ROWS_EACH, rows=rows,
                                                   counters=COUNTERS))
    cluster.sql(0, f"ANALYZE {run.table}_rows")
    cluster.wait_replayed()
    try:
        if plan.lag_ms is None:
            with Faults(cluster, plan.seed, say) as faults:
                asyncio.run(run.sessions())
            run.figures.faults = faults.count
        else:
            with steady_lag(cluster, plan.lag_ms):
                asyncio.run(run.sessions())
    finally:
        cluster.sql(0, "".join(f"DROP TABLE {run.table}_{name};" for name in TABLES))
    return run.figures
