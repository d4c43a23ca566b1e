"""pgbench in the background, with what each transaction took; system calls meanwhile."""
import bisect
import os
import pathlib
import re
import shutil
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
    tps: float    # from when all had logged in
    errors: int   # transactions that failed, and clients that gave up
    samples: list  # (when it ended, its latency in microseconds), by that time

    def between(self, since, until):
        """Latencies of what ended within these times (time.time()), sorted."""
        first, last = (bisect.bisect_left(self.samples, (when,)) for when in (since, until))
        return sorted(latency for _, latency in self.samples[first:last])

    def percentiles(self):
        latencies = sorted(latency for _, latency in self.samples)
        return {"p50_us": percentile(latencies, 50), "p99_us": percentile(latencies, 99)}


def percentile(latencies, hundredth):
    """Of sorted ones; infinity where nothing was answered."""
    return latencies[len(latencies) * hundredth // 100] if latencies else float("inf")


def warm_up(target, clients, *arguments):
    """Opens connections, fills caches."""
    subprocess.run([PG_BIN / "pgbench", "-n", "-c", str(clients), "-t", "50", *arguments],
                   env=target.environment(), check=False, capture_output=True)


class Pgbench:
    """Runs for so many seconds behind the log-ins; finish() waits for the end. `sampling` is the
    share of the transactions whose latencies are kept: to write all down takes CPU of its own."""

    def __init__(self, target, clients, seconds, *arguments, database="app", sampling=1.0):
        self.target, self.clients = target, clients
        self.made = tempfile.TemporaryDirectory()
        threads = 1 if clients <= 100 else 2
        # -T counts from before the log-ins, which take up to 10 ms each.
        seconds += clients // 100
        self.child = subprocess.Popen(
            [PG_BIN / "pgbench", "-n", "-c", str(clients), "-j", str(threads), "-T", str(seconds),
             "-l", "--sampling-rate", str(sampling), *map(str, arguments), database],
            cwd=self.made.name, env=target.environment(), stdin=subprocess.DEVNULL,
            stdout=open(self.file("out"), "wb"), stderr=open(self.file("err"), "wb"))

    def file(self, name):
        return pathlib.Path(self.made.name) / name

    def wait_connected(self):
        """Until every client has its connection."""
        def connected():
            if self.child.poll() is not None:
                return True
            fds = pathlib.Path(f"/proc/{self.child.pid}/fd")
            try:
                return sum(os.readlink(fd).startswith("socket:")
                           for fd in fds.iterdir()) >= self.clients
            except OSError:  # one that was closed in between
                return False
        wait_until(connected, "pgbench's clients are connected", 60)
        return self

    def wait(self):
        self.child.wait()
        return self

    def finish(self):
        self.wait()
        out, err = self.file("out").read_text(), self.file("err").read_text()
        rate = re.search(r"tps = ([\d.]+) \((?:without|including)", out)
        count = re.search(r"actually processed: (\d+)", out)
        if not rate or not int(count[1]):
            sys.exit(f"bench: pgbench against {self.target.name} failed:\n{err[-2000:]}")
        failed = re.search(r"failed transactions: (\d+)", out)
        samples = []
        for log in pathlib.Path(self.made.name).glob("pgbench_log.*"):
            for line in log.read_text().splitlines():
                words = line.split()
                samples.append((int(words[4]) + int(words[5]) / 1e6, int(words[2])))
        samples.sort()
        self.made.cleanup()
        return Outcome(int(count[1]), float(rate[1]),
                       int(failed[1]) + len(re.findall(r"client \d+ aborted", err)), samples)


class Calls:
    """The system calls of a target while the block lasts. total is None where strace cannot."""

    def __init__(self, target):
        self.target, self.total = target, None

    def __enter__(self):
        self.made = tempfile.NamedTemporaryFile()
        self.tracer = None
        if self.target.pid and shutil.which("strace"):
            self.tracer = subprocess.Popen(
                ["strace", "-c", "-f", "-o", self.made.name, "-p", str(self.target.pid)],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.tracer.stderr.readline()  # "attached"
        self.since = time.time()
        return self

    def __exit__(self, *_):
        if not self.tracer:
            return
        self.tracer.send_signal(signal.SIGINT)
        self.tracer.communicate()
        # share, seconds, microseconds a call, calls, and errors if there were any
        found = re.search(r"^100\.00\s+\S+\s+\d+\s+(\d+)\b.* total$",
                          pathlib.Path(self.made.name).read_text(), re.M)
        self.total = int(found[1]) if found else None
