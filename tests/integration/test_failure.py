"""Hosts that die and come back."""
import contextlib
import time

import pytest

from support import BACKEND, SLOW, wire
from support.cluster import frozen, wait_catalog, wait_until
from support.load import Repeated
from support.relay import CUT_AFTER_S, Relay
from support.weir import Direct

READ = "SELECT inet_server_port()"


def test_a_dead_replica_costs_reads_nothing(start_weir, cluster):
    """Reads go on without an error while a replica dies, is away, and returns."""
    weir = start_weir({"timeouts": {"server_retry": "200ms"}})
    seen = []

    def read(client):
        seen.append(cluster.number_of(client.value(READ)))

    with Repeated(weir.connect(), read), Repeated(weir.connect(), read):
        time.sleep(0.5)
        with cluster.killed(1):
            time.sleep(1.5)
            seen.clear()
            time.sleep(0.5)
            assert set(seen) == {2}
        wait_until(lambda: 1 in seen, "the replica serves again", 10 * SLOW)


def test_both_replicas_dead(start_weir, cluster):
    weir = start_weir({"timeouts": {"server_retry": "200ms"}})
    with Repeated(weir.connect(), lambda client: client.query(READ)) as reader:
        with cluster.killed(1), cluster.killed(2):
            time.sleep(1)
            count = reader.count
            time.sleep(0.5)
            assert reader.count > count


def test_a_client_that_leaves_without_reading_frees_its_server(weir, cluster):
    """Its backend is not left waiting to send: it would hold up a replica's replay for ever."""
    client = weir.connect()
    client.send(wire.query("SELECT repeat('unread', 1000) FROM generate_series(1, 1000000)"))

    def running():
        count = ("SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND "
                 "query LIKE 'SELECT repeat(''unread''%'")
        return sum(int(cluster.value(number, count)) for number in range(3))
    wait_until(lambda: running() == 1, "the query runs", 5 * SLOW)
    time.sleep(0.5)
    client.drop()
    wait_until(lambda: running() == 0, "the query is gone", 5 * SLOW)


def test_frozen_replica(start_weir, cluster):
    """A host that accepts but never answers is found out by its silence. No read fails or hangs."""
    weir = start_weir({"clusters": {"main": {"monitor": {"timeout": "500ms"}}}})
    readers = [Repeated(weir.connect(), lambda client: client.query(READ)) for _ in range(4)]
    with weir.connect() as client, contextlib.ExitStack() as stack:
        for reader in readers:
            stack.enter_context(reader)
        time.sleep(0.2)
        with frozen(cluster, 1):
            wait_until(lambda: any(row["state"] not in ("up", "ok") for row in weir.show("HOSTS")),
                       "the host is called down", 10 * SLOW, every=0.1)
            with weir.connect() as other:
                assert {cluster.number_of(other.value(READ)) for _ in range(10)} == {2}
            counts = [reader.count for reader in readers]
            wait_until(lambda: all(reader.count > count + 10 for reader, count
                                   in zip(readers, counts)), "no read is stuck", 2 * SLOW)
        assert client.status == "I"


def test_waiting_for_a_frozen_replica(start_weir, cluster):
    """Who waits for a connection to a host that lets nobody log in goes elsewhere."""
    weir = start_weir({"clusters": {"main": {"monitor": {"timeout": "500ms"}}}})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.connect()) for _ in range(6)]
        with frozen(cluster, 1):
            for client in clients:
                client.send(wire.query(READ))
            for client in clients:
                client.socket.settimeout(4 * SLOW)
                assert [m.type for m in client.read_until_ready()] == list("TDCZ")


def test_reads_go_on_without_the_primary(start_weir, cluster):
    weir = start_weir({"timeouts": {"server_retry": "200ms"}})
    with weir.connect() as client:
        client.query(READ)
        with cluster.killed(0):
            for _ in range(20):
                assert cluster.number_of(client.value(READ)) in (1, 2)
                time.sleep(0.05)


def test_writes_wait_for_the_primary(start_weir, cluster, table):
    """A restart of the primary delays a write that had not begun; it does not fail it."""
    weir = start_weir({"timeouts": {"server_retry": "200ms", "query_wait": "30s"}})
    with weir.connect() as client:
        client.socket.settimeout(40)
        client.query("SELECT 1")
        with cluster.killed(0):
            time.sleep(1)
            client.send(wire.query(f"INSERT INTO {table} VALUES (1)"))
            time.sleep(0.5)
        assert client.rows() == []
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "1"


def test_no_more_writes_wait_for_the_primary_than_may(start_weir, cluster, table):
    """limits.held: the next gets an error at once, and its session lives on."""
    weir = start_weir({"timeouts": {"server_retry": "200ms", "query_wait": "30s"},
                       "limits": {"held": 2}})
    with contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(weir.connect()) for _ in range(3))
        for client in (first, second, third):
            client.socket.settimeout(40)
            client.query("SELECT 1")
        for _ in range(2):  # who has waited counts no more
            with cluster.killed(0):
                wait_until(lambda: weir.show("HOSTS")[0]["state"] == "down", "it is down", 5 * SLOW)
                for client in (first, second):
                    client.send(wire.query(f"DELETE FROM {table}"))
                time.sleep(0.3)
                with pytest.raises(wire.ServerError) as failed:
                    third.query(f"DELETE FROM {table}")
                assert failed.value.code == "53300" and "limits.held" in failed.value.fields["H"]
                assert third.value("SELECT 1") == "1"
            assert first.rows() == second.rows() == []
            third.query(f"DELETE FROM {table}")


def test_a_reload_that_changes_a_cluster_knows_its_primary(start_weir, table):
    """Nothing is forgotten of the hosts that stay: reads go to replicas all the while."""
    weir = start_weir({"clusters": {"main": {"monitor": {"interval": "1s", "timeout": "2s"}}}})
    wait_until(lambda: [row["reads"] for row in weir.show("HOSTS")].count("1") == 2, "replicas")
    for lag_max in ("3s", "4s", "5s"):
        weir.write_config({"clusters": {"main": {"routing": {"lag_max": lag_max}}}})
        with weir.console() as console:
            console.query("RELOAD")
            hosts = [row["why"] for row in weir.show("HOSTS")]
        assert hosts == ["", "", ""], hosts


def test_primary_dies_inside_a_transaction(start_weir, cluster, table):
    """The client is told, keeps its session, and may begin again."""
    weir = start_weir({"timeouts": {"server_retry": "200ms", "query_wait": "30s"}})
    with weir.connect() as client:
        client.socket.settimeout(40)
        client.query("BEGIN")
        client.query(f"INSERT INTO {table} VALUES (1)")
        with cluster.killed(0):
            with pytest.raises(wire.ServerError) as failed:
                client.query(f"INSERT INTO {table} VALUES (2)")
            assert failed.value.code == "40001" and client.status == "E"
        client.query("ROLLBACK")
        client.query(f"INSERT INTO {table} VALUES (3)")
    assert cluster.sql(0, f"SELECT id FROM {table}") == [["3"]]


def test_backend_terminated_by_an_administrator(target, cluster):
    """Its client is told, by PostgreSQL for the last time; a new one finds a new connection."""
    with target.connect() as client:
        client.query("BEGIN")
        pid = client.value(BACKEND)
        cluster.sql(0, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises((wire.ServerError, wire.Closed)) as failed:
            client.query("SELECT 1")
        if isinstance(failed.value, wire.ServerError):
            assert failed.value.code == ("57P01" if isinstance(target, Direct) else "40001")
    with target.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_idle_server_connections_that_died_are_not_used(weir, cluster):
    """All of them are ended behind the proxy's back; no client may notice."""
    with weir.connect() as client:
        for _ in range(5):
            client.query("/* weir: primary */ SELECT 1")
            client.query(READ)
            for number in range(3):
                cluster.sql(number, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                    "WHERE usename = 'app' AND datname = 'app' AND state = 'idle'")
            time.sleep(0.1)
            assert client.value("/* weir: primary */ SELECT 1") == "1"
            assert client.value("SELECT 2") == "2"


def test_a_connection_that_breaks_between_requests(start_weir, cluster):
    """Weir asks a replica now and then how far it is, behind an answer. What becomes of that
    question is nothing to the session."""
    with Relay(cluster.ports[1], cut_at=b"SELECT pg_catalog.pg_last_wal_replay_lsn()\0") as relay:
        hosts = [f"127.0.0.1:{port}" for port in (cluster.ports[0], relay.port)]
        monitor = {"interval": "1s", "timeout": "2s"}  # so seldom that Weir must ask
        weir = start_weir({"clusters": {"main": {"hosts": hosts, "monitor": monitor}}})
        with weir.connect() as session:
            used = {session.value("SELECT inet_client_port() /* weir: replica */")}
            for _ in range(100):
                assert session.value("SELECT 1") == "1"
                time.sleep(4 * CUT_AFTER_S)  # nothing is in flight when the connection breaks
            used.add(session.value("SELECT inet_client_port() /* weir: replica */"))
        assert len(used) == 2, "no connection was cut"


def test_a_commit_whose_position_is_lost(start_weir, cluster, table):
    """It has happened: its client, who asked to be told how far it is, is not told, and goes on."""
    asked = b"SELECT pg_catalog.pg_current_wal_insert_lsn()\0"
    with Relay(cluster.ports[0], cut_at=asked) as relay:
        weir = start_weir({"clusters": {"main": {"hosts": [f"127.0.0.1:{relay.port}"]}}})
        with weir.connect() as session:
            wait_catalog(session)  # else it is lost, too, what the INSERT may have left behind
            session.query("SET weir.report_lsn = on")
            session.query(f"INSERT INTO {table} VALUES (1)")
            assert session.parameters["weir.lsn"] == ""
            assert session.value(f"SELECT count(*) FROM {table}") == "1"
