"""The primary dies under load, and a replica takes its place: what do the clients see?

    for proxy in (through_weir, through_pgbouncer):
        print(fail_over(proxy).report())

Sessions insert lines, each request for itself, and go on whatever comes. PgBouncer knows no
failover: as soon as the promotion has ended its configuration is rewritten and reloaded.
"""
import asyncio
import collections
import contextlib
import dataclasses
import statistics
import threading
import time

import asyncpg

from support import SLOW
from support.cluster import running_cluster, wait_until
from support.pgbouncer import running_pgbouncer
from support.weir import Weir

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.TimeoutError)
POOL = 20
UNKNOWN = "08007"
WAITED_S = 0.05


@dataclasses.dataclass
class Request:
    begun: float
    ended: float = 0.0
    error: str = ""  # its SQLSTATE, or the name of the driver's exception


@dataclasses.dataclass
class Failover:
    name: str
    requests: list
    killed: float
    promoted: float
    acknowledged: int = 0  # of them, how many
    found: int = 0         # lines that are there

    def errors(self, since=0.0):
        return collections.Counter(one.error for one in self.requests
                                   if one.error and one.begun >= since)

    def held(self):
        """Of what came before the end of the promotion, and had to wait for it: so many seconds
        behind it they were answered."""
        return sorted(max(0.0, one.ended - self.promoted) for one in self.requests
                      if not one.error and one.begun < self.promoted and one.ended > self.killed
                      and one.ended - one.begun > WAITED_S)

    def report(self):
        listed = lambda counts: ", ".join(f"{n} {k}" for k, n in sorted(counts.items())) or "none"
        held = self.held()
        late = [one.ended for one in self.requests if not one.error and one.ended > self.killed]
        return "\n".join([
            f"{self.name}: {len(self.requests)} requests, the promotion had ended "
            f"{self.promoted - self.killed:.2f} s after the primary's death",
            f"  errors: {listed(self.errors())}; of requests that came after the death: "
            f"{listed(self.errors(self.killed))}",
            f"  held requests: {len(held)}" + (
                f", answered behind the promotion's end after {statistics.median(held):.3f} s, 99 %"
                f" within {held[len(held) * 99 // 100]:.3f} s, all {held[-1]:.3f} s"
                if held else ""),
            f"  nothing was answered for {min(late) - self.killed:.2f} s" if late else
            "  nothing was answered any more",
            f"  acknowledged: {self.acknowledged}; there: {self.found}"])


class Load:
    def __init__(self, dsn, sessions, think_s=0.03):
        self.dsn, self.sessions, self.think_s = dsn, sessions, think_s
        self.requests, self.over = [], False

    def __enter__(self):
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()

    async def run(self):
        await asyncio.gather(*(self.session(number) for number in range(self.sessions)))

    async def session(self, number):
        connection, line = None, 0
        while not self.over:
            request = Request(time.monotonic())
            try:
                if connection is None or connection.is_closed():
                    connection = await asyncpg.connect(self.dsn, timeout=60,
                                                       statement_cache_size=0)
                await connection.execute(f"INSERT INTO lines VALUES ({number * 1_000_000 + line})")
            except FAILURES as failed:
                request.error = getattr(failed, "sqlstate", None) or type(failed).__name__
                if connection is not None and not connection.is_closed() and \
                        not isinstance(failed, asyncpg.PostgresError):
                    connection.terminate()
            line += 1
            request.ended = time.monotonic()
            self.requests.append(request)
            await asyncio.sleep(self.think_s)
        if connection is not None:
            connection.terminate()


@contextlib.contextmanager
def through_weir(cluster):
    weir = Weir(cluster, {"pool": {"size": POOL}, "timeouts": {"query_wait": "60s"}})
    try:
        weir.start().wait_ready()
        yield f"postgres://app:app@127.0.0.1:{weir.port}/app", lambda number: None
    finally:
        weir.discard()


@contextlib.contextmanager
def through_pgbouncer(cluster):
    with running_pgbouncer(cluster.ports[0], default_pool_size=POOL, max_client_conn=1000,
                           server_login_retry=1) as proxy:
        yield (f"postgres://app:app@127.0.0.1:{proxy.port}/app",
               lambda number: proxy.follow(cluster.ports[number]))


def fail_over(through, sessions=64, before_s=2.0, after_s=4.0):
    with running_cluster(2) as cluster:
        cluster.sql(0, "ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (walreceiver)'")
        cluster.sql(0, "SELECT pg_reload_conf()")
        cluster.sql(0, "CREATE TABLE lines (id int); GRANT ALL ON lines TO PUBLIC")
        with through(cluster) as (dsn, follow), Load(dsn, sessions) as load:
            wait_until(lambda: len(load.requests) > 4 * sessions, "they write", 20 * SLOW)
            time.sleep(before_s)
            cluster.command("kill", 0)
            killed = time.monotonic()
            received = lambda number: int(cluster.value(
                number, "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')"))
            best = max((1, 2), key=received)
            cluster.sql(best, "ALTER SYSTEM SET synchronous_standby_names = ''")
            cluster.command("promote", best)
            promoted = time.monotonic()
            follow(best)
            cluster.command("follow", 3 - best, best)
            time.sleep(after_s)
            load.over = True
        name = through.__name__.removeprefix("through_")
        return Failover(name, load.requests, killed, promoted,
                        acknowledged=sum(not one.error for one in load.requests),
                        found=int(cluster.value(best, "SELECT count(*) FROM lines")))
