"""More clients than servers: who waits is told, and too many are refused at once."""
import contextlib

import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.orders import faults

ONE = {"pool": {"size": 1}, "routing": {"split_reads": False}}


def held(stack, weir):
    """A client that has the only server connection, and keeps it."""
    holder = stack.enter_context(weir.connect())
    holder.query("BEGIN; SELECT 1")
    return holder


def idle(stack, weir, user="app"):
    """One that is logged in: the first log-in of each worker needs a server, too."""
    client = stack.enter_context(weir.connect(user))
    client.socket.settimeout(60 * SLOW)
    return client


def ask(client):
    client.send(wire.query("SELECT 7"))
    return client


def wait_for(weir, count):
    wait_until(lambda: len(weir.show("WAITS")) == count, lambda: f"{count}: {weir.show('WAITS')}",
               10 * SLOW)


def refusal(client):
    with pytest.raises(wire.ServerError) as failed:
        client.rows()
    return failed.value


def test_who_waits_long_is_told_once(start_weir):
    weir = start_weir({**ONE, "timeouts": {"wait_notice": "300ms", "query_wait": "60s"}})
    with contextlib.ExitStack() as stack:
        client = idle(stack, weir)
        holder = held(stack, weir)
        ask(client)
        got = client.read()  # before its answer
        assert got.type == "N"
        fields = got.fields()
        assert (fields["S"], fields["C"], fields["M"]) == \
            ("NOTICE", "00000", "the request waits for a server connection")
        assert "a server connection that comes free" in fields["D"]
        assert "60000 ms" in fields["H"]
        wait_until(lambda: int(weir.show("WAITS")[0]["waited_ms"]) > 900, "it waits on", 10 * SLOW)
        holder.query("COMMIT")
        assert client.rows() == [["7"]] and client.notices == []
        # Each request anew, and who is served at once hears nothing.
        assert client.value("SELECT 8") == "8" and client.notices == []
        holder.query("BEGIN; SELECT 1")
        client.send(wire.query("SELECT 9"))
        assert client.read().type == "N"
        holder.query("COMMIT")
        assert client.rows() == [["9"]]


def test_nobody_is_told_if_that_is_off(start_weir):
    weir = start_weir({**ONE, "timeouts": {"wait_notice": "0"}})
    with contextlib.ExitStack() as stack:
        client = idle(stack, weir)
        holder = held(stack, weir)
        ask(client)
        wait_until(lambda: [row for row in weir.show("WAITS") if int(row["waited_ms"]) > 500],
                   "it waits", 10 * SLOW)
        holder.query("COMMIT")
        assert client.rows() == [["7"]] and client.notices == []


def test_a_pool_has_a_line_of_its_own(start_weir):
    weir = start_weir({**ONE, "pool": {"size": 1, "waiting": 2}})
    with contextlib.ExitStack() as stack:
        clients = [idle(stack, weir) for _ in range(3)]
        other = idle(stack, weir, "md5")
        holder = held(stack, weir)
        for client in clients[:2]:
            ask(client)
        wait_for(weir, 2)
        failed = refusal(ask(clients[2]))
        assert failed.code == "53300" and failed.fields["S"] == "ERROR"
        assert "pool.waiting" in failed.fields["D"] and "try again later" in failed.fields["H"]
        # Other users have pools of their own, and who was refused goes on.
        assert other.value("SELECT 1") == "1"
        assert len(weir.show("WAITS")) == 2
        (fault,) = faults(weir, "overload")
        assert fault["subject"] == "app/app"
        holder.query("COMMIT")
        for client in clients[:2]:
            assert client.rows() == [["7"]]
        assert clients[2].value("SELECT 7") == "7"
        assert len(weir.show("WAITS")) == 0


def test_all_pools_together(start_weir):
    weir = start_weir({**ONE, "limits": {"waiting": 3}})
    with contextlib.ExitStack() as stack:
        users = ("app", "md5")
        clients = {user: [idle(stack, weir, user) for _ in range(3)] for user in users}
        holders = [stack.enter_context(weir.connect(user)) for user in users]
        for holder in holders:
            holder.query("BEGIN; SELECT 1")
        asking = clients["app"][:2] + clients["md5"][:1]
        for client in asking:
            ask(client)
        wait_for(weir, 3)
        for user in users:
            failed = refusal(ask(clients[user][2]))
            assert failed.code == "53300" and "limits.waiting" in failed.fields["D"]
        # One that leaves makes room for another one.
        asking.pop().drop()
        wait_for(weir, 2)
        asking.append(ask(clients["md5"][1]))
        wait_for(weir, 3)
        for holder in holders:
            holder.query("COMMIT")
        for client in asking:
            assert client.rows() == [["7"]]
        wait_for(weir, 0)
        # All places are free again.
        for holder in holders:
            holder.query("BEGIN; SELECT 1")
        asking = clients["app"]
        for client in asking:
            ask(client)
        wait_for(weir, 3)
        holders[0].query("COMMIT")
        for client in asking:
            assert client.rows() == [["7"]]


def test_a_cold_pool_refuses_nobody_that_it_opens_for(start_weir):
    """Of ten log-ins at once each has a connection opened for it: nobody is in line."""
    weir = start_weir({"pool": {"size": 12, "waiting": 1}, "routing": {"split_reads": False}})
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            clients = [stack.enter_context(weir.connect()) for _ in range(10)]
            with weir.console() as console:
                console.query("RECONNECT")
            for client in clients:
                client.send(wire.query("SELECT 7 FROM pg_sleep(0.1)"))
            assert [client.rows() for client in clients] == [[["7"]]] * 10
            for client in clients:
                client.terminate()
