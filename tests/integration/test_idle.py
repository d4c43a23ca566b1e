"""What an idle proxy does: nearly nothing, and nothing late."""
import pathlib
import time

import pytest

from support import wire
from support.cluster import wait_until
from support.weir import SLOW, WORKERS

pytestmark = pytest.mark.alone


def wakeups(weir):
    """How often the workers and the control thread have given up the CPU by themselves."""
    found = {}
    for task in pathlib.Path(f"/proc/{weir.process.pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        if task.name == str(weir.process.pid):
            name = "control"
        elif not name.startswith("worker"):  # monitors and what else has a thread of its own
            continue
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        found[name] = int(status["voluntary_ctxt_switches"])
    return found


def wakeups_within(weir, seconds):
    before, began = wakeups(weir), time.monotonic()
    time.sleep(seconds)
    after, took = wakeups(weir), time.monotonic() - began
    return {name: (count - before[name]) / took for name, count in after.items()}


def test_idle_clients_wake_nobody(start_weir):
    """One sweep a second for each worker, none for the rest, but of the monitors."""
    weir = start_weir({"pool": {"size": 4}})
    clients = [weir.connect() for _ in range(100)]
    for client in clients:
        client.query("SELECT 1")
        client.query("/* weir: primary */ SELECT 1")
    wait_until(lambda: max(wakeups_within(weir, 2).values()) <= 2, "rest", 30)
    rates = wakeups_within(weir, 4)
    assert rates.pop("control") <= 0.5
    assert len(rates) == WORKERS
    assert all(0.5 <= rate <= 2 for rate in rates.values()), rates
    for client in clients:
        assert client.value("SELECT 1") == "1"
        client.terminate()


def test_who_rests_wakes_for_a_timeout(start_weir):
    """A client's limit is kept to the tick, whatever its worker did before."""
    weir = start_weir({"timeouts": {"query": "1500ms", "client_idle": "3500ms"}})
    with weir.connect() as idle, weir.connect() as client:
        idle.query("SELECT 1")
        idle_since = time.monotonic()
        client.query("SELECT 1")
        time.sleep(1.5)
        began = time.monotonic()
        client.send(wire.query("SELECT pg_sleep(60)"))
        client.expect_closed()
        assert 1.5 <= time.monotonic() - began < 1.5 + 2 * SLOW
        idle.expect_closed()
        assert 3.5 <= time.monotonic() - idle_since < 3.5 + 2 * SLOW
