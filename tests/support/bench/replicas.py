"""Scenarios of Weir before a primary and two replicas, in a cluster of their own."""
import contextlib
import threading
import time

from support.bench import Scenario
from support.bench.pgbench import Pgbench, percentile
from support.bench.targets import haproxy, make_tables, weir
from support.bench.transactions import WORKS, compare
from support.cluster import frozen, running_cluster, wait_until

SPLITTING = {"routing": {"split_reads": True}}
HEDGING = {"routing": {"split_reads": True, "hedge_reads": True}}
STOPPED_S, RUNS_S = 0.05, 0.005


@contextlib.contextmanager
def slowed(cluster, number):
    """A host that is stopped for most of the time, as one whose disk or CPU is taken."""
    over = threading.Event()

    def slow_down():
        while not over.wait(RUNS_S):
            with frozen(cluster, number):
                time.sleep(STOPPED_S)

    thread = threading.Thread(target=slow_down)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


TROUBLES = {"runs for a tenth of the time": slowed, "answers nothing": frozen}


def slow_replica(plan, results):
    (clients,) = plan.sizes(16)[:1]
    with running_cluster(2) as cluster:
        make_tables(cluster)
        with weir(plan.binary, cluster.ports, SPLITTING) as plain, \
                weir(plan.binary, cluster.ports, HEDGING, "weir, hedge_reads") as hedging, \
                haproxy(cluster.ports[1:]) as other:
            targets = [one for one in (plain, hedging, other)
                       if not plan.only or one.name.split(",")[0] in plan.only]
            cases = {f"a replica {words}, {clients} clients": trouble
                     for words, trouble in TROUBLES.items()}
            for case, target in plan.turns(cases, targets):
                if target is not other:  # slow_start: after the last trouble that host has less
                    wait_until(lambda one=target: least_share(one) == "1",
                               "both have their share", 30)
                results.note(case, target, **trouble_under_load(
                    target, clients, plan.seconds, cases[case], cluster))


def least_share(proxy):
    with proxy.connect(database="weir") as console:
        return console.value("SELECT min(share) FROM hosts WHERE role = 'replica'")


def trouble_under_load(target, clients, seconds, trouble, cluster):
    """What clients see before a trouble of replica 1, during it, and when it is over."""
    run = Pgbench(target, clients, "-S")
    time.sleep(0.5)
    marks = [time.time()]
    time.sleep(seconds)
    marks.append(time.time())
    with trouble(cluster, 1):
        time.sleep(seconds)
        marks.append(time.time())
    time.sleep(seconds)
    marks.append(time.time())
    outcome, seen = run.end().outcome(), {}
    for name, since, until in zip(("before", "during", "after"), marks, marks[1:]):
        latencies = outcome.between(since, until)
        seen |= {f"tx_per_s_{name}": len(latencies) / (until - since),
                 f"p99_us_{name}": percentile(latencies, 99)}
        if name == "during":  # one in a hundred is more than those that a proxy sends there
            seen["p99.9_us_during"] = percentile(latencies, 99.9)
    return {**seen, "worst_us": max(latency for _, latency in outcome.samples),
            "errors": outcome.errors}


def split(plan, results):
    """Two Weirs before the same hosts, one of which sends everything to the primary."""
    with running_cluster(2) as cluster:
        make_tables(cluster)
        for hosts in (cluster.ports[:1], cluster.ports):
            place = "the primary" if len(hosts) == 1 else "with 2 replicas"
            with weir(plan.binary, hosts, name="split_reads = false") as without, \
                    weir(plan.binary, hosts, SPLITTING, "split_reads = true") as splitting:
                for name in ("prepared", "simple"):
                    cases = {f"{name}, {clients} clients, {place}": clients
                             for clients in plan.sizes(8, 64)}
                    compare(plan, results, [without, splitting], WORKS[name], cases)
    results.note_compared("cpu_ratio", "cpu_us_per_tx", "split_reads = false",
                          lambda splits, without: splits / without)


SCENARIOS = (
    Scenario("slow-replica", "point reads on two replicas, one of which is in trouble for a while",
             slow_replica),
    Scenario("split", "Weir alone: what it costs to tell reads from writes, with a primary and "
             "with two replicas besides (cpu ratio: with split_reads to without)", split),
)
