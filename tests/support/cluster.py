"""The primary and the replicas behind the proxy, started by scripts/cluster."""
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from support import ROOT, wire

SCRIPT = ROOT / "scripts" / "cluster"


def wait_catalog(client):
    """Until the proxy has read the catalog of the session's database."""
    wait_until(lambda: ["catalog: not known"] not in client.query("EXPLAIN ROUTE SELECT 1"),
               "the catalog is read")


def claim_ports(count):
    """The first of `count` free ports in a row, below the range that connect() draws from, and
    what keeps them from other tests for as long as it lives: a host that is down has a free port,
    too."""
    for base in range(21000, 32000, 16):
        claim, probes = socket.socket(socket.AF_UNIX), []
        try:
            claim.bind(f"\0weir-test-ports-{base}")
            for port in range(base, base + count):
                probes.append(socket.socket())
                probes[-1].bind(("127.0.0.1", port))
            return base, claim
        except OSError:
            claim.close()
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free ports")


class Cluster:
    """Host 0 is the primary, 1 and up are replicas. `ports` are theirs, on 127.0.0.1."""

    def __init__(self, directory, replicas=2):
        self.dir = directory
        self.replicas = range(1, replicas + 1)

    def up(self):
        base, self.claim = claim_ports(len(self.replicas) + 1)
        self.command("up", "--replicas", len(self.replicas), "--port-base", base)
        self.ports = json.loads((self.dir / "state.json").read_text())["ports"]
        return self

    def command(self, name, *arguments, **environment):
        done = subprocess.run([SCRIPT, name, *map(str, arguments), "--dir", self.dir],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, **environment}, timeout=120, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def connect(self, number, user="postgres", password=None, database="app"):
        return wire.connect("127.0.0.1", self.ports[number], user, password, database)

    def sql(self, number, text, database="app"):
        """Runs a statement as the superuser on one host and returns its rows. One that stood in
        the way of a replica's replay was cancelled, or its connection ended, before it did
        anything, and is run again."""
        for left in reversed(range(10)):
            try:
                with self.connect(number, database=database) as server:
                    return server.query(text)
            except (wire.ServerError, wire.Closed) as failed:
                in_the_way = getattr(failed, "code", "40001") == "40001"
                if not in_the_way or number == 0 or not left:
                    raise

    def value(self, number, text, database="app"):
        return self.sql(number, text, database)[0][0]

    def number_of(self, port):
        return self.ports.index(int(port))

    def processes(self, number):
        """The postmaster of a host, and its children."""
        path = self.dir / f"host{number}" / "postmaster.pid"
        pid = int(path.read_text().split("\n")[0])
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return [pid, *map(int, children.read().split())]

    def wait_serving(self, number, seconds):
        """Until a host answers: it starts, or recovers."""
        def serves():
            with contextlib.suppress(wire.ServerError, wire.Closed, OSError):
                return self.value(number, "SELECT 1") == "1"
        wait_until(serves, f"host {number} serves", seconds, every=0.05)

    # --- replication --------------------------------------------------------------------------

    def wait_replayed(self, *numbers):
        """Until these replicas (default: all) have replayed what was committed on the primary."""
        # Of what no commit follows the end may stay unwritten, and cannot be replayed then.
        self.sql(0, "SELECT pg_logical_emit_message(true, 'test', '')")
        lsn = self.value(0, "SELECT pg_current_wal_flush_lsn()")
        for number in numbers or self.replicas:
            wait_until(lambda n=number: self.value(
                n, f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'") == "t",
                lambda n=number: f"replica {n} replayed {lsn}: {self.replay_state(n)}")

    def replay_state(self, number):
        return self.sql(number, "SELECT pg_get_wal_replay_pause_state(), pg_last_wal_replay_lsn(), "
                                "pg_last_wal_receive_lsn(), (SELECT array_agg(r) FROM "
                                "pg_stat_wal_receiver r), (SELECT array_agg((pid, state, "
                                "wait_event, query)) FROM pg_stat_activity)")

    @contextlib.contextmanager
    def paused(self, *numbers):
        """These replicas replay no WAL inside the block."""
        try:
            for number in numbers:
                self.sql(number, "SELECT pg_wal_replay_pause()")
            for number in numbers:
                wait_until(lambda n=number: self.value(
                    n, "SELECT pg_get_wal_replay_pause_state()") == "paused", "replay paused")
            yield
        finally:
            for number in numbers:
                self.sql(number, "SELECT pg_wal_replay_resume()")

    @contextlib.contextmanager
    def killed(self, number):
        """The host is down inside the block, without a shutdown."""
        self.command("kill", number)
        try:
            yield
        finally:
            self.command("start", number)
            if number == 0:
                wait_until(lambda: self.value(0, "SELECT count(*) FROM pg_stat_replication "
                                                 "WHERE state = 'streaming'")
                           == str(len(self.replicas)), "replicas stream again", 30)

    # --- who did what -------------------------------------------------------------------------

    def forget_statements(self):
        for number in range(len(self.ports)):
            self.sql(number, "SELECT pg_stat_statements_reset()")

    def calls(self, pattern):
        """How often each host ran statements like this (SQL LIKE), since forget_statements."""
        text = ("SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query ILIKE "
                f"'{pattern}' AND query NOT ILIKE '%pg_stat_statements%'")
        return [int(self.value(number, text)) for number in range(len(self.ports))]

    def backends(self, user="app", number=0):
        """How many connections this user has on a host."""
        return int(self.value(number, "SELECT count(*) FROM pg_stat_activity "
                                      f"WHERE usename = '{user}' AND datname = 'app'"))


@contextlib.contextmanager
def frozen(cluster, number):
    """A host that accepts connections and says nothing more."""
    processes = cluster.processes(number)
    try:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # a backend that has just ended
                os.kill(process, signal.SIGSTOP)
        yield
    finally:
        for process in reversed(processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


_names = itertools.count(1)


@contextlib.contextmanager
def running_cluster(replicas):
    """A primary and its replicas, for as long as the block runs."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-cluster-"))
    made = Cluster(directory, replicas)
    try:
        yield made.up()
    finally:
        made.command("down")
        shutil.rmtree(directory, ignore_errors=True)


def fresh_name(prefix="t"):
    return f"{prefix}_{next(_names)}"


def wait_until(holds, what, seconds=10.0, every=0.01):
    """Polls until holds() is true; returns how long that took."""
    begun = time.monotonic()
    while not holds():
        waited = time.monotonic() - begun
        assert waited < seconds, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(every)
    return time.monotonic() - begun
