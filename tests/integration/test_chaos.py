"""Faults of every part, one after the other, under load: what clients were told is true.

WEIR_TEST_MINUTES=10 makes the campaign that long, of all kinds of faults; WEIR_TEST_SEED=n is its
seed. `scripts/chaos` runs it by itself.
"""
import os

import pytest

from support import SLOW
from support.chaos import Plan, campaign
from support.chaos_faults import Troubles
from support.weir import WORKERS

pytestmark = pytest.mark.alone

SEED = int(os.environ.get("WEIR_TEST_SEED", "1"))
MINUTES = os.environ.get("WEIR_TEST_MINUTES")
# One of each sort; each comes once.
SHORT = ("backends_terminated", "black_hole", "failover", "host_cut_off", "network_cut",
         "packets_lost", "primary_frozen", "replica_killed", "silent_failover", "slow_disk",
         "weir_killed", "weir_reloaded", "weir_upgraded")


def test_nothing_is_lost_or_done_twice():
    plan = Plan(seed=SEED, workers=WORKERS)
    if MINUTES:
        plan.seconds = 60 * float(MINUTES)
    else:
        plan.kinds, plan.rounds = SHORT, 1
    verdict = campaign(plan)
    print(verdict.report())
    assert not verdict.violations, verdict.report()
    # Enough happened to believe it, and some of it while there was no server.
    assert verdict.outcomes["done"] > 1000 / SLOW, verdict.report()
    assert set(verdict.faults) >= set(SHORT) - set(Troubles.PACKETS), verdict.report()
    assert set(verdict.errors) & {"08006", "08007", "40001"}, verdict.report()


def test_a_campaign_notices():
    """Shows that the test above would: here somebody changes the tables behind Weir's back."""
    verdict = campaign(Plan(seed=SEED, workers=WORKERS, kinds=("tampered",), rounds=1))
    words = "\n".join(verdict.violations)
    for part in ("line", "move", "account, balance", "counter"):
        assert f"tampered: {part}" in words, verdict.report()
    assert "is there 0 times, not 1" in words and "is there 2 times, not 1" in words, words
