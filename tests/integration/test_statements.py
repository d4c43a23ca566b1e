"""SHOW STATEMENTS: what clients have run, by shape, as they and the servers have counted it."""
import threading

import psycopg
import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.loss import UNKNOWN, error, pid_of, shown, terminate


@pytest.fixture
def weir(start_weir, cluster):
    cluster.sql(0, "CREATE TABLE IF NOT EXISTS counted (id int PRIMARY KEY, n int, filler text);"
                   "TRUNCATE counted; GRANT ALL ON counted TO PUBLIC")
    cluster.wait_replayed()
    weir = start_weir()
    with weir.console() as console:
        console.query("RESET STATEMENTS")
    return weir


def row_of(weir, text):
    rows = [row for row in weir.show("STATEMENTS") if text in row["statement"]]
    assert len(rows) == 1, rows
    return rows[0]


def number(row, *names):
    return tuple(int(row[name]) for name in names)


def test_calls_rows_errors(weir):
    with psycopg.connect(weir.conninfo(), autocommit=True, prepare_threshold=None) as driver:
        inserted = driver.execute("INSERT INTO counted SELECT g, g FROM generate_series(1, 50) g")
        assert number(row_of(weir, "insert into counted"), "calls", "rows", "errors") == \
            (1, inserted.rowcount, 0)
        got = 0
        for i in range(7):
            got += len(driver.execute(
                f"/* weir: primary */ SELECT n FROM counted WHERE id > {i * 10}").fetchall())
        row = row_of(weir, "select n from counted where id")
        assert number(row, "calls", "rows", "errors") == (7, got, 0)
        assert number(row, "on_primary", "on_replica") == (7, 0)
        for _ in range(3):
            with pytest.raises(psycopg.errors.UniqueViolation):
                driver.execute("INSERT INTO counted VALUES (%s, 0)", [1])
        assert number(row_of(weir, "insert into counted values"), "calls", "rows", "errors") == \
            (3, 0, 3)
        with pytest.raises(psycopg.errors.UndefinedTable):
            driver.execute("SELECT %s FROM nonesuch", [1])
        assert number(row_of(weir, "nonesuch"), "calls", "errors") == (1, 1)


def test_bytes_are_those_of_the_answer(weir):
    with weir.connect() as client:
        client.send(wire.query("SELECT repeat('x', 100000) FROM generate_series(1, 3)"))
        length = sum(len(got.body) + 5 for got in client.read_until_ready())
        assert number(row_of(weir, "repeat"), "bytes") == (length,)


def test_several_statements_of_a_batch(weir):
    """Each of a pipeline's for itself, and its rows with it; one text of several is one."""
    with psycopg.connect(weir.conninfo(), autocommit=True) as driver:
        with driver.pipeline():
            for i in range(4):
                driver.execute("INSERT INTO counted VALUES (%s, 5)", [i])
            driver.execute("SELECT n FROM counted WHERE n = %s", [5])
        driver.execute("BEGIN; UPDATE counted SET n = 6; SELECT n FROM counted; COMMIT")
    assert number(row_of(weir, "insert into counted"), "calls", "rows") == (4, 4)
    assert number(row_of(weir, "where n = $"), "calls", "rows") == (1, 4)
    row = row_of(weir, "begin ; update")
    assert row["statement"] == \
        "begin ; update counted set n = $ ; select n from counted ; commit"
    assert number(row, "calls", "rows") == (1, 8)


def test_portals_in_pieces(weir):
    """A portal that is read in pieces is one call, with all of its rows."""
    with psycopg.connect(weir.conninfo()) as driver:
        driver.execute("INSERT INTO counted SELECT g, g FROM generate_series(1, 100) g")
        driver.commit()
    with weir.connect() as client:
        client.send(wire.query("BEGIN"))
        client.read_until_ready()
        client.send(wire.parse("", "SELECT id FROM counted") + wire.bind("c1", "") +
                    wire.execute("c1", 30) + wire.SYNC)
        rows = sum(got.type == "D" for got in client.read_until_ready())
        for _ in range(3):
            client.send(wire.execute("c1", 30) + wire.SYNC)
            rows += sum(got.type == "D" for got in client.read_until_ready())
        client.query("COMMIT")
    assert rows == 100
    assert number(row_of(weir, "select id from counted"), "calls", "rows") == (1, rows)


def test_times_are_split(start_weir):
    """The time that clients see is what they wait for a connection and what the server takes."""
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False}})
    with weir.connect() as one, weir.connect() as other:
        thread = threading.Thread(target=one.query, args=(f"SELECT pg_sleep({0.4 * SLOW})",))
        thread.start()
        wait_until(lambda: "active" in [row["state"] for row in weir.show("SERVERS")
                                        if row["database"] == "app"], "it runs", 5 * SLOW)
        other.query("SELECT 'x' AS behind")
        thread.join()
        sleeps, behind = row_of(weir, "pg_sleep"), row_of(weir, "as behind")
        assert 390 * SLOW <= float(sleeps["server_ms"]) <= float(sleeps["total_ms"])
        assert float(sleeps["wait_ms"]) < 200 * SLOW
        assert float(behind["wait_ms"]) > 100
        assert float(behind["server_ms"]) < float(behind["wait_ms"])
        for row in (sleeps, behind):
            total = float(row["total_ms"])
            assert float(row["mean_ms"]) == pytest.approx(total)
            assert float(row["p50_ms"]) == pytest.approx(total, rel=0.26)
        with psycopg.connect(weir.conninfo(user="admin", database="weir"), autocommit=True) as sql:
            first, last, now = sql.execute(
                "SELECT first_seen, last_seen, statement FROM statements "
                "WHERE statement LIKE '%pg_sleep%'").fetchone()
            assert first.tzinfo is not None and first <= last and now


def test_by_user_and_database(weir):
    with weir.connect() as app, weir.connect(database="other") as other:
        app.query("SELECT 1234")
        other.query("SELECT 4321")
        other.query("SELECT 4322")
    rows = {row["database"]: row for row in weir.show("STATEMENTS")
            if row["statement"] == "select $"}
    assert number(rows["app"], "calls") == (1,)
    assert number(rows["other"], "calls") == (2,)
    assert rows["app"]["shape"] == rows["other"]["shape"]


def test_the_heavy_ones_stay(start_weir):
    """However many shapes come once: memory is bounded, and what was dropped is in the sums."""
    weir = start_weir({"limits": {"statement_shapes": 50}})
    with weir.connect() as client:
        for _ in range(20):
            client.query("SELECT pg_sleep(0.005)")
        for i in range(300):
            client.query(f"SELECT 1 AS c{i}")
            if i % 10 == 0:
                client.query("SELECT pg_sleep(0.005)")
        rows = weir.show("STATEMENTS")
        workers = len(weir.show("WORKERS"))
        assert len(rows) <= workers * 50 + 1
        assert number(row_of(weir, "pg_sleep"), "calls") == (50,)
        (rest,) = [row for row in rows if row["shape"] is None]
        once = [row for row in rows if row["shape"] and " as c" in row["statement"]]
        assert int(rest["calls"]) + sum(int(row["calls"]) for row in once) == 300


def test_only_an_admin_resets(weir):
    with weir.connect() as client:
        client.query("SELECT 'once'")
    with weir.console("watcher") as watcher:
        assert watcher.query("SHOW STATEMENTS") is not None
        with pytest.raises(wire.ServerError) as failed:
            watcher.query("RESET STATEMENTS")
        assert failed.value.code == "42501"
    assert weir.show("STATEMENTS")
    with weir.console() as console:
        console.query("RESET STATEMENTS")
    assert weir.show("STATEMENTS") == [] and weir.show("ROUTES") == []


def test_no_constant_is_shown(weir):
    with weir.connect() as client:
        client.query("SELECT 'a secret', 4711 FROM counted")
        with pytest.raises(wire.ServerError):
            client.query("SELECT 'a secret without an end")
        client.query("SELECT '" + "a secret" * 600 + "'")
    for row in weir.show("STATEMENTS"):
        assert "secret" not in row["statement"] and "4711" not in row["statement"]


def test_what_had_no_server_has_waited_only(start_weir):
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False},
                       "timeouts": {"query_wait": "300ms"}})
    with weir.connect() as holder, weir.connect() as waiter:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        with pytest.raises(wire.ServerError):
            waiter.query("SELECT 2 AS waits")
        holder.query("COMMIT")
    row = row_of(weir, "as waits")
    assert number(row, "calls", "errors", "on_primary", "on_replica") == (1, 1, 0, 0)
    assert float(row["wait_ms"]) >= 300 and float(row["server_ms"]) == 0


# --- totals of databases --------------------------------------------------------------------------


def sent(weir):
    return sum(int(row["total_sent"]) for row in weir.show("STATS") if row["database"] == "app")


def test_what_was_lost_with_its_server_has_failed(weir, cluster):
    with weir.connect() as client:
        client.send(wire.query("INSERT INTO counted SELECT 9 FROM pg_sleep(60)"))
        terminate(cluster, pid_of(cluster, "SELECT 9"))
        assert shown(client.read_until_ready()) == error(UNKNOWN, "I")
        row = row_of(weir, "insert into counted select")
        assert number(row, "calls", "errors", "rows", "on_primary") == (1, 1, 0, 1)
    assert cluster.value(0, "SELECT count(*) FROM counted WHERE id = 9") == "0"


def test_bytes_sent_are_those_that_came(weir):
    """Also to a client that reads slower than its server sends."""
    with weir.connect() as client:
        client.query("SELECT 1")
        before, length = sent(weir), 0
        client.send(wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)"))
        wait_until(lambda: sent(weir) > before, "some of it has left", 5 * SLOW)
        for got in client.read_until_ready():
            length += len(got.body) + 5
        assert length > 20_000_000
        wait_until(lambda: sent(weir) - before >= length, "all of it has left", 5 * SLOW)
        assert sent(weir) - before == length


def test_databases_of_any_name_are_forgotten(start_weir):
    """Under "*" any name makes a pool and a row of totals; they go with their last connection."""
    weir = start_weir({"databases": {"*": {"cluster": "main"}},
                       "timeouts": {"server_retry": "50ms"}})

    def names(what, column):
        return {row[column] for row in weir.show(what)}

    for i in range(5):
        with pytest.raises(wire.ServerError) as failed:
            weir.connect(database=f"nonesuch{i}")
        assert failed.value.code == "3D000"
    with weir.connect(database="postgres") as client:
        client.query("SELECT 1")
        wait_until(lambda: not any(name.startswith("nonesuch") for name in
                                   names("STATS", "database") | names("POOLS", "database")),
                   "they are forgotten", 10 * SLOW)
        assert "postgres" in names("STATS", "database")
    assert "app" in names("DATABASES", "name")


def test_the_console_has_one_version(weir):
    """psql and drivers go by it: what the log-in tells is what SHOW answers."""
    with weir.console() as console:
        assert console.value("SHOW server_version") == console.parameters["server_version"]
    with psycopg.connect(weir.conninfo(user="admin", database="weir"), autocommit=True) as driver:
        assert driver.execute("SHOW server_version_num").fetchone()[0] == \
            str(driver.info.server_version)
