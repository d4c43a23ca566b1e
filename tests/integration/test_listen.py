"""LISTEN: the sessions of a pool share one server connection for it, and miss nothing."""
import asyncio
import contextlib
import os
import random
import signal
import threading
import time

import asyncpg
import pytest

from support import SLOW, wire
from support.cluster import frozen, running_cluster, wait_until
from support.weir import WORKERS, Weir
from support.wire import SYNC, bind, describe, execute, parse

LISTENERS = 50


@pytest.fixture
def narrow(start_weir):
    """Fewer server connections than listeners, but more than workers: each may have one shared."""
    return start_weir({"pool": {"size": WORKERS + 2}})


def heard(client):
    """What it has been told, once it has been told all."""
    client.query("SELECT 1")
    return [(channel.decode(), b"".join(payload).decode())
            for channel, *payload in client.notifications]


def wait_heard(client, expected):
    wait_until(lambda: heard(client) == expected, f"{expected} is heard", 10 * SLOW)


def wait_heard_of(client, count):
    wait_until(lambda: client.query("SELECT 1") and len(client.notifications) == count,
               f"{count} are heard", 10 * SLOW)


def extended_listen(client, channel):
    client.send(parse("", f"LISTEN {channel}"), bind("", ""), describe("P"), execute(), SYNC)
    assert not [m for m in client.read_until_ready() if m.type == "E"]


def listening_backends(cluster):
    """Those whose connection was told to LISTEN, as the primary shows it."""
    return cluster.sql(0, "SELECT pid FROM pg_stat_activity WHERE query ~ '^(UN)?LISTEN'"
                          " AND backend_type = 'client backend'")


@contextlib.contextmanager
def shared_one_stopped(cluster):
    ((pid,),) = listening_backends(cluster)
    os.kill(int(pid), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(int(pid), signal.SIGCONT)


def test_many_listeners_need_one_connection(narrow, cluster):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(narrow.connect()) for _ in range(LISTENERS)]
        for number, client in enumerate(clients):
            if number % 2:
                extended_listen(client, "everybody")
                extended_listen(client, f"own_{number}")
            else:
                client.query("LISTEN everybody; LISTEN \"Odd \"\" name\"")
                client.query(f"LISTEN own_{number}")
        assert not narrow.show("PINS")
        assert len(listening_backends(cluster)) <= WORKERS
        others = stack.enter_context(narrow.connect())
        for number in range(LISTENERS):
            others.query(f"NOTIFY own_{number}, '{number}'")
        others.query("NOTIFY everybody, 'all'; NOTIFY \"Odd \"\" name\"")
        for number, client in enumerate(clients):
            odd = [] if number % 2 else [("Odd \" name", "")]
            wait_heard(client, [(f"own_{number}", str(number)), ("everybody", "all")] + odd)
        for client in clients[:-1]:
            client.drop()
        others.query("NOTIFY everybody, 'the last'")
        last = clients[-1]
        wait_until(lambda: heard(last)[2:] == [("everybody", "the last")], "the last one hears")
        last.query("UNLISTEN *")
        others.query("NOTIFY everybody, 'nobody'")
        assert heard(last)[3:] == []
    # It goes back to its pool, clean.
    wait_until(lambda: all(row["state"] == "idle" for row in narrow.show("SERVERS")
                           if row["database"] == "app"), "no connection is kept", 10 * SLOW)
    with contextlib.ExitStack() as stack:
        for _ in range(WORKERS + 2):
            client = stack.enter_context(narrow.connect())
            client.query("BEGIN")
            assert client.query("SELECT pg_listening_channels()") == []


def test_it_comes_to_who_only_waits(narrow):
    with narrow.connect() as one, narrow.connect() as two, narrow.connect() as sender:
        one.query("LISTEN news")
        two.query("LISTEN news")
        sender.query("BEGIN; NOTIFY news, 'now'; COMMIT")
        for client in (one, two):
            got = client.read()
            assert got.type == "A" and got.body[4:] == b"news\0now\0"


def test_not_within_a_transaction(narrow):
    with narrow.connect() as one, narrow.connect() as sender:
        one.query("LISTEN news")
        one.query("BEGIN")
        sender.query("NOTIFY news, 'meanwhile'")
        for _ in range(3):
            one.query("SELECT 1")
            time.sleep(0.05)
        assert one.notifications == []
        one.query("COMMIT")
        wait_heard(one, [("news", "meanwhile")])


def test_ones_own_come_before_the_end_of_their_transaction(narrow):
    """In order, at once, and with the number by which the session knows itself; those of others who
    use the same server connections have another one."""
    with narrow.connect() as one, narrow.connect() as two, narrow.connect() as sender:
        for client in (one, two):
            client.query("LISTEN news")
        for number in range(100 if SLOW == 1 else 20):
            sender.query(f"NOTIFY news, 'of the sender {number}'")
            one.query(f"NOTIFY news, 'one {number}'")
            assert one.notifications[-1] == [b"news", f"one {number}".encode()]
            assert one.notifiers[-1] == one.pid
            two.query("BEGIN")
            two.query(f"SELECT pg_notify('news', 'two {number}')")
            two.query("COMMIT")
            assert two.notifications[-1] == [b"news", f"two {number}".encode()]
            assert two.notifiers[-1] == two.pid
        wait_until(lambda: len(heard(one)) == len(heard(two)), "both have heard all")
        assert one.notifications == two.notifications
        for client, name in ((one, "one"), (two, "two")):
            own = [p.decode().startswith(name) for _, p in client.notifications]
            assert own == [number == client.pid for number in client.notifiers]


@pytest.mark.parametrize("requests", [
    ["NOTIFY news, 'own'"],
    ["BEGIN", "NOTIFY news, 'own'", "COMMIT"],
    ["/* weir: primary */ SELECT 1", "NOTIFY news, 'own'"],
])
def test_what_others_have_sent_from_there_is_not_ones_own(start_weir, cluster, requests):
    weir = start_weir({"pool": {"size": 2}}, workers=1)  # the shared one, and one for all else
    with weir.connect() as one, weir.connect() as sender:
        one.query("LISTEN news")
        with shared_one_stopped(cluster):
            sender.query("NOTIFY news, 'of the sender'")
            one.send(*map(wire.query, requests))
            time.sleep(0.2 * SLOW)
        for _ in requests:
            one.read_until_ready()
        assert one.notifications == [[b"news", b"of the sender"], [b"news", b"own"]]
        assert [number == one.pid for number in one.notifiers] == [False, True]


def test_what_is_rolled_back(narrow):
    with narrow.connect() as one, narrow.connect() as sender:
        one.query("LISTEN kept")
        one.query("BEGIN; UNLISTEN kept; ROLLBACK")
        one.query("BEGIN; SAVEPOINT s; UNLISTEN *; ROLLBACK TO s; COMMIT")
        one.query("BEGIN; NOTIFY kept, 'never'; ROLLBACK")
        with pytest.raises(wire.ServerError):
            one.query("BEGIN; LISTEN failed; SELECT 1/0")
        one.query("ROLLBACK")
        sender.query("NOTIFY failed; NOTIFY kept, 'heard'")
        wait_heard(one, [("kept", "heard")])
        one.query("BEGIN; UNLISTEN kept; COMMIT")
        sender.query("NOTIFY kept, 'unheard'")
        assert heard(one)[1:] == []


@pytest.mark.parametrize("ends", ["UNLISTEN *", "DISCARD ALL"])
def test_a_transaction_that_listens_pins(narrow, ends):
    """And what is heard in both ways is told once."""
    with narrow.connect() as one, narrow.connect() as sender:
        one.query("LISTEN news")
        assert not narrow.show("PINS")
        one.query("BEGIN; LISTEN news; LISTEN pinned; COMMIT")
        assert [row["reason"] for row in narrow.show("PINS")] == ["listen"]
        sender.query("NOTIFY news, '1'; NOTIFY pinned, '2'")
        wait_until(lambda: len(heard(one)) == 2, "both are heard", 10 * SLOW)
        assert sorted(one.notifications) == [[b"news", b"1"], [b"pinned", b"2"]]
        one.query("NOTIFY news, '3'")
        assert one.notifications[2:] == [[b"news", b"3"]]
        one.query(ends)
        sender.query("NOTIFY news; NOTIFY pinned")
        assert heard(one)[3:] == []
        wait_until(lambda: not narrow.show("PINS"), "nobody is pinned", 10 * SLOW)


def test_a_pool_without_room_pins(start_weir):
    weir = start_weir({"pool": {"size": 1}}, workers=1)
    with weir.connect() as one:
        one.query("LISTEN news")
        assert [row["reason"] for row in weir.show("PINS")] == ["listen"]
        one.query("NOTIFY news, 'alone'")
        assert one.notifications == [[b"news", b"alone"]]


def test_who_asks_for_the_channels(narrow):
    with narrow.connect() as one, narrow.connect() as two, narrow.connect() as sender:
        one.query("LISTEN a")
        one.query("LISTEN \"B\"")
        two.query("LISTEN c")
        ask = "SELECT * FROM pg_listening_channels() AS c ORDER BY c"
        assert one.query(ask) == [["B"], ["a"]]
        one.query("BEGIN")
        assert one.query(ask) == [["B"], ["a"]]
        one.query("COMMIT")
        assert two.query(ask) == [["c"]]
        sender.query("NOTIFY a; NOTIFY c")
        wait_heard(one, [("a", "")])
        wait_heard(two, [("c", "")])


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN READ ONLY", "BEGIN; SELECT 1",
                                   "/* weir: primary */ BEGIN READ ONLY"])
def test_the_first_who_asks_for_the_channels_does_so_in_a_block(start_weir, begin):
    """When it is too late to LISTEN there: so that is done in front of each."""
    weir = start_weir({"pool": {"size": 3}}, workers=1)
    with weir.connect() as one, weir.connect() as two:
        one.query("LISTEN a")
        one.query("LISTEN \"B\"")
        assert not weir.show("PINS")
        for client in (one, two):
            client.query(begin)
            if begin == "BEGIN":
                client.query("CREATE TEMP TABLE scratch (n int) ON COMMIT DROP")
            ask = "SELECT * FROM pg_listening_channels() AS c ORDER BY c"
            assert client.query(ask) == ([["B"], ["a"]] if client is one else [])
            two.query("NOTIFY a, 'once'" if client is one else "ROLLBACK")
            client.query("COMMIT")
        wait_heard(one, [("a", "once")])
        assert heard(two) == []


@pytest.mark.parametrize("encoding, text", [
    ("latin-1", "Zürich"), ("WIN1251", "Привет"), ("Windows1251", "Привет"), ("SJIS", "日本"),
    ("EUC_JP", "日本"), ("big5", "日本"), ("GBK", "日本"), ("UHC", "한국"), ("LATIN10", "Țară"),
    ("koi8", "Привет"), ("SQL_ASCII", "Zürich"), ("unicode", "Zürich")])
def test_the_encoding_is_that_of_now(narrow, cluster, encoding, text):
    """Not that in which the session listened; as it has it when the transaction is over."""
    with narrow.connect() as one, narrow.connect() as same, narrow.connect() as sender, \
            cluster.connect(0) as direct:
        listeners = [one, same, direct]
        for client in listeners:
            client.query("LISTEN news")
        for client in (one, direct):
            client.query(f"SET client_encoding TO '{encoding}'")
        sender.query(f"NOTIFY news, '{text}'")
        for client in listeners:
            wait_heard_of(client, 1)
        for client in (one, direct):
            client.query("BEGIN; SET LOCAL client_encoding TO 'UTF8'; SELECT 1")
        sender.query(f"NOTIFY news, '{text} 2'")
        for client in (one, direct):
            client.query("COMMIT; RESET client_encoding")
        sender.query(f"NOTIFY news, '{text} 3'")
        for client in listeners:
            wait_heard_of(client, 3)
        assert [payload for _, payload in same.notifications] == \
            [f"{text}{n}".encode() for n in ("", " 2", " 3")]
        assert one.notifications == direct.notifications


def test_its_loss_ends_those_who_listen(narrow, cluster):
    """As PostgreSQL ends them: what was sent meanwhile they would never know of."""
    with narrow.connect() as one, narrow.connect() as two, narrow.connect() as other:
        for client in (one, two):
            client.query("LISTEN news")
        other.query("SELECT 1")
        for row in listening_backends(cluster):
            cluster.sql(0, f"SELECT pg_terminate_backend({row[0]})")
        for client in (one, two):
            told = client.expect_closed()
            assert told and told[-1].type == "E" and told[-1].fields()["S"] == "FATAL"
            assert told[-1].fields()["C"] == "57P01"
        other.query("LISTEN news")
        other.query("NOTIFY news, 'again'")
        assert other.notifications == [[b"news", b"again"]]


def test_a_silent_primary_that_is_replaced_ends_those_who_listen():
    """Its connections stay open, and would tell nothing for ever."""
    with running_cluster(1) as cluster, contextlib.ExitStack() as stack:
        weir = Weir(cluster, {"timeouts": {"query_wait": "60s", "server_retry": "100ms"},
                              "clusters": {"main": {"monitor": {"timeout": "1s"}}}})
        stack.callback(weir.discard)
        weir.start().wait_ready()
        one = stack.enter_context(weir.connect())
        one.socket.settimeout(60 * SLOW)
        one.query("LISTEN news")
        stack.enter_context(frozen(cluster, 0))
        wait_until(lambda: "down" in [row["state"] for row in weir.show("HOSTS")], "it is down",
                   20 * SLOW)
        cluster.command("promote", 1)
        assert one.expect_closed()[-1].fields()["S"] == "FATAL"
        with weir.connect() as again:
            again.socket.settimeout(60 * SLOW)
            again.query("LISTEN news")
            again.query("NOTIFY news, 'here'")
            assert again.notifications == [[b"news", b"here"]]


def test_who_waits_for_it(start_weir, cluster):
    """While the server takes its time over one LISTEN: each in turn, but for those who have left;
    nobody else waits."""
    weir = start_weir({"pool": {"size": 4}}, workers=1)
    with contextlib.ExitStack() as stack:
        first, *more = [stack.enter_context(weir.connect()) for _ in range(8)]
        first.query("LISTEN news")
        with shared_one_stopped(cluster):
            for client in more:
                client.send(wire.query("LISTEN news"))
            waiting = len(more) - 1  # one is at work
            wait_until(lambda: len(weir.show("WAITS")) == waiting, "they wait", 10 * SLOW)
            assert first.value("SELECT 1") == "1"
            gone, told_off, stay = more[1], more[2], [more[0], *more[3:]]
            gone.drop()
            wire.cancel(weir.host, weir.port, told_off.pid, told_off.secret)
            assert told_off.read_until_ready()[0].fields()["C"] == "57014"
        for client in stay:
            assert [m.type for m in client.read_until_ready()] == ["C", "Z"]
        told_off.query("LISTEN other")
        first.query("NOTIFY news, 'all'; NOTIFY other, 'one'")
        for client in stay:
            wait_heard(client, [("news", "all")])
        wait_heard(told_off, [("other", "one")])


def test_pause_does_not_wait_for_it(narrow):
    with narrow.connect() as one, narrow.console() as console:
        one.query("LISTEN news")
        console.query("PAUSE app")
        console.query("RESUME app")
        one.query("NOTIFY news, 'still'")
        assert one.notifications == [[b"news", b"still"]]


def test_reload_keeps_it(narrow):
    with narrow.connect() as one, narrow.connect() as sender, narrow.console() as console:
        one.query("LISTEN news")
        narrow.write_config({"databases": {"app": {"pool": {"size": WORKERS + 3}}}})
        console.query("RELOAD")
        for number in range(5):
            one.query("SELECT 1")
            sender.query(f"NOTIFY news, '{number}'")
        wait_heard(one, [("news", str(number)) for number in range(5)])
        one.query("NOTIFY news, 'own'")
        assert one.notifications[-1] == [b"news", b"own"] and one.notifiers[-1] == one.pid
        one.query("LISTEN more")
        sender.query("NOTIFY more; NOTIFY news, 'end'")
        wait_until(lambda: len(heard(one)) == 8, "both are heard", 10 * SLOW)
        assert sorted(one.notifications[6:]) == [[b"more"], [b"news", b"end"]]


def test_nothing_is_missed_or_told_twice(narrow):
    """Listeners come and go while others notify. Whoever had LISTENed before a notification began
    hears it, once, in the order in which one sender has sent; nobody hears what ended before."""
    stop, log, failures = threading.Event(), [], []

    def send(name):
        with narrow.connect() as client:
            for number in range(1_000_000):
                if stop.is_set():
                    return
                began = time.monotonic()
                client.query(f"NOTIFY busy, '{name} {number}'")
                log.append((began, time.monotonic(), f"{name} {number}"))

    def listen(seed):
        chance = random.Random(seed)
        while not stop.is_set() and not failures:
            with narrow.connect() as client:
                asked = time.monotonic()
                client.query("LISTEN busy")
                listening = time.monotonic()
                until = listening + chance.uniform(0, 0.4)
                while time.monotonic() < until:
                    client.query(chance.choice(["SELECT 1", "BEGIN; SELECT 1; COMMIT",
                                                f"NOTIFY others, '{seed}'"]))
                    time.sleep(chance.uniform(0, 0.01))
                ended = time.monotonic()
                client.query("NOTIFY busy, 'end'")  # behind which nothing is missing
                got = [p.decode() for _, p in client.notifications if not p.startswith(b"end")]
            sent = list(log)
            must = {what for began, answered, what in sent
                    if began > listening and answered < ended}
            never = {what for _, answered, what in sent if answered < asked}
            if missing := must - set(got):
                failures.append(f"missing {sorted(missing)[:5]} of {len(must)}")
            if early := never & set(got):
                failures.append(f"from before: {sorted(early)[:5]}")
            if len(got) != len(set(got)):
                failures.append("something came twice")
            for name in ("x", "y"):
                numbers = [int(what.split()[1]) for what in got if what.startswith(name)]
                if numbers != sorted(numbers):
                    failures.append("out of order")

    def noted(run, *arguments):
        try:
            run(*arguments)
        except Exception as failed:  # pylint: disable=broad-except
            failures.append(repr(failed))

    senders = [threading.Thread(target=noted, args=(send, name)) for name in "xy"]
    listeners = [threading.Thread(target=noted, args=(listen, seed)) for seed in range(8)]
    for thread in senders + listeners:
        thread.start()
    time.sleep(4)
    stop.set()
    for thread in senders + listeners:
        thread.join()
    assert not failures
    assert len(log) > 100


def test_asyncpg(narrow):
    """Its listeners are called without a query of their own."""
    async def until(holds):
        for _ in range(200):
            if not holds():
                await asyncio.sleep(0.02 * SLOW)

    async def run():
        connections = [await asyncpg.connect(host="127.0.0.1", port=narrow.port, user="app",
                                             password="app", database="app", ssl=False)
                       for _ in range(4)]
        got, notes = [[] for _ in connections], []
        for number, connection in enumerate(connections):
            def note(connection, pid, channel, payload, to=got[number]):
                to.append(payload)
            notes.append(note)
            await connection.add_listener("news", note)
        await connections[0].execute("SELECT pg_notify('news', $1)", "to all")
        await until(lambda: got == [["to all"]] * 4)
        await connections[1].remove_listener("news", notes[1])  # which hears nothing from here on
        await connections[2].execute("NOTIFY news, 'to the others'")
        await until(lambda: [len(one) for one in got] == [2, 1, 2, 2])
        assert got[0] == got[2] == got[3] == ["to all", "to the others"] and got[1] == ["to all"]
        for connection in connections:
            await connection.close()

    asyncio.run(run())
    assert not narrow.show("PINS")
