"""Weirs behind one load balancer: a cancel request finds the one whose session it is about."""
import os
import socket
import struct
import time
import urllib.request

import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.wire import Wire, cancel

RUNNING = ("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{}%' "
           "AND pid <> pg_backend_pid()")


def counter(weir, name):
    url = f"http://127.0.0.1:{weir.http_port}/metrics"
    text = urllib.request.urlopen(url, timeout=10 * SLOW).read().decode()
    return int(next(line for line in text.splitlines() if line.startswith(f"weir_{name}_total "))
               .split()[1])


def address(weir):
    return {"host": "127.0.0.1", "port": weir.port}


def give_peers(weir, peers):
    weir.config.pop("peers", None)
    weir.write_config({"peers": {str(number): where for number, where in peers.items()}})
    with weir.console() as console:
        console.query("RELOAD")


@pytest.fixture
def pair(start_weir):
    """Weir 1 and Weir 2, each of which knows both."""
    one, two = start_weir({"peer_id": 1}), start_weir({"peer_id": 2})
    for weir in (one, two):
        give_peers(weir, {1: address(one), 2: address(two)})
    return one, two


def login(weir, version):
    client = Wire(weir.host, weir.port)
    client.startup("app", "app", version=version)
    client.authenticate("app", "app")
    client.socket.settimeout(30 * SLOW)
    return client


def peer_of(pid):
    return pid >> 24 & 127


@pytest.mark.parametrize("version", [wire.PROTOCOL_3_0, wire.PROTOCOL_3_2])
def test_a_cancel_that_came_to_the_other_one(pair, cluster, version):
    one, two = pair
    with login(one, version) as mine, login(two, version) as other:
        assert (peer_of(mine.pid), peer_of(other.pid)) == (1, 2)
        assert len(mine.secret) == (4 if version == wire.PROTOCOL_3_0 else 32)
        for client in (mine, other):
            seconds = 20 + peer_of(client.pid)
            client.send(wire.query(f"/* weir: primary */ SELECT pg_sleep({seconds})"))
        wait_until(lambda: cluster.value(0, RUNNING.format("pg_sleep(2_)")) == "2", "both run",
                   10 * SLOW)
        # A wrong key of the right session, and the right key with another Weir's number.
        cancel(two.host, two.port, mine.pid, os.urandom(len(mine.secret)))
        cancel(two.host, two.port, mine.pid ^ 3 << 24, mine.secret)
        cancel(two.host, two.port, mine.pid, mine.secret)
        with pytest.raises(wire.ServerError) as failed:
            mine.rows()
        assert failed.value.code == "57014"
        # The other one's query has felt nothing of it.
        assert cluster.value(0, RUNNING.format("pg_sleep(22)")) == "1"
        cancel(one.host, one.port, other.pid, other.secret)
        with pytest.raises(wire.ServerError) as failed:
            other.rows()
        assert failed.value.code == "57014"
        for client in (mine, other):
            assert client.value("SELECT 1") == "1"
    assert (counter(two, "cancels_passed_on"), counter(one, "cancels_passed_on")) == (2, 1)
    assert counter(one, "cancels_lost") == counter(two, "cancels_lost") == 0


def test_what_the_console_says(pair):
    one, two = pair
    assert one.show("PEERS") == [
        {"peer_id": str(number), "host": "127.0.0.1", "port": str(weir.port), "pool_size": "0"}
        for number, weir in enumerate(pair, 1)]
    assert [row["peer_id"] for row in two.show("PEER_POOLS")] == ["1", "2"]
    assert {row["list"]: row["items"] for row in one.show("LISTS")}["peers"] == "2"
    with one.console() as console:
        with pytest.raises(wire.ServerError) as failed:
            console.query("SET peer_id = 5")
        assert failed.value.code == "55P02"  # only a restart changes it


def test_nothing_goes_in_a_circle(pair):
    """Each says that the other one is peer 3: what is passed on once is passed on no more."""
    one, two = pair
    give_peers(one, {3: address(two)})
    give_peers(two, {3: address(one)})
    cancel(one.host, one.port, 3 << 24 | 5, b"\1\2\3\4")
    wait_until(lambda: "was passed on to this one" in two.log(), "it came to an end", 5 * SLOW)
    # Nor is what says of itself that it was passed on.
    cancel(two.host, two.port, 1 << 31 | 3 << 24 | 5, b"\1\2\3\4")
    assert (counter(one, "cancels_passed_on"), counter(two, "cancels_passed_on")) == (1, 0)
    assert [counter(weir, "cancels") for weir in pair] == [1, 2]


def test_a_peer_that_is_gone(pair):
    one, two = pair
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        give_peers(one, {2: {"host": "127.0.0.1", "port": closed.getsockname()[1]}})
        began = time.monotonic()
        cancel(one.host, one.port, 2 << 24 | 5, b"\1\2\3\4")
        assert time.monotonic() - began < 5 * SLOW
    assert counter(one, "cancels_lost") == 1
    assert "peer 2: a cancel request could not be passed on: Connection refused" in one.log()
    # A name that does not exist, and a number that is nobody's.
    give_peers(one, {2: {"host": "nonesuch.invalid"}})
    cancel(one.host, one.port, 2 << 24 | 5, b"\1\2\3\4")
    cancel(one.host, one.port, 99 << 24 | 5, b"\1\2\3\4")
    assert counter(one, "cancels_lost") == 2


def test_a_peer_that_says_nothing(start_weir):
    """Who asks a lot gets no more than the bound, and everybody else is served."""
    weir = start_weir({"peer_id": 1}, workers=1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(300)
        give_peers(weir, {2: {"host": "127.0.0.1", "port": silent.getsockname()[1]}})
        body = struct.pack("!iII", 16, wire.CANCEL_REQUEST, 2 << 24 | 5) + b"\1\2\3\4"
        askers = []
        for _ in range(130):
            askers.append(Wire(weir.host, weir.port))
            askers[-1].send(body)
        try:
            wait_until(lambda: counter(weir, "cancels") == 130, "all have come", 10 * SLOW)
            assert counter(weir, "cancels_passed_on") == 100
            assert weir.show("PEER_POOLS")[0]["sv_active_cancel"] == "100"
            with weir.connect() as client:
                assert client.value("SELECT 1") == "1"
        finally:
            for asker in askers:
                asker.drop()
    wait_until(lambda: weir.show("PEER_POOLS")[0]["sv_active_cancel"] == "0", "they end",
               15 * SLOW, every=0.1)



def test_over_tls(start_weir, cluster):
    tls = cluster.dir / "tls"
    offers = {"tls": {"client": {"mode": "allow", "cert_file": str(tls / "server.crt"),
                                 "key_file": str(tls / "server.key")}}}
    one, two = start_weir({"peer_id": 1, **offers}), start_weir({"peer_id": 2})
    encrypted = {"tls": {"mode": "verify-ca", "ca_file": str(tls / "ca.crt")}}
    give_peers(two, {1: {**address(one), **encrypted}})

    def passes_on(asked, number, client):
        client.send(wire.query("/* weir: primary */ SELECT pg_sleep(23)"))
        wait_until(lambda: cluster.value(0, RUNNING.format("pg_sleep(23)")) == "1", "it runs",
                   10 * SLOW)
        cancel(asked.host, asked.port, number, client.secret)
        with pytest.raises(wire.ServerError) as failed:
            client.rows()
        return failed.value.code == "57014"
    with one.connect() as mine, two.connect() as other:
        assert passes_on(two, mine.pid, mine)
        # It has no TLS: whoever only prefers it goes on without, others do not.
        give_peers(one, {2: {**address(two), "tls": {"mode": "prefer"}}})
        assert passes_on(one, other.pid, other)
        give_peers(one, {2: {**address(two), "tls": {"mode": "require"}}})
        cancel(one.host, one.port, other.pid, other.secret)
        assert counter(one, "cancels_lost") == 1 and "it has no TLS" in one.log()
