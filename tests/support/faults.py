"""Trouble with replicas, made up from a seed: lag, pauses, a frozen receiver, restarts.

    with Faults(cluster, seed, say) as faults: ...      every replica in trouble of its own, at once
    with steady_lag(cluster, 20): ...                   all replicas so many milliseconds behind

Both leave the replicas as they found them: running, replaying, without a delay.
"""
import collections
import contextlib
import random
import threading
import time

from support.cluster import Cluster

LAGS_MS = (0, 5, 20, 100, 400, 1500)  # the last is over Weir's default limit of 1 s
KINDS = {"lag": 3, "pause": 3, "freeze": 2, "kill": 1, "restart": 1}  # and how often each


def delay_replay(cluster, number, delay_ms):
    """Commits are shown on this replica so long after the primary made them."""
    cluster.sql(number, f"ALTER SYSTEM SET recovery_min_apply_delay = {delay_ms}")
    cluster.sql(number, "SELECT pg_reload_conf()")


@contextlib.contextmanager
def steady_lag(cluster, delay_ms):
    try:
        for number in cluster.replicas:
            delay_replay(cluster, number, delay_ms)
        yield
    finally:
        for number in cluster.replicas:
            delay_replay(cluster, number, 0)
        cluster.wait_replayed()


@contextlib.contextmanager
def frozen_receiver(cluster, number):
    """What the primary sends does not arrive; what has arrived is replayed."""
    cluster.command("pause", number, "--receive")
    try:
        yield
    finally:
        cluster.command("resume", number)


@contextlib.contextmanager
def stopped(cluster, number):
    """Down by an operator's wish: clients are told so."""
    cluster.command("stop", number)
    try:
        yield
    finally:
        cluster.command("start", number)


class Faults:
    """One thread a replica, so that several may be in trouble at the same time."""

    def __init__(self, cluster, seed, say):
        self.cluster, self.seed, self.say = cluster, seed, say
        self.count = collections.Counter()
        self.ended, self.failures = threading.Event(), []
        self.begun = time.monotonic()
        self.threads = [threading.Thread(target=self.run, args=(number,))
                        for number in cluster.replicas]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]
        self.cluster.wait_replayed()

    def run(self, number):
        rng = random.Random(f"{self.seed} replica {number}")
        try:
            while not self.ended.wait(rng.uniform(0.1, 1.0)):
                kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
                self.count[kind] += 1
                self.trouble(kind, number, rng)
        except BaseException as failed:  # handed to whoever leaves the with block
            self.failures.append(failed)
        finally:
            delay_replay(self.cluster, number, 0)

    def trouble(self, kind, number, rng):
        seconds = rng.uniform(0.3, 2.5)
        note = lambda words: self.say(f"{time.monotonic() - self.begun:7.2f} s  replica {number} "
                                      f"{words}")
        if kind == "lag":
            delay_ms = rng.choice(LAGS_MS)
            note(f"lags by {delay_ms} ms from now on")
            delay_replay(self.cluster, number, delay_ms)
            return
        trouble, words = {"pause": (Cluster.paused, "does not replay"),
                          "freeze": (frozen_receiver, "receives nothing"),
                          "kill": (Cluster.killed, "is killed"),
                          "restart": (stopped, "is stopped")}[kind]
        note(f"{words} for {seconds:.2f} s")
        with trouble(self.cluster, number):
            self.ended.wait(seconds)
        note("is well again")
