"""pgbench in the background, with what each transaction took."""
import bisect
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from support import PG_BIN
from support.cluster import wait_until


class Outcome(NamedTuple):
    count: int
    tps: float         # from when all had logged in
    errors: int        # transactions that failed, and clients that gave up
    connect_us: float  # of -C: how long a transaction's connection takes, which its latency lacks
    samples: list      # (when it ended, its latency in microseconds), by that time

    def between(self, since, until):
        """Latencies of what ended within these times (time.time()), sorted."""
        first, last = (bisect.bisect_left(self.samples, (when,)) for when in (since, until))
        return sorted(latency for _, latency in self.samples[first:last])

    def percentiles(self):
        latencies = sorted(latency for _, latency in self.samples)
        return {"p50_us": percentile(latencies, 50), "p99_us": percentile(latencies, 99)}


def percentile(latencies, percent):
    """Of sorted ones; infinity where nothing was answered."""
    return latencies[int(len(latencies) * percent / 100)] if latencies else float("inf")


def warm_up(target, clients, *arguments):
    """Opens connections, fills caches."""
    subprocess.run([PG_BIN / "pgbench", "-n", "-c", str(clients), "-t", "50", *arguments],
                   env=target.environment(), check=False, capture_output=True)


class Pgbench:
    """Runs in the background, from when all clients are connected until it is told to end.
    `sampling` is the share of the transactions whose latencies are kept: to write all down takes
    CPU of its own."""

    def __init__(self, target, clients, *arguments, database="app", sampling=1.0):
        self.target = target
        self.made = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.made.name)
        # A thread waits for one connection at a time.
        threads = clients if "-C" in arguments else 1 if clients <= 100 else 2
        with open(self.directory / "out", "wb") as out, open(self.directory / "err", "wb") as err:
            self.child = subprocess.Popen(
                [PG_BIN / "pgbench", "-n", "-c", str(clients), "-j", str(threads), "-T", "3600",
                 "-l", "--sampling-rate", str(sampling), *map(str, arguments), database],
                cwd=self.directory, env=target.environment(), stdin=subprocess.DEVNULL, stdout=out,
                stderr=err)
        # With -C each transaction has a connection, and never are all there.
        wait_until(lambda: self.child.poll() is not None or
                   self.sockets() >= (1 if "-C" in arguments else clients),
                   "pgbench's clients are connected", 120)

    def sockets(self):
        try:
            return sum(os.readlink(fd).startswith("socket:")
                       for fd in pathlib.Path(f"/proc/{self.child.pid}/fd").iterdir())
        except OSError:  # it was closed in between
            return 0

    def run_for(self, seconds):
        time.sleep(seconds)
        return self.end()

    def end(self):
        """As when its time is over. That counts from before the log-ins, so -T cannot be used."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGALRM)
        self.child.wait()
        return self

    def outcome(self):
        out, err = ((self.directory / name).read_text() for name in ("out", "err"))
        rate = re.search(r"tps = ([\d.]+) \((?:without|including)", out)
        count = re.search(r"actually processed: (\d+)", out)
        if not rate or not int(count[1]):
            sys.exit(f"bench: pgbench against {self.target.name} failed:\n{out}\n{err[-2000:]}")
        failed = re.search(r"failed transactions: (\d+)", out)
        connect = re.search(r"average connection time = ([\d.]+) ms", out)
        samples = []
        for log in self.directory.glob("pgbench_log.*"):
            for line in log.read_text().splitlines():
                words = line.split()
                samples.append((int(words[4]) + int(words[5]) / 1e6, int(words[2])))
        samples.sort()
        self.made.cleanup()
        return Outcome(int(count[1]), float(rate[1]),
                       int(failed[1]) + len(re.findall(r"client \d+ aborted", err)),
                       1000 * float(connect[1]) if connect else 0, samples)
