"""Scenarios of many clients: those that do nothing, those that come all at once."""
import contextlib
import functools
import multiprocessing
import os
import resource
import sys
import time

from support import wire
from support.bench import Scenario
from support.bench.pgbench import Pgbench, percentile
from support.bench.targets import certificate, contenders, pgbouncer, weir

WAKING = 1000      # idle clients while wake-ups are counted
REST_S = 2.0       # until all that log-ins have left to do is done
OWN_SERVERS = 500  # idle clients of a target that needs a server connection for each


def idle(plan, results):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < plan.idle + 1000:
        sys.exit(f"bench: {plan.idle} idle clients need more open files (ulimit -Hn)")
    with contenders(plan) as targets:
        for target in targets:
            if target.pid:
                note_idle(plan, results, "without TLS", target)
    cert, key = certificate(plan.directory)
    proxies = {
        "weir": functools.partial(weir, plan.binary, [plan.database_port], {"tls": {"client": {
            "mode": "allow", "cert_file": str(cert), "key_file": str(key)}}}),
        "pgbouncer": functools.partial(pgbouncer, plan.database_port, client_tls_sslmode="allow",
                                       client_tls_cert_file=cert, client_tls_key_file=key)}
    for name, proxy in proxies.items():
        if not plan.only or name in plan.only:
            with proxy() as target:
                note_idle(plan, results, "TLS", target, wire.tls_context())


def note_idle(plan, results, case, target, tls=None):
    """KiB of memory that each client costs which logged in, which has asked something since, and
    went quiet; and what wakes the proxy meanwhile."""
    count = plan.idle if target.pools else min(plan.idle, OWN_SERVERS)
    with target.connect(tls=tls) as first:
        first.query("SELECT 1")
    time.sleep(REST_S)
    before = target.memory_kib()
    with contextlib.ExitStack() as clients:
        opened = []

        def log_in(number):
            opened.extend(clients.enter_context(target.connect(tls=tls))
                          for _ in range(number - len(opened)))
            time.sleep(REST_S)

        log_in(min(count, WAKING))
        slept, began = target.sleeps(), time.monotonic()
        time.sleep(2 * plan.seconds)
        every, workers = ((now - then) / (time.monotonic() - began)
                          for now, then in zip(target.sleeps(), slept))
        woken = {"wakeups_per_s": every}
        if workers:
            woken["worker_wakeups_per_s"] = workers
        log_in(count)
        logged_in = target.memory_kib()
        for client in opened:
            client.query("SELECT 1")
        time.sleep(REST_S)
        results.note(f"{count} clients, {case}", target, kib_after_login=(logged_in - before) /
                     count, kib_after_query=(target.memory_kib() - before) / count, **woken)


class Storm:
    """Processes that log in and leave, one time after the other, for so many seconds."""

    def __init__(self, target, processes, seconds):
        fork = multiprocessing.get_context("fork")
        self.answers, self.children = [], []
        for _ in range(processes):
            answer, end = fork.Pipe(duplex=False)
            self.answers.append(answer)
            self.children.append(fork.Process(target=self.log_in, args=(target, seconds, end)))
        for child in self.children:
            child.start()

    @staticmethod
    def log_in(target, seconds, end):
        os.nice(10)  # that its own work is not what keeps others from theirs
        count, errors, until = 0, 0, time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                target.connect().terminate()
                count += 1
            except (OSError, wire.Closed, wire.ServerError):
                errors += 1
        end.send((count, errors))

    def finish(self):
        """(log-ins, errors)"""
        done = [answer.recv() for answer in self.answers]
        for child in self.children:
            child.join()
        return tuple(map(sum, zip(*done)))


def logins(plan, results):
    """What another client waits while others log in: there, or at a second process of the same
    kind, which is what the storm costs on these cores whoever serves it."""
    (size,) = plan.sizes(16)[:1]
    case = f"{size} log in at a time"
    with contenders(plan) as targets, contenders(plan) as seconds:
        elsewhere = {second.name: second for second in seconds}
        for _, target in plan.turns([case], targets):
            quiet = Pgbench(target, 1, "-S").run_for(plan.seconds).outcome()
            before = target.cpu_us()
            count, errors = Storm(target, size, plan.seconds).finish()
            results.note(case, target, logins_per_s=count / plan.seconds)
            if target.pid:
                results.note(case, target, cpu_us_per_login=(target.cpu_us() - before) / count)
            errors += quiet.errors
            waits = {"p99_us_before": quiet.percentiles()["p99_us"]}
            for what, stormed in {"during": target, "elsewhere": elsewhere[target.name]}.items():
                storm = Storm(stormed, size, plan.seconds + 1)
                stormy = Pgbench(target, 1, "-S").run_for(plan.seconds).outcome()
                waits[f"p99_us_{what}"] = stormy.percentiles()["p99_us"]
                errors += storm.finish()[1] + stormy.errors
            results.note(case, target, **waits, errors=errors)


BASE_RATE, WINDOW_S, AFTER_S = 1000, 0.5, 10


def burst(plan, results):
    """At the base's rate a machine is busy for a tenth of the time, and a window has enough
    transactions for a 99th percentile."""
    (size,) = plan.sizes(16)[:1]
    case = f"{size} clients with {BASE_RATE} tx/s, {10 * size} more for {plan.burst_s} s"
    before_s, after_s = 2 * plan.seconds, min(plan.burst_s, AFTER_S)
    with contenders(plan) as targets:
        for _, target in plan.turns([case], targets):
            base = Pgbench(target, size, "-S", "-R", BASE_RATE)
            time.sleep(0.5)
            began = time.time()
            time.sleep(before_s)
            came = time.time()
            crowd = Pgbench(target, 10 * size, "-S", sampling=0.2).run_for(plan.burst_s)
            left = time.time()
            time.sleep(after_s)
            more, steady = crowd.outcome(), base.end().outcome()
            normal = percentile(steady.between(began, came), 99)
            results.note(case, target, p99_us_before=normal,
                         p99_us_during=percentile(steady.between(came, left), 99),
                         tx_per_s_of_burst=more.tps,
                         normal_after_s=recovery(steady, left, normal),
                         errors=steady.errors + more.errors)
    results.remark(f"normal after s: behind the burst's end; -: not within {after_s} s")


def recovery(outcome, since, normal):
    """So many seconds later a window begins in which the 99th percentile is no more than twice
    what is normal, or 1 ms; infinity if none does."""
    last, limit = outcome.samples[-1][0], max(2 * normal, 1000)
    begin = since
    while begin + WINDOW_S <= last:
        if percentile(outcome.between(begin, begin + WINDOW_S), 99) <= limit:
            return begin - since
        begin += 0.05
    return float("inf")


SCENARIOS = (
    Scenario("idle", "clients that do nothing (--idle): memory, and wake-ups of the proxy with "
             f"{WAKING} of them", idle),
    Scenario("logins", "a storm of SCRAM log-ins, alone, and beside a client that reads "
             "there or elsewhere", logins),
    Scenario("burst", "ten times as many clients for a while (--burst)", burst),
)
