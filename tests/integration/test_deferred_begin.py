"""A BEGIN by itself is answered at once, and sent with what comes next (timeouts.defer_begin)."""
import asyncio
import contextlib
import signal
import threading
import time

import asyncpg
import pytest

from support import SLOW, wire
from support.cluster import wait_catalog, wait_until
from support.loss import (FAILED, ROLLBACK_TAG, ROLLED_BACK, UNKNOWN, ask, error, kill, pid_of,
                          shown, terminate)
from support.orders import order
from support.relay import Relay
from support.wire import SYNC, bind, cancel, close, describe, execute, parse, query

EXTENDED = (parse("", "BEGIN"), bind("", ""), describe("P"), execute(), SYNC)
LONG = {"timeouts": {"defer_begin": "1s"}}


def types(client):
    return "".join(m.type for m in client.read_until_ready() if m.type not in "NS")


def in_transaction(cluster):
    return int(cluster.value(0, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
                                " AND application_name NOT LIKE 'weir%'"
                                " AND state LIKE 'idle in transaction%'"))


@pytest.fixture
def narrow(start_weir):
    """One connection to each host for all clients."""
    return start_weir({**LONG, "pool": {"size": 1}}, workers=1)


def test_no_connection_is_held(narrow, cluster, table):
    with narrow.connect() as one, narrow.connect() as other:
        one.query("BEGIN")
        assert one.status == "T"
        begun = time.monotonic()
        for number in range(20):
            other.query(f"INSERT INTO {table} VALUES ({number})")
        assert time.monotonic() - begun < 0.9
        assert one.value(f"SELECT count(*) FROM {table}") == "20"
        assert in_transaction(cluster) == 1
        one.query(f"DELETE FROM {table}")
        one.query("ROLLBACK")
        assert other.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "20"


def test_it_is_sent_in_time(start_weir, cluster):
    weir = start_weir({"timeouts": {"defer_begin": "10ms"}})
    with weir.connect() as client:
        for begin in (lambda: client.query("BEGIN"), lambda: client.send(*EXTENDED)):
            begin()
            if client.status != "T":
                assert types(client) == "12nCZ"
            wait_until(lambda: in_transaction(cluster) == 1, "it is there", 5 * SLOW)
            time.sleep(0.3)
            late = client.value("SELECT extract(epoch FROM clock_timestamp() - now())")
            assert float(late) >= 0.28
            client.query("COMMIT")
            assert client.status == "I"
        # How long a statement takes does not begin with the BEGIN.
        rows = [row for row in weir.show("STATEMENTS") if "clock_timestamp" in row["statement"]]
        assert [int(row["calls"]) for row in rows] == [2]
        assert float(rows[0]["max_ms"] if "max_ms" in rows[0] else rows[0]["p99_ms"]) < 250 * SLOW


@pytest.mark.parametrize("begin", [
    "BEGIN", "begin work;", "START TRANSACTION", "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE", "START TRANSACTION READ WRITE",
    "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE, DEFERRABLE", "/* a comment */ BEGIN -- ends"])
@pytest.mark.parametrize("how", ["simple", "extended", "named"])
def test_as_postgresql(narrow, cluster, begin, how):
    """Tag, status, isolation, modes: as of a server of one's own."""
    asks = ("SELECT current_setting('transaction_isolation'), current_setting("
            "'transaction_read_only'), current_setting('transaction_deferrable')")

    def run(client):
        seen = []
        for default in ("off", "on"):
            client.query(f"SET default_transaction_read_only = {default}")
            if how == "named":
                client.send(parse("b", begin), SYNC)
                seen.append([(m.type, bytes(m.body)) for m in client.read_until_ready()])
            client.send(*{"simple": [query(begin)],
                          "extended": [parse("", begin), bind("", ""), describe("P"), execute(),
                                       SYNC],
                          "named": [bind("", "b"), execute(), SYNC]}[how])
            seen.append([(m.type, bytes(m.body)) for m in client.read_until_ready()])
            client.send(query(asks))
            seen.append(client.rows())
            client.send(query("COMMIT"))
            seen.append([(m.type, bytes(m.body)) for m in client.read_until_ready()])
            if how == "named":
                client.send(close("S", "b"), SYNC)
                client.read_until_ready()
        return seen

    with narrow.connect() as through, \
            wire.connect("127.0.0.1", cluster.ports[0], "app", "app", "app") as direct:
        assert run(through) == run(direct)


def test_drivers(narrow, table):
    with narrow.psycopg(autocommit=False) as connection:
        for number in range(8):
            connection.execute(f"INSERT INTO {table} VALUES (%s)", [number])
            connection.commit() if number % 2 else connection.rollback()
        with connection.transaction():
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (4,)

    async def work():
        client = await asyncpg.connect(host=narrow.host, port=narrow.port, user="app",
                                       password="app", database="app", ssl=False)
        async with client.transaction(isolation="serializable"):
            assert await client.fetchval("SHOW transaction_isolation") == "serializable"
            await client.execute(f"INSERT INTO {table} VALUES ($1)", 100)
        await client.close()
    asyncio.run(work())
    with narrow.connect() as client:
        assert client.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "5"


def test_empty_ones_and_twice(narrow):
    with narrow.connect() as client:
        for end, tag in (("COMMIT", "COMMIT"), ("ROLLBACK", "ROLLBACK"), ("END", "COMMIT")):
            client.query("BEGIN")
            client.send(query(end))
            got = client.read_until_ready()
            assert [m.text() for m in got if m.type == "C"] == [tag] and client.status == "I"
        client.query("BEGIN")
        client.send(query("BEGIN"))
        got = [client.read() for _ in range(3)]
        assert [m.type for m in got] == ["N", "C", "Z"] and got[0].fields()["C"] == "25001"
        client.query("ROLLBACK")
        client.query("BEGIN")
        client.send(SYNC)
        assert [(m.type, bytes(m.body)) for m in client.read_until_ready()] == [("Z", b"T")]
        client.query("ROLLBACK")


def test_errors(narrow, table):
    with narrow.connect() as client:
        client.query("BEGIN")
        with pytest.raises(wire.ServerError) as failed:
            client.query("SELECT 1/0")
        assert failed.value.code == "22012" and client.status == "E"
        with pytest.raises(wire.ServerError) as failed:
            client.query("SELECT 1")
        assert failed.value.code == "25P02"
        client.query("ROLLBACK")
        client.send(*EXTENDED, parse("", f"INSERT INTO {table} VALUES (1), (1)"), bind("", ""),
                    execute(), SYNC, query("COMMIT"))
        assert types(client) == "12nCZ"
        assert types(client) == "12EZ" and client.status == "E"
        got = client.read_until_ready()
        assert [m.text() for m in got if m.type == "C"] == ["ROLLBACK"]
        # Not alone, or not to be run.
        client.send(parse("", "BEGIN"), SYNC)
        assert types(client) == "1Z" and client.status == "I"
        client.send(parse("", "BEGIN"), bind("", "", ["1"]), execute(), SYNC)
        assert types(client) == "1EZ" and client.status == "I"
        client.send(parse("", "BEGIN"), bind("", ""), execute(), bind("", ""), execute(), SYNC)
        assert types(client) == "12C2CZ" and client.status == "T"
        client.query("COMMIT")


def test_what_comes_next_waits_in_line(narrow, table):
    with narrow.connect() as holder, narrow.connect() as one, narrow.connect() as two:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        one.query("BEGIN")
        two.query("BEGIN")
        time.sleep(1.2)  # neither waits before it has something to ask
        assert [row["state"] for row in narrow.show("CLIENTS")].count("waiting") == 0
        one.send(query(f"INSERT INTO {table} VALUES (1)"))
        two.send(query(f"INSERT INTO {table} VALUES (2)"))
        wait_until(lambda: [row["state"] for row in narrow.show("CLIENTS")].count("waiting") == 2,
                   "they wait", 5 * SLOW)
        holder.query("COMMIT")
        for client in (one, two):
            assert types(client) == "CZ" and client.status == "T"
            client.query("COMMIT")
        assert holder.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "2"


def test_no_server_for_it(start_weir, table):
    """The statement that needs one is told, and the transaction has failed, until it is ended."""
    weir = start_weir({**LONG, "pool": {"size": 1}, "timeouts": {"query_wait": "300ms"}},
                      workers=1)
    with weir.connect() as holder, weir.connect() as client:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        client.query("BEGIN")
        with pytest.raises(wire.ServerError) as failed:
            client.query(f"INSERT INTO {table} VALUES (1)")
        assert failed.value.code == "57P03" and client.status == "E"
        with pytest.raises(wire.ServerError) as failed:
            client.query("SELECT 1")
        assert failed.value.code == "25P02"
        client.query("ROLLBACK")
        assert client.status == "I"
        client.query("BEGIN")
        timer = threading.Timer(0.1, cancel, (weir.host, weir.port, client.pid, client.secret))
        timer.start()
        with pytest.raises(wire.ServerError) as failed:
            client.query(f"INSERT INTO {table} VALUES (1)")
        assert failed.value.code == "57014" and client.status == "E"
        timer.join()
        client.query("ROLLBACK")
        holder.query("COMMIT")
        assert client.value("SELECT 1") == "1"


def test_a_primary_that_dies_behind_it(start_weir, cluster, table):
    """Nothing of the transaction was there: it goes to whoever serves."""
    weir = start_weir({**LONG, "timeouts": {"defer_begin": "1s", "server_retry": "100ms",
                                            "query_wait": "60s"}})
    with weir.connect() as client:
        client.socket.settimeout(60 * SLOW)
        client.query(f"INSERT INTO {table} VALUES (1)")
        client.query("BEGIN")
        cluster.sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE usename = 'app' AND backend_type = 'client backend'"
                       " AND pid <> pg_backend_pid()")
        wait_until(lambda: not [row for row in weir.show("SERVERS") if
                                row["port"] == str(cluster.ports[0])], "they are gone", 5 * SLOW)
        client.query(f"INSERT INTO {table} VALUES (2)")
        client.query("COMMIT")
        assert client.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "2"


FIRST = {"simple": lambda text: (query(text),),
         "extended": lambda text: (parse("", text), bind("", ""), describe("P"), execute(), SYNC),
         "named": lambda text: (parse("s", text), bind("", "s"), execute(), SYNC),
         "several": lambda text: (query(f"SELECT 1; {text}; SELECT 2"),)}


@contextlib.contextmanager
def losable(start_weir, cluster, **relay):
    """A way to the primary that may break, and a session that has begun a transaction."""
    with Relay(cluster.ports[0], **relay) as path:
        hosts = [f"127.0.0.1:{port}" for port in (path.port, *cluster.ports[1:])]
        weir = start_weir({"timeouts": {"defer_begin": "1s", "server_retry": "100ms"},
                           "clusters": {"main": {"hosts": hosts}}})
        with weir.connect(application_name="survivor") as client:
            client.socket.settimeout(60 * SLOW)
            wait_catalog(client)  # before, any write may leave anything
            client.query("/* weir: primary */ SELECT 1")
            client.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
            yield weir, client, path


@pytest.mark.parametrize("how", FIRST)
@pytest.mark.parametrize("lost", ["killed", "cut"])
def test_lost_with_its_first_statement(start_weir, cluster, table, how, lost):
    """Nothing of it can have been committed, and nothing was told: both run again, unseen."""
    with losable(start_weir, cluster) as (weir, client, path), cluster.connect(0) as holder:
        holder.query(f"BEGIN; LOCK TABLE {table}")
        client.send(*FIRST[how](f"INSERT INTO {table} VALUES (1)"))
        pid = pid_of(cluster, f"INSERT INTO {table}")
        if lost == "killed":
            kill(cluster, pid)  # the holder ends with it
        else:
            path.cut()
            holder.query("COMMIT")  # it has run, and its answer does not arrive
        told = client.read_until_ready()
        assert [m.text() for m in told if m.type in "CZ"][-1] == "T", told
        assert "INSERT 0 1" in [m.text() for m in told if m.type == "C"]
        assert not [m for m in told if m.type == "E"]
        assert client.value("SHOW transaction_isolation") == "repeatable read"
        assert int(client.value("SELECT pg_backend_pid()")) != pid
        client.query("COMMIT")
        assert client.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "1"
        assert client.status == "I" and int(weir.show("ROUTE_TOTALS")[0]["retries"]) == 1
        client.query(f"INSERT INTO {table} VALUES (2)")  # in no transaction
        assert cluster.value(0, f"SELECT count(*) FROM {table}") == "2"


def test_lost_with_it_again(start_weir, cluster, table):
    """It may be what kills its server."""
    with losable(start_weir, cluster, cut_at=b"INSERT") as (weir, client, _):
        assert ask(client, query(f"INSERT INTO {table} VALUES (1)")) == error(ROLLED_BACK, "E")
        assert int(weir.show("ROUTE_TOTALS")[0]["retries"]) == 1
        assert ask(client, query("ROLLBACK")) == [ROLLBACK_TAG, ("Z", "I")]
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


@pytest.mark.parametrize("lost, told", [
    ("INSERT INTO {}; COMMIT", error(UNKNOWN, "I")),
    ("SAVEPOINT s; INSERT INTO {}", error(ROLLED_BACK, "E")),
    ("CREATE TEMP TABLE t (); INSERT INTO {}", error(ROLLED_BACK, "E")),
    ("INSERT INTO {}|SELECT 1", error(ROLLED_BACK, "E"))])
def test_lost_with_more_than_plain_ones(start_weir, cluster, table, lost, told):
    """What may have ended the transaction, what leaves more than rows, what was pipelined."""
    with losable(start_weir, cluster) as (weir, client, path), cluster.connect(0) as holder:
        holder.query(f"BEGIN; LOCK TABLE {table}")
        texts = lost.format(f"{table} VALUES (1)").split("|")
        client.send(*(query(text) for text in texts))
        pid_of(cluster, f"INSERT INTO {table}")
        path.cut()
        holder.query("COMMIT")
        assert shown(client.read_until_ready())[-2:] == told
        assert int(weir.show("ROUTE_TOTALS")[0]["retries"]) == 0
        assert [shown(client.read_until_ready()) for _ in texts[1:]] == [error(FAILED, "E")
                                                                         for _ in texts[1:]]


def test_an_operator_ends_its_first_statement(start_weir, cluster, table):
    """He may have meant that one."""
    with losable(start_weir, cluster) as (_, client, _), cluster.connect(0) as holder:
        holder.query(f"BEGIN; LOCK TABLE {table}")
        client.send(query(f"INSERT INTO {table} VALUES (1)"))
        terminate(cluster, pid_of(cluster, f"INSERT INTO {table}"))
        assert shown(client.read_until_ready()) == error(ROLLED_BACK, "E")


def test_a_stale_plan_behind_it(start_weir, cluster, table):
    """Outside of a transaction nobody sees it, and here neither."""
    with start_weir(LONG).connect() as client:
        wait_catalog(client)
        client.send(parse("s", f"SELECT * FROM {table} FOR UPDATE"), bind("", "s"), execute(), SYNC)
        client.read_until_ready()
        cluster.sql(0, f"ALTER TABLE {table} ADD COLUMN more int DEFAULT 7")
        client.query(f"INSERT INTO {table} VALUES (1)")
        client.query("BEGIN")
        client.send(bind("", "s"), execute(), SYNC)
        told = client.read_until_ready()
        assert [m.values() for m in told if m.type == "D"] == [["1", None, "7"]], told
        assert client.status == "T"
        client.query("COMMIT")
        assert client.status == "I"


def test_pause_and_drain(start_weir, table):
    weir = start_weir(LONG)
    with weir.connect() as client:
        order(weir, "PAUSE")
        client.send(query("BEGIN"))
        wait_until(lambda: [row["state"] for row in weir.show("CLIENTS")].count("waiting") == 1,
                   "BEGIN waits", 5 * SLOW)
        order(weir, "RESUME")
        assert types(client) == "CZ"
        client.query("ROLLBACK")
        client.query("BEGIN")
        weir.signal(signal.SIGTERM)
        time.sleep(0.3)
        client.query(f"INSERT INTO {table} VALUES (1)")
        client.query("COMMIT")
    assert weir.wait_exit(30 * SLOW) == 0


def test_clients_that_leave(narrow, cluster):
    clients = [narrow.connect() for _ in range(6)]
    for client in clients:
        client.query("BEGIN")
    for number, client in enumerate(clients):
        client.drop() if number % 2 else client.terminate()
    wait_until(lambda: not [r for r in narrow.show("CLIENTS") if r["user"] == "app"], "gone",
               5 * SLOW)
    assert in_transaction(cluster) == 0
    with narrow.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_settings_and_temporary_tables(narrow, cluster):
    """What such a transaction changes is the session's, or nobody's."""
    with narrow.connect() as client, narrow.connect() as other:
        for end, expected in (("COMMIT", "7min"), ("ROLLBACK", "7min"), ("ROLLBACK", "7min")):
            client.query("BEGIN")
            value = "7min" if end == "COMMIT" else "9min"
            client.query(f"SET statement_timeout = '{value}'")
            client.query(end)
            assert client.value("SHOW statement_timeout") == expected
            assert other.value("SHOW statement_timeout") == "0"
        client.query("BEGIN")
        client.query("CREATE TEMP TABLE mine (v int) ON COMMIT DROP")
        client.query("COMMIT")
        assert not narrow.show("PINS")


def test_it_comes_back_to_its_sequences(start_weir, cluster, table):
    """Sent by itself it goes where its session wrote last, as any other BEGIN."""
    cluster.sql(0, f"CREATE SEQUENCE {table}_s; GRANT ALL ON {table}_s TO app")
    weir = start_weir(workers=1)
    with weir.connect() as one, weir.connect() as other:
        other.query("BEGIN; SELECT 1")
        assert one.value(f"SELECT nextval('{table}_s')") == "1"
        other.query("COMMIT")  # its connection is the latest used
        one.query("BEGIN")
        wait_until(lambda: in_transaction(cluster) == 1, "it is there", 5 * SLOW)
        assert one.value(f"SELECT currval('{table}_s')") == "1"
        one.query("COMMIT")


def test_off(start_weir, cluster):
    weir = start_weir({"timeouts": {"defer_begin": "0"}})
    with contextlib.ExitStack() as stack:
        for number in range(3):
            stack.enter_context(weir.connect()).query("BEGIN")
            assert in_transaction(cluster) == number + 1
