"""Few server connections, many clients: limits, waiting, fairness, and no crossed answers."""
import asyncio
import contextlib
import os
import random
import threading
import time

import asyncpg
import pytest

from support import BACKEND, SLOW, wire
from support.cluster import wait_until
from support.load import Repeated
from support.relay import Relay

LONG = os.environ.get("WEIR_TEST_LONG") == "1"


def test_no_more_connections_than_the_pool(start_weir, cluster):
    weir = start_weir({"pool": {"size": 3}, "routing": {"split_reads": False},
                       "databases": {"app": {"user": "counted"}}})
    clients = [weir.connect() for _ in range(20)]
    threads = [threading.Thread(target=client.query, args=("SELECT pg_sleep(0.1)",))
               for client in clients]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, cluster.backends("counted"))
        time.sleep(0.01)
    assert most == 3
    for client in clients:
        client.terminate()


def test_idle_clients_hold_no_connection(start_weir, cluster):
    weir = start_weir({"pool": {"size": 2}})
    clients = [weir.connect() for _ in range(50)]
    for client in clients:
        assert client.value("/* weir: primary */ SELECT 1") == "1"
    for client in clients:
        client.terminate()


def test_a_transaction_keeps_its_connection(start_weir):
    weir = start_weir({"pool": {"size": 2}})
    with weir.connect() as one, weir.connect() as two:
        one.query("BEGIN")
        two.query("BEGIN")
        pids = [{client.value(BACKEND) for _ in range(5)}
                for client in (one, two)]
        assert [len(found) for found in pids] == [1, 1] and pids[0] != pids[1]
        one.query("COMMIT")
        two.query("COMMIT")


def test_waiting_is_in_order(start_weir):
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False}}, workers=1)
    holder = weir.connect()
    holder.query("BEGIN")
    clients, order, threads = [weir.connect() for _ in range(5)], [], []
    for number, client in enumerate(clients):
        def ask(number=number, client=client):
            client.query("SELECT pg_sleep(0.05)")
            order.append(number)
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
        time.sleep(0.05)
    holder.query("COMMIT")
    for thread in threads:
        thread.join()
    assert order == list(range(5))


def test_query_wait_timeout(start_weir):
    """A refusal in PostgreSQL's form; whether the session goes on is another matter."""
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False},
                       "timeouts": {"query_wait": "300ms"}})
    with weir.connect() as holder, weir.connect() as waiting:
        holder.query("BEGIN; SELECT 1")
        begun = time.monotonic()
        with pytest.raises(wire.ServerError) as failed:
            waiting.query("SELECT 1")
        assert 0.25 < time.monotonic() - begun < 3 * SLOW
        assert failed.value.code
        holder.query("COMMIT")
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_too_many_clients(start_weir):
    weir = start_weir({"limits": {"clients": 5}})
    clients = [weir.connect() for _ in range(5)]
    with pytest.raises(wire.ServerError) as failed:
        weir.connect()
    assert (failed.value.fields["S"], failed.value.code) == ("FATAL", "53300")
    assert len(weir.show("CLIENTS")) >= 5  # the console is open just then
    clients.pop().terminate()
    wait_until(lambda: try_connect(weir), "a place is free", 5 * SLOW)
    for client in clients:
        client.drop()


def try_connect(weir, **options):
    try:
        weir.connect(**options).terminate()
        return True
    except wire.ServerError:
        return False


def test_client_limits_of_databases_and_users(start_weir):
    weir = start_weir({"databases": {"other": {"max_client_connections": 2}},
                       "users": {"md5": {"max_client_connections": 1}}})
    for options, limit in (({"database": "other"}, 2), ({"user": "md5"}, 1)):
        clients = [weir.connect(**options) for _ in range(limit)]
        with pytest.raises(wire.ServerError) as failed:
            weir.connect(**options)
        assert failed.value.code == "53300"
        assert try_connect(weir)
        for client in clients:
            client.terminate()


def most_backends(cluster, clients, seconds=0.3):
    """How many connections of `counted` the primary has at most while all of them ask at once."""
    threads = [threading.Thread(target=client.query, args=(f"SELECT pg_sleep({seconds * SLOW})",))
               for client in clients]
    for thread in threads:
        thread.start()
    most = before = 0
    while any(thread.is_alive() for thread in threads):
        now = int(cluster.value(0, "SELECT count(*) FROM pg_stat_activity "
                                   "WHERE usename = 'counted'"))
        most = max(most, min(before, now))  # not of a backend that is about to end
        before = now
        time.sleep(0.02)
    for client in clients:
        client.terminate()
    return most


@pytest.mark.parametrize("limited", [{"databases": {"app": {"max_connections": 2}}},
                                     {"users": {"counted": {"max_connections": 2}}}],
                         ids=["database", "user"])
def test_server_limits_of_databases_and_users(start_weir, cluster, limited):
    weir = start_weir({**limited, "routing": {"split_reads": False}})
    assert most_backends(cluster, [weir.connect("counted") for _ in range(6)]) == 2


def test_a_users_server_limit_is_that_of_all_its_databases(start_weir, cluster):
    weir = start_weir({"users": {"counted": {"max_connections": 2}},
                       "routing": {"split_reads": False}})
    clients = [weir.connect("counted", database=name) for name in ("app", "postgres") * 3]
    assert most_backends(cluster, clients) == 2


def test_min_connections_are_kept_open(start_weir, cluster):
    weir = start_weir({"pool": {"size": 5, "min": 3}, "routing": {"split_reads": False},
                       "timeouts": {"server_idle": "200ms"}})
    wait_until(lambda: cluster.backends("counted") == 0, "a pool that was never used has none",
               5 * SLOW)
    with weir.connect("counted") as client:
        client.query("SELECT 1")
        wait_until(lambda: cluster.backends("counted") == 3, "as many as min", 10 * SLOW)
    busy = [weir.connect("counted") for _ in range(5)]
    assert most_backends(cluster, busy, 1) == 5
    wait_until(lambda: cluster.backends("counted") == 3, "idle ones beyond min are closed",
               10 * SLOW)
    time.sleep(0.5)
    assert cluster.backends("counted") == 3


def test_reserve(start_weir, cluster):
    weir = start_weir({"pool": {"size": 1, "reserve": 1}, "routing": {"split_reads": False},
                       "timeouts": {"reserve": "200ms"}})
    assert most_backends(cluster, [weir.connect("counted") for _ in range(5)], 0.4) == 2
    with weir.connect("counted") as holder, weir.connect("counted") as waiting:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        begun = time.monotonic()
        assert waiting.value("SELECT 1") == "1"
        assert time.monotonic() - begun > 0.15
        holder.query("COMMIT")


def test_idle_and_old_connections_are_closed(start_weir, cluster):
    weir = start_weir({"timeouts": {"server_idle": "300ms"}})
    with weir.connect("counted") as client:
        client.query("/* weir: primary */ SELECT 1")
        assert cluster.backends("counted") >= 1
        wait_until(lambda: cluster.backends("counted") == 0, "idle ones are closed", 10 * SLOW)
        assert client.value("/* weir: primary */ SELECT 1") == "1"


def test_lifetime(start_weir):
    weir = start_weir({"timeouts": {"server_lifetime": "300ms", "server_lifetime_jitter": 0}})
    with weir.connect() as client:
        first = client.value(BACKEND)
        wait_until(lambda: client.value(BACKEND) != first,
                   "another connection", 10 * SLOW)


def test_idle_in_transaction_timeout(start_weir, table):
    weir = start_weir({"timeouts": {"idle_in_transaction": "300ms"}})
    with weir.connect() as client:
        client.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
        errors = [got.fields() for got in client.expect_closed() if got.type == "E"]
        assert [(error["S"], error["C"]) for error in errors] == [("FATAL", "25P03")]
    with weir.connect() as client:
        assert client.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "0"


def ended_with(client):
    """Severity and code of the one error before the end."""
    (error,) = [got.fields() for got in client.expect_closed() if got.type == "E"]
    return error["S"], error["C"]


def test_transaction_timeout(start_weir, cluster, table):
    """However it spends its time. Outside of one no session has a limit, even if pinned."""
    weir = start_weir({"timeouts": {"transaction": "1s"}})
    with weir.connect() as client:
        client.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
        assert ended_with(client) == ("FATAL", "25P04")
    with weir.connect() as client:
        client.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
        for _ in range(5):
            client.query("SELECT pg_sleep(0.1)")
        client.send(wire.query("SELECT pg_sleep(20)"))
        assert ended_with(client) == ("FATAL", "25P04")
    with weir.connect("counted") as client:
        client.send(wire.query("/* weir: primary */ SELECT pg_sleep(20)"))
        assert ended_with(client) == ("FATAL", "25P04")
    with weir.connect() as pinned, weir.connect() as free:
        pinned.query("CREATE TEMP TABLE kept (a int)")
        for client in (pinned, free):
            client.query("SELECT 1")
        time.sleep(1.5)
        for client in (pinned, free):
            assert client.value("SELECT pg_sleep(0.3)") == ""
    wait_until(lambda: cluster.value(0, "SELECT count(*) FROM pg_stat_activity WHERE usename = "
                                        "'counted' AND state = 'active'") == "0",
               "nothing runs any more", 10 * SLOW)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


def test_a_client_that_takes_nothing(start_weir, cluster):
    """It has a server, and is closed; one that takes its answer slowly is not."""
    weir = start_weir({"timeouts": {"client_stall": "1s"}})
    rows = "SELECT repeat('unread', 1000) FROM generate_series(1, 20000)"
    with weir.connect() as slow, weir.connect("counted") as client:
        began = time.monotonic()
        client.send(wire.query(rows + " -- taken by nobody"))
        wait_until(lambda: not any(row["user"] == "counted" for row in weir.show("CLIENTS")),
                   "it is closed", 20 * SLOW)
        assert time.monotonic() - began >= 1
        slow.send(wire.query(rows))
        for number in range(20001):
            assert slow.read().type in "TD"
            if number % 1000 == 0:
                time.sleep(0.15)
        assert [slow.read().type for _ in range(2)] == ["C", "Z"]
        assert slow.value("SELECT 1") == "1"
    wait_until(lambda: sum(int(cluster.value(number, "SELECT count(*) FROM pg_stat_activity WHERE "
                                             "usename = 'counted' AND state = 'active'"))
                           for number in range(3)) == 0, "nothing runs any more", 10 * SLOW)


def test_query_timeout(start_weir, cluster):
    """The session ends, and what it asked for is not left running."""
    weir = start_weir({"timeouts": {"query": "300ms"}})
    with weir.connect("counted") as client:
        begun = time.monotonic()
        client.send(wire.query("/* weir: primary */ SELECT pg_sleep(20)"))
        assert ended_with(client) == ("FATAL", "57014")
        assert 0.25 < time.monotonic() - begun < 5 * SLOW
    wait_until(lambda: cluster.value(0, "SELECT count(*) FROM pg_stat_activity WHERE usename = "
                                        "'counted' AND state = 'active'") == "0",
               "the query was cancelled", 5 * SLOW)
    with weir.connect("counted") as client:
        client.query("BEGIN")
        time.sleep(0.5)  # no query runs
        assert client.value("SELECT 1") == "1"


@pytest.mark.parametrize("how", ["pinned", "session mode"])
def test_timeouts_of_sessions_that_keep_their_connection(start_weir, table, how):
    """They run from request to request, as for any other."""
    config = {"timeouts": {"client_idle": "2s", "query": "1500ms",
                           "idle_in_transaction": "600ms"}}
    weir = start_weir({**config, **({"pool_mode": "session"} if how != "pinned" else {})})

    def kept():
        client = weir.connect()
        client.query("CREATE TEMP TABLE kept_here()" if how == "pinned" else "SELECT 1")
        return client

    def end_of(client):
        return [got.fields()["C"] for got in client.expect_closed() if got.type == "E"]

    with kept() as busy, kept() as slow, kept() as idle, kept() as sleeper:
        sleeper.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
        slow.send(wire.query("SELECT pg_sleep(20)"))
        for _ in range(4):
            busy.query("SELECT pg_sleep(0.6)")
        assert end_of(slow) == ["57014"]
        assert end_of(idle) == ["57P05"]
        assert end_of(sleeper) == ["25P03"]
        assert busy.value("SELECT 1") == "1"


def test_client_idle_timeout(start_weir):
    weir = start_weir({"timeouts": {"client_idle": "1s"}})
    with weir.connect() as idle, weir.connect() as asking, weir.connect() as inside:
        begun = time.monotonic()
        inside.query("BEGIN; SELECT 1")
        idle.query("SELECT 1")
        for _ in range(15):
            time.sleep(0.1)
            assert asking.value("SELECT 1") == "1"
        assert ended_with(idle) == ("FATAL", "57P05")
        assert 0.95 < time.monotonic() - begun < 5 * SLOW
        assert inside.value("SELECT 1") == "1"  # a transaction is another timeout's


def test_connect_timeout(start_weir, cluster):
    """A host that takes connections and says nothing."""
    with Relay(cluster.ports[0]) as relay:
        weir = start_weir({"clusters": {"main": {"hosts": [f"127.0.0.1:{relay.port}"]}},
                           "pool": {"size": 2},
                           "timeouts": {"connect": f"{int(800 * SLOW)}ms",
                                        "query_wait": f"{int(3000 * SLOW)}ms"}}, workers=1)
        with weir.connect() as holder, weir.connect() as client:
            holder.query("BEGIN; SELECT 1")
            relay.delay(1.8 * SLOW)
            with pytest.raises(wire.ServerError) as failed:
                client.query("SELECT 1")
            assert failed.value.code == "57P03"
            assert "log-in took longer than timeouts.connect" in failed.value.fields["D"]
            relay.delay(0)
            wait_until(lambda: try_query(client), "it connects again", 10 * SLOW, every=0.1)


def try_query(client):
    try:
        return client.value("SELECT 1") == "1"
    except wire.ServerError:
        return False


def test_a_slow_client_does_not_hold_up_others(start_weir):
    """A reader that stops reading keeps its own connection, and no one else's."""
    weir = start_weir({"pool": {"size": 2}})
    with weir.connect() as slow, weir.connect() as quick:
        slow.send(wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 200000)"))
        time.sleep(0.2)
        for _ in range(50):
            assert quick.value("/* weir: primary */ SELECT 1") == "1"
        slow.drop()


def test_fairness_between_databases(start_weir):
    """One database with many clients does not starve another with one."""
    weir = start_weir({"pool": {"size": 2}})
    busy = [Repeated(weir.connect(database="other"),
                     lambda client: client.query("SELECT pg_sleep(0.01)")) for _ in range(10)]
    for thread in busy:
        thread.__enter__()
    try:
        with weir.connect() as client:
            begun = time.monotonic()
            for _ in range(20):
                client.query("SELECT 1")
            assert time.monotonic() - begun < 2 * SLOW
    finally:
        for thread in busy:
            thread.__exit__()


@pytest.mark.parametrize("politely", [True, False])
def test_a_client_that_leaves_while_it_waits(start_weir, cluster, table, politely):
    """Who says goodbye behind a request wants it carried out; who breaks off does not."""
    weir = start_weir({"pool": {"size": 1}}, workers=1)
    with weir.connect() as one:
        one.query("BEGIN; SELECT 1")
        two = weir.connect()
        two.send(wire.query(f"INSERT INTO {table} VALUES (1)"))
        wait_until(lambda: [row["state"] for row in weir.show("CLIENTS")].count("waiting") == 1,
                   "the request waits", 5 * SLOW)
        two.terminate() if politely else two.drop()
        time.sleep(0.1)
        one.query("COMMIT")
        wait_until(lambda: len([row for row in weir.show("CLIENTS") if row["user"] == "app"]) == 1,
                   "it is gone", 5 * SLOW)
        # In the same connection, and so behind it.
        assert one.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == \
            ("1" if politely else "0")


# --- a thousand clients ---------------------------------------------------------------------------


async def one_client(weir, number, table, doors, all_are_in, seconds, counts):
    """Writes and reads rows of its own; every answer must be its own. The time runs from when all
    are logged in: how long that takes is the machine's, and the driver's."""
    async with doors:
        connection = await asyncpg.connect(
            host=weir.host, port=weir.port, user="counted", password="counted", database="app",
            ssl=False, timeout=60 * SLOW, command_timeout=60 * SLOW)
    try:
        value, choice = 0, random.Random(number)
        await connection.execute(f"INSERT INTO {table} VALUES ($1, $2)", number, "0")
        await all_are_in.wait()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            what = choice.randrange(4)
            if what == 0:
                value += 1
                await connection.execute(f"UPDATE {table} SET v = $2 WHERE id = $1", number,
                                         str(value))
            elif what == 1:
                async with connection.transaction():
                    value += 1
                    await connection.execute(f"UPDATE {table} SET v = $2 WHERE id = $1", number,
                                             str(value))
                    assert await connection.fetchval(
                        f"SELECT v FROM {table} WHERE id = $1", number) == str(value)
            else:
                row = await connection.fetchrow(
                    f"SELECT id, v, $2::text AS mine FROM {table} WHERE id = $1", number,
                    f"client {number}")
                assert tuple(row) == (number, str(value), f"client {number}")
            counts[number] += 1
            await asyncio.sleep(choice.random() * 0.05)
    finally:
        await connection.close(timeout=30 * SLOW)


@pytest.mark.alone
def test_a_thousand_clients_over_twenty_connections(start_weir, cluster, table):
    """No error, no lost or crossed answer, and never more than 20 connections to a host."""
    seconds = (60 if LONG else 10) * (1 if SLOW == 1 else 0.5) + 10 * SLOW
    clients = int(1000 / SLOW)
    weir = start_weir({"pool": {"size": 20}, "routing": {"lag_max": "10s"}})
    counts = [0] * clients

    async def all_of_them():
        all_are_in, over = asyncio.Barrier(clients), asyncio.Event()
        doors = asyncio.Semaphore(50)  # the driver needs long to stretch a password
        watcher = asyncio.create_task(watch(over))
        await asyncio.gather(*(one_client(weir, number, table, doors, all_are_in, seconds,
                                          counts)
                               for number in range(clients)))
        over.set()
        return await watcher

    async def watch(over):
        most = 0
        while not over.is_set():
            most = max(most, await asyncio.to_thread(cluster.backends, "counted"))
            await asyncio.sleep(0.2)
        return most

    most = asyncio.run(all_of_them())
    print(f"{sum(counts)} rounds, {min(counts)} to {max(counts)} each")
    assert min(counts) >= 1
    assert 0 < most <= 20
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == str(clients)


def crowd(weir, count, sql, **options):
    return [Repeated(weir.connect(**options), lambda client: client.query(sql))
            for _ in range(count)]


def test_fairness_between_applications(start_weir):
    """Of one user and database: one with many clients leaves the other ones their share."""
    weir = start_weir({"pool": {"size": 4}, "routing": {"split_reads": False}}, workers=1)
    with contextlib.ExitStack() as stack:
        for thread in crowd(weir, 40, "SELECT pg_sleep(0.02)", application_name="report"):
            stack.enter_context(thread)
        time.sleep(0.5)
        # Forty wait in front of it, which takes 0.2 s each time in one line for all.
        with weir.connect(application_name="shop") as client:
            begun = time.monotonic()
            for _ in range(20):
                client.query("SELECT 1")
            assert time.monotonic() - begun < 2 * SLOW
            client.query("SET application_name = 'report'")
            begun = time.monotonic()
            for _ in range(20):
                client.query("SELECT 1")
            assert time.monotonic() - begun > 2


def test_fairness_between_applications_wherever_their_clients_are(start_weir):
    """Workers take clients in turn: with four of them "shop" has one for itself. Eight servers."""
    weir = start_weir({"pool": {"size": 8}, "routing": {"split_reads": False}}, workers=4)
    with contextlib.ExitStack() as stack:
        threads = {"report": [], "shop": []}
        for _ in range(8):
            for name in ("report", "report", "report", "shop"):
                [thread] = crowd(weir, 1, "SELECT pg_sleep(0.02)", application_name=name)
                threads[name].append(thread)
        for thread in sum(threads.values(), []):
            stack.enter_context(thread)

        def counts():
            return [sum(thread.count for thread in each) for each in threads.values()]

        time.sleep(1)
        before = counts()
        time.sleep(3 + SLOW)
        report, shop = (after - was for after, was in zip(counts(), before))
        # By their numbers it would be 0.25, evenly 0.5; to whole servers of each worker 0.375.
        assert 0.33 < shop / (report + shop) < 0.6, (report, shop)


def test_fairness_between_databases_that_share_a_limit(start_weir):
    """Connections are shared evenly, however many clients one of them has, and whatever names."""
    weir = start_weir({"users": {"app": {"max_connections": 8}},
                       "pool": {"size": 20}, "routing": {"split_reads": False}})

    def counts():
        servers = [row["database"] for row in weir.show("SERVERS") if row["user"] == "app"]
        return [servers.count("app"), servers.count("other")]

    with contextlib.ExitStack() as stack:
        for name in range(6):
            for thread in crowd(weir, 10, "SELECT pg_sleep(0.01)", application_name=f"n{name}"):
                stack.enter_context(thread)
        wait_until(lambda: counts()[0] >= 7, lambda: f"all are one's: {counts()}", 10 * SLOW)
        for thread in crowd(weir, 10, "SELECT pg_sleep(0.01)", database="other"):
            stack.enter_context(thread)
        wait_until(lambda: min(counts()) >= 3, lambda: f"even: {counts()}", 20 * SLOW)
        seen = []
        for _ in range(20):
            seen.append(counts())
            time.sleep(0.1)
        for share in zip(*seen):
            assert 2.5 < sum(share) / len(share) < 5.5, seen
