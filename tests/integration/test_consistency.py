"""No stale reads beyond what a session's level allows, while replicas lag, pause, die and return.

WEIR_TEST_MINUTES=10 makes each of these runs that long; WEIR_TEST_SEED=n repeats or tries a seed.
`scripts/consistency` runs one of them by itself.
"""
import os

import pytest

from support import SLOW
from support.consistency import Plan, check

pytestmark = pytest.mark.alone

SECONDS = 60 * float(os.environ.get("WEIR_TEST_MINUTES", "0.2"))
SEED = int(os.environ.get("WEIR_TEST_SEED", "1"))
# What a READ ONLY transaction is told whose replica died (40001), and how the drivers put it that
# a connection has ended. All else is an error of the proxy's.
ENDED = {"40001", "57P01", "08003", "08006", "OperationalError", "InterfaceError",
         "InternalClientError", "ConnectionResetError"}


def plan(**words):
    return Plan(seconds=SECONDS, seed=SEED, **words)


def assert_clean(figures):
    report = figures.report(most=20)
    print(report)
    assert not figures.violations, report
    assert {error.split()[-1] for error in figures.errors} <= ENDED, report
    # Enough was asked, and of replicas, to believe the verdict.
    assert sum(figures.reads.values()) > 20 * SECONDS / SLOW, report
    assert figures.writes > 0 and figures.replica_share() > 0, report


@pytest.mark.parametrize("rule", ["own", "monotonic"])
def test_session(start_weir, cluster, rule):
    """The default level: a session's reads do not fall behind its writes, nor its reads."""
    assert_clean(check(cluster, [start_weir(workers=2)], plan(judge=(rule,))))


def test_strong(start_weir, cluster):
    """Whatever was committed by anyone is seen, also through another Weir."""
    weirs = [start_weir(workers=2), start_weir(workers=1)]
    assert_clean(check(cluster, weirs, plan(judge=("own", "monotonic", "strong"), strong=True)))


@pytest.mark.parametrize("strong", [False, True], ids=["session", "strong"])
def test_shared_connections(start_weir, cluster, strong):
    """The same where a read is sent behind others', on the only connection to its host."""
    weir = start_weir({"pool": {"size": 1}})
    judge = ("own", "monotonic") + ("strong",) * strong
    assert_clean(check(cluster, [weir], plan(judge=judge, strong=strong, think_ms=5)))
    shared = sum(int(row["shared_reads"]) for row in weir.show("ROUTE_TOTALS"))
    assert shared > 20 or SLOW > 1  # a slow build may find that nothing is short


def test_tokens(start_weir, cluster):
    """A session that is told another's weir.lsn sees what that one wrote through another Weir."""
    figures = check(cluster, [start_weir(), start_weir()],
                    plan(judge=("own", "monotonic", "token"), tokens=True, write_share=0.2))
    assert_clean(figures)
    assert figures.tokens > 0


def test_a_broken_level_is_caught(start_weir, cluster):
    """Shows that the tests above would see it: here only the lag limits count."""
    weir = start_weir({"routing": {"consistency": "eventual"}}, workers=2)
    figures = check(cluster, [weir], plan(judge=("own", "monotonic", "strong")))
    print(figures.report(most=10))
    assert set(figures.kinds) == {"own", "monotonic", "strong"}


@pytest.mark.skipif(SLOW > 1, reason="the share is one of a plain build")
def test_most_reads_are_on_replicas(start_weir, cluster):
    """A tenth are writes, both replicas are 20 ms behind, sessions think for 100 ms on average:
    what follows a write within 20 ms, 2 % of the reads, cannot be on a replica."""
    figures = check(cluster, [start_weir(workers=2)],
                    plan(lag_ms=20, think_ms=100, primary_share=0, sessions=48))
    assert_clean(figures)
    assert figures.replica_share() >= 0.9, figures.report()
