"""Prepared statements over server connections that are not the client's own."""
import pytest

from support import wire
from support.wire import SYNC, bind, close, describe, execute, parse, query


def types(messages):
    return "".join(got.type for got in messages)


def prepare(client, name, sql, oids=()):
    client.send(parse(name, sql, oids), SYNC)
    assert types(client.read_until_ready()) == "1Z"


def run(client, name, values=()):
    client.send(bind("", name, values), execute(), SYNC)
    return client.rows()


def test_named_statement_over_many_requests(target):
    with target.connect() as client:
        prepare(client, "s", "SELECT $1::int * 2")
        for n in range(50):
            assert run(client, "s", [n]) == [[str(2 * n)]]


def test_same_name_in_two_clients(target):
    with target.connect() as one, target.connect() as two:
        prepare(one, "s", "SELECT 'one'")
        prepare(two, "s", "SELECT 'two'")
        for _ in range(10):
            assert run(one, "s") == [["one"]]
            assert run(two, "s") == [["two"]]


def test_same_text_and_name_with_other_parameter_types(target):
    with target.connect() as one, target.connect() as two:
        prepare(one, "s", "SELECT pg_typeof($1)::text", [23])
        prepare(two, "s", "SELECT pg_typeof($1)::text", [25])
        for _ in range(5):
            assert run(one, "s", ["1"]) == [["integer"]]
            assert run(two, "s", ["1"]) == [["text"]]


def test_unnamed_statement_lives_beyond_its_sync(target):
    """PostgreSQL keeps the unnamed statement until the next Parse or simple Query."""
    with target.connect() as client, target.connect() as other:
        client.send(parse("", "SELECT $1::text || '!'"), SYNC)
        client.read_until_ready()
        other.extended("SELECT 'another'")
        for word in ("a", "b"):
            assert run(client, "", [word]) == [[word + "!"]]
        client.query("SELECT 1")
        with pytest.raises(wire.ServerError) as failed:
            run(client, "", ["c"])
        assert failed.value.code == "26000"
        assert failed.value.message == "unnamed prepared statement does not exist"


def test_describe_statement_and_portal(target):
    with target.connect() as client:
        prepare(client, "d", "SELECT $1::int AS n, 'x'::text AS t")
        client.send(describe("S", "d"), SYNC)
        got = client.read_until_ready()
        assert types(got) == "tTZ"
        assert got[1].columns() == [("n", 23), ("t", 25)]
        prepare(client, "n", "SET extra_float_digits = 1")
        client.send(describe("S", "n"), SYNC)
        assert types(client.read_until_ready()) == "tnZ"


def test_duplicate_name(target):
    with target.connect() as client:
        prepare(client, "s", "SELECT 1")
        with pytest.raises(wire.ServerError) as failed:
            client.send(parse("s", "SELECT 2"), SYNC)
            client.rows()
        assert failed.value.code == "42P05"
        assert failed.value.message == 'prepared statement "s" already exists'
        assert run(client, "s") == [["1"]]


def test_close_then_use(target):
    with target.connect() as client:
        prepare(client, "s", "SELECT 1")
        client.send(close("S", "s"), SYNC)
        assert types(client.read_until_ready()) == "3Z"
        with pytest.raises(wire.ServerError) as failed:
            run(client, "s")
        assert failed.value.code == "26000"
        assert failed.value.message == 'prepared statement "s" does not exist'
        prepare(client, "s", "SELECT 2")
        assert run(client, "s") == [["2"]]


def test_closing_what_does_not_exist_is_no_error(target):
    with target.connect() as client:
        client.send(close("S", "never"), close("P", "never"), SYNC)
        assert types(client.read_until_ready()) == "33Z"


def test_a_failed_parse_leaves_no_statement(target):
    with target.connect() as client:
        client.send(parse("s", "SELECT nonesuch"), SYNC)
        assert types(client.read_until_ready()) == "EZ"
        with pytest.raises(wire.ServerError) as failed:
            run(client, "s")
        assert failed.value.code == "26000"
        prepare(client, "s", "SELECT 1")
        assert run(client, "s") == [["1"]]


def test_parse_skipped_after_an_error_leaves_no_statement(target):
    with target.connect() as client:
        client.send(parse("", "SELECT nonesuch"), parse("later", "SELECT 1"), SYNC)
        client.read_until_ready()
        with pytest.raises(wire.ServerError) as failed:
            run(client, "later")
        assert failed.value.code == "26000"


def test_statements_survive_a_rollback(target):
    with target.connect() as client:
        client.query("BEGIN")
        prepare(client, "s", "SELECT 3")
        client.query("ROLLBACK")
        assert run(client, "s") == [["3"]]


def test_inside_transactions(target, table):
    with target.connect() as client:
        prepare(client, "ins", f"INSERT INTO {table} VALUES ($1, $2)", [23, 25])
        prepare(client, "get", f"SELECT v FROM {table} WHERE id = $1", [23])
        for n in range(10):
            client.query("BEGIN")
            run(client, "ins", [n, f"v{n}"])
            assert run(client, "get", [n]) == [[f"v{n}"]]
            client.query("COMMIT" if n % 2 else "ROLLBACK")
        assert run(client, "get", [1]) == [["v1"]]
        assert run(client, "get", [2]) == []


def test_sql_prepare(target):
    with target.connect() as client, target.connect() as other:
        client.query("PREPARE p (int) AS SELECT $1 + 1")
        other.query("SELECT 1")
        assert client.query("EXECUTE p (41)") == [["42"]]
        client.query("DEALLOCATE p")
        with pytest.raises(wire.ServerError) as failed:
            client.query("EXECUTE p (1)")
        assert failed.value.code == "26000"
        with pytest.raises(wire.ServerError) as failed:
            other.query("EXECUTE p (1)")
        assert failed.value.code == "26000"


def test_sql_execute_of_a_protocol_statement(target):
    with target.connect() as client:
        prepare(client, "p", "SELECT $1::int + 1")
        assert client.query("EXECUTE p (1)") == [["2"]]
        client.query("DEALLOCATE p")
        with pytest.raises(wire.ServerError) as failed:
            run(client, "p", [1])
        assert failed.value.code == "26000"


@pytest.mark.parametrize("command", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_all_statements_go(target, command):
    with target.connect() as client, target.connect() as other:
        prepare(client, "s", "SELECT 1")
        prepare(other, "s", "SELECT 'other'")
        client.query(command)
        with pytest.raises(wire.ServerError) as failed:
            run(client, "s")
        assert failed.value.code == "26000"
        prepare(client, "s", "SELECT 2")
        assert run(client, "s") == [["2"]]
        assert run(other, "s") == [["other"]]


def test_many_clients_many_statements_few_connections(start_weir):
    """More statements than a server connection keeps: each comes back when asked for."""
    weir = start_weir({"pool": {"size": 2}, "limits": {"prepared_statements": 5}})
    clients = [weir.connect() for _ in range(8)]
    for number, client in enumerate(clients):
        for n in range(10):
            prepare(client, f"s{n}", f"SELECT {number * 100 + n} + $1::int")
    for _ in range(3):
        for number, client in enumerate(clients):
            for n in range(10):
                assert run(client, f"s{n}", [1]) == [[str(number * 100 + n + 1)]]
    for client in clients:
        client.drop()


def test_server_keeps_no_more_than_its_limit(start_weir, cluster):
    weir = start_weir({"pool": {"size": 1}, "limits": {"prepared_statements": 5},
                       "routing": {"split_reads": False}})
    with weir.connect() as client:
        for n in range(30):
            prepare(client, f"s{n}", f"SELECT {n}")
            assert run(client, f"s{n}") == [[str(n)]]
        kept = client.value("/* weir: primary */ SELECT count(*) FROM pg_prepared_statements")
        assert int(kept) <= 5


def test_plan_is_made_again_after_a_change_of_type(target, cluster, table):
    """A migration must not cost "cached plan must not change result type" (0A000)."""
    with target.connect() as client:
        prepare(client, "s", f"/* weir: primary */ SELECT * FROM {table}")
        for _ in range(3):
            assert run(client, "s") == []
        cluster.sql(0, f"ALTER TABLE {table} ADD COLUMN extra int DEFAULT 5;"
                       f"INSERT INTO {table} VALUES (1, 'a')")
        if not hasattr(target, "cluster"):  # PostgreSQL itself refuses
            pytest.skip("only a proxy can heal it")
        assert run(client, "s") == [["1", "a", "5"]]


def test_prepared_reads_run_on_replicas(weir, cluster):
    with weir.connect() as client:
        prepare(client, "where", "SELECT inet_server_port(), $1::int")
        seen = {cluster.number_of(run(client, "where", [n])[0][0]) for n in range(20)}
        assert seen <= {1, 2} and seen


def test_prepared_write_runs_on_the_primary(weir, cluster, table):
    with weir.connect() as client:
        prepare(client, "w", f"INSERT INTO {table} VALUES ($1) RETURNING inet_server_port()")
        assert run(client, "w", [1]) == [[str(cluster.ports[0])]]


def test_psycopg_prepares_at_once(target, table):
    with target.psycopg() as connection:
        for n in range(20):
            connection.execute(f"INSERT INTO {table} VALUES (%s, %s)", (n, "x"), prepare=True)
            found = connection.execute(f"SELECT v FROM {table} WHERE id = %s", (n,), prepare=True)
            assert found.fetchone() == ("x",)


def test_query_of_unknown_statement_after_simple_query(target):
    with target.connect() as client:
        client.send(query("SELECT 1"), bind("", "nope"), execute(), SYNC)
        assert client.rows() == [["1"]]
        with pytest.raises(wire.ServerError) as failed:
            client.rows()
        assert failed.value.code == "26000"
