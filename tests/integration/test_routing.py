"""Which host serves what: by grammar, catalog, hints and transactions."""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import wire
from support.cluster import fresh_name, wait_catalog, wait_until
from support.wire import FLUSH, SYNC, bind, describe, execute, parse, query

PORT = "inet_server_port()"
# So that reads are spread: by default they stay where their session has read last.
EVENTUAL = {"weir.consistency": "eventual"}


def host_of(cluster, client, sql=f"SELECT {PORT}"):
    return cluster.number_of(client.query(sql)[-1][0])


def hosts_of(cluster, client, sql=f"SELECT {PORT}", count=12):
    return {host_of(cluster, client, sql) for _ in range(count)}


@pytest.fixture(scope="module")
def names(cluster, shared_weir):
    """Objects whose nature only the catalog knows."""
    prefix = fresh_name("r")
    made = {kind: f"{prefix}_{kind}" for kind in (
        "table", "view", "unlogged", "sequence", "stable", "volatile", "volatile_view", "hidden",
        "writer", "procedure", "harmless")}
    cluster.sql(0, """
        CREATE TABLE {table} (id int, v text);
        CREATE UNLOGGED TABLE {unlogged} (id int);
        CREATE SEQUENCE {sequence};
        CREATE VIEW {view} AS SELECT inet_server_port();
        CREATE FUNCTION {stable}() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
        CREATE FUNCTION {volatile}() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
        CREATE FUNCTION {harmless}() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
        CREATE VIEW {volatile_view} AS SELECT {volatile}() AS n;
        CREATE FUNCTION {writer}(n int) RETURNS int LANGUAGE plpgsql VOLATILE AS
            'BEGIN INSERT INTO {table} VALUES (1000 + n); RETURN n; END';
        CREATE FUNCTION {hidden}(n int) RETURNS int LANGUAGE plpgsql STABLE AS
            'BEGIN RETURN {writer}(n); END';
        CREATE PROCEDURE {procedure}() LANGUAGE sql AS 'INSERT INTO {table} VALUES (99)';
        GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
        ALTER TABLE {table} OWNER TO app;
        """.format(**made))
    cluster.wait_replayed()
    sql = f"SELECT {PORT}, {made['stable']}()"
    with shared_weir.connect(**EVENTUAL) as client:  # definitions that did not pass through it
        wait_until(lambda: hosts_of(cluster, client, sql) == {1, 2}, "the catalog is read again")
    return made


@pytest.fixture
def client(weir):
    with weir.connect(**EVENTUAL) as made:
        yield made


# --- reads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", [
    "SELECT {port}",
    "  -- a comment\n SELECT {port}",
    "/* another */ SELECT {port};",
    "WITH a AS (SELECT {port} AS p) SELECT p FROM a",
    "SELECT * FROM (VALUES ({port})) v",
    "SELECT {port}, random(), clock_timestamp()",
    "SELECT {port}, current_setting('work_mem')",
    "SELECT {port} FROM {table} RIGHT JOIN (SELECT 1) x ON true",
    "TABLE {view}",
    "(SELECT {port}) UNION ALL (SELECT {port})",
    "SELECT {port} FROM pg_class LIMIT 1",
    "SELECT {port}; SELECT {port}",
    "SELECT {port}, {stable}()",
])
def test_reads_run_on_replicas(client, cluster, names, sql):
    assert hosts_of(cluster, client, sql.format(port=PORT, **names)) == {1, 2}


# --- writes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql", [
    "INSERT INTO {table} VALUES (1) ON CONFLICT DO NOTHING; SELECT {port}",
    "UPDATE {table} SET v = 'x'; SELECT {port}",
    "SELECT {port}; DELETE FROM {table}; SELECT {port}",
    "WITH gone AS (DELETE FROM {table} RETURNING id) SELECT {port}",
    "SELECT {port} FROM (SELECT 1) x FULL JOIN (SELECT id FROM {table} FOR UPDATE) y ON true",
    "SELECT {port} FROM (SELECT 1) x FULL JOIN (SELECT id FROM {table} FOR NO KEY UPDATE) y "
    "ON true",
    "SELECT {port} FROM (SELECT 1) x FULL JOIN (SELECT id FROM {table} FOR SHARE) y ON true",
    "SELECT {port} FROM (SELECT 1) x FULL JOIN (SELECT id FROM {table} FOR KEY SHARE) y ON true",
    "SELECT {port}, nextval('{sequence}')",
    "SELECT {port}, setval('{sequence}', 5)",
    "SELECT {port}, {volatile}()",
    "SELECT {port}, {volatile_view}.n FROM {volatile_view}",
    "SELECT {port}, txid_current()",
    "SELECT {port}, pg_notify('c', 'x')",
    "SELECT {port}, pg_advisory_xact_lock(1)",
    "SELECT {port} FROM (SELECT 1) x FULL JOIN {unlogged} ON true",
    "MERGE INTO {table} t USING (SELECT -1 AS id) s ON s.id = t.id WHEN MATCHED THEN DELETE; "
    "SELECT {port}",
    "LOCK TABLE {table}; SELECT {port}",
    "CREATE TABLE {table}_x (); DROP TABLE {table}_x; SELECT {port}",
    "DO $$ BEGIN END $$; SELECT {port}",
    "ANALYZE {table}; SELECT {port}",
    "COMMENT ON TABLE {table} IS 'x'; SELECT {port}",
])
def test_writes_run_on_the_primary(client, cluster, names, sql):
    assert hosts_of(cluster, client, sql.format(port=PORT, **names), 4) == {0}


def test_explain_of_a_write(client, names):
    client.query("EXPLAIN SELECT 1")
    client.query("EXPLAIN ANALYZE INSERT INTO {table} VALUES (7)".format(**names))
    text = "/* weir: primary */ SELECT id FROM {table} WHERE id = 7"
    assert client.query(text.format(**names)) == [["7"]]


def test_call_of_a_procedure(client, cluster, names):
    client.query("CALL {procedure}()".format(**names))
    assert cluster.value(0, "SELECT count(*) FROM {table} WHERE id = 99".format(**names)) == "1"


def test_show_and_set_need_no_server_of_their_own(client):
    for sql in ("SHOW work_mem", "SHOW server_version", "SHOW ALL"):
        assert client.query(sql)


def test_unparseable_text_is_answered_by_the_primary(client):
    with pytest.raises(wire.ServerError) as failed:
        client.query("SELEKT 1")
    assert failed.value.code == "42601"
    assert failed.value.message == 'syntax error at or near "SELEKT"'
    assert failed.value.fields["P"] == "1"


def test_write_hidden_in_a_stable_function_is_repaired(client, cluster, names):
    """The catalog says stable, the function writes: 25006 on the replica is never shown."""
    for n in range(6):
        client.query("SELECT {hidden}({n})".format(n=n, **names))
    assert cluster.value(
        0, "SELECT count(*) FROM {table} WHERE id BETWEEN 1000 AND 1999".format(**names)) == "6"


def test_write_hidden_in_a_prepared_statement_is_repaired(client, cluster, names):
    client.send(parse("h", "SELECT {hidden}($1::int)".format(**names)), SYNC)
    client.read_until_ready()
    for n in range(6):
        client.send(bind("", "h", [1000 + n]), execute(), SYNC)
        assert len(client.rows()) == 1
    assert cluster.value(0, "SELECT count(*) FROM {table} WHERE id >= 2000".format(**names)) == "6"


def test_the_catalog_is_read_as_soon_as_there_is_a_primary(start_weir, names):
    weir = start_weir(ready=False)
    sql = "EXPLAIN ROUTE SELECT {stable}()".format(**names)

    def first_session():
        try:
            return weir.connect()
        except OSError:  # it does not listen yet
            return None

    sessions = []
    wait_until(lambda: sessions.append(first_session()) or sessions[-1], "a session")
    wait_until(lambda: sessions[-1].query(sql)[0] == ["route: replica"], "the catalog is read")
    sessions[-1].terminate()
    assert "cannot read the catalog" not in weir.log()  # nor is it read in vain before


def test_hosts_are_sampled_while_a_route_is_explained(start_weir, cluster):
    """Of one request all goes by one snapshot, though a newer one is there. A sanitizer sees it."""
    weir = start_weir({"clusters": {"main": {"monitor": {"interval": "20ms"}}}})

    def explain(_):
        with weir.connect() as client:
            client.query("CREATE TEMP TABLE pins (a int)")
            for _ in range(1500):
                lines = [line for line, in client.query("EXPLAIN ROUTE SELECT 1")]
                assert lines[1:3] == [f"host: 127.0.0.1:{cluster.ports[0]}",
                                      "reason: the session is pinned"]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(explain, range(4)))


@pytest.fixture
def crowded(cluster):
    """A database with 3000 functions."""
    name = fresh_name("crowded")
    cluster.sql(0, f"CREATE DATABASE {name}", "postgres")
    cluster.sql(0, """
        DO $$ BEGIN FOR n IN 1..3000 LOOP EXECUTE format('CREATE FUNCTION f_%s() RETURNS int '
            'LANGUAGE sql STABLE AS $f$ SELECT 1 $f$', n); END LOOP; END $$;
        CREATE TABLE plain (id int); CREATE VIEW reads AS SELECT * FROM plain;
        CREATE VIEW calls AS SELECT f_3000() AS n;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO app""", name)
    cluster.wait_replayed()
    yield name
    cluster.sql(0, f"DROP DATABASE {name} WITH (FORCE)", "postgres")


@pytest.mark.parametrize("most, known", [("256kB", False), ("64MB", True)])
def test_a_catalog_that_is_too_large_is_not_kept(start_weir, crowded, most, known):
    weir = start_weir({"clusters": {"main": {"monitor": {"catalog_bytes": most}}},
                       "databases": {crowded: {"cluster": "main"}}})
    with weir.connect(database=crowded, **EVENTUAL) as client:

        def routes(sql):
            return client.query(f"EXPLAIN ROUTE {sql}")

        wait_catalog(client)
        for sql in ("SELECT * FROM plain", "SELECT lower('A') FROM reads"):
            assert routes(sql)[0] == ["route: replica"]
        for sql in ("SELECT f_3000()", "SELECT * FROM calls"):
            assert routes(sql)[0] == ["route: replica" if known else "route: primary"]
            client.query(sql)
    # Of whether the catalog of another database is too large nothing is said here.
    warned = f"the catalog of {crowded} is larger than monitor.catalog_bytes"
    assert weir.log().count(warned) == (not known)


# --- transactions ---------------------------------------------------------------------------------


def test_transactions_run_on_the_primary(client, cluster):
    client.query("BEGIN")
    assert hosts_of(cluster, client) == {0}
    client.query("COMMIT")
    assert 0 not in hosts_of(cluster, client)


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "START TRANSACTION READ ONLY",
                                   "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"])
def test_read_only_transactions_run_on_a_replica(client, cluster, begin):
    for _ in range(4):
        client.query(begin)
        seen = hosts_of(cluster, client, count=4)
        assert len(seen) == 1 and seen <= {1, 2}
        with pytest.raises(wire.ServerError) as failed:
            client.query("CREATE TABLE never ()")
        assert failed.value.code == "25006"
        client.query("ROLLBACK")


def test_serializable_read_only_still_works(client):
    """Replicas refuse SERIALIZABLE; the client must not notice."""
    client.query("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
    assert client.value("SELECT 1") == "1"
    client.query("COMMIT")


def test_default_read_only_sessions_read_from_replicas(weir, cluster):
    with weir.connect(options="-c default_transaction_read_only=on") as client:
        client.query("BEGIN")
        assert hosts_of(cluster, client, count=3) <= {1, 2}
        client.query("COMMIT")


def test_transaction_in_one_string(client, cluster, names):
    text = "BEGIN; INSERT INTO {table} VALUES (1); SELECT {port}; ROLLBACK"
    assert host_of(cluster, client, text.format(port=PORT, **names)) == 0


# --- misrouted ------------------------------------------------------------------------------------


@pytest.fixture
def numbers(cluster):
    """A view that writes when it is read, which neither grammar nor catalog shows."""
    name = fresh_name("numbers")
    cluster.sql(0, f"CREATE SEQUENCE {name}_seq; GRANT ALL ON {name}_seq TO app;"
                   f"CREATE FUNCTION {name}_next() RETURNS bigint LANGUAGE plpgsql STABLE AS"
                   " $$ DECLARE n bigint; BEGIN"
                   f" EXECUTE 'SELECT ' || 'next' || 'val(''{name}_seq'')' INTO n; RETURN n;"
                   " END $$;"
                   f"CREATE VIEW {name} AS SELECT {name}_next() AS n;"
                   f"ALTER VIEW {name} OWNER TO app")
    cluster.wait_replayed()
    yield name
    cluster.sql(0, f"DROP VIEW {name}; DROP FUNCTION {name}_next; DROP SEQUENCE {name}_seq")


def misroutes(weir):
    rows = weir.show("ROUTE_TOTALS")
    assert sum(int(row["misroutes"]) for row in rows) <= sum(int(row["retries"]) for row in rows)
    return sum(int(row["misroutes"]) for row in rows)


def test_a_read_that_writes_after_all_runs_once_on_the_primary(weir, client, numbers):
    before = misroutes(weir)
    assert client.query(f"SELECT n FROM {numbers}") == [["1"]]
    client.send(parse("", f"SELECT n FROM {numbers}"), bind("", ""), execute(), SYNC)
    assert "".join(got.type for got in client.read_until_ready()) == "12DCZ"
    client.send(parse("named", f"SELECT n FROM {numbers}"), bind("", "named"), execute(), SYNC)
    assert "".join(got.type for got in client.read_until_ready()) == "12DCZ"
    client.send(bind("", "named"), execute(), SYNC, bind("", "named"), execute(), SYNC)
    assert client.rows() + client.rows() == [["4"], ["5"]]
    assert client.status == "I"
    assert misroutes(weir) == before + 1  # then its shape is known


def test_what_was_refused_too_late_is_known_from_then_on(client, numbers):
    """Its client had seen a part of the answer."""
    sql = f"SELECT repeat('x', 1000) FROM generate_series(1, 1000); SELECT n FROM {numbers}"
    with pytest.raises(wire.ServerError) as failed:
        client.query(sql)
    assert failed.value.code == "25006"
    assert client.query(sql)[1000:] == [["1"]]


def test_who_asks_for_a_replica_hears_what_it_says(client, numbers):
    with pytest.raises(wire.ServerError) as failed:
        client.query(f"/* weir: replica */ SELECT n FROM {numbers}")
    assert failed.value.code == "25006"


# --- hints ----------------------------------------------------------------------------------------


def test_comment_hints(client, cluster, names):
    assert hosts_of(cluster, client, f"/* weir: primary */ SELECT {PORT}") == {0}
    assert hosts_of(cluster, client, f"SELECT {PORT} /* weir: primary */") == {0}
    volatile = "/* weir: replica */ SELECT {port}, {harmless}()".format(port=PORT, **names)
    assert hosts_of(cluster, client, volatile) == {1, 2}


def test_text_that_looks_like_a_hint_is_none(client, cluster):
    assert hosts_of(cluster, client, f"SELECT {PORT}, '/* weir: primary */'") == {1, 2}


def test_set_route(client, cluster):
    assert client.value("SHOW weir.route") == "default"
    assert client.extended("SHOW weir.explain")[0][0] == "off"
    client.query("SET weir.route TO 'primary'")
    assert hosts_of(cluster, client) == {0}
    assert client.value("SHOW weir.route") == "primary"
    client.query("SET weir.route = replica")
    assert hosts_of(cluster, client) == {1, 2}
    client.query("RESET weir.route")
    assert hosts_of(cluster, client) == {1, 2}
    with pytest.raises(wire.ServerError) as failed:
        client.query("SET weir.route TO 'moon'")
    assert failed.value.code == "22023"
    assert "weir.route" in failed.value.message
    client.query("BEGIN; SET weir.route TO DEFAULT")
    with pytest.raises(wire.ServerError):
        client.query("SET weir.route TO 'moon'")
    assert client.status == "E"
    client.query("ROLLBACK")
    assert hosts_of(cluster, client) == {1, 2}


def test_route_as_a_startup_option(weir, cluster):
    with weir.connect(options="-c weir.route=primary") as client:
        assert hosts_of(cluster, client) == {0}
    with weir.connect(**{"weir.route": "primary"}) as client:
        assert hosts_of(cluster, client) == {0}
    with pytest.raises(wire.ServerError) as failed:
        weir.connect(options="-c weir.route=moon")
    assert failed.value.code == "22023" and failed.value.fields["S"] == "FATAL"


# --- distribution ---------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("balancing", ["least_connections", "round_robin", "random"])
def test_reads_are_spread_evenly(start_weir, cluster, balancing):
    weir = start_weir({"routing": {"balancing": balancing, "consistency": "eventual"}})
    clients = [weir.connect() for _ in range(4)]
    seen = Counter()
    for _ in range(250):
        for client in clients:
            seen[host_of(cluster, client)] += 1
    for client in clients:
        client.terminate()
    assert seen[0] == 0
    assert 450 <= seen[1] <= 550 if balancing != "random" else 400 <= seen[1] <= 600


def test_least_latency_uses_replicas(start_weir, cluster):
    weir = start_weir({"routing": {"balancing": "least_latency"}})
    with weir.connect() as client:
        assert hosts_of(cluster, client, count=100) <= {1, 2}


def test_client_address_hash_keeps_a_client_on_its_replica(start_weir, cluster):
    weir = start_weir({"routing": {"balancing": "client_address_hash"}})
    seen = set()
    for _ in range(5):
        with weir.connect() as client:
            seen |= hosts_of(cluster, client)
    assert len(seen) == 1 and seen <= {1, 2}


def test_split_reads_off(start_weir, cluster):
    weir = start_weir({"routing": {"split_reads": False}})
    with weir.connect() as client:
        assert hosts_of(cluster, client) == {0}


def test_weights(start_weir, cluster):
    hosts = [{"host": "127.0.0.1", "port": port, "weight": weight}
             for port, weight in zip(cluster.ports, (1, 1, 3))]
    weir = start_weir({"clusters": {"main": {"hosts": hosts}}, "routing": {"balancing": "random"}})
    with weir.connect(**EVENTUAL) as client:
        seen = Counter(host_of(cluster, client) for _ in range(800))
    assert seen[0] == 0 and 2.0 < seen[2] / seen[1] < 4.5


# --- batches with Flush in them ---------------------------------------------------------------


def described(client, sql, name=""):
    """Parse, Describe, Flush: how asyncpg begins whatever it has not prepared yet."""
    client.send(parse(name, sql), describe("S", name), FLUSH)
    return [client.read_noting().type for _ in range(3)]


def step(sql):
    return parse("", sql) + bind("", "") + execute()


def rows_of(messages):
    return [message.values()[0] for message in messages if message.type == "D"]


def test_a_write_behind_a_described_read_goes_to_the_primary(cluster, client, table):
    """asyncpg's copy_records_to_table(): it looks at the table, and copies, without a Sync."""
    for number in range(12):
        assert described(client, f"SELECT v FROM {table} LIMIT 1", f"s{number}") == ["1", "t", "T"]
        client.send(query(f"INSERT INTO {table} VALUES ({number}, 'x')"))
        client.read_until_ready()
    for number in range(12, 24):
        described(client, f"SELECT {number} FROM {table} LIMIT 1")
        client.send(step(f"INSERT INTO {table} VALUES ({number}, 'x')"), SYNC)
        client.read_until_ready()
    assert cluster.sql(0, f"SELECT count(*) FROM {table}") == [["24"]]


def test_what_was_described_is_read_on_replicas(cluster, client):
    seen = Counter()
    for number in range(24):
        assert described(client, f"SELECT {PORT}, {number}", f"s{number}") == ["1", "t", "T"]
        client.send(bind("", f"s{number}"), execute(), SYNC)
        seen[cluster.number_of(rows_of(client.read_until_ready())[0])] += 1
    assert seen[0] == 0 and seen[1] + seen[2] == 24


def test_described_and_written_in_one_go(cluster, client, table):
    """The answers to the first part are still to come when the write is there."""
    for number in range(12):
        client.send(parse(f"s{number}", f"SELECT v FROM {table}"), describe("S", f"s{number}"),
                    FLUSH, step(f"INSERT INTO {table} VALUES ({number}, 'x')"), SYNC)
        assert [message.type for message in client.read_until_ready()] == list("1tT12CZ")
    assert cluster.sql(0, f"SELECT count(*) FROM {table}") == [["12"]]


def test_a_write_behind_a_read_and_a_flush(cluster, client, table):
    """Both are of one implicit transaction: nobody knows yet that it writes."""
    for number in range(12):
        client.send(step(f"SELECT {PORT}"), FLUSH)
        got = [client.read_noting() for _ in range(4)]
        assert cluster.number_of(got[2].values()[0]) == 0
        client.send(step(f"INSERT INTO {table} VALUES ({number}, 'x')"), SYNC)
        client.read_until_ready()
    assert cluster.sql(0, f"SELECT count(*) FROM {table}") == [["12"]]
    client.query("SET weir.route TO 'replica'")
    client.send(step(f"SELECT {PORT}"), FLUSH, SYNC)
    assert cluster.number_of(rows_of(client.read_until_ready())[0]) != 0


def test_an_error_behind_a_described_read(client, table):
    """It was sent elsewhere: nothing of the batch before it is undone, since nothing was done."""
    for _ in range(6):
        described(client, f"SELECT v FROM {table} LIMIT 1")
        client.send(step("SELECT no_such_column"), FLUSH)
        assert client.read_noting().fields()["C"] == "42703"
        client.send(step("SELECT 1"), SYNC)
        assert client.read_until_ready()[-1].type == "Z"
        assert client.query("SELECT 7")[-1][0] == "7"
