"""COPY in both directions, in both protocols, and what goes wrong with it."""
import time

import pytest

from support import SLOW, wire
from support.wire import (COPY_DONE, SYNC, bind, copy_data, copy_fail, execute, message, parse,
                          query)


def types(messages):
    return "".join(got.type for got in messages)


def begin_copy(client, sql):
    client.send(query(sql))
    got = client.read_noting()
    assert got.type == "G"


def test_copy_in(target, table):
    with target.connect() as client:
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(*(copy_data(f"{n}\tv{n}\n".encode()) for n in range(1000)), COPY_DONE)
        got = client.read_until_ready()
        assert types(got) == "CZ" and got[0].text() == "COPY 1000"
        assert client.query(f"SELECT count(*), max(id) FROM {table}") == [["1000", "999"]]


def test_copy_in_split_at_odd_places(target, table):
    with target.connect() as client:
        begin_copy(client, f"COPY {table} FROM STDIN")
        data = b"".join(copy_data(f"{n}\tv{n}\n".encode()) for n in range(100)) + COPY_DONE
        for at in range(0, len(data), 7):
            client.send(data[at:at + 7])
        assert client.read_until_ready()[0].text() == "COPY 100"


@pytest.mark.parametrize("size", [4_000, 20_000, 70_000, 300_000, 3_000_000])
def test_copy_data_messages_of_any_size(target, table, size):
    """Rows and messages have nothing to do with each other."""
    data = b"".join(b"%d\tvalue %d\n" % (n, n) for n in range(size // 8))
    with target.connect() as client:
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(*(copy_data(data[at:at + size]) for at in range(0, len(data), size)),
                    COPY_DONE)
        assert client.read_until_ready()[0].text() == f"COPY {size // 8}"


@pytest.mark.parametrize("pause", [0, 0.0005, 0.002, 0.01])
@pytest.mark.parametrize("size", [10, 8_000, 25_000, 200_000])
def test_data_sent_before_the_server_asks_for_it(target, table, size, pause):
    """As pgx does: it does not wait for CopyInResponse."""
    rows = size // 5 + 1
    data = b"".join(b"%d\tv\n" % n for n in range(rows))
    with target.connect() as client:
        for turn in range(5):
            client.send(query(f"COPY {table} FROM STDIN"))
            time.sleep(pause)
            client.send(copy_data(data[:len(data) // 2]))
            client.send(copy_data(data[len(data) // 2:]), COPY_DONE)
            got = client.read_until_ready()
            assert types(got) == "GCZ", (turn, [part.fields() for part in got if part.type == "E"])
            assert got[1].text() == f"COPY {rows}"
            client.query(f"TRUNCATE {table}")


def test_copy_fail(target, table):
    with target.connect() as client:
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(copy_data(b"1\tx\n"), copy_fail("changed my mind"))
        got = client.read_until_ready()
        assert types(got) == "EZ"
        assert got[0].fields()["C"] == "57014"
        assert "changed my mind" in got[0].fields()["M"]
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


def test_bad_data_in_the_middle(target, table):
    """The server gives up while the client still sends: what is left is ignored."""
    with target.connect() as client:
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(copy_data(b"1\tx\n"), copy_data(b"not a number\ty\n"),
                    *(copy_data(b"2\tz\n") for _ in range(10000)), COPY_DONE)
        got = client.read_until_ready()
        assert types(got) == "EZ" and got[0].fields()["C"] == "22P02"
        assert client.value("SELECT 1") == "1"
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


def test_copy_out(target, table):
    with target.connect() as client:
        client.query(f"INSERT INTO {table} SELECT g, 'v' || g FROM generate_series(1, 1000) g")
        client.send(query(f"COPY (SELECT * FROM {table} ORDER BY id) TO STDOUT"))
        got = client.read_until_ready()
        assert types(got) == "H" + "d" * 1000 + "cCZ"
        assert got[1].body == b"1\tv1\n" and got[1000].body == b"1000\tv1000\n"


def test_copy_out_that_fails_midway(target):
    with target.connect() as client:
        client.send(query("COPY (SELECT 1 / (3 - g) FROM generate_series(1, 5) g) TO STDOUT"))
        got = types(client.read_until_ready())
        assert got.endswith("EZ") and got.count("d") == 2
        assert client.value("SELECT 1") == "1"


def test_copy_in_extended_protocol(target, table):
    """Sync comes after the data; one before CopyDone is ignored by the server."""
    with target.connect() as client:
        client.send(parse("", f"COPY {table} FROM STDIN"), bind("", ""), execute(), SYNC)
        assert [client.read_noting().type for _ in range(3)] == ["1", "2", "G"]
        client.send(copy_data(b"1\tx\n"), COPY_DONE, SYNC)
        assert types(client.read_until_ready()) == "CZ"
        assert client.value(f"SELECT count(*) FROM {table}") == "1"


def test_copy_out_extended_protocol(target):
    with target.connect() as client:
        client.send(parse("", "COPY (SELECT 1) TO STDOUT"), bind("", ""), execute(), SYNC)
        assert types(client.read_until_ready()) == "12HdcCZ"


def test_copy_between_statements(target, table):
    with target.connect() as client:
        client.send(query(f"INSERT INTO {table} VALUES (1, 'a'); COPY {table} FROM STDIN; "
                          f"SELECT count(*) FROM {table}"))
        assert client.read_noting().text() == "INSERT 0 1"
        assert client.read_noting().type == "G"
        client.send(copy_data(b"2\tb\n"), COPY_DONE)
        got = client.read_until_ready()
        assert types(got) == "CTDCZ"
        assert got[2].values() == ["2"]


def test_copy_inside_a_transaction(target, table):
    with target.connect() as client:
        client.query("BEGIN")
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(copy_data(b"1\tx\n"), COPY_DONE)
        client.read_until_ready()
        assert client.status == "T"
        client.query("ROLLBACK")
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


def test_other_messages_during_copy_in(target, table):
    """Flush and Sync are allowed while data flows; anything else ends the session."""
    with target.connect() as client:
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(message("H"), copy_data(b"1\tx\n"), message("S"), COPY_DONE)
        assert types(client.read_until_ready()) == "CZ"
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(query("SELECT 1"))
        errors = [got.fields() for got in client.expect_closed() if got.type == "E"]
        assert errors[0]["C"] == "08P01"


def test_leaving_during_copy(target, table):
    for data in (b"", copy_data(b"1\tx\n"), copy_data(b"1\tx\n")[:6]):
        client = target.connect()
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(data)
        client.drop()
    client = target.connect()
    client.send(query("COPY (SELECT repeat('x', 10000) FROM generate_series(1, 1000)) TO STDOUT"))
    client.read_noting()
    client.drop()
    with target.connect() as other:
        assert other.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "0"


@pytest.mark.parametrize("how", ["query", "some data", "batch"])
@pytest.mark.parametrize("word", [wire.TERMINATE, b""])
def test_leaving_before_the_server_asks_for_data(start_weir, table, how, word):
    """The server connection would wait for it for ever, of no use to anyone."""
    weir = start_weir({"pool": {"size": 1}})
    text = f"COPY {table} (id) FROM STDIN"
    sent = {"query": [query(text)], "some data": [query(text), copy_data(b"1\n")],
            "batch": [parse("", text), bind("", ""), execute(), SYNC]}[how]
    client = weir.connect()
    client.query("BEGIN")
    client.send(*sent, word)
    client.drop()
    with weir.connect() as other:
        other.socket.settimeout(10 * SLOW)
        assert other.query(f"INSERT INTO {table} VALUES (1) RETURNING id") == [["1"]]


COPY_BATCH = [bind("", ""), execute(), SYNC]  # the server reads that Sync while it copies


@pytest.mark.parametrize("data", [b"1\n", b"not a number\n"])
@pytest.mark.parametrize("end", [[], [wire.FLUSH], [wire.TERMINATE]])
def test_leaving_behind_a_copy_whose_sync_was_ignored(start_weir, table, data, end):
    """Its batch is open, or has failed and ignores all up to a Sync: not for the next client."""
    weir = start_weir({"pool": {"size": 1}})
    client = weir.connect()
    client.send(parse("", f"COPY {table} (id) FROM STDIN"), *COPY_BATCH)
    assert types(client.read_noting() for _ in range(3)) == "12G"
    client.send(copy_data(data), COPY_DONE, *end)
    client.drop()
    with weir.connect() as other:
        other.socket.settimeout(10 * SLOW)
        assert other.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "0"
        assert other.query(f"INSERT INTO {table} VALUES (1) RETURNING id") == [["1"]]


def test_going_on_behind_a_copy_that_failed_and_whose_sync_was_ignored(target, table):
    with target.connect() as client:
        client.send(parse("", f"COPY {table} (id) FROM STDIN"), *COPY_BATCH)
        assert types(client.read_noting() for _ in range(3)) == "12G"
        client.send(copy_data(b"not a number\n"), COPY_DONE)
        assert client.read_noting().type == "E"
        client.send(SYNC)
        assert types(client.read_until_ready()) == "Z"
        assert client.value("SELECT 7") == "7"


def test_binary_copy_with_psycopg(target, table):
    with target.psycopg() as connection:
        with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text"])
            for n in range(5000):
                copy.write_row((n, f"value {n}"))
        cursor = connection.cursor()
        with cursor.copy(f"COPY {table} TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text"])
            assert sorted(copy.rows())[-1] == (4999, "value 4999")


def test_copy_out_reads_on_a_replica(weir, cluster):
    with weir.connect() as client:
        client.send(query("COPY (SELECT inet_server_port()) TO STDOUT"))
        got = [part for part in client.read_until_ready() if part.type == "d"]
        assert cluster.number_of(got[0].body.strip()) in (1, 2)


def test_copy_in_goes_to_the_primary(weir, cluster, table):
    with weir.connect() as client:
        begin_copy(client, f"COPY {table} FROM STDIN")
        client.send(copy_data(b"1\tx\n"), COPY_DONE)
        client.read_until_ready()
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "1"


def test_stray_copy_messages_are_ignored(target):
    """Left-overs of a COPY that failed, as PostgreSQL's own main loop takes them."""
    with target.connect() as client:
        client.send(copy_data(b"1\n"), COPY_DONE, copy_fail("x"), query("SELECT 1"))
        assert client.rows() == [["1"]]


@pytest.mark.parametrize("direction", ["in", "out"])
def test_copy_of_much_data_takes_little_memory(weir, table, direction):
    """200 MB in one COPY; the proxy holds two buffers, not the data."""
    before = weir.memory_kib()
    row, count = b"x" * 9990, 20_000
    with weir.connect() as client:
        if direction == "in":
            client.query(f"CREATE TABLE {table}_big (v text)")
            begin_copy(client, f"COPY {table}_big FROM STDIN")
            part = copy_data(row + b"\n") * 20
            for _ in range(count // 20):
                client.send(part)
            client.send(COPY_DONE)
            assert client.read_until_ready()[0].text() == f"COPY {count}"
            client.query(f"DROP TABLE {table}_big")
        else:
            client.send(query("COPY (SELECT repeat('x', 9990) FROM "
                              f"generate_series(1, {count})) TO STDOUT"))
            assert types(client.read_until_ready()).count("d") == count
    assert weir.memory_kib() - before < 20_000 * SLOW


def test_errors_do_not_stick(target, table):
    with target.connect() as client:
        for _ in range(5):
            with pytest.raises(wire.ServerError):
                client.query("COPY nonesuch FROM STDIN")
            begin_copy(client, f"COPY {table} FROM STDIN")
            client.send(COPY_DONE)
            assert client.read_until_ready()[0].text() == "COPY 0"
