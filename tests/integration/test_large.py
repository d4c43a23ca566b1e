"""Large messages and slow readers: the data goes through, the memory stays small."""
import time

import pytest

from support import SLOW
from support.wire import SYNC, ServerError, bind, close, describe, execute, parse, query

MB = 1 << 20
SMALL_KIB = 20_000 * SLOW  # sanitizers keep for a while what was freed


@pytest.mark.parametrize("size", [100_000, 1 * MB, 20 * MB])
def test_large_parameter(target, size):
    with target.connect() as client:
        assert client.extended("SELECT length($1::text)", ["a" * size]) == [[str(size)]]


@pytest.mark.parametrize("size", [100_000, 1 * MB, 20 * MB])
def test_large_query_text(target, size):
    with target.connect() as client:
        assert client.query(f"SELECT length('{'a' * size}')") == [[str(size)]]
        assert client.value("SELECT 1") == "1"


def test_large_statement_text_in_parse(target):
    size = 5 * MB
    with target.connect() as client:
        client.send(parse("s", f"SELECT length('{'a' * size}'), $1::int"), SYNC)
        client.read_until_ready()
        for n in range(3):
            client.send(bind("", "s", [n]), execute(), SYNC)
            assert client.rows() == [[str(size), str(n)]]


def end_servers(cluster):
    """Once the proxy has found what the last statement left: it is not read, and another test may
    have made something that leaves what is to be looked for."""
    time.sleep(0.1 * SLOW)
    cluster.sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' "
                   "AND datname = 'app'")
    time.sleep(0.2 * SLOW)


@pytest.mark.parametrize("name", ["", "s"])
@pytest.mark.parametrize("size", [MB, 5 * MB])
def test_a_large_statement_moves_to_another_server(target, cluster, name, size):
    """As lib/pq does it: the statement is prepared in a batch of its own."""
    with target.connect() as client:
        client.send(parse(name, f"SELECT length('{'a' * size}'), $1", (23,)), describe("S", name),
                    SYNC)
        answers = client.read_until_ready()
        assert [m.type for m in answers if m.type != "S"] == list("1tTZ")
        for n in range(3):
            client.send(bind("", name, [n]), execute(), SYNC)
            assert client.rows() == [[str(size), str(n)]]
            end_servers(cluster)
        client.send(bind("", name, [7]), execute(), SYNC)
        assert client.rows() == [[str(size), "7"]]


@pytest.mark.parametrize("name", ["", "s"])
def test_a_large_statement_that_fails(target, name):
    with target.connect() as client:
        for text, code in ((f"SELECT length('{'a' * MB}'", "42601"),
                           (f"SELECT length('{'a' * MB}'), nothing", "42703")):
            client.send(parse(name, text), bind("", name), execute(), SYNC)
            assert [m.fields()["C"] for m in client.read_until_ready() if m.type == "E"] == [code]
            client.send(bind("", name), execute(), SYNC)  # there is none
            assert [m.fields()["C"] for m in client.read_until_ready()
                    if m.type == "E"] == ["26000"]
            assert client.extended(f"SELECT length('{'a' * MB}')", name=name) == [[str(MB)]]
            client.send(close("S", name), SYNC)
            client.read_until_ready()


@pytest.mark.parametrize("size", [1000, 20_000, 100_000, 3 * MB])
def test_a_large_error(target, size):
    text = f"SELECT '{'a' * size}'::int"
    wanted = f'invalid input syntax for type integer: "{"a" * size}"'
    with target.connect() as client:
        for run in (client.query, client.extended, lambda t: client.extended(t, name="named")):
            for _ in range(2):
                with pytest.raises(ServerError) as failed:
                    run(text)
                assert failed.value.message == wanted
                assert client.value("SELECT 1") == "1"


@pytest.mark.parametrize("size", [1000, 100_000, 3 * MB])
def test_a_statement_that_fails_elsewhere_with_a_large_error(target, cluster, size):
    cluster.sql(0, "CREATE DOMAIN public.kind AS text")
    try:
        with target.connect() as client:
            client.send(parse("s", f"/* weir: primary */ SELECT '{'a' * size}'::kind"), SYNC)
            client.read_until_ready()
            cluster.sql(0, "DROP DOMAIN public.kind; CREATE TYPE public.kind AS ENUM ('b')")
            end_servers(cluster)
            client.send(bind("", "s"), execute(), SYNC)
            (failed,) = [m.fields() for m in client.read_until_ready() if m.type == "E"]
            assert failed["C"] == "22P02" and "a" * size in failed["M"]
            assert client.value("SELECT 1") == "1"
    finally:
        cluster.sql(0, "DROP TYPE public.kind")


def test_large_statements_among_others(target):
    """In one pipeline, behind an error, in a failed transaction, under a name that is taken."""
    big = f"SELECT length('{'a' * (2 * MB)}')"
    size = str(2 * MB)
    with target.connect() as client:
        batch = [parse("", big), bind("", ""), execute()]
        client.send(parse("", "SELECT 1"), bind("", ""), execute(), *batch,
                    parse("one", big), bind("", "one"), execute(),
                    parse("", "SELECT 2"), bind("", ""), execute(), SYNC)
        assert client.rows() == [["1"], [size], [size], ["2"]]
        client.send(parse("", "SELECT 1/0"), bind("", ""), execute(), *batch,
                    parse("two", big), SYNC)
        assert [m.fields()["C"] for m in client.read_until_ready() if m.type == "E"] == ["22012"]
        client.send(bind("", "two"), execute(), SYNC)
        assert [m.fields()["C"] for m in client.read_until_ready() if m.type == "E"] == ["26000"]
        client.send(parse("one", big), SYNC)
        assert [m.fields()["C"] for m in client.read_until_ready() if m.type == "E"] == ["42P05"]
        client.query("BEGIN")
        with pytest.raises(ServerError):
            client.query("SELECT 1/0")
        for name in ("", "three"):
            client.send(parse(name, big), SYNC)
            assert [m.fields()["C"] for m in client.read_until_ready()
                    if m.type == "E"] == ["25P02"]
        client.query("ROLLBACK")
        client.send(bind("", "one"), execute(), SYNC)
        assert client.rows() == [[size]]


def test_a_large_statement_that_is_skipped_while_it_passes(target):
    """The error in front of it comes when half of it is on its way."""
    with target.connect() as client:
        large = parse("two", f"SELECT length('{'a' * (4 * MB)}')")
        client.send(parse("", "SELECT 1/0"), bind("", ""), execute(), large[:2 * MB])
        assert client.read().type == "1"
        assert client.read().fields()["C"] == "22012"
        client.send(large[2 * MB:], SYNC)
        assert [m.type for m in client.read_until_ready()] == ["Z"]
        client.send(bind("", "two"), execute(), SYNC)
        assert [m.fields()["C"] for m in client.read_until_ready() if m.type == "E"] == ["26000"]


def test_a_statement_larger_than_what_is_kept(start_weir, cluster):
    """It can be used where it was prepared."""
    weir = start_weir({"limits": {"client_prepared_bytes": 2 * MB}})
    with weir.connect() as client:
        client.query("SELECT 1")
        before = weir.memory_kib()
        text = f"SELECT length('{'a' * (100 * MB)}')"
        assert client.extended(text) == [[str(100 * MB)]]
        assert weir.memory_kib() - before < SMALL_KIB
        client.send(parse("", text), SYNC)
        client.read_until_ready()
        end_servers(cluster)
        client.send(bind("", ""), execute(), SYNC)
        failed, _ = client.read_until_ready()
        assert (failed.fields()["C"], failed.fields()["M"]) == \
            ("26000", "unnamed prepared statement does not exist")
        assert client.extended("SELECT 1") == [["1"]]


def test_large_row(target):
    with target.connect() as client:
        assert len(client.value(f"SELECT repeat('x', {50 * MB})")) == 50 * MB


def test_large_write(target, table):
    size = 30 * MB
    with target.connect() as client:
        client.extended(f"INSERT INTO {table} VALUES (1, $1)", ["b" * size])
        assert client.value(f"SELECT length(v) FROM {table}") == str(size)


def test_memory_stays_small_with_large_parameters(weir):
    """200 MB in one Bind; what is kept is a buffer, not the message."""
    size = 200 * MB
    with weir.connect() as client:
        client.query("SELECT 1")
        before = weir.memory_kib()
        client.send(parse("", "SELECT length($1::text)"))
        client.send(bind("", "", ["c" * size]), execute(), SYNC)
        assert client.rows() == [[str(size)]]
        assert weir.memory_kib() - before < SMALL_KIB


def test_memory_stays_small_with_a_slow_reader(weir):
    """1 GB of rows that nobody reads waits on the server, not in the proxy."""
    with weir.connect() as client:
        client.query("SELECT 1")
        before = weir.memory_kib()
        client.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"))
        time.sleep(1.5 * SLOW)
        assert weir.memory_kib() - before < SMALL_KIB
        client.drop()


def test_memory_stays_small_with_a_large_row(weir):
    with weir.connect() as client:
        client.query("SELECT 1")
        before = weir.memory_kib()
        client.send(query(f"SELECT repeat('x', {200 * MB})"))
        got = client.read_until_ready()
        assert len(got[1].body) == 200 * MB + 6
        assert weir.memory_kib() - before < SMALL_KIB


@pytest.mark.parametrize("pinned", [False, True])
def test_memory_stays_small_behind_a_slow_query(weir, pinned):
    """200 MB of requests wait in the client's socket, also when it keeps its connection."""
    with weir.connect() as client:
        client.query("CREATE TEMP TABLE IF NOT EXISTS kept_here()" if pinned else "SELECT 1")
        before = weir.memory_kib()
        client.send(query("SELECT pg_sleep(20)"))
        client.socket.settimeout(0.5)
        request = query(f"SELECT 1 -- {'x' * 20_000}")
        with pytest.raises(TimeoutError):
            for _ in range(10_000):
                client.send(request)
        assert weir.memory_kib() - before < SMALL_KIB
        client.drop()


def test_message_beyond_the_limit(start_weir):
    weir = start_weir({"limits": {"message_bytes": 1 * MB}})
    with weir.connect() as client:
        client.send(query(f"SELECT length('{'a' * (2 * MB)}')")[:300_000])
        errors = [got.fields() for got in client.expect_closed() if got.type == "E"]
        assert errors and errors[0]["S"] == "FATAL"
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_a_servers_message_beyond_the_limit(start_weir):
    """The limit is named, and the session goes on."""
    weir = start_weir({"limits": {"message_bytes": 2 * MB}})
    with weir.connect() as client:
        client.send(query(f"SELECT repeat('x', {3 * MB})"))
        (error,) = [got.fields() for got in client.read_until_ready() if got.type == "E"]
        assert "limits.message_bytes" in error["D"]
        assert len(client.value(f"SELECT repeat('x', {1 * MB})")) == 1 * MB


def test_client_prepared_bytes_are_bounded(start_weir):
    weir = start_weir({"limits": {"client_prepared_bytes": 1 * MB}})
    with weir.connect() as client:
        codes = []
        for n in range(40):
            client.send(parse(f"s{n}", f"SELECT '{'a' * 100_000}'"), SYNC)
            codes += [got.fields()["C"] for got in client.read_until_ready() if got.type == "E"]
        assert codes and set(codes) <= {"53200", "54000", "53400"}
        assert client.value("SELECT 1") == "1"


def test_many_small_rows(target):
    with target.connect() as client:
        client.send(query("SELECT g FROM generate_series(1, 500000) g"))
        total = 0
        for got in client.read_until_ready():
            if got.type == "D":
                total += int(got.values()[0])
        assert total == 500000 * 500001 // 2


def test_many_columns(target):
    columns = ", ".join(f"{n} AS c{n}" for n in range(1600))
    with target.connect() as client:
        assert client.query(f"SELECT {columns}") == [[str(n) for n in range(1600)]]


def test_many_parameters(target):
    count = 65535
    with target.connect() as client:
        texts = ", ".join(f"(${n + 1}::int)" for n in range(count))
        client.send(parse("", f"SELECT count(*) FROM (VALUES {texts}) v"), describe("S"),
                    bind("", "", range(count)), execute(), SYNC)
        assert client.rows() == [[str(count)]]


def test_long_names(target):
    name = "n" * 5000
    with target.connect() as client:
        client.send(parse(name, "SELECT 1"), bind(name, name), execute(name), SYNC)
        assert client.rows() == [["1"]]
