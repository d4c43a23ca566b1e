"""Server connections that are lost while a session needs them: what it is told, and that it goes
on. Whatever the answer, nothing happens twice, and what was acknowledged has happened."""
import asyncio
import contextlib
import os
import signal
import time
from concurrent import futures

import asyncpg
import psycopg
import pytest

from support import BACKEND, SLOW, wire
from support.cluster import frozen, running_cluster, wait_catalog, wait_until
from support.loss import (COMMIT_TAG, FAILED, LOSSES, ROLLBACK_TAG, ROLLED_BACK, UNKNOWN, ask,
                          cut_behind, error, goes_on, in_block, kill, pid_of, query, shown,
                          terminate)
from support.relay import Relay
from support.weir import Weir


@pytest.mark.parametrize("lose", LOSSES)
def test_a_write_in_flight(session, cluster, table, lose):
    session.query(f"INSERT INTO {table} VALUES (1, 'old')")
    session.query("SET search_path = pg_catalog, public")
    session.send(wire.query(f"UPDATE {table} SET v = 'new' WHERE pg_sleep(30) IS NOT NULL"))
    lose(cluster, pid_of(cluster, f"UPDATE {table}"))
    failed, ready = session.read_until_ready()
    fields = failed.fields()
    assert (fields["S"], fields["C"], ready.text()) == ("ERROR", UNKNOWN, "I")
    assert "unknown" in fields["M"] and fields["H"]
    goes_on(session)
    assert session.value("SHOW search_path") == "pg_catalog, public"
    session.query(f"UPDATE {table} SET v = v || '!'")
    assert session.value(f"SELECT v FROM {table}") == "old!"


@pytest.mark.parametrize("lose", LOSSES)
def test_idle_in_a_transaction(session, cluster, table, lose):
    """The next statement is told, once; then the transaction has failed, and is over when the
    client says so."""
    in_block(session, cluster, lose, f"INSERT INTO {table} VALUES (1)", "SAVEPOINT s")
    assert query(session, f"INSERT INTO {table} VALUES (2)") == error(ROLLED_BACK, "E")
    assert query(session, f"INSERT INTO {table} VALUES (3)") == error(FAILED, "E")
    assert query(session, "ROLLBACK TO s") == error(FAILED, "E")
    assert query(session, "SELECT 1") == error(FAILED, "E")
    assert query(session, "COMMIT") == [ROLLBACK_TAG, ("Z", "I")]
    goes_on(session)
    session.query(f"INSERT INTO {table} VALUES (4)")
    assert cluster.sql(0, f"SELECT id FROM {table}") == [["4"]]


def test_a_commit_says_that_the_transaction_is_lost(session, cluster, table):
    in_block(session, cluster, terminate, f"INSERT INTO {table} VALUES (1)")
    assert query(session, "COMMIT") == error(ROLLED_BACK, "I")
    goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


def test_a_commit_in_a_batch_says_it_too(session, cluster):
    session.query("SELECT 1")
    session.send(wire.parse("end", "COMMIT"), wire.SYNC)
    session.read_until_ready()
    for name, first in (("", [wire.parse("", "COMMIT")]), ("end", [])):
        in_block(session, cluster, terminate)
        got = ask(session, *first, wire.bind("", name), wire.execute(), wire.SYNC)
        assert got == [("1",)] * len(first) + [("2",)] + error(ROLLED_BACK, "I")
        goes_on(session)


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_one_that_is_only_prepared_is_no_end_yet(session, cluster, end):
    """As psycopg does the fifth time: a Parse with a Sync of its own expects one answer."""
    for name in ("first", "second"):
        in_block(session, cluster, terminate)
        assert ask(session, wire.parse(name, end), wire.SYNC) == [("1",), ("Z", "E")]
        told = [("2",)] + (error(ROLLED_BACK, "I") if end == "COMMIT" else
                           [ROLLBACK_TAG, ("Z", "I")])
        assert ask(session, wire.bind("", name), wire.execute(), wire.SYNC) == told
        goes_on(session)


def test_psycopg_prepares_its_commit_when_all_is_lost(start_weir, cluster):
    weir = start_weir()
    for prepared in range(7):
        with psycopg.connect(weir.conninfo(application_name="survivor"),
                             autocommit=True) as client:
            for _ in range(prepared):
                client.execute("BEGIN")
                client.execute("COMMIT")
            client.execute("BEGIN")
            client.execute("SELECT 1")
            pid = cluster.value(0, "SELECT pid FROM pg_stat_activity WHERE application_name = "
                                   "'survivor' AND state = 'idle in transaction'")
            terminate(cluster, int(pid))
            with pytest.raises(psycopg.errors.SerializationFailure):
                client.execute("COMMIT")
            assert client.execute("SELECT 1").fetchone() == (1,)


def test_a_rollback_has_what_it_asked_for(session, cluster):
    in_block(session, cluster, terminate)
    assert query(session, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
    in_block(session, cluster, terminate)
    assert ask(session, wire.parse("", "ROLLBACK"), wire.bind("", ""), wire.describe("P"),
               wire.execute(), wire.SYNC) == [("1",), ("2",), ("n",), ROLLBACK_TAG, ("Z", "I")]
    in_block(session, cluster, terminate)
    assert query(session, "ROLLBACK; SELECT 1") == [ROLLBACK_TAG, ("T",), ("D",),
                                                    ("C", "SELECT 1"), ("Z", "I")]
    goes_on(session)


BATCH = (wire.parse("", "SELECT 1"), wire.bind("", ""), wire.execute(), wire.SYNC)
IN_FAILED = [
    [wire.query("SELECT 1")],
    [wire.query("")],
    [wire.query(";")],
    [wire.query("SAVEPOINT s")],
    [wire.query("BEGIN")],
    [wire.query("SELECT 1; SELECT 2")],
    [wire.call(1598)],
    [wire.SYNC],
    [wire.FLUSH, wire.SYNC],
    list(BATCH),
    [*BATCH[:3], wire.query("SELECT 3"), wire.SYNC, wire.SYNC],
    [wire.parse("a", "ROLLBACK"), wire.describe("S", "a"), wire.SYNC],
    [wire.bind("p", "a"), wire.describe("P", "p"), wire.close("P", "p"), wire.SYNC],
    [wire.close("S", "a"), wire.close("S", "a"), wire.SYNC],
    [wire.copy_data(b"1\n"), wire.COPY_DONE, wire.query("SELECT 1")],
]
ENDS = [
    [wire.query("ROLLBACK")],
    [wire.query("COMMIT")],
    [wire.query("END")],
    [wire.query("PREPARE TRANSACTION 'x'")],
    [wire.parse("", "COMMIT"), wire.bind("", ""), wire.describe("P"), wire.execute(), wire.SYNC],
    [wire.parse("", "ROLLBACK"), wire.bind("", ""), wire.execute(), wire.close("P"), wire.SYNC],
]


@pytest.mark.parametrize("end", range(len(ENDS)))
def test_a_lost_transaction_is_like_a_failed_one(session, cluster, end):
    """PostgreSQL itself says what is answered."""
    in_block(session, cluster, terminate)
    assert query(session, "SELECT 0") == error(ROLLED_BACK, "E")
    with cluster.connect(0, "app", "app") as direct:
        direct.query("BEGIN")
        with pytest.raises(wire.ServerError):
            direct.query("SELECT 1/0")
        for messages in [*IN_FAILED, ENDS[end], [wire.query("")]]:
            answers = []
            for client in (session, direct):
                client.send(*messages)
                got = client.read_until_ready()
                for _ in range(messages.count(wire.SYNC) - 1):
                    got += client.read_until_ready()
                answers.append(shown(got))
            assert answers[0] == answers[1], messages
    goes_on(session)


@pytest.mark.parametrize("lose", LOSSES)
def test_in_the_middle_of_a_transaction(session, cluster, table, lose):
    session.query("BEGIN")
    session.query(f"INSERT INTO {table} VALUES (1)")
    text = f"INSERT INTO {table} SELECT 2 FROM pg_sleep(30)"
    # What is pipelined behind belongs to the same transaction, sent already or not.
    session.send(wire.query(text), wire.query(f"INSERT INTO {table} VALUES (3)"))
    lose(cluster, pid_of(cluster, f"INSERT INTO {table} SELECT 2"))
    assert shown(session.read_until_ready()) == error(ROLLED_BACK, "E")
    assert shown(session.read_until_ready()) == error(FAILED, "E")
    assert query(session, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
    goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


def test_a_failed_transaction_stays_failed(session, cluster):
    session.query("BEGIN")
    pid = session.value(BACKEND)
    session.query("SAVEPOINT s")
    with pytest.raises(wire.ServerError):
        session.query("SELECT no_such_column")
    terminate(cluster, pid)
    assert query(session, "SELECT 1") == error(FAILED, "E")
    assert query(session, "ROLLBACK TO s") == error(FAILED, "E")
    assert query(session, "COMMIT") == [ROLLBACK_TAG, ("Z", "I")]
    goes_on(session)


@pytest.mark.parametrize("extended", [False, True])
def test_a_commit_in_flight_that_is_undone(session, cluster, table, extended):
    """A deferred trigger sleeps in it."""
    cluster.sql(0, f"CREATE FUNCTION slow_{table}() RETURNS trigger LANGUAGE plpgsql AS "
                   "'BEGIN PERFORM pg_sleep(30); RETURN NULL; END';"
                   f"CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {table} DEFERRABLE INITIALLY "
                   f"DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_{table}()")
    session.query("BEGIN")
    pid = session.value(BACKEND)
    session.query(f"INSERT INTO {table} VALUES (1)")
    if extended:
        session.send(wire.parse("", "COMMIT"), wire.bind("", ""), wire.execute(), wire.SYNC)
    else:
        session.send(wire.query("COMMIT"))
    wait_until(lambda: cluster.value(0, "SELECT wait_event FROM pg_stat_activity "
                                        f"WHERE pid = {pid}") == "PgSleep", "it sleeps", 10 * SLOW)
    terminate(cluster, pid)
    assert [part for part in shown(session.read_until_ready()) if part[0] not in "12"] == \
        error(UNKNOWN, "I")
    goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


def test_a_commit_in_flight_that_has_happened(start_weir, cluster, table):
    """Its answer is lost on the way. What the session reads then is as if it knew."""
    with cut_behind(start_weir, cluster, b"COMMIT /* cut */\0") as session:
        for number in range(1, 6):
            session.query("BEGIN")
            session.query(f"INSERT INTO {table} VALUES ({number})")
            assert query(session, "COMMIT /* cut */") == error(UNKNOWN, "I")
            assert session.value(f"SELECT count(*) FROM {table}") == str(number)
        goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "5"


@pytest.mark.parametrize("begin,write", [
    ("BEGIN; INSERT INTO {} VALUES (1)", "COMMIT /* cut */"),
    ("CREATE TEMP TABLE pins (a int)", "INSERT INTO {} VALUES (1) /* cut */")])
def test_a_write_while_no_primary_is_known(start_weir, cluster, table, begin, write):
    """It is silent for a moment, and does what it was asked when it is back."""
    with Relay(cluster.ports[0], cut_behind=b"/* cut */\0") as relay:
        hosts = [f"127.0.0.1:{port}" for port in (relay.port, *cluster.ports[1:])]
        weir = start_weir({"clusters": {"main": {"hosts": hosts}}})
        with weir.connect() as session:
            session.query(begin.format(table))
            with frozen(cluster, 0):
                wait_until(lambda: weir.show("HOSTS")[0]["state"] == "down", "it is", 10 * SLOW)
                session.send(wire.query(write.format(table)))
                time.sleep(0.1 * SLOW)  # it is on its way
            answer = session.read_noting()
            assert (answer.type, answer.fields()["C"]) == ("E", UNKNOWN)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "1"


def test_a_begin_whose_answer_is_lost(start_weir, cluster, table):
    """Few clients roll back for an error of BEGIN: the statement behind it is told."""
    with cut_behind(start_weir, cluster, b"/* cut */\0") as session:
        for text, tag in (("BEGIN /* cut */", "BEGIN"),
                          ("START TRANSACTION READ WRITE /* cut */", "START TRANSACTION")):
            assert query(session, text) == [("C", tag), ("Z", "T")]
            assert query(session, f"INSERT INTO {table} VALUES (1)") == error(ROLLED_BACK, "E")
            assert query(session, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
        session.send(wire.parse("", "BEGIN"), wire.bind("", ""), wire.execute(),
                     wire.parse("", f"INSERT INTO {table} VALUES (1) /* cut */"),
                     wire.bind("", ""), wire.execute(), wire.SYNC)
        assert shown(session.read_until_ready())[-2:] == error(ROLLED_BACK, "E")
        assert query(session, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
        goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


def test_psycopg_loses_a_begin(start_weir, cluster, table):
    with Relay(cluster.ports[0], cut_behind=b"BEGIN\0") as relay:
        hosts = [f"127.0.0.1:{port}" for port in (relay.port, *cluster.ports[1:])]
        weir = start_weir({"clusters": {"main": {"hosts": hosts}},
                           "timeouts": {"defer_begin": "1s"}})
        with weir.psycopg(autocommit=True) as connection:
            for _ in range(2):
                with pytest.raises(psycopg.errors.SerializationFailure), connection.transaction():
                    connection.execute(f"INSERT INTO {table} VALUES (1)")
                connection.execute(f"INSERT INTO {table} VALUES (2) ON CONFLICT DO NOTHING")
    assert cluster.sql(0, f"SELECT id FROM {table}") == [["2"]]


@pytest.mark.parametrize("told", [True, False])
def test_a_login_whose_server_is_lost(start_weir, cluster, told):
    with Relay(cluster.ports[0]) as relay, contextlib.ExitStack() as clients:
        weir = start_weir({"clusters": {"main": {"hosts": [f"127.0.0.1:{relay.port}"]}},
                           "pool": {"size": 1}}, workers=1)
        with weir.connect() as first:
            first.query("SELECT 1")
        pids = [int(row[0]) for row in cluster.sql(0, "SELECT pid FROM pg_stat_activity WHERE "
                                                      "usename = 'app' AND datname = 'app'")]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        with futures.ThreadPoolExecutor() as threads:
            login = threads.submit(weir.connect, options="-c work_mem=3MB")
            time.sleep(0.5 * SLOW)  # it has asked its server for that
            assert not login.done()
            if not told:
                relay.cut()
            for pid in pids:
                if told:
                    os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)
            client = clients.enter_context(login.result())
        assert client.value("SHOW work_mem") == "3MB"


def test_an_acknowledged_write_is_not_told_again(start_weir, cluster, table):
    """The answer was lost, and the write is there: the session sees that it is, once."""
    with cut_behind(start_weir, cluster, b"/* cut */\0") as session:
        assert query(session, f"INSERT INTO {table} VALUES (1) /* cut */") == error(UNKNOWN, "I")
        assert session.value(f"SELECT count(*) FROM {table}") == "1"
        goes_on(session)


PINNED = [("CREATE TEMP TABLE kept (a int)", "temporary object"),
          ("SELECT pg_advisory_lock(77)", "advisory lock"),
          ("BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT 1; COMMIT", "cursor with hold"),
          ("LISTEN kept", "listen"),
          ("PREPARE kept AS SELECT 1", "prepared statement")]


@pytest.mark.parametrize("text,reason", PINNED)
def test_what_cannot_live_on(proxy, cluster, text, reason):
    """The session ends, and is told what it has lost."""
    with proxy.connect(application_name="pinned") as session:
        session.query(text)
        terminate(cluster, cluster.value(0, "SELECT pid FROM pg_stat_activity WHERE "
                                            "application_name = 'pinned'"))
        last = session.expect_closed()
        errors = [m.fields() for m in last if m.type == "E"]
        assert [(fields["S"], fields["C"]) for fields in errors] == [("FATAL", "57P01")]
        assert reason in errors[0]["D"]


def test_what_was_lost_with_its_transaction(session, cluster):
    """A temporary table of the transaction itself is gone, as ROLLBACK would have it."""
    in_block(session, cluster, terminate, "CREATE TEMP TABLE passing (a int) ON COMMIT DROP",
             "INSERT INTO passing VALUES (1)")
    assert query(session, "SELECT 1") == error(ROLLED_BACK, "E")
    assert query(session, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
    goes_on(session)


def test_session_pooling(start_weir, cluster):
    weir = start_weir({"pool_mode": "session"})
    with weir.connect() as session:
        terminate(cluster, session.value(BACKEND))
        errors = [m.fields() for m in session.expect_closed() if m.type == "E"]
        assert [(fields["S"], fields["C"]) for fields in errors] == [("FATAL", "57P01")]


def test_settings_of_a_lost_transaction_are_not_the_sessions(session, cluster):
    session.query("SET work_mem = '3MB'")
    in_block(session, cluster, terminate, "SET work_mem = '7MB'")
    assert query(session, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
    assert session.value("SHOW work_mem") == "3MB"


def test_psycopg(proxy, cluster, table):
    """What applications and their frameworks do: roll back, and go on with the connection."""
    with proxy.psycopg(autocommit=False) as connection:
        connection.execute(f"INSERT INTO {table} VALUES (1)")
        terminate(cluster, connection.execute(BACKEND).fetchone()[0])
        with pytest.raises(psycopg.errors.SerializationFailure):
            connection.execute(f"INSERT INTO {table} VALUES (2)")
        assert not connection.broken and not connection.closed
        connection.rollback()
        connection.execute(f"INSERT INTO {table} VALUES (3)")
        terminate(cluster, connection.execute(BACKEND).fetchone()[0])
        with pytest.raises(psycopg.errors.SerializationFailure):
            connection.commit()
        for _ in range(6):  # more than psycopg's prepare_threshold
            connection.execute(f"SELECT v FROM {table} WHERE id = %s", (4,))
        terminate(cluster, connection.execute(BACKEND).fetchone()[0])
        connection.rollback()
        connection.execute(f"SELECT v FROM {table} WHERE id = %s", (4,))
        connection.execute(f"INSERT INTO {table} VALUES (4)")
        connection.commit()
        with pytest.raises(psycopg.errors.SerializationFailure), connection.transaction():
            with connection.transaction():  # a savepoint
                terminate(cluster, connection.execute(BACKEND).fetchone()[0])
                connection.execute("SELECT 1")
        connection.execute("SELECT 1")
    assert cluster.sql(0, f"SELECT id FROM {table}") == [["4"]]


def test_asyncpg(proxy, cluster, table):
    async def work():
        connection = await asyncpg.connect(host=proxy.host, port=proxy.port, user="app",
                                           password="app", database="app", ssl=False)
        insert = f"INSERT INTO {table} VALUES ($1)"
        with pytest.raises(asyncpg.SerializationError):
            async with connection.transaction():
                await connection.execute(insert, 1)
                terminate(cluster, await connection.fetchval(BACKEND))
                await connection.execute(insert, 2)
        async with connection.transaction():
            await connection.execute(insert, 3)
        with pytest.raises(asyncpg.SerializationError):
            async with connection.transaction():
                await connection.execute(insert, 4)
                terminate(cluster, await connection.fetchval(BACKEND))
        task = asyncio.ensure_future(connection.execute(
            f"UPDATE {table} SET v = 'x' WHERE pg_sleep($1) IS NOT NULL", 30.0))
        pid = await asyncio.to_thread(pid_of, cluster, f"UPDATE {table}")
        await asyncio.to_thread(terminate, cluster, pid)
        with pytest.raises(asyncpg.PostgresError) as failed:
            await task
        assert failed.value.sqlstate == UNKNOWN
        await connection.execute(insert, 5)
        await connection.close()
    asyncio.run(work())
    assert cluster.sql(0, f"SELECT id FROM {table} ORDER BY id") == [["3"], ["5"]]


@pytest.mark.parametrize("silent", [False, True])
def test_failover(silent):
    """The primary is killed, or says nothing more, and a replica is promoted: every session goes
    on where it was, and what was acknowledged is there."""
    with running_cluster(1) as cluster:
        cluster.sql(0, "CREATE TABLE moved (id int); GRANT ALL ON moved TO PUBLIC")
        cluster.sql(0, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        cluster.sql(0, "SELECT pg_reload_conf()")
        weir = Weir(cluster, {"timeouts": {"server_retry": "100ms", "query_wait": "120s",
                                           "defer_begin": "1s"},
                              "clusters": {"main": {"monitor": {"timeout": "1s"}}}})
        with contextlib.ExitStack() as stack:
            stack.callback(weir.discard)
            weir.start().wait_ready()
            idle, busy, block, plain, first = (
                stack.enter_context(weir.connect(application_name="survivor")) for _ in range(5))
            wait_catalog(plain)
            for client in (idle, busy, block, plain, first):
                client.socket.settimeout(120 * SLOW)
            plain.query("INSERT INTO moved VALUES (1)")
            idle.query("BEGIN")
            idle.query("INSERT INTO moved VALUES (2)")
            block.query("BEGIN")
            block.query("SELECT 1")
            first.query("BEGIN")
            first.send(wire.query("INSERT INTO moved SELECT 2 + 7 FROM pg_sleep(600 * "
                                  f"(inet_server_port() = {cluster.ports[0]})::int)"))
            block.send(wire.query("INSERT INTO moved SELECT 3 FROM pg_sleep(600)"))
            busy.send(wire.query("INSERT INTO moved SELECT 4 FROM pg_sleep(600)"))
            pid_of(cluster, "SELECT 4")
            pid_of(cluster, "SELECT 3")
            pid_of(cluster, "SELECT 2 + 7")
            if silent:
                stack.enter_context(frozen(cluster, 0))
                cluster.command("promote", 1)
            else:
                cluster.command("kill", 0)
            assert shown(busy.read_until_ready()) == error(UNKNOWN, "I")
            assert shown(block.read_until_ready()) == error(ROLLED_BACK, "E")
            assert query(block, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
            for number, client in enumerate((plain, busy, block), 5):
                client.send(wire.query(f"INSERT INTO moved VALUES ({number})"))
            if not silent:
                cluster.command("promote", 1)
            cluster.sql(1, "ALTER SYSTEM SET synchronous_standby_names = ''")
            cluster.sql(1, "SELECT pg_reload_conf()")
            for client in (plain, busy, block):
                assert shown(client.read_until_ready()) == [("C", "INSERT 0 1"), ("Z", "I")]
            # Of its transaction nothing had been told yet.
            assert shown(first.read_until_ready()) == [("C", "INSERT 0 1"), ("Z", "T")]
            assert query(first, "COMMIT") == [COMMIT_TAG, ("Z", "I")]
            assert query(idle, "INSERT INTO moved VALUES (8)") == error(ROLLED_BACK, "E")
            assert query(idle, "COMMIT") == [ROLLBACK_TAG, ("Z", "I")]
            for client in (idle, busy, block, plain, first):
                goes_on(client)
        assert cluster.sql(1, "SELECT id FROM moved ORDER BY id") == [["1"], ["5"], ["6"], ["7"],
                                                                      ["9"]]
