"""Scenarios of small transactions by pgbench: throughput, latency, CPU and system calls of each."""
import contextlib
import functools
from typing import NamedTuple

from support.bench import Scenario
from support.bench.pgbench import Pgbench, warm_up
from support.bench.targets import contenders, in_session_mode, weir

SESSION_MODE = ("pgbouncer is in session mode: this version has no prepared statements in "
                "transaction mode, so it does less work than it would there.")


class Work(NamedTuple):
    arguments: tuple   # of pgbench
    clients: tuple
    kept: float = 0.2  # the share of latencies that are written down
    unit: str = "tx"   # what one transaction is
    script: str = ""   # instead of one of pgbench's own

    @property
    def prepares(self):
        return "prepared" in self.arguments


SIZES = (8, 64, 500)
WORKS = {
    "simple": Work(("-S",), SIZES),
    "extended": Work(("-S", "-M", "extended"), SIZES),
    "prepared": Work(("-S", "-M", "prepared"), SIZES),
    "one": Work(("-M", "extended"), (32,), script="SELECT 1;\n"),
    "tpcb": Work((), (8, 64)),
    "connect": Work(("-S", "-C"), (8,)),
    "latency": Work(("-S",), (1,), 1.0),
}


def measure(results, case, target, work, clients, seconds):
    run = Pgbench(target, clients, *work.arguments, sampling=work.kept)
    before, calls_before = target.cpu_us(), target.call_count()
    run.run_for(seconds)
    spent, calls, outcome = target.cpu_us() - before, target.call_count(), run.outcome()
    results.note(case, target, **{f"{work.unit}_per_s": outcome.tps}, **outcome.percentiles(),
                 errors=outcome.errors)
    if outcome.connect_us:
        results.note(case, target, connect_us=outcome.connect_us)
    if target.pid:
        results.note(case, target, **{f"cpu_us_per_{work.unit}": spent / outcome.count})
    if calls:
        results.note(case, target, **{f"calls_per_{work.unit}": (calls - calls_before) /
                                      outcome.count})


def compare(plan, results, targets, work, cases):
    """cases: number of clients by name."""
    if work.script:
        script = plan.directory / "script.sql"
        script.write_text(work.script)
        work = work._replace(arguments=(*work.arguments, "-f", script))
    for target in targets:
        warm_up(target, max(cases.values()), *work.arguments)
    for case, target in plan.turns(cases, targets):
        measure(results, case, target, work, cases[case], plan.seconds)


def by_size(plan, work):
    if work.clients == (1,):  # to be alone is what that is about
        return {"1 client": 1}
    return {f"{size} clients": size for size in plan.sizes(*work.clients)}


def transactions(name, plan, results):
    work = WORKS[name]
    with contenders(plan, work.prepares) as targets:
        compare(plan, results, targets, work, by_size(plan, work))
        if "pgbouncer" in [target.name for target in targets] and in_session_mode(work.prepares):
            results.remark(SESSION_MODE)


def latency(plan, results):
    """With one client nothing waits for another one: what a proxy adds is its own."""
    transactions("latency", plan, results)
    for percent in ("p50_us", "p99_us"):
        results.note_compared(f"added_{percent}", percent, "direct",
                              lambda proxy, direct: proxy - direct)


def workers(plan, results):
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(weir(plan.binary, [plan.database_port], {"workers": count},
                                            f"weir, {count} workers")) for count in (1, 2, 4)]
        compare(plan, results, targets, WORKS["prepared"], by_size(plan, WORKS["prepared"]))


def scenario(name, description):
    return Scenario(name, description, functools.partial(transactions, name))


SCENARIOS = (
    scenario("simple", "point reads (pgbench -S), simple protocol"),
    scenario("extended", "point reads, extended protocol, a Parse for each"),
    scenario("prepared", "point reads, prepared statements"),
    scenario("one", "SELECT 1, extended protocol"),
    scenario("tpcb", "TPC-B-like transactions of seven statements, simple protocol"),
    scenario("connect", "point reads, each on a connection of its own"),
    Scenario("latency", "point reads of one client, and what a proxy adds to the direct way",
             latency),
    Scenario("workers", "Weir alone, with 1, 2 and 4 workers: prepared point reads", workers),
)
