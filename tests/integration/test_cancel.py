"""Cancel requests: they stop the right query, and never another's."""
import os
import struct
import threading
import time

import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.wire import Wire, cancel, query


def cancel_soon(target, client, after=0.3):
    timer = threading.Timer(after, cancel, (target.host, target.port, client.pid, client.secret))
    timer.start()
    return timer


def expect_cancelled(client, sql):
    begun = time.monotonic()
    with pytest.raises(wire.ServerError) as failed:
        client.query(sql)
    assert failed.value.code == "57014"
    assert time.monotonic() - begun < 5 * SLOW


@pytest.mark.parametrize("hint", ["primary", "replica"])
def test_cancel_stops_a_running_query(target, hint):
    with target.connect() as client:
        timer = cancel_soon(target, client)
        expect_cancelled(client, f"/* weir: {hint} */ SELECT pg_sleep(30)")
        timer.join()
        assert client.value("SELECT 1") == "1"


def test_cancel_in_a_transaction(target):
    with target.connect() as client:
        client.query("BEGIN")
        timer = cancel_soon(target, client)
        expect_cancelled(client, "SELECT pg_sleep(30)")
        timer.join()
        assert client.status == "E"
        client.query("ROLLBACK")


def test_cancel_a_copy(target, table):
    with target.connect() as client:
        client.send(query("COPY (SELECT pg_sleep(0.01) FROM generate_series(1, 3000)) TO STDOUT"))
        timer = cancel_soon(target, client)
        errors = [got.fields()["C"] for got in client.read_until_ready() if got.type == "E"]
        timer.join()
        assert errors == ["57014"]


def test_wrong_secret_cancels_nothing(target):
    with target.connect() as client:
        for secret in (b"\0\0\0\0", os.urandom(4), os.urandom(32), client.secret + b"x"):
            timer = threading.Timer(0.05, cancel, (target.host, target.port, client.pid, secret))
            timer.start()
            client.query("SELECT pg_sleep(0.2)")
            timer.join()


def test_cancel_of_an_idle_client_does_nothing(target):
    with target.connect() as client:
        cancel(target.host, target.port, client.pid, client.secret)
        time.sleep(0.1)
        assert client.value("SELECT 1") == "1"


def test_cancel_after_the_client_left(target):
    client = target.connect()
    client.terminate()
    cancel(target.host, target.port, client.pid, client.secret)
    with target.connect() as other:
        other.query("SELECT pg_sleep(0.2)")


def test_cancel_never_hits_the_next_user_of_the_connection(start_weir):
    """One server connection, two clients: one cancels without end, the other must never feel it."""
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False}})
    noisy, victim = weir.connect(), weir.connect()
    stop = threading.Event()

    def cancel_without_end():
        while not stop.is_set():
            cancel(weir.host, weir.port, noisy.pid, noisy.secret)

    def query_without_end():
        while not stop.is_set():
            noisy.send(query("SELECT pg_sleep(0.002)"))
            for got in noisy.read_until_ready():
                assert got.type != "E" or got.fields()["C"] == "57014", got

    threads = [threading.Thread(target=work) for work in
               (cancel_without_end, cancel_without_end, query_without_end)]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + 60 * SLOW  # each cancel makes PostgreSQL start a process
        for _ in range(100):
            victim.query("SELECT pg_sleep(0.003)")
            assert time.monotonic() < until
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_cancel_while_waiting_for_a_connection(start_weir):
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False}})
    with weir.connect() as holder, weir.connect() as waiting:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        timer = cancel_soon(weir, waiting)
        expect_cancelled(waiting, "SELECT 1")
        timer.join()
        holder.query("COMMIT")
        assert waiting.value("SELECT 2") == "2"


def test_long_keys_of_protocol_3_2(weir):
    client = Wire(weir.host, weir.port)
    client.startup("app", "app", version=wire.PROTOCOL_3_2)
    client.authenticate("app", "app")
    assert len(client.secret) > 4
    timer = cancel_soon(weir, client)
    expect_cancelled(client, "SELECT pg_sleep(30)")
    timer.join()
    # The first four bytes of a long key open nothing.
    timer = threading.Timer(0.05, cancel, (weir.host, weir.port, client.pid, client.secret[:4]))
    timer.start()
    client.query("SELECT pg_sleep(0.2)")
    timer.join()
    client.terminate()


def test_keys_differ(target):
    clients = [target.connect() for _ in range(20)]
    assert len({(client.pid, client.secret) for client in clients}) == 20
    for client in clients:
        client.terminate()


def test_malformed_cancel_requests(target):
    for body in (b"", b"\0", struct.pack("!I", 1), struct.pack("!II", 1, 2) + b"x" * 5000):
        with Wire(target.host, target.port) as client:
            head = struct.pack("!iI", len(body) + 8, wire.CANCEL_REQUEST)
            client.send(head + body)
            client.expect_closed()
    with target.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_psycopg_cancel(target):
    import psycopg
    with target.psycopg() as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(30)")
        timer.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_cancelled_query_ends_on_the_server(target, cluster):
    with target.connect() as client:
        timer = cancel_soon(target, client)
        expect_cancelled(client, "/* weir: primary */ SELECT pg_sleep(31)")
        timer.join()
    wait_until(lambda: cluster.value(0, "SELECT count(*) FROM pg_stat_activity WHERE "
                                        "state = 'active' AND query LIKE '%pg_sleep(31)%' AND "
                                        "pid <> pg_backend_pid()") == "0", "no query left")
