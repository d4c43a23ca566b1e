"""Scripts of messages as no driver sends them: every answer as PostgreSQL's own, in its order."""
import struct

import pytest

from support import wire
from support.cluster import fresh_name
from support.transcript import (Player, closed, leave, messages, quiet, ready, run, send,
                                terminate, until)
from support.wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, bind, call, close, copy_data,
                          copy_fail, describe, execute, message, parse, query)

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text);
CREATE FUNCTION note(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', $1;
  RETURN $1; END $$;
CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN
  SELECT count(*) INTO n FROM t; INSERT INTO t VALUES (n + 1); COMMIT;
  INSERT INTO t VALUES (n + 2); ROLLBACK; INSERT INTO t VALUES (n + 3); END $$;
"""
COUNT = "/* weir: primary */ SELECT count(*) FROM t"
# Object ids of pg_proc.
INT4PL, INT4DIV, LOWER, PG_NOTIFY, SET_CONFIG = 177, 154, 870, 3036, 2078


def step(sql, values=(), rows=0):
    return parse("", sql) + bind("", "", values) + execute("", rows)


INSERT = step("INSERT INTO t VALUES (1, 'x')")
FAIL = step("SELECT 1/0")

SCRIPTS = {
    # --- simple queries ---
    "several statements": [
        run("SELECT 1; SELECT 'a', NULL; SELECT 3 WHERE false", "", ";", " ;; ")],
    "an error between statements": [run("SELECT 1; SELECT 1/0; SELECT 2", "SELECT 3")],
    "an error undoes what precedes it": [
        run("INSERT INTO t VALUES (1); SELECT 1/0", COUNT,
            "INSERT INTO t VALUES (1); COMMIT; SELECT 1/0", COUNT)],
    "transaction commands without one": [run("COMMIT", "ROLLBACK", "SAVEPOINT s", "BEGIN", "BEGIN",
                                             "SELECT 1/0", "SELECT 1", "COMMIT", "SELECT 2")],
    "queries behind each other": [
        send(query("SELECT 1"), query("SELEC"), query("INSERT INTO t VALUES (1)"), query(COUNT),
             query("BEGIN"), query("DELETE FROM t"), query("SELECT 1/0"), query(COUNT),
             query("ROLLBACK"), query(COUNT)), ready(10)],
    "notices": [run("SELECT note('a'), note('b'); SELECT note('c')", "DROP TABLE IF EXISTS nothing",
                    "SET client_min_messages = error; SELECT note('unheard')",
                    "RESET client_min_messages", "SELECT note('heard')")],
    "settings that are reported": [
        run("SET timezone = 'Asia/Tokyo'", "BEGIN; SET timezone = 'UTC'", "ROLLBACK",
            "SET LOCAL timezone = 'UTC'", "BEGIN; SET LOCAL datestyle = German; COMMIT",
            "SET application_name = 'x'; SET application_name = 'y'", "RESET ALL", "DISCARD ALL"),
        send(step("SET timezone = 'Asia/Tokyo'"), step("SET timezone = 'UTC'"), FAIL, SYNC,
             step("SHOW timezone"), SYNC), ready(2)],
    "deferred constraints": [
        run("INSERT INTO t VALUES (1), (1)", "BEGIN; INSERT INTO t VALUES (2), (2)", "SELECT 1",
            "COMMIT", COUNT),
        send(step("INSERT INTO t VALUES (3), (3)"), SYNC, INSERT, INSERT, SYNC,
             step(COUNT), SYNC), ready(3)],
    "transactions within one text": [
        run("BEGIN; INSERT INTO t VALUES (1); COMMIT; SELECT 1/0", COUNT, "COMMIT; BEGIN; SELECT 1",
            "SELECT 1/0; ROLLBACK", "ROLLBACK; BEGIN; SELECT 1/0", "ROLLBACK; SELECT 2",
            "SELECT 1; SAVEPOINT s", "BEGIN; SAVEPOINT s; SELECT 1/0", "ROLLBACK TO s; SELECT 3",
            "COMMIT AND CHAIN; SET LOCAL work_mem = '5MB'; ROLLBACK AND CHAIN; SHOW work_mem",
            "ABORT; START TRANSACTION READ ONLY; INSERT INTO t VALUES (2)", "END", COUNT)],
    "procedures that commit": [
        run("CALL twice()", COUNT, "BEGIN; CALL twice()", "ROLLBACK", COUNT),
        send(step("CALL twice()"), SYNC, step("SELECT 1"), step("CALL twice()"), SYNC,
             step(COUNT), SYNC), ready(3)],
    "ending oneself": [run("SELECT pg_cancel_backend(pg_backend_pid())",
                           "SELECT pg_terminate_backend(pg_backend_pid())"), closed()],
    "another encoding": [
        run("SET client_encoding = 'LATIN1'", "SELECT chr(252), length(chr(8364))",
            "SELECT chr(8364)", "SELECT 'still there'", "RESET client_encoding",
            "SELECT chr(8364)")],
    "a timeout in a transaction": [
        run("SET idle_in_transaction_session_timeout = '100ms'", "SELECT 1", "BEGIN"), closed()],
    "messages in pieces": [
        send(query("SELECT 1")[:3]), quiet(), send(query("SELECT 1")[3:9]), quiet(),
        send(query("SELECT 1")[9:], parse("", "SELECT 2")[:4]), ready(), quiet(),
        send(parse("", "SELECT 2")[4:], bind("", ""), execute()[:6]), quiet(),
        send(execute()[6:], SYNC[:2]), quiet(), send(SYNC[2:]), ready()],
    "large answers": [run("SELECT repeat('x', 100000), generate_series(1, 30)",
                          "SELECT repeat('y', 3000000)")],

    # --- the extended protocol ---
    "Flush after each message": [
        send(parse("", "SELECT $1::int, 'x'"), FLUSH), messages(1),
        send(describe("S"), FLUSH), messages(2), send(bind("", "", [7]), FLUSH), messages(1),
        send(describe("P"), FLUSH), messages(1), send(execute(), FLUSH), messages(2), quiet(),
        send(SYNC), ready()],
    "Flush and Sync alone": [send(FLUSH), quiet(), send(SYNC, FLUSH, SYNC, FLUSH, FLUSH, SYNC),
                             ready(3), run("SELECT 1")],
    "an error at Flush, and all up to Sync is skipped": [
        send(FAIL, FLUSH), messages(2), send(step("SELECT 1"), query("SELECT 2"), FLUSH,
                                             call(INT4PL, b"1", b"2"), close("S", "x"), FLUSH),
        quiet(), send(SYNC), ready(), run("SELECT 3")],
    "errors in several batches of one write": [
        send(step("SELECT 1"), FAIL, step("SELECT 2"), SYNC, parse("", "SELEC"), SYNC,
             bind("", "nothing"), SYNC, execute("nothing"), SYNC, describe("S", "nothing"), SYNC,
             describe("P", "nothing"), SYNC, close("S", "nothing"), close("P", "nothing"), SYNC,
             INSERT, FAIL, SYNC, step(COUNT), SYNC), ready(9)],
    "names in use and unknown ones": [
        send(parse("s", "SELECT 1"), parse("s", "SELECT 2"), SYNC, bind("p", "s"), bind("p", "s"),
             SYNC, close("S", "s"), bind("", "s"), SYNC, parse("s", "SELECT 3"), bind("", "s"),
             execute(), close("P", ""), execute(), SYNC, parse("", "SELECT 4"), close("S", ""),
             bind("", ""), SYNC), ready(5)],
    "a statement that fails is not there": [
        send(parse("s", "SELECT * FROM nowhere"), SYNC, bind("", "s"), execute(), SYNC,
             parse("s", "SELECT 1"), FAIL, SYNC, bind("", "s"), execute(), SYNC), ready(4)],
    "the unnamed statement ends with a query": [
        send(parse("", "SELECT 1"), SYNC, bind("", ""), execute(), SYNC, query("SELECT 2"),
             bind("", ""), SYNC, parse("", "SELECT 3"), SYNC, parse("", "SELEC"), SYNC,
             bind("", ""), execute(), SYNC), ready(7)],
    "the unnamed statement behind a Parse that is skipped": [
        send(parse("", "SELECT 1"), SYNC), ready(),
        send(FAIL, parse("", "SELECT 2"), parse("", "SELECT 3"), SYNC, bind("", ""), execute(),
             SYNC), ready(2),
        send(parse("", "SELECT 1"), SYNC), ready(),
        send(bind("", "nothing"), parse("", "SELECT 2"), SYNC,
             bind("", ""), execute(), SYNC, bind("", ""), execute(), SYNC), ready(3),
        send(parse("", "SELECT 4"), bind("", "nothing"), parse("", "SELECT 5"), SYNC,
             bind("", ""), execute(), SYNC), ready(2),
        send(parse("", "SELEC"), parse("", "SELECT 6"), SYNC), ready(),
        send(bind("", ""), execute(), SYNC), ready(),
        send(parse("", "SELEC"), SYNC, parse("", "SELECT 7"), SYNC), ready(2),
        send(bind("", ""), execute(), SYNC), ready(),
        send(bind("", "nothing"), parse("", "SELECT 8"), SYNC, parse("", "SELECT 9"), SYNC),
        ready(2), send(bind("", ""), execute(), SYNC), ready()],
    "a query in an open batch": [
        send(INSERT, query("SELECT 1/0"), step(COUNT), SYNC), ready(2),
        send(INSERT, query("SELECT 2"), FAIL, SYNC, step(COUNT), SYNC), ready(3)],
    "several statements in a Parse": [send(parse("", "SELECT 1; SELECT 2"), SYNC, step(""), SYNC,
                                           step(";"), SYNC), ready(3)],
    "wrong numbers of values": [
        send(parse("s", "SELECT $1::int + $2::int"), bind("", "s", [1]), SYNC,
             bind("", "s", [1, 2, 3]), SYNC, bind("", "s", ["x", 2]), SYNC,
             bind("", "s", [None, 2]), execute(), SYNC, describe("S", "s"), SYNC), ready(5)],
    "binary formats": [
        send(parse("", "SELECT $1::int, $2::text", [23, 25]),
             message("B", b"\0\0" + struct.pack("!HHHHii", 2, 1, 0, 2, 4, 7) +
                     struct.pack("!i1sHHH", 1, b"x", 2, 1, 0)),
             describe("P"), execute(), SYNC,
             message("B", b"\0\0" + struct.pack("!HHHiiiHH", 1, 1, 2, 2, 0, -1, 1, 1)), SYNC,
             message("B", b"\0\0" + struct.pack("!HHHHHH", 3, 1, 1, 1, 0, 0)), SYNC), ready(3)],
    "portals with row limits": [
        send(query("BEGIN"), parse("s", "SELECT generate_series(1, 5)"), bind("p", "s"),
             execute("p", 2), SYNC, execute("p", 2), SYNC, execute("p", 2), execute("p", 2),
             execute("p"), SYNC, bind("p", "s"), SYNC), ready(5),
        send(query("ROLLBACK"), execute("p"), SYNC), ready(2)],
    "a portal ends with its transaction": [
        send(parse("s", "SELECT generate_series(1, 5)"), bind("p", "s"), execute("p", 2), FLUSH),
        messages(5), send(execute("p", 2), SYNC), ready(), send(execute("p"), SYNC), ready(),
        send(query("BEGIN"), bind("p", "s"), SYNC, query("COMMIT"), describe("P", "p"), SYNC),
        ready(4)],
    "portals beside each other": [
        send(query("BEGIN"), step("SAVEPOINT x"), parse("s", "SELECT generate_series(1, $1)"),
             bind("p", "s", [3]), bind("q", "s", [4]), execute("p", 1), execute("q", 2),
             execute("p", 1), close("P", "q"), execute("p", 9), SYNC, execute("q"), SYNC,
             query("ROLLBACK TO x"), bind("q", "s", [1]), execute("q"), SYNC, query("COMMIT")),
        ready(6)],
    "cursors of SQL as portals": [
        send(query("BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 4)"), describe("P", "c"),
             execute("c", 2), SYNC, query("FETCH 1 FROM c"), execute("c"), close("P", "c"), SYNC,
             query("FETCH c")), ready(5)],
    "writes with row limits": [
        send(step("INSERT INTO t SELECT generate_series(1, 4) RETURNING id", rows=2), SYNC,
             step(COUNT), SYNC, query("BEGIN"), parse("", "DELETE FROM t RETURNING id"),
             bind("p", ""), execute("p", 3), execute("p", 1), execute("p", 1), SYNC,
             query("ROLLBACK"), query(COUNT)), ready(6)],
    "transactions in a pipeline": [
        send(step("BEGIN"), INSERT, SYNC, FAIL, SYNC, step("SELECT 1"), SYNC, step("COMMIT"), SYNC,
             step(COUNT), SYNC, step("BEGIN"), INSERT, step("COMMIT"), FAIL, SYNC, step(COUNT),
             SYNC), ready(7)],
    "savepoints in a pipeline": [
        send(step("BEGIN"), step("SAVEPOINT a"), INSERT, SYNC, FAIL, SYNC, step("ROLLBACK TO a"),
             SYNC, INSERT, step("RELEASE a"), step("COMMIT AND CHAIN"),
             step("SHOW transaction_isolation"), SYNC, step("ROLLBACK"), SYNC, step(COUNT), SYNC),
        ready(6)],
    "BEGIN that fails with its batch": [
        send(step("BEGIN"), FAIL, step("COMMIT"), SYNC, step("SELECT 1"), SYNC, step("ROLLBACK"),
             SYNC), ready(3)],
    "what cannot run in a transaction": [
        send(INSERT, step("VACUUM t"), SYNC, step(COUNT), SYNC, query("SELECT 1; VACUUM t"),
             step("DISCARD ALL"), SYNC, step("SELECT 1"), step("DISCARD ALL"), SYNC), ready(5)],
    "statements by both protocols": [
        send(parse("s", "SELECT $1::int"), SYNC, query("EXECUTE s(4)"), query("EXECUTE s"),
             query("PREPARE s AS SELECT 1"), query("DEALLOCATE s"), query("EXECUTE s(4)"),
             query("PREPARE r AS SELECT 'r'"), bind("", "r"), describe("S", "r"), execute(), SYNC,
             parse("r", "SELECT 1"), SYNC, close("S", "r"), SYNC, query("EXECUTE r"),
             query("DEALLOCATE ALL"), bind("", "s"), SYNC), ready(12)],
    "cursors without a transaction": [
        send(step("DECLARE c CURSOR FOR SELECT generate_series(1, 3)"), step("FETCH 2 FROM c"),
             SYNC, step("FETCH 1 FROM c"), SYNC,
             step("DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)"), SYNC,
             step("FETCH 2 FROM c"), SYNC, step("CLOSE c"), SYNC), ready(5)],
    "types that are none": [
        send(parse("", "SELECT $1", [99999]), SYNC, parse("", "SELECT $1, $2", [23]),
             bind("", "", [1, 2]),
             describe("P"), execute(), SYNC, parse("", "SELECT $2::int"), describe("S"), SYNC),
        ready(3)],
    "the empty statement": [
        send(parse("e", ""), describe("S", "e"), bind("p", "e"), describe("P", "p"),
             execute("p"), execute("p"), SYNC), ready()],
    "temporary tables in a pipeline": [
        send(step("CREATE TEMP TABLE s (a int) ON COMMIT DELETE ROWS"), SYNC,
             step("INSERT INTO s VALUES (1)"), step("TABLE s"), SYNC, step("TABLE s"), SYNC,
             step("DROP TABLE s"), step("SELECT 1"), SYNC, step("TABLE s"), SYNC), ready(5)],
    "tables made by statements of the protocol": [
        send(parse("s", "SELECT $1::int AS n"), SYNC), ready(),
        run("CREATE TEMP TABLE execute AS EXECUTE s(4)", "TABLE execute", "DROP TABLE execute",
            "CREATE TEMP TABLE z AS EXECUTE none(4)", "CREATE TEMP TABLE z AS EXECUTE s")],
    "a timeout in a batch": [
        send(step("SET statement_timeout = '50ms'"), SYNC, step("SELECT 1"),
             step("SELECT pg_sleep(9)"), step("SELECT 2"), SYNC, step("SELECT 3"), SYNC), ready(3)],
    "serialization is left to the client": [
        run("INSERT INTO t VALUES (1, 'x')", "BEGIN ISOLATION LEVEL REPEATABLE READ", COUNT),
        run("UPDATE t SET v = 'y'", of="b"), run("UPDATE t SET v = 'z'", "SELECT 1", "ROLLBACK")],

    # --- COPY ---
    "COPY in a pipeline": [
        send(INSERT, step("COPY t FROM STDIN"), SYNC, copy_data(b"2\ta\n"), copy_data(b"3\tb\n"),
             COPY_DONE, SYNC, step(COUNT), SYNC), ready(2)],
    "COPY whose data waits": [
        send(parse("", "COPY t FROM STDIN"), bind("", ""), describe("P"), execute(), FLUSH),
        messages(4), send(copy_data(b"2\ta\n"), FLUSH, SYNC), quiet(),
        send(copy_data(b"3\t"), copy_data(b"b\n"), COPY_DONE, step(COUNT), SYNC), ready()],
    "COPY that fails": [
        send(query("COPY t FROM STDIN"), copy_data(b"1\ta\n"), copy_fail("no more"),
             query(COUNT)), ready(2),
        send(query("COPY t FROM STDIN"), copy_data(b"no number\n"), copy_data(b"2\tb\n"), COPY_DONE,
             query(COUNT)), ready(2),
        send(query("COPY nowhere FROM STDIN"), copy_data(b"1\ta\n"), COPY_DONE, query(COUNT)),
        ready(2),
        send(query("BEGIN"), query("COPY t FROM STDIN"), copy_data(b"1\ta\n"), copy_fail("x"),
             query("SELECT 1"), query("COMMIT")), ready(4)],
    "COPY that fails in a batch": [
        send(step("COPY t FROM STDIN"), copy_data(b"x\n"), COPY_DONE, step("SELECT 1"), SYNC,
             step(COUNT), SYNC), ready(2)],
    "two COPY in one query": [
        send(query("COPY t FROM STDIN; SELECT 5; COPY t FROM STDIN"), copy_data(b"1\ta\n"),
             COPY_DONE, copy_data(b"2\tb\n"), COPY_DONE, query(COUNT)), ready(2)],
    "COPY out": [
        send(query("COPY (SELECT generate_series(1, 3)) TO STDOUT; SELECT 1"),
             step("COPY (SELECT generate_series(1, 3)) TO STDOUT"), FLUSH), ready(),
        messages(8), send(SYNC), ready(),
        send(query("COPY (SELECT 1/(3 - g) FROM generate_series(1, 9) g) TO STDOUT"),
             query("SELECT 2")), ready(2)],
    "copy messages outside of a COPY": [
        send(copy_data(b"x"), COPY_DONE, copy_fail("x"), query("SELECT 1"), copy_data(b"x"),
             COPY_DONE, SYNC, query("SELECT 2")), ready(3)],

    # --- FunctionCall ---
    "function calls": [
        send(call(INT4PL, b"1", b"2"),
             call(INT4PL, b"\0\0\0\1", b"\0\0\0\2", formats=(1,), result=1),
             call(LOWER, b"ABC"), call(LOWER, None)), ready(4)],
    "function calls that fail": [
        send(call(INT4DIV, b"1", b"0"), call(99999, b"1"), call(INT4PL, b"1"),
             call(INT4PL, b"x", b"1"), call(INT4PL, b"1", b"2", formats=(0, 0, 0)),
             query("SELECT 1")), ready(6)],
    "function calls in transactions and batches": [
        send(query("BEGIN"), call(INT4DIV, b"1", b"0"), call(INT4PL, b"1", b"2"),
             query("ROLLBACK"), INSERT, call(INT4PL, b"1", b"2"), step(COUNT), SYNC), ready(6)],
    "function calls with effects": [
        send(call(SET_CONFIG, b"work_mem", b"7MB", b"f"), query("SHOW work_mem"),
             call(SET_CONFIG, b"app.x", b"7", b"f"), query("SHOW app.x")), ready(4)],

    # --- what is no message ---
    "an unknown type": [send(query("SELECT 1"), message("y", b"abc"), query("SELECT 2")), closed()],
    "an impossible length": [send(query("SELECT 1")), ready(), send(b"Q\0\0\0\3"), closed()],
    "bodies that end too early": [
        send(message("P", b"s\0SELECT 1"), SYNC, message("B", b"x"), SYNC, message("E", b"\0\0"),
             SYNC, message("D", b"S"), SYNC, message("C", b""), SYNC, query("SELECT 1")),
        ready(6)],
    "bodies that go on": [
        send(message("P", b"\0SELECT 1\0\0\0x"), SYNC, message("D", b"S\0x"), SYNC,
             message("E", b"\0\0\0\0\0x"), SYNC, message("S", b"x"), query("SELECT 1")), ready(5)],
    "kinds that are none": [send(describe("X"), SYNC, close("X"), SYNC, query("SELECT 1")),
                            ready(3)],
    "words after goodbye": [send(INSERT, SYNC, TERMINATE, query("SELECT 1")), closed(),
                            until(COUNT, "1")],

    # --- who leaves midway, and what another session sees ---
    "leaving a transaction": [run("BEGIN", "INSERT INTO t VALUES (1)"), leave(),
                              run(COUNT, of="b")],
    "leaving an open batch": [send(INSERT, FLUSH), messages(3), leave(), run(COUNT, of="b")],
    "leaving an open batch politely": [send(INSERT, FLUSH), messages(3), terminate(),
                                       run(COUNT, of="b")],
    "leaving with what was asked": [send(query("INSERT INTO t VALUES (1)")), terminate(),
                                    until(COUNT, "1")],
    "leaving a COPY": [send(query("COPY t FROM STDIN"), copy_data(b"1\ta\n")), messages(1), leave(),
                       run(COUNT, of="b")],
    "leaving a COPY politely": [send(query("COPY t FROM STDIN"), copy_data(b"1\ta\n")), messages(1),
                                terminate(), run(COUNT, of="b")],
    "leaving in a message": [send(INSERT, query("SELECT 1")[:9]), leave(), run(COUNT, of="b")],
    "leaving locks": [run("SELECT pg_advisory_lock(1)", "BEGIN; LOCK TABLE t"), leave(),
                      until("SELECT pg_try_advisory_lock(1)", "t"), run("SELECT 1", COUNT, of="b")],
    "leaving state": [
        run("CREATE TEMP TABLE scratch (a int)", "PREPARE p AS SELECT 1", "SET work_mem = '9MB'",
            "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT", "LISTEN x"), leave(),
        run("SELECT * FROM scratch", "EXECUTE p", "SHOW work_mem", "FETCH c",
            "CREATE TEMP TABLE scratch (a int)", "NOTIFY x", of="b"), quiet("b")],

    # --- LISTEN ---
    "notifying oneself": [
        run("LISTEN x", "NOTIFY x, 'one'", "BEGIN; NOTIFY x, 'two'; NOTIFY x, 'two'; NOTIFY x",
            "SELECT 1", "COMMIT", "NOTIFY y", "BEGIN; NOTIFY x; ROLLBACK", "UNLISTEN x",
            "NOTIFY x"), quiet(),
        send(step("LISTEN x"), step("NOTIFY x, 'three'"), SYNC, step("UNLISTEN *"), SYNC,
             step("NOTIFY x"), SYNC), ready(3), quiet()],
    "notifying in a pipeline": [
        run("LISTEN x"), send(query("NOTIFY x, '1'"), query("SELECT 1"), step("NOTIFY x, '2'"),
                              step("SELECT 2"), SYNC, step("SELECT 3"), SYNC), ready(4),
        send(call(PG_NOTIFY, b"x", b"called"), query("SELECT pg_notify('x', 'asked')")), ready(2)],
    "notifying another": [
        run("LISTEN x"), run("NOTIFY x, 'idle'", of="b"), messages(1),
        run("BEGIN", "SELECT 1"), run("NOTIFY x, 'busy'", of="b"), quiet(),
        run("SELECT 2", "COMMIT"), quiet(),
        run("BEGIN; LISTEN y", "COMMIT"),
        run("NOTIFY y, 'in time'", of="b"), messages(1),
        run("BEGIN; LISTEN z; ROLLBACK", "BEGIN; UNLISTEN x; ROLLBACK"),
        run("NOTIFY z", "NOTIFY x, 'still'", of="b"), messages(1), quiet()],
    "what listens": [
        run("LISTEN \"A b\"", "LISTEN x", "LISTEN x",
            "SELECT * FROM pg_listening_channels() AS c ORDER BY c", "UNLISTEN x",
            "SELECT * FROM pg_listening_channels()", "BEGIN; LISTEN late",
            "SELECT * FROM pg_listening_channels()", "COMMIT",
            "SELECT count(*) FROM pg_listening_channels()", "DISCARD ALL",
            "SELECT count(*) FROM pg_listening_channels()"), run("NOTIFY late", of="b"), quiet()],
}


@pytest.fixture(scope="module")
def databases(cluster):
    """Two with the same contents; the first is for the proxy."""
    names = [fresh_name("script"), fresh_name("script")]
    for name in names:
        cluster.sql(0, f"CREATE DATABASE {name} OWNER app", "postgres")
        with cluster.connect(0, database=name) as server:
            server.query("SET ROLE app;" + SCHEMA)
    cluster.wait_replayed()
    yield names
    for name in names:
        cluster.sql(0, f"DROP DATABASE {name} WITH (FORCE)", "postgres")


@pytest.fixture
def players(start_weir, cluster, databases):
    mine, theirs = databases
    for name in databases:
        cluster.sql(0, "TRUNCATE t", name)
    weir = start_weir({"pool": {"size": 4}, "databases": {mine: {"cluster": "main"}}})
    return (Player(lambda: weir.connect(database=mine)),
            Player(lambda: wire.connect("127.0.0.1", cluster.ports[0], "app", "app", theirs)))


@pytest.mark.parametrize("name", SCRIPTS)
def test_transcript(players, name):
    through, direct = players
    expected = direct.play(SCRIPTS[name])
    got = through.play(SCRIPTS[name])
    assert {one[0] for one in expected} <= {"a", "b"}, f"PostgreSQL cannot follow: {expected}"
    assert got == expected
