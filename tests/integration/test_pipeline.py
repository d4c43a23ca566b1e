"""Pipelines: many requests in flight, errors in the middle, both directions at once."""
import select
import struct
import threading
import time

import pytest

from support import SLOW, wire
from support.wire import FLUSH, SYNC, bind, close, describe, execute, parse, query


def types(messages):
    return "".join(got.type for got in messages)


FAILS = "SELECT 1/(random() * 0)::int"  # when it runs, not when it is planned


def step(sql, values=()):
    return parse("", sql) + bind("", "", values) + execute()


def test_hundred_requests_in_one_write(target):
    with target.connect() as client:
        client.send(b"".join(step("SELECT $1::int", [n]) + SYNC for n in range(100)))
        for n in range(100):
            assert client.rows() == [[str(n)]]


def test_requests_before_one_sync_are_one_transaction(target, table):
    with target.connect() as client:
        client.send(step(f"INSERT INTO {table} VALUES (1)"),
                    step(f"INSERT INTO {table} VALUES (2)"), step(FAILS),
                    step(f"INSERT INTO {table} VALUES (3)"), SYNC)
        got = client.read_until_ready()
        assert types(got) == "12C12C12EZ"
        assert client.status == "I"
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


def test_an_error_spoils_only_its_own_segment(target, table):
    with target.connect() as client:
        client.send(step(f"INSERT INTO {table} VALUES (1)"), SYNC, step("SELECT * FROM nonesuch"),
                    step(f"INSERT INTO {table} VALUES (2)"), SYNC,
                    step(f"INSERT INTO {table} VALUES (3)"), SYNC)
        assert types(client.read_until_ready()) == "12CZ"
        failed = client.read_until_ready()
        assert types(failed) == "EZ"
        assert failed[0].fields()["C"] == "42P01"
        assert types(client.read_until_ready()) == "12CZ"
        assert client.query(f"SELECT id FROM {table} ORDER BY id") == [["1"], ["3"]]


@pytest.mark.parametrize("at", range(6))
def test_error_at_each_message(target, at):
    """Whatever step fails, the rest up to Sync is skipped and the next request works."""
    good = [parse("s", "SELECT $1::int"), describe("S", "s"), bind("p", "s", [1]),
            describe("P", "p"), execute("p"), close("S", "s")]
    bad = [parse("s", "SELEKT"), describe("S", "none"), bind("p", "none"), describe("P", "none"),
           execute("none"), parse("t", "SELECT 1 +")]
    answers = ["1", "tT", "2", "T", "DC", "3"]
    with target.connect() as client:
        client.send(b"".join(good[:at]), bad[at], b"".join(good[at + 1:]), SYNC)
        assert types(client.read_until_ready()) == "".join(answers[:at]) + "EZ"
        client.send(step("SELECT 9"), SYNC)
        assert client.rows() == [["9"]]


def test_error_after_flush(target):
    """After an error, everything is ignored until Sync, whenever it comes."""
    with target.connect() as client:
        client.send(step(FAILS), FLUSH)
        assert [client.read_noting().type for _ in range(3)] == ["1", "2", "E"]
        client.send(step("SELECT 1"), FLUSH, step("SELECT 2"))
        client.send(SYNC)
        assert types(client.read_until_ready()) == "Z"
        assert client.value("SELECT 3") == "3"


def test_begin_in_a_pipeline(target, table):
    with target.connect() as client:
        client.send(step("BEGIN"), step(f"INSERT INTO {table} VALUES (1)"), SYNC,
                    step(f"INSERT INTO {table} VALUES (2)"), step("COMMIT"), SYNC)
        client.read_until_ready()
        assert client.status == "T"
        client.read_until_ready()
        assert client.status == "I"
        assert client.value(f"SELECT count(*) FROM {table}") == "2"


def test_failed_transaction_in_a_pipeline(target, table):
    with target.connect() as client:
        client.send(step("BEGIN"), SYNC, step(f"INSERT INTO {table} VALUES (1)"), SYNC,
                    step(FAILS), SYNC, step("SELECT 1"), SYNC, step("ROLLBACK"), SYNC)
        statuses, errors = [], []
        for _ in range(5):
            errors += [got.fields()["C"] for got in client.read_until_ready() if got.type == "E"]
            statuses.append(client.status)
        assert statuses == ["T", "T", "E", "E", "I"]
        assert errors == ["22012", "25P02"]
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


def test_reads_and_writes_in_turn(target, table):
    """Requests of different routes in one pipeline are answered in order, each seeing the last."""
    with target.connect() as client:
        requests = []
        for n in range(50):
            requests += [step(f"INSERT INTO {table} VALUES ($1)", [n]), SYNC,
                         step(f"SELECT count(*) FROM {table}"), SYNC]
        client.send(*requests)
        for n in range(50):
            assert client.rows() == []
            assert client.rows() == [[str(n + 1)]]


def test_simple_and_extended_mixed(target):
    with target.connect() as client:
        client.send(step("SELECT 1"), SYNC, query("SELECT 2"), step("SELECT 3"), SYNC,
                    query("SELECT 4; SELECT 5"))
        assert [client.rows() for _ in range(4)] == [[["1"]], [["2"]], [["3"]], [["4"], ["5"]]]


def test_query_ends_an_open_extended_request(target):
    """Parse, Bind, Execute without Sync and then Query: legal, and one ReadyForQuery."""
    with target.connect() as client:
        client.send(step("SELECT 1"), query("SELECT 2"))
        got = client.read_until_ready()
        assert [part.values() for part in got if part.type == "D"] == [["1"], ["2"]]


def test_both_directions_full(target):
    """40 MB of parameters out while 40 MB of rows come back: neither waits for the other."""
    count, size = 400, 100_000
    with target.connect() as client:
        def write():
            for n in range(count):
                client.send(step("SELECT $1::text || ''", [chr(65 + n % 26) * size]) + SYNC)

        writer = threading.Thread(target=write)
        writer.start()
        for n in range(count):
            assert client.rows() == [[chr(65 + n % 26) * size]]
        writer.join()


IN_FLIGHT = int(100_000 / SLOW)
FILLER = "x" * 300  # 30 MB in each direction: more than all the sockets' buffers


class Answers:
    """Checks, one message after the other, that each request is answered, in order."""

    def __init__(self, client, weir):
        self.client, self.weir = client, weir
        self.before = self.most = weir.memory_kib()
        self.readies = 0

    def take(self, data):
        received = self.client.received
        received += data
        while len(received) >= 5:
            if len(received) <= struct.unpack_from("!i", received, 1)[0]:
                return
            self.on_message(self.client.read())

    def on_message(self, got):
        fails = self.readies % 1000 == 999
        assert got.type in ("1Z2E" if fails else "1Z2DC")
        if got.type == "D":
            assert got.values() == [str(self.readies), FILLER]
        if got.type == "Z":
            assert got.body == b"I"
            self.readies += 1
            if self.readies % 5000 == 0:
                self.most = max(self.most, self.weir.memory_kib())

    def check(self):
        assert self.readies == IN_FLIGHT
        self.client.socket.setblocking(True)
        assert self.client.value("SELECT 'and on'") == "and on"
        assert SLOW != 1 or self.most - self.before < 20_000


def requests_in_flight():
    return b"".join((step("SELECT 1/($1::int - $1::int)", [n]) if n % 1000 == 999 else
                     step("SELECT $1::int, $2::text", [n, FILLER])) + SYNC
                    for n in range(IN_FLIGHT))


@pytest.mark.parametrize("before", ["SELECT 1", "/* weir: primary */ SELECT 1"])
def test_a_hundred_thousand_requests_in_flight(weir, before):
    """A thread writes until every buffer on the way is full; only then is there a reader."""
    with weir.connect() as client:
        client.query(before)
        answers, requests = Answers(client, weir), requests_in_flight()
        sent = [0]

        def write():
            for at in range(0, len(requests), 1 << 16):
                client.socket.sendall(requests[at:at + (1 << 16)])
                sent[0] = at

        writer = threading.Thread(target=write)
        writer.start()
        stalled = -1
        while stalled != sent[0]:
            stalled = sent[0]
            time.sleep(0.5)
        assert writer.is_alive()
        while answers.readies < IN_FLIGHT:
            if answers.readies < 100:
                time.sleep(0.01)
            answers.take(client.socket.recv(1 << 12 if answers.readies < 5000 else 1 << 16))
        writer.join()
        answers.check()


def test_a_hundred_thousand_requests_by_one_thread(weir):
    """As libpq's pipeline mode: it reads only when it cannot write."""
    with weir.connect() as client:
        answers, requests = Answers(client, weir), memoryview(requests_in_flight())
        client.socket.setblocking(False)
        sent = 0
        while answers.readies < IN_FLIGHT:
            waits = [client.socket] if sent < len(requests) else []
            readable, writable, _ = select.select([client.socket], waits, [], wire.TIMEOUT_S)
            assert readable or writable, f"stuck after {answers.readies} answers"
            if writable:
                sent += client.socket.send(requests[sent:sent + (1 << 16)])
            else:
                answers.take(client.socket.recv(1 << 16))
        answers.check()


def test_client_that_writes_all_before_it_reads(target):
    """As libpq's pipeline mode in small sizes; the answers wait in buffers."""
    with target.connect() as client:
        client.send(b"".join(step("SELECT $1::int", [n]) for n in range(2000)), SYNC)
        assert len(client.rows()) == 2000


def test_bytes_one_at_a_time(target):
    with target.connect() as client:
        request = step("SELECT $1::text", ["slow"]) + SYNC
        for at in range(len(request)):
            client.send(request[at:at + 1])
        assert client.rows() == [["slow"]]


@pytest.mark.parametrize("before", ["BEGIN", "SELECT pg_sleep(0.05)", "CREATE TEMP TABLE x ()"])
def test_a_request_that_comes_in_two_halves(target, before):
    """The first half arrives while the one before it still runs, and changes what follows."""
    with target.connect() as client:
        for _ in range(5):
            client.send(query(before), parse("", "SELECT $1::text"), bind("", "", ["a" * 500]))
            time.sleep(0.1)
            client.send(execute(), SYNC)
            client.rows()
            assert client.rows() == [["a" * 500]]
            client.send(query("DISCARD ALL" if client.status == "I" else "COMMIT"))
            client.rows()
            assert client.extended("SELECT 1") == [["1"]]
            assert client.value("SELECT 2") == "2"


def test_psycopg_pipeline(target, table):
    with target.psycopg(autocommit=False) as connection:
        with connection.pipeline():
            for n in range(200):
                connection.execute(f"INSERT INTO {table} VALUES (%s, %s)", (n, f"v{n}"))
            found = connection.execute(f"SELECT count(*), max(v) FROM {table}").fetchone()
        assert found == (200, "v99")


def test_psycopg_pipeline_error_in_the_middle(target, table):
    import psycopg

    with target.psycopg() as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            with connection.pipeline() as pipeline:
                connection.execute(f"INSERT INTO {table} VALUES (1)")
                pipeline.sync()
                connection.execute("SELECT 1/0")
                connection.execute(f"INSERT INTO {table} VALUES (2)")
        assert connection.execute(f"SELECT array_agg(id) FROM {table}").fetchone() == ([1],)


def test_closed_in_the_middle_of_a_pipeline(target, table):
    """A client that dies leaves nothing half done behind, and no answer for the next."""
    for _ in range(20):
        client = target.connect()
        client.send(step("BEGIN"), SYNC, step(f"INSERT INTO {table} VALUES (1)"), SYNC,
                    step("SELECT repeat('x', 100000) FROM generate_series(1, 20)"), SYNC)
        client.drop()
        with target.connect() as other:
            assert other.query("SELECT 'mine'") == [["mine"]]
            with pytest.raises(wire.ServerError):
                other.query("SELECT 1/0")
    with target.connect() as other:
        assert other.value(f"SELECT count(*) FROM {table}") == "0"
