"""Queries, errors, notices and transactions, message by message."""
import struct

import pytest

from support import wire
from support.wire import (FLUSH, SYNC, bind, close, describe, execute, message, parse, query)


def types(messages):
    return "".join(got.type for got in messages)


def test_simple_query(target):
    with target.connect() as client:
        client.send(query("SELECT 1 AS one, NULL AS nothing, 'x' AS x"))
        got = client.read_until_ready()
        assert types(got) == "TDCZ"
        assert got[0].columns() == [("one", 23), ("nothing", 25), ("x", 25)]
        assert got[1].values() == ["1", None, "x"]
        assert got[2].text() == "SELECT 1"
        assert client.status == "I"


def test_empty_query(target):
    with target.connect() as client:
        client.send(query("  ;  "))
        assert types(client.read_until_ready()) == "IZ"
        client.send(parse("", ""), bind("", ""), execute(), SYNC)
        assert types(client.read_until_ready()) == "12IZ"


def test_several_statements_in_one_query(target, table):
    with target.connect() as client:
        client.send(query(f"INSERT INTO {table} VALUES (1, 'a'); SELECT 7; DELETE FROM {table}"))
        got = client.read_until_ready()
        assert types(got) == "CTDCCZ"
        assert [part.text() for part in got if part.type == "C"] == \
            ["INSERT 0 1", "SELECT 1", "DELETE 1"]


def test_an_error_ends_a_query_of_several_statements(target, table):
    with target.connect() as client:
        client.send(query(f"INSERT INTO {table} VALUES (1); SELECT 1/0; SELECT 2"))
        got = client.read_until_ready()
        assert types(got) == "CEZ"
        assert client.status == "I"
        assert client.query(f"/* weir: primary */ SELECT count(*) FROM {table}") == [["0"]]


def test_error_fields(target):
    with target.connect() as client:
        with pytest.raises(wire.ServerError) as failed:
            client.query("SELECT nonesuch")
        fields = failed.value.fields
        assert (fields["S"], fields["V"], fields["C"]) == ("ERROR", "ERROR", "42703")
        assert fields["M"] == 'column "nonesuch" does not exist'
        assert fields["P"] == "8"
        assert client.value("SELECT 1") == "1"


def test_notices_arrive_before_the_result(target):
    with target.connect() as client:
        client.query("DO $$ BEGIN RAISE NOTICE 'hello %', 1; RAISE WARNING 'and'; END $$")
        assert [(n["S"], n["M"]) for n in client.notices] == \
            [("NOTICE", "hello 1"), ("WARNING", "and")]


def test_transaction_status(target, table):
    with target.connect() as client:
        client.query("BEGIN")
        assert client.status == "T"
        client.query(f"INSERT INTO {table} VALUES (1)")
        assert client.value(f"SELECT count(*) FROM {table}") == "1"
        with pytest.raises(wire.ServerError):
            client.query("SELECT 1/0")
        assert client.status == "E"
        with pytest.raises(wire.ServerError) as failed:
            client.query("SELECT 1")
        assert failed.value.code == "25P02"
        client.send(query("COMMIT"))
        assert client.read_until_ready()[0].text() == "ROLLBACK"
        assert client.status == "I"
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


def test_savepoints(target, table):
    with target.connect() as client:
        client.query(f"BEGIN; INSERT INTO {table} VALUES (1); SAVEPOINT s")
        with pytest.raises(wire.ServerError):
            client.query(f"INSERT INTO {table} VALUES (1)")
        client.query("ROLLBACK TO s")
        assert client.status == "T"
        client.query(f"INSERT INTO {table} VALUES (2)")
        client.query("COMMIT")
        assert client.query(f"SELECT id FROM {table} ORDER BY id") == [["1"], ["2"]]


def test_commit_and_chain_stays_in_a_transaction(target, table):
    with target.connect() as client:
        client.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
        client.query("COMMIT AND CHAIN")
        assert client.status == "T"
        client.query(f"INSERT INTO {table} VALUES (2)")
        client.query("ROLLBACK")
        assert client.query(f"SELECT id FROM {table}") == [["1"]]


def test_extended_query(target):
    with target.connect() as client:
        client.send(parse("", "SELECT $1::int + 1, $2::text", (23,)), describe("S"),
                    bind("", "", ["41", None]), describe("P"), execute(), SYNC)
        got = client.read_until_ready()
        assert types(got) == "1tT2TDCZ"
        assert struct.unpack("!HII", got[1].body) == (2, 23, 25)
        assert got[5].values() == ["42", None]


def test_binary_results_and_parameters(target):
    with target.connect() as client:
        value = struct.pack("!i", 77)
        bound = message("B", b"\0\0" + struct.pack("!HHHi", 1, 1, 1, 4) + value +
                        struct.pack("!HH", 1, 1))
        client.send(parse("", "SELECT $1::int4"), bound, execute(), SYNC)
        got = client.read_until_ready()
        assert got[2].body == struct.pack("!Hi", 1, 4) + value


def test_portal_suspended_and_resumed(target):
    with target.connect() as client:
        client.send(parse("", "SELECT generate_series(1, 5)"), bind("p", ""), execute("p", 2),
                    execute("p", 2), execute("p", 2), SYNC)
        got = client.read_until_ready()
        assert types(got) == "12DDsDDsDCZ"
        assert [part.values()[0] for part in got if part.type == "D"] == list("12345")


def test_flush_brings_answers_without_sync(target):
    with target.connect() as client:
        client.send(parse("", "SELECT 5"), bind("", ""), describe("P"), FLUSH)
        assert [client.read_noting().type for _ in range(3)] == ["1", "2", "T"]
        client.send(execute(), FLUSH)
        assert client.read_noting().values() == ["5"]
        assert client.read_noting().type == "C"
        client.send(SYNC)
        assert types(client.read_until_ready()) == "Z"


def test_portal_in_a_transaction(target):
    """A cursor over several requests stays on its connection."""
    with target.connect() as client:
        client.query("BEGIN")
        client.send(parse("", "SELECT generate_series(1, 3)"), bind("c", ""), execute("c", 1), SYNC)
        assert types(client.read_until_ready()) == "12DsZ"
        client.send(execute("c", 1), SYNC)
        assert client.rows() == [["2"]]
        client.send(close("P", "c"), SYNC)
        assert types(client.read_until_ready()) == "3Z"
        client.query("COMMIT")


def test_sql_cursor(target):
    with target.connect() as client:
        client.query("BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 100)")
        assert len(client.query("FETCH 10 FROM c")) == 10
        assert client.query("FETCH 1 FROM c") == [["11"]]
        client.query("COMMIT")


def test_function_call(target):
    """The old fast-path message: int4abs(-5)."""
    with target.connect() as client:
        oid = int(client.value("SELECT 'int4abs'::regproc::oid::int"))
        body = struct.pack("!IHHHi", oid, 1, 1, 1, 4) + struct.pack("!iH", -5, 1)
        client.send(message("F", body))
        got = client.read_until_ready()
        assert types(got) == "VZ"
        assert got[0].body == struct.pack("!ii", 4, 5)


def test_large_result(target):
    with target.connect() as client:
        rows = client.query("SELECT g, repeat('x', 100) FROM generate_series(1, 50000) g")
        assert len(rows) == 50000
        assert rows[-1] == ["50000", "x" * 100]


def test_every_sync_has_an_answer(target):
    with target.connect() as client:
        client.send(SYNC, SYNC, SYNC)
        for _ in range(3):
            assert types(client.read_until_ready()) == "Z"


def test_terminate_and_abrupt_loss_free_the_server(target, cluster):
    """A client that leaves inside a transaction takes its locks with it."""
    for leave in ("terminate", "drop"):
        client = target.connect()
        client.query("BEGIN")
        client.query("SELECT pg_advisory_xact_lock(4711)")
        getattr(client, leave)()
        with target.connect() as other:
            other.query("SET statement_timeout = '5s'")
            other.query("BEGIN")
            other.query("SELECT pg_advisory_xact_lock(4711)")
            other.query("COMMIT")


def test_unix_socket(target):
    with wire.connect(str(target.socket_dir), target.port, "app", "app", "app") as client:
        assert client.value("SELECT 1") == "1"


def test_unknown_message_type_ends_the_session(target):
    with target.connect() as client:
        client.send(message("~", b"what"))
        errors = [got.fields() for got in client.expect_closed() if got.type == "E"]
        assert [(e["S"], e["C"]) for e in errors] == [("FATAL", "08P01")]
        assert errors[0]["M"] == "invalid frontend message type 126"


@pytest.mark.parametrize("length", [0, 3, -1, -(1 << 31)])
def test_bad_message_length_ends_the_session(target, length):
    with target.connect() as client:
        client.send(b"Q" + struct.pack("!i", length) + b"SELECT 1\0")
        # PostgreSQL says nothing, as it lost track of the protocol; a FATAL error is fine too.
        errors = [got.fields() for got in client.expect_closed() if got.type == "E"]
        assert all((e["S"], e["C"]) == ("FATAL", "08P01") for e in errors)
