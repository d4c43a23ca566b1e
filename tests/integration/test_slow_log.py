"""log.slow_query: a line for each statement that takes long, and none for any other."""
import json
import re
import threading
import time

import psycopg
import pytest

from support import SLOW, wire
from support.cluster import wait_until

LINE = re.compile(
    r'^\S+ \S+ warning client \d+ app/app 127\.0\.0\.1: slow statement '
    r'duration_ms=(?P<duration_ms>\d+\.\d{3}) wait_ms=(?P<wait_ms>\d+\.\d{3}) '
    r'route="(?P<route>\w+)" host="(?P<host>[^"]*)" database="(?P<database>[^"]*)" '
    r'user="(?P<user>[^"]*)" application_name="(?P<application_name>(?:[^"\\]|\\.)*)" '
    r'rows=(?P<rows>\d+) '
    r'(sqlstate="(?P<sqlstate>\w{5})" )?shape="(?P<shape>[0-9a-f]{16})" '
    r'statement="(?P<statement>.*)"$')


def lines(weir):
    found = [line for line in weir.log().splitlines() if "slow statement" in line]
    matches = [LINE.match(line) for line in found]
    assert all(matches), found
    return [match.groupdict() for match in matches]


def wait_line(weir, count=1, of="pg_sleep"):
    """The last of so many whose statement has that text: a busy machine makes others slow, too."""
    def found():
        return [line for line in lines(weir) if of in line["statement"]]
    wait_until(lambda: len(found()) >= count, "it is written", 5 * SLOW)
    assert len(found()) == count
    return found()[-1]


@pytest.fixture
def weir(start_weir):
    return start_weir({"log": {"slow_query": "300ms"}, "routing": {"split_reads": True}})


def test_what_the_line_says(weir, cluster):
    with weir.connect(application_name="rep\"ort") as client:
        client.query("SELECT 1")
        assert client.query("SELECT g, pg_sleep(0.2), 'a secret' FROM generate_series(1, 2) g")
        line = wait_line(weir)
        assert 400 <= float(line["duration_ms"]) < 400 + 1000 * SLOW
        assert float(line["wait_ms"]) < 300 * SLOW
        assert (line["database"], line["user"], line["rows"]) == ("app", "app", "2")
        assert line["application_name"] == "rep\\\"ort"
    shown = [row for row in weir.show("STATEMENTS") if row["shape"] == line["shape"]]
    assert [row["statement"] for row in shown] == [line["statement"]]
    assert "pg_sleep" in line["statement"] and "secret" not in weir.log()
    hosts = {row["host"]: row["role"] for row in weir.show("HOSTS")}
    assert hosts[line["host"]] == line["route"]


def test_route(weir, cluster):
    hosts = {row["role"]: row["host"] for row in weir.show("HOSTS")}
    with weir.connect() as client:
        client.query("/* weir: primary */ SELECT pg_sleep(0.4)")
        line = wait_line(weir)
        assert (line["route"], line["host"]) == ("primary", hosts["primary"])
        client.query("/* weir: replica */ SELECT pg_sleep(0.4)")
        line = wait_line(weir, 2)
        assert line["route"] == "replica" and line["host"] != hosts["primary"]


def test_in_a_transaction_only_what_was_slow(weir):
    with weir.connect() as client:
        client.query("SELECT 1; SELECT 2")
        client.query("BEGIN")
        client.query("SELECT 3")
        client.query("SELECT pg_sleep(0.4)")
        client.query("SELECT 4")
        client.query("COMMIT")
        assert wait_line(weir)["statement"] == "select pg_sleep ( $ )"


def test_failures_have_their_code(weir):
    with weir.connect() as client:
        client.query("SET statement_timeout = 400")
        with pytest.raises(wire.ServerError) as failed:
            client.query("/* weir: primary */ SELECT pg_sleep(10)")
        assert wait_line(weir)["sqlstate"] == failed.value.code == "57014"
        client.query("SET statement_timeout = 0")
        with pytest.raises(wire.ServerError) as failed:
            client.query("DO $$ BEGIN PERFORM pg_sleep(0.4); RAISE 'x' USING ERRCODE = 'WX123'; "
                         "END $$")
        assert wait_line(weir, of="do $")["sqlstate"] == failed.value.code == "WX123"
        client.query("SELECT pg_sleep(0.4)")
        assert wait_line(weir, 2)["sqlstate"] is None
        with pytest.raises(wire.ServerError):
            client.query("SELECT 1 / 0")
    assert not [line for line in lines(weir) if line["sqlstate"] == "22012"]  # at once


def test_a_wait_counts(start_weir):
    """Also that of who gets no server connection at all."""
    weir = start_weir({"log": {"slow_query": "300ms"}, "pool": {"size": 1},
                       "routing": {"split_reads": False}, "timeouts": {"query_wait": "1s"}})
    with weir.connect() as holder, weir.connect() as waiter:
        holder.query("BEGIN; SELECT 1")
        thread = threading.Thread(target=waiter.query, args=("SELECT 'quick'",))
        thread.start()
        time.sleep(0.5)
        holder.query("COMMIT")
        thread.join()
        line = wait_line(weir, of="select $")
        assert float(line["wait_ms"]) >= 400
        assert float(line["duration_ms"]) - float(line["wait_ms"]) < 200 * SLOW
        holder.query("BEGIN; SELECT 1")
        with pytest.raises(wire.ServerError) as failed:
            waiter.query("SELECT 'none', 1")
        line = wait_line(weir, of="select $ , $")
        assert (line["route"], line["host"], line["sqlstate"]) == ("none", "", failed.value.code)
        assert float(line["wait_ms"]) >= 1000 and line["wait_ms"] == line["duration_ms"]


def test_prepared_statements_show_no_parameters(weir):
    with psycopg.connect(weir.conninfo(), autocommit=True, prepare_threshold=1) as driver:
        for i in range(3):
            driver.execute("SELECT pg_sleep(%s), %s::text", [0.4, f"parameter {i}"])
    assert wait_line(weir, 3)["statement"] == "select pg_sleep ( $ ) , $ :: text"
    assert "parameter" not in weir.log()


def test_off_and_on_at_run_time(start_weir):
    weir = start_weir()
    with weir.connect() as client, weir.console() as console:
        client.query("SELECT pg_sleep(0.4)")
        assert lines(weir) == []
        console.query("SET log.slow_query = 300ms")
        wait_until(lambda: client.query("SELECT pg_sleep(0.35)") and lines(weir), "on", 5 * SLOW)
        console.query("SET log.slow_query = 0")
        before = None
        while before != (before := len(lines(weir))):
            client.query("SELECT pg_sleep(0.35)")
        client.query("SELECT pg_sleep(0.4)")
        time.sleep(0.2)
        assert len(lines(weir)) == before


def test_json(start_weir):
    weir = start_weir({"log": {"slow_query": "300ms", "format": "json"}})
    with weir.connect(application_name="a \"b\"") as client:
        client.query("SELECT pg_sleep(0.4) AS \"x\\\"\"\"")

    def found():
        objects = [json.loads(line) for line in weir.log().splitlines()]
        return [one for one in objects if "slow statement" in one["message"]]
    wait_until(found, "it is written", 5 * SLOW)
    (line,) = found()
    assert line["level"] == "warning" and line["duration_ms"] >= 400 and line["rows"] == 1
    assert line["application_name"] == "a \"b\"" and line["statement"].endswith("\"x\\\"\"\"")
    assert set(line) == {"time", "level", "message", "duration_ms", "wait_ms", "route", "host",
                         "database", "user", "application_name", "rows", "shape", "statement"}


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_flood_is_counted(start_weir, form):
    weir = start_weir({"log": {"slow_query": "1ms", "repeats": 5, "format": form},
                       "routing": {"split_reads": False}})
    with weir.connect() as client:
        for i in range(40):
            client.query(f"SELECT pg_sleep(0.005), {i}")
        client.query("SELECT pg_sleep(0.005), 'of its own'::text")
    weir.stop()
    if form == "json":
        found = [one for one in map(json.loads, weir.log().splitlines())
                 if "pg_sleep" in one.get("statement", "")]
        repeated = [one["repeated"] for one in found if "repeated" in one]
        assert all("slow statement" in one["message"] for one in found)
    else:
        found = [line for line in weir.log().splitlines() if "pg_sleep" in line]
        repeated = [int(more[1]) for line in found
                    if (more := re.search(r"(\d+) more within 10 s, but for numbers: ", line))]
    whole = len(found) - len(repeated)
    assert whole + sum(repeated) == 41
    assert whole == 6 and repeated == [35]


def test_without_room_for_shapes(start_weir):
    weir = start_weir({"log": {"slow_query": "300ms"}, "limits": {"statement_shapes": 0}})
    with weir.connect() as client:
        client.query("SELECT pg_sleep(0.4)")
        line = wait_line(weir, of="")
        assert (line["shape"], line["statement"]) == ("0" * 16, "")


def test_values_where_they_are_switched_on(start_weir):
    """Off by default: see test_what_the_line_says."""
    weir = start_weir({"log": {"slow_query": "300ms", "format": "json", "parameters": True}})

    def last(count):
        def found():
            objects = [json.loads(line) for line in weir.log().splitlines()]
            return [one for one in objects if "slow statement" in one["message"]
                    and "pg_sleep" in one["statement"]]
        wait_until(lambda: len(found()) >= count, "it is written", 5 * SLOW)
        assert len(found()) == count
        return found()[-1]

    with weir.connect() as client:
        client.query("SELECT 'O''Neil', pg_sleep(0.4)")
        line = last(1)
        assert line["text"] == "SELECT 'O''Neil', pg_sleep(0.4)" and "parameters" not in line
        for n in range(2):  # what came before is not mistaken for it
            client.extended("SELECT $1::text, $2::text, pg_sleep($3::float8)",
                            (f"it's {n}", None, "0.4"))
            line = last(2 + n)
            assert line["parameters"] == f"$1 = 'it''s {n}', $2 = NULL, $3 = '0.4'"
            assert "text" not in line
        long = "\u00e9" * 5_000
        client.extended("SELECT $1::text, pg_sleep(0.4)", (long,))
        assert last(4)["parameters"] == f"$1 = '{long[:128]}...'"
        client.query(f"SELECT '{long}', pg_sleep(0.4)")
        assert last(5)["text"] == f"SELECT '{long}"[:2052] + "..."
        client.send(wire.parse("two", "SELECT $1::int, pg_sleep(0.4)"), wire.SYNC)
        client.read_until_ready()
        client.send(wire.bind("", "two", [1]), wire.execute(), wire.bind("", "two", [2]),
                    wire.execute(), wire.SYNC)  # the first one has the time of both
        client.read_until_ready()
        assert last(6)["parameters"] == "$1 = '1'"
    with psycopg.connect(weir.conninfo(), autocommit=True) as driver:
        driver.execute("SELECT %b::int, pg_sleep(0.4)", (258,))
    assert last(7)["parameters"] == "$1 = '\\x0102'"
    with weir.console() as console:
        console.query("SET log.parameters = false")
    with weir.connect() as client:
        client.query("SELECT 'secret', pg_sleep(0.4)")
        assert set(last(8)) & {"text", "parameters"} == set()
