"""PAUSE HOST and RESUME HOST: no new requests on a host, until an operator says otherwise."""
import threading

import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.orders import faults, host, name, order, refused

READ = "SELECT inet_server_port()"
AT_ONCE = {"routing": {"slow_start": "0"}}


def wait_replicas(weir, count=2):
    wait_until(lambda: [row["reads"] for row in weir.show("HOSTS")].count("1") == count,
               lambda: f"{count} replicas: {weir.show('HOSTS')}", 10 * SLOW)


def in_background(work):
    """Its thread, and where its result will be."""
    result = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    return thread, result


def test_a_paused_replica(start_weir, cluster):
    weir = start_weir(AT_ONCE)
    wait_replicas(weir)
    one = name(cluster, 1)
    with weir.connect() as client:
        client.socket.settimeout(60 * SLOW)
        client.query("BEGIN READ ONLY")
        where = cluster.number_of(client.value(READ))
        paused = name(cluster, where)
        thread, notes = in_background(lambda: order(weir, f"PAUSE HOST {paused}"))
        wait_until(lambda: host(weir, cluster, where)["paused"] == "1", "it is paused", 5 * SLOW)
        # What has begun there goes on there, and what begins goes elsewhere.
        for _ in range(10):
            with weir.connect() as other:
                assert cluster.number_of(other.value(READ)) == 3 - where
        assert cluster.number_of(client.value(READ)) == where
        assert thread.is_alive() and not notes
        client.query("COMMIT")
        thread.join(10 * SLOW)
        assert notes == [["until RESUME HOST, or a restart"]]
    row = host(weir, cluster, where)
    assert (row["state"], row["reads"], row["active"], row["why"]) == \
        ("up", "0", "0", "paused by admin")
    assert refused(weir, f"PAUSE HOST {paused}") == ("55000", "already paused")
    order(weir, "RELOAD")
    assert host(weir, cluster, where)["paused"] == "1"
    assert order(weir, f"RESUME HOST {paused} main") == []
    assert order(weir, f"RESUME HOST {paused}") == ["it was not paused"]
    wait_replicas(weir)
    assert refused(weir, f"PAUSE HOST {one}", "watcher")[0] == "42501"
    assert refused(weir, "PAUSE HOST nonesuch")[1] == "no such host: nonesuch"
    told = [row["what"].split(" by ")[0] for row in faults(weir, "order")]
    assert told[0] == f"PAUSE HOST main/{paused}" and f"RESUME HOST main/{paused}" in told


def test_writes_wait_for_a_paused_primary(start_weir, cluster, table):
    weir = start_weir(AT_ONCE)
    wait_replicas(weir)
    primary = name(cluster, 0)
    with weir.connect() as before, weir.connect() as writer, weir.connect() as reader:
        for client in (before, writer, reader):
            client.socket.settimeout(60 * SLOW)
        before.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
        thread, notes = in_background(lambda: order(weir, f"PAUSE HOST {primary}"))
        wait_until(lambda: host(weir, cluster, 0)["paused"] == "1", "it is paused", 5 * SLOW)
        writer.send(wire.query(f"INSERT INTO {table} VALUES (2)"))
        wait_until(lambda: [row for row in weir.show("WAITS") if row["waits_for"] == "RESUME HOST"],
                   "a write waits", 5 * SLOW)
        assert cluster.number_of(reader.value(READ)) != 0
        # The transaction that had begun is not in the way of its own end.
        before.query(f"INSERT INTO {table} VALUES (3)")
        before.query("COMMIT")
        thread.join(10 * SLOW)
        assert notes == [["until RESUME HOST, or a restart; it is the primary: writes wait"]]
        assert cluster.value(0, f"SELECT array_agg(id ORDER BY id) FROM {table}") == "{1,3}"
        assert order(weir, f"RESUME HOST {primary}") == []
        assert writer.rows() == []
    assert cluster.value(0, f"SELECT array_agg(id ORDER BY id) FROM {table}") == "{1,2,3}"


def test_what_waits_in_line_leaves_and_its_time_runs(start_weir, cluster):
    weir = start_weir({"pool": {"size": 1}, "timeouts": {"query_wait": "2s"},
                       "routing": {"split_reads": False}})
    with weir.connect() as holder, weir.connect() as waiter:
        for client in (holder, waiter):
            client.socket.settimeout(60 * SLOW)
        holder.query("BEGIN; SELECT 1")
        waiter.send(wire.query("SELECT 2"))
        wait_until(lambda: len(weir.show("WAITS")) == 1, "one waits", 5 * SLOW)
        thread, _ = in_background(lambda: order(weir, f"PAUSE HOST {name(cluster, 0)}"))
        wait_until(lambda: [row["waits_for"] for row in weir.show("WAITS")] == ["RESUME HOST"],
                   "it has left the line", 5 * SLOW)
        holder.query("COMMIT")
        thread.join(10 * SLOW)
        assert not thread.is_alive()
        with pytest.raises(wire.ServerError) as failed:
            waiter.rows()
        assert failed.value.code == "57P03" and "paused by admin" in failed.value.fields["D"]
        # RESUME ends a PAUSE that still waits.
        order(weir, f"RESUME HOST {name(cluster, 0)}")
        holder.query("BEGIN; SELECT 1")
        thread, errors = in_background(
            lambda: refused(weir, f"PAUSE HOST {name(cluster, 0)}"))
        wait_until(lambda: host(weir, cluster, 0)["paused"] == "1", "it is paused", 5 * SLOW)
        order(weir, f"RESUME HOST {name(cluster, 0)}")
        thread.join(10 * SLOW)
        assert errors[0][1] == "resumed before it was paused"
        holder.query("COMMIT")
