"""Faults of every part, one after the other, under load: what clients were told is true.

WEIR_TEST_MINUTES=10 makes the campaign that long, of all kinds of faults; WEIR_TEST_SEED=n is its
seed. `scripts/chaos` runs it by itself.
"""
import multiprocessing
import os
import socket
import threading
import time

import pytest

from support import SLOW, network
from support.chaos import Plan, campaign
from support.chaos_faults import Troubles
from support.weir import WORKERS

pytestmark = pytest.mark.alone

SEED = int(os.environ.get("WEIR_TEST_SEED", "1"))
MINUTES = os.environ.get("WEIR_TEST_MINUTES")
# One of each sort; each comes once.
SHORT = ("backends_terminated", "black_hole", "failover", "host_cut_off", "network_cut",
         "packets_delayed", "packets_lost", "primary_frozen", "replica_killed", "silent_failover",
         "slow_disk", "weir_killed", "weir_reloaded", "weir_upgraded")


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


def echo(listener):
    while True:
        peer = listener.accept()[0]
        while data := peer.recv(65536):
            peer.sendall(data)


def round_trips(client, times=5):
    """Sorted, in seconds."""
    taken = []
    for _ in range(times):
        begun = time.monotonic()
        client.sendall(b"x")
        client.recv(1)
        taken.append(time.monotonic() - begun)
    return sorted(taken)


def measure(sender):
    if not network.isolate():
        sender.send(None)
        return
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=echo, args=(listener,), daemon=True).start()
    with socket.create_connection(listener.getsockname(), timeout=10) as client:
        before = round_trips(client)
        with network.late(listener.getsockname()[1], 0.1, 0.3):
            during = round_trips(client)
        sender.send((before, during, round_trips(client)))


def test_packets_are_late():
    """In both directions, of a connection that is there before and after."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=measure, args=(sender,))
    process.start()
    sender.close()
    times = receiver.recv()
    process.join()
    if times is None:
        pytest.skip("no network of its own")
    before, during, after = times
    assert before[2] < 0.05 * SLOW and after[2] < 0.05 * SLOW, times
    assert during[0] >= 0.2 and during[2] < 0.7 * SLOW, times
