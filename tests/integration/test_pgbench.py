"""pgbench, as PostgreSQL ships it: every protocol, its scripts, and where they run."""
import re
import subprocess

import pytest

from support import PG_BIN, SLOW
from support.cluster import wait_until

pytestmark = pytest.mark.alone

SECONDS = 2


def pgbench(target, *arguments, check=True):
    done = subprocess.run([PG_BIN / "pgbench", *map(str, arguments)], env=target.environment(),
                          capture_output=True, text=True, timeout=120 * SLOW, check=False)
    if check:
        assert done.returncode == 0, done.stderr + done.stdout
        assert "number of failed transactions: 0 (" in done.stdout, done.stdout
        assert "ERROR" not in done.stderr and "aborted" not in done.stderr, done.stderr
    return done


def transactions(done):
    return int(re.search(r"number of transactions actually processed: (\d+)", done.stdout)[1])


@pytest.fixture(scope="module")
def tables(shared_weir, cluster):
    """pgbench's tables, made through the proxy: DDL, COPY, VACUUM and all."""
    done = subprocess.run([PG_BIN / "pgbench", "-i", "-s", "2", "-q"],
                          env=shared_weir.environment(), capture_output=True, text=True,
                          timeout=120 * SLOW, check=False)
    assert done.returncode == 0, done.stderr
    cluster.wait_replayed()


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("script", ["select-only", "tpcb-like", "simple-update"])
def test_scripts(target, tables, protocol, script):
    done = pgbench(target, "-n", "-b", script, "-M", protocol, "-c", 8, "-j", 2, "-T", SECONDS)
    assert transactions(done) > 100 / SLOW


@pytest.mark.parametrize("protocol", ["simple", "prepared"])
def test_a_connection_for_each_transaction(target, tables, protocol):
    done = pgbench(target, "-n", "-S", "-C", "-M", protocol, "-c", 4, "-T", SECONDS)
    assert transactions(done) > 20 / SLOW


def test_balances_add_up(target, tables, cluster):
    """Money is neither made nor lost by 8 clients over shared connections."""
    sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), " \
           "(SELECT sum(bbalance) FROM pgbench_branches), " \
           "(SELECT sum(tbalance) FROM pgbench_tellers), " \
           "(SELECT coalesce(sum(delta), 0) FROM pgbench_history)"
    before = [int(value) for value in cluster.sql(0, sums)[0]]
    pgbench(target, "-n", "-b", "tpcb-like", "-M", "prepared", "-c", 8, "-T", SECONDS)
    after = [int(value) for value in cluster.sql(0, sums)[0]]
    gained = {now - then for then, now in zip(before, after)}
    assert len(gained) == 1, gained


def test_pipelines(target, tables, tmp_path):
    script = tmp_path / "pipeline.sql"
    script.write_text("\\set aid random(1, 100000)\n\\startpipeline\n"
                      "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
                      "SELECT abalance FROM pgbench_accounts WHERE aid = :aid + 1;\n"
                      "UPDATE pgbench_accounts SET abalance = abalance WHERE aid = :aid;\n"
                      "\\endpipeline\n")
    done = pgbench(target, "-n", "-f", script, "-M", "extended", "-c", 4, "-T", SECONDS)
    assert transactions(done) > 20 / SLOW


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_reads_run_on_the_replicas_evenly(weir, tables, cluster, protocol):
    """Within 10 %, and none on the primary. A replica whose core is taken by something else answers
    its clients later, who then ask less: that evens out over several runs."""
    cluster.wait_replayed()
    # One that was behind what an earlier test wrote has less for `slow_start`, 10 s.
    wait_until(lambda: [(row["reads"], float(row["share"])) for row in weir.show("HOSTS")[1:]] ==
               [("1", 1), ("1", 1)], lambda: weir.show("HOSTS"), 20 * SLOW)
    assert weir.show("HOSTS")[0]["reads"] == "0"
    cluster.forget_statements()
    due = 0
    for _ in range(8):
        due += transactions(pgbench(weir, "-n", "-S", "-M", protocol, "-c", 8, "-j", 2,
                                    "-T", SECONDS))
        calls = cluster.calls("SELECT abalance FROM pgbench_accounts WHERE aid%")
        assert calls[0] == 0, (calls, weir.show("ROUTE_TOTALS"), weir.show("HOSTS"))
        assert sum(calls) == due
        if abs(calls[1] - calls[2]) <= 0.1 * max(calls[1], calls[2]):
            return
    raise AssertionError(calls)


def test_writes_run_on_the_primary(weir, tables, cluster):
    cluster.forget_statements()
    done = pgbench(weir, "-n", "-b", "tpcb-like", "-M", "prepared", "-c", 8, "-T", SECONDS)
    for statement in ("UPDATE pgbench_accounts%", "UPDATE pgbench_tellers%",
                      "UPDATE pgbench_branches%", "INSERT INTO pgbench_history%"):
        assert cluster.calls(statement) == [transactions(done), 0, 0]


def test_hundreds_of_clients(start_weir, tables):
    weir = start_weir({"pool": {"size": 10}})
    clients = int(400 / SLOW)  # by count: -T counts from before they have connected
    done = pgbench(weir, "-n", "-S", "-M", "prepared", "-c", clients, "-j", 2, "-t", 10)
    assert transactions(done) == 10 * clients
