"""How reads are shared out among three replicas: slow ones, near ones, ones that return."""
import subprocess
import time
from collections import Counter

import pytest

from support import PG_BIN, SLOW, wire
from support.cluster import running_cluster, wait_until
from support.load import Repeated
from support.relay import Relay

pytestmark = pytest.mark.alone

READ = "SELECT inet_server_port()"
DELAY = 0.02


@pytest.fixture(scope="module")
def cluster():
    """One primary and three replicas."""
    with running_cluster(3) as made:
        yield made


def hosts(cluster, **of_each):
    """The cluster's hosts in a configuration, with keys that are lists: one value for each."""
    listed = [{"host": "127.0.0.1", "port": port} for port in cluster.ports]
    for key, values in of_each.items():
        for host, value in zip(listed, values):
            host[key] = value
    return {"clusters": {"main": {"hosts": listed}}}


def reads_of(weir, seconds, directory, clients=8):
    """Milliseconds that each of pgbench's reads took."""
    (directory / "read.sql").write_text("SELECT 1;\n")
    for old in directory.glob("log.*"):
        old.unlink()
    done = subprocess.run([PG_BIN / "pgbench", "-n", "-f", "read.sql", "-c", str(clients), "-T",
                           str(seconds), "-l", "--log-prefix=log"], cwd=directory,
                          env=weir.environment(), capture_output=True, text=True,
                          timeout=60 * SLOW, check=False)
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr
    lines = [line for log in directory.glob("log.*") for line in log.read_text().splitlines()]
    return sorted(int(line.split()[2]) / 1000 for line in lines)


def p99(sorted_values):
    return sorted_values[len(sorted_values) * 99 // 100]


@pytest.mark.parametrize("balancing", ["least_connections", "least_latency"])
def test_a_slow_replica_does_not_slow_the_reads(start_weir, cluster, tmp_path, balancing):
    """Once it is noticed, the 99th percentile is at most twice what it is with three fast ones."""
    with Relay(cluster.ports[3]) as relay:
        ports = [*cluster.ports[:3], relay.port]
        weir = start_weir({**hosts(cluster, port=ports), "routing": {"balancing": balancing}})
        fast = []

        def all_share():  # a relay that something else keeps from its work is a slow replica, too
            cluster.forget_statements()
            fast[:] = reads_of(weir, 2, tmp_path)
            spread = cluster.calls("SELECT $1")
            print(balancing, f"p99 {p99(fast):.2f} ms of {len(fast)}", spread)
            return spread[0] < 10 and min(spread[1:]) > len(fast) * 0.05
        reads_of(weir, 1, tmp_path)  # opens the connections
        wait_until(all_share, "all three have their share", 30 * SLOW)
        relay.delay(DELAY)
        reads_of(weir, 1, tmp_path)  # notices
        cluster.forget_statements()
        slow = reads_of(weir, 3, tmp_path)
        spread = cluster.calls("SELECT $1")
        print(balancing, f"p99 {p99(slow):.2f} ms of {len(slow)}", spread)
        assert p99(slow) <= 2 * p99(fast)
        # Evenly, or as their latencies say.
        least = 0.2 if balancing == "least_connections" else 0.1
        assert min(spread[1:3]) > len(slow) * least, spread
        # It is found out when it is fast again.
        relay.delay(0)

        def shares():
            cluster.forget_statements()
            count = len(reads_of(weir, 1, tmp_path))
            return cluster.calls("SELECT $1")[3] > count * 0.05
        wait_until(shares, "it has its share again", 30 * SLOW)


def seen_by(cluster, client, count):
    return Counter(cluster.number_of(client.value(READ)) for _ in range(count))


def share_of(weir, cluster, number):
    port = str(cluster.ports[number])
    return next(float(row["share"]) for row in weir.show("HOSTS") if port in row["address"])


@pytest.mark.parametrize("balancing", ["least_connections", "round_robin"])
def test_a_replica_that_returns_starts_slowly(start_weir, cluster, balancing):
    weir = start_weir({"timeouts": {"server_retry": "100ms"},
                       "routing": {"balancing": balancing, "slow_start": "4s",
                                   "consistency": "eventual"}})
    with weir.connect() as client:
        assert min(seen_by(cluster, client, 300)[n] for n in (1, 2, 3)) > 60
        time.sleep(4)  # what comes up this early is no return
        with cluster.killed(2):
            wait_until(lambda: seen_by(cluster, client, 30)[2] == 0, "it is left", 5 * SLOW)
            time.sleep(0.5)
        returned = time.monotonic() + wait_until(
            lambda: cluster.number_of(client.value(READ)) == 2, "it serves again", 10 * SLOW, 0)
        early = seen_by(cluster, client, 300)
        assert time.monotonic() - returned < 2 * SLOW
        assert early[2] < 75, early
        assert 0.1 <= share_of(weir, cluster, 2) < 0.7 < share_of(weir, cluster, 1)
        time.sleep(4)
        late = seen_by(cluster, client, 300)
        assert late[2] > 75, late


def test_the_own_zone_comes_first_and_spills_over(start_weir, cluster):
    weir = start_weir({**hosts(cluster, zone=["b", "a", "b", "b"]),
                       "routing": {"zone": "a", "zone_active_max": 2,
                                   "consistency": "eventual"}})
    with weir.connect() as client, weir.connect() as other:
        assert seen_by(cluster, client, 50) == {1: 50}
        other.send(wire.query("SELECT pg_sleep(0.5)"))
        time.sleep(0.1)
        assert seen_by(cluster, client, 20) == {1: 20}
        with weir.connect() as third:
            third.send(wire.query("SELECT pg_sleep(0.5)"))
            time.sleep(0.1)
            assert seen_by(cluster, client, 20)[1] == 0
            third.rows()
        other.rows()
        assert seen_by(cluster, client, 20) == {1: 20}
        with cluster.killed(1):
            wait_until(lambda: set(seen_by(cluster, client, 20)) == {2, 3}, "the others serve",
                       5 * SLOW)


def test_the_own_zone_spills_over_when_its_pool_is_full(start_weir, cluster):
    weir = start_weir({**hosts(cluster, zone=["b", "a", "b", "b"]), "pool": {"size": 2},
                       "routing": {"zone": "a", "consistency": "eventual"}}, workers=1)
    clients = [weir.connect() for _ in range(4)]
    for client in clients:
        client.send(wire.query("SELECT inet_server_port() FROM pg_sleep(0.5)"))
        time.sleep(0.1)
    seen = Counter(cluster.number_of(client.rows()[0][0]) for client in clients)
    for client in clients:
        client.terminate()
    assert seen[1] == 3 and seen[0] == 0, seen  # the third one waits, the fourth goes elsewhere


def test_a_replica_behind_gets_fewer_reads(start_weir, cluster):
    """The further it is behind, up to the limit."""
    cluster.sql(0, "CREATE TABLE balancing (id serial)")
    cluster.wait_replayed()
    weir = start_weir({"routing": {"lag_max": "6s", "slow_start": "0", "balancing": "random",
                                   "consistency": "eventual"}})
    with weir.connect() as client, \
            Repeated(cluster.connect(0, database="app"), lambda writer: writer.query(
                "INSERT INTO balancing DEFAULT VALUES"), 0.01):
        before = seen_by(cluster, client, 600)[1]
        with cluster.paused(1):
            time.sleep(4)
            behind = seen_by(cluster, client, 600)[1]
    cluster.sql(0, "DROP TABLE balancing")
    assert 140 < before < 260
    assert 20 < behind < 140
