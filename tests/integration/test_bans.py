"""Hosts that an operator wants no reads on, or more of them, until he says otherwise."""
import contextlib
import datetime
import time

import psycopg
import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.loss import pid_of
from support.orders import faults, host, name, order, refused

READ = "SELECT inet_server_port()"
AT_ONCE = {"routing": {"slow_start": "0"}}


def wait_replicas(weir, count=2):
    wait_until(lambda: [row["reads"] for row in weir.show("HOSTS")].count("1") == count,
               lambda: f"{count} replicas: {weir.show('HOSTS')}", 10 * SLOW)


def readers(weir, cluster, count=40):
    """Which hosts serve the reads of new sessions, and how many each."""
    counts = [0] * len(cluster.ports)
    for _ in range(count):
        with weir.connect() as client:
            counts[cluster.number_of(client.value(READ))] += 1
    return counts


def test_a_banned_replica_takes_no_new_reads(start_weir, cluster):
    weir = start_weir(AT_ONCE)
    wait_replicas(weir)
    assert all(readers(weir, cluster)[1:])
    with contextlib.ExitStack() as stack:
        running = []

        def reads_there():
            """One more read begins; whether one runs on the replica."""
            client = stack.enter_context(weir.connect())
            client.socket.settimeout(60 * SLOW)
            client.send(wire.query(f"{READ} FROM pg_sleep(6)"))
            running.append(client)
            return cluster.value(1, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                                    f"'{READ} FROM%' AND state = 'active'") != "0"
        wait_until(reads_there, "a read is there", 5 * SLOW, every=0.2)
        assert order(weir, f"BAN {name(cluster, 1)}") == ["until UNBAN, or a restart"]
        assert readers(weir, cluster, 20) == [0, 0, 20]
        # What ran there goes on.
        ports = {client.rows()[0][0] for client in running}
        assert str(cluster.ports[1]) in ports
    row = host(weir, cluster, 1)
    assert (row["state"], row["reads"], row["banned"], row["banned_until"], row["why"]) == \
        ("up", "0", "1", None, "banned by admin")
    assert host(weir, cluster, 2)["banned"] == "0"
    for lag_max in ("3s", "3s"):  # a reload changes nothing
        weir.write_config({"clusters": {"main": {"routing": {"lag_max": lag_max}}}})
        order(weir, "RELOAD")
        assert readers(weir, cluster, 10) == [0, 0, 10]
    assert order(weir, f"UNBAN {name(cluster, 1)} main") == []
    assert all(readers(weir, cluster)[1:])
    assert order(weir, f"UNBAN {name(cluster, 1)}") == ["it was not banned"]
    told = [(row["subject"], row["what"].split(" by ")[0]) for row in faults(weir, "order")]
    subject = f"main/{name(cluster, 1)}"
    assert told == [(subject, f"{what} {subject}") for what in ("BAN", "UNBAN", "UNBAN")]
    for text in (f"BAN {name(cluster, 1)}", f"UNBAN {name(cluster, 1)}"):
        assert refused(weir, text, "watcher")[0] == "42501"


def test_a_ban_ends_by_itself(start_weir, cluster):
    weir = start_weir(AT_ONCE)
    wait_replicas(weir)
    began = time.monotonic()
    assert order(weir, f"BAN {name(cluster, 2)} 2") == ["for 2 s"]
    row = host(weir, cluster, 2)
    assert row["reads"] == "0" and row["banned_until"] is not None
    with psycopg.connect(weir.conninfo(user="admin", database="weir"), autocommit=True) as sql:
        ((until,),) = sql.execute("SELECT banned_until FROM hosts WHERE banned").fetchall()
    left = (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    assert 2 - (time.monotonic() - began) - 0.1 < left <= 2
    assert readers(weir, cluster, 10) == [0, 10, 0]
    wait_replicas(weir)
    assert 1.9 < time.monotonic() - began < 2.0 + 3 * SLOW
    assert all(readers(weir, cluster)[1:])
    assert any("banned no more" in row["what"] for row in faults(weir, "host"))
    assert refused(weir, f"BAN {name(cluster, 2)} 0")[0] == "22023"


@pytest.mark.parametrize("no_replica", ["primary", "error"])
def test_all_replicas_banned(start_weir, cluster, no_replica):
    """As if none were there."""
    weir = start_weir({"routing": {"slow_start": "0", "no_replica": no_replica}})
    wait_replicas(weir)
    order(weir, f"BAN {name(cluster, 1)}")
    (note,) = order(weir, f"BAN {name(cluster, 2)}")
    assert "no replica of main serves reads now" in note
    if no_replica == "primary":
        assert readers(weir, cluster, 10) == [10, 0, 0]
    else:
        with weir.connect() as client, pytest.raises(wire.ServerError) as failed:
            client.query(READ)
        assert failed.value.code == "57P03" and "no replica is fit" in failed.value.message
    order(weir, f"UNBAN {name(cluster, 1)}")
    assert readers(weir, cluster, 10) == [0, 10, 0]


def test_what_waits_for_a_banned_replica_goes_elsewhere(start_weir, cluster):
    weir = start_weir({"routing": {"slow_start": "0"}, "pool": {"size": 1}}, workers=1)
    wait_replicas(weir)
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(weir.connect()) for _ in range(2)]
        for client in busy:
            client.socket.settimeout(60 * SLOW)
            client.send(wire.query("SELECT 'busy' FROM pg_sleep(4)"))
        for number in (1, 2):
            pid_of(cluster, "SELECT ''busy''", number)
        waiter = stack.enter_context(weir.connect())
        waiter.send(wire.query(READ))
        wait_until(lambda: len(weir.show("WAITS")) == 1, "it waits", 5 * SLOW)
        began = time.monotonic()
        for number in (1, 2):
            order(weir, f"BAN {name(cluster, number)}")
        assert waiter.rows() == [[str(cluster.ports[0])]]
        assert time.monotonic() - began < 2 * SLOW
        for client in busy:
            assert client.rows() == [["busy"]]


def test_a_banned_primary_stays_the_primary(start_weir, cluster, table):
    """Writes go on there, and what is sent there by name. It does not stand in for replicas."""
    weir = start_weir(AT_ONCE)
    wait_replicas(weir)
    (note,) = order(weir, f"BAN {name(cluster, 0)}")
    assert "it stays the primary" in note
    row = host(weir, cluster, 0)
    assert (row["state"], row["role"], row["why"]) == ("up", "primary", "banned by admin")
    with weir.connect() as client:
        client.socket.settimeout(60 * SLOW)
        client.query(f"INSERT INTO {table} VALUES (1)")
        # The session's own write is there already, or is waited for: not read on the primary.
        for number in range(2, 20):
            client.query(f"INSERT INTO {table} VALUES ({number})")
            (seen, port), = client.query(f"SELECT count(*), inet_server_port() FROM {table}")
            assert seen == str(number) and int(port) != cluster.ports[0]
        assert client.value(f"/* weir: primary */ {READ}") == str(cluster.ports[0])
        for number in (1, 2):
            order(weir, f"BAN {name(cluster, number)}")
        client.query(f"INSERT INTO {table} VALUES (20)")
        client.send(wire.query(f"SELECT count(*), inet_server_port() FROM {table}"))
        wait_until(lambda: weir.show("WAITS"), "the read waits", 5 * SLOW)
        with weir.connect() as other:
            other.query(f"INSERT INTO {table} VALUES (21)")
        cluster.wait_replayed()  # nothing else makes the client's read wait for it
        order(weir, f"UNBAN {name(cluster, 2)}")
        assert client.rows() == [["21", str(cluster.ports[2])]]
    # Nobody else became the primary meanwhile.
    assert [row["what"] for row in faults(weir, "primary")] == [f"{name(cluster, 0)}, was none"]


def test_weights(start_weir, cluster):
    weir = start_weir({"routing": {"slow_start": "0", "balancing": "random"}})
    wait_replicas(weir)
    assert [row["weight"] for row in weir.show("HOSTS")] == ["1"] * 3

    def share(number, count=200):
        return readers(weir, cluster, count)[number] / count
    # 200 reads: the deviation of a share of 0.9 is 0.021, of 0.5 it is 0.035.
    notes = order(weir, f"WEIGHT {name(cluster, 2)} 9")
    assert notes == ["until the next RELOAD, or a restart"]
    assert host(weir, cluster, 2)["weight"] == "9"
    assert 0.8 < share(2) < 0.98
    assert order(weir, f"WEIGHT {name(cluster, 2)} main DEFAULT") == []
    assert 0.34 < share(2) < 0.66
    order(weir, f"WEIGHT {name(cluster, 1)} 0.1")
    for setting in ("pool.size = 19", "routing.lag_max = 3s"):  # the second is the cluster's
        order(weir, f"SET {setting}")
        assert host(weir, cluster, 1)["weight"] == "0.1"
    wait_replicas(weir)
    assert 0.8 < share(2) < 0.98
    order(weir, "RELOAD")
    assert [row["weight"] for row in weir.show("HOSTS")] == ["1"] * 3
    assert 0.34 < share(2) < 0.66
    for weight in ("0", "-1", "1000.5"):
        assert refused(weir, f"WEIGHT {name(cluster, 1)} {weight}")[0] == "22023"
    assert refused(weir, f"WEIGHT {name(cluster, 1)} 2", "watcher")[0] == "42501"
    whats = [row["what"].split(" by ")[0] for row in faults(weir, "order")]
    assert whats[:2] == [f"WEIGHT main/{name(cluster, 2)} 9",
                         f"WEIGHT main/{name(cluster, 2)} DEFAULT"]


def test_a_host_of_several_clusters(start_weir, cluster):
    """Its cluster must be named."""
    both = {"hosts": [name(cluster, number) for number in range(3)],
            "monitor": {"user": "app", "password": "app", "database": "postgres"}}
    weir = start_weir({"clusters": {"second": both},
                       "databases": {"else": {"cluster": "second", "dbname": "app"}}})
    code, why = refused(weir, f"BAN {name(cluster, 1)}")
    assert code == "22023" and "main, second" in why
    assert refused(weir, "CHOOSE PRIMARY AUTO")[0] == "22023"
    order(weir, f"BAN {name(cluster, 1)} second")
    assert [(row["cluster"], row["banned"]) for row in weir.show("HOSTS")
            if row["host"] == name(cluster, 1)] == [("main", "0"), ("second", "1")]
    # Known by its address as well as by its name.
    weir.write_config({"clusters": {"second": {"hosts": [
        {"host": "127.0.0.1", "port": port, "name": f"db{number}"}
        for number, port in enumerate(cluster.ports)]}}})
    order(weir, "RELOAD")
    order(weir, f"UNBAN {name(cluster, 1)} second")
    order(weir, "BAN db2 60")
    assert [row["host"] for row in weir.show("HOSTS") if row["banned"] == "1"] == ["db2"]
