"""weir.lsn: a position that covers what a session has committed or seen, shown and reported."""
import psycopg
import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.wire import SYNC, bind, execute, parse


def commit(client, table, value):
    return client.query(f"INSERT INTO {table} VALUES ({value}, 'x')")


def position(cluster):
    return cluster.value(0, "SELECT pg_current_wal_lsn()")


def covers(cluster, token, lsn):
    return cluster.value(0, f"SELECT '{token}'::pg_lsn >= '{lsn}'::pg_lsn") == "t"


def sees(weir, table, token, value):
    """Whether a new session that is given the token reads what was committed under it."""
    with weir.connect() as other:
        other.query(f"SET weir.min_lsn = '{token}'")
        return other.query(f"SELECT id FROM {table} WHERE id = {value}") == [[str(value)]]


# --- SHOW -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [
    "SELECT 1",
    "BEGIN",
    "CREATE TEMPORARY TABLE lsn_pinned (id int)",
    "SET weir.route = 'primary'",
    "SET weir.consistency = 'eventual'",
    "SET weir.consistency = 'strong'",
])
def test_shown_at_any_time(weir, start_weir, cluster, table, given):
    with weir.connect() as client, cluster.paused(1, 2):
        commit(client, table, 1)
        lsn = position(cluster)
        client.query(given)
        token = client.value("SHOW weir.lsn")
        assert covers(cluster, token, lsn)
        assert sees(start_weir(), table, token, 1)


def test_shown_in_session_mode(start_weir, cluster, table):
    weir = start_weir({"pool_mode": "session"})
    with weir.connect() as client:
        commit(client, table, 1)
        lsn = position(cluster)
        assert covers(cluster, client.value("SHOW weir.lsn"), lsn)
        assert client.extended("SHOW weir.lsn")[0][0]


def test_shown_where_a_read_only_transaction_is(weir, cluster, table):
    with weir.connect() as client:
        commit(client, table, 1)
        lsn = position(cluster)
        cluster.wait_replayed()
        client.query("BEGIN READ ONLY")
        assert client.value("SELECT id FROM " + table) == "1"
        assert covers(cluster, client.value("SHOW weir.lsn"), lsn)
        client.query("COMMIT")


def test_prepared_it_shows_what_is_now(weir, cluster, table):
    with weir.connect() as client:
        client.send(parse("lsn", "SHOW weir.lsn"), SYNC)
        client.read_until_ready()
        for n, before in enumerate(("SELECT 1", "BEGIN", "COMMIT", "CREATE TEMP TABLE lsn_p ()")):
            client.query(before)
            commit(client, table, n)
            lsn = position(cluster) if client.status == "I" else "0/0"
            client.send(bind("", "lsn"), execute(), SYNC)
            assert covers(cluster, client.rows()[0][0], lsn)


def test_a_failed_transaction_shows_nothing(weir):
    with weir.connect() as client:
        with pytest.raises(wire.ServerError):
            client.query("BEGIN; SELECT 1 / 0")
        with pytest.raises(wire.ServerError) as failed:
            client.query("SHOW weir.lsn")
        assert failed.value.code == "25P02"


# --- asked for ------------------------------------------------------------------------------------


WAYS = {  # parameters of the start-up, a first statement, and what stands in front of each read
    "SET": ({}, "SET weir.min_lsn = '{0}'", ""),
    "set_config": ({}, "SELECT set_config('weir.min_lsn', '{0}', false)", ""),
    "options": ({"options": "-c weir.min_lsn={0}"}, "", ""),
    "a start-up parameter": ({"weir.min_lsn": "{0}"}, "", ""),
    "a comment": ({}, "", "/* weir: min_lsn={0} */ "),
    "a comment in a READ ONLY transaction": ({}, "BEGIN READ ONLY", "/* weir: min_lsn={0} */ "),
}


@pytest.mark.parametrize("level", ["session", "eventual"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_ask(weir, cluster, table, way, level):
    """Also by a session that has seen nothing yet: only what is as far may answer."""
    startup, first, before = WAYS[way]
    read = f"SELECT count(*), inet_server_port() FROM {table}"
    with cluster.paused(1, 2):
        cluster.sql(0, f"INSERT INTO {table} VALUES (1)")
        token = position(cluster)
        with weir.connect(**{"weir.consistency": level}) as other:
            assert other.query(read)[0][0] == "0"  # the replicas do not have it
        parameters = {key: value.format(token) for key, value in startup.items()}
        with weir.connect(**{"weir.consistency": level}, **parameters) as client:
            if first:
                client.query(first.format(token))
            for _ in range(3):
                count, port = client.query(before.format(token) + read)[0]
                assert (count, cluster.number_of(port)) == ("1", 0)
    cluster.wait_replayed()

    def on_a_replica():
        with weir.connect(**{"weir.consistency": level}, **parameters) as client:
            if first:
                client.query(first.format(token))
            count, port = client.query(before.format(token) + read)[0]
            assert count == "1"
            return cluster.number_of(port) != 0
    wait_until(on_a_replica, "a replica is known to be as far", 10 * SLOW)


@pytest.mark.parametrize("value", ["moon", "0/", "1", "0/1FFFFFFFF"])
def test_a_position_that_is_none(weir, value):
    with weir.connect() as client, pytest.raises(wire.ServerError) as failed:
        client.query(f"SET weir.min_lsn = '{value}'")
    assert failed.value.code == "22023"
    with pytest.raises(wire.ServerError) as failed:
        weir.connect(**{"weir.min_lsn": value})
    assert failed.value.code == "22023" and failed.value.fields["S"] == "FATAL"


# --- reported -------------------------------------------------------------------------------------


def reported(client):
    return client.info.parameter_status("weir.lsn")


def test_reported_to_a_driver_that_asks(weir, start_weir, cluster, table):
    other = start_weir()
    with weir.psycopg() as client, cluster.paused(1, 2):
        client.execute(f"INSERT INTO {table} VALUES (0)")
        assert reported(client) is None  # it has not asked
        client.execute("SET weir.report_lsn = on")
        assert reported(client) is None
        last = "0/0"
        for n in range(1, 6):
            client.execute(f"INSERT INTO {table} VALUES ({n})")
            token = reported(client)
            assert token != last and covers(cluster, token, position(cluster))
            assert sees(other, table, token, n)
            last = token
        client.execute(f"SELECT * FROM {table}")
        assert reported(client) == last
        with client.transaction():
            client.execute(f"INSERT INTO {table} VALUES (10)")
            assert reported(client) == last
        assert reported(client) != last and sees(other, table, reported(client), 10)
        client.execute("RESET weir.report_lsn")
        last = reported(client)
        client.execute(f"INSERT INTO {table} VALUES (11)")
        assert reported(client) == last


@pytest.mark.parametrize("given", [
    "CREATE TEMPORARY TABLE lsn_pinned (id int)",
    "SET synchronous_commit = off",
    "PREPARE p AS SELECT 1",
])
def test_reported_whatever_the_session_is_in(weir, start_weir, cluster, table, given):
    other = start_weir()
    with weir.psycopg(options="-c weir.report_lsn=on") as client, cluster.paused(1, 2):
        client.execute(given)
        for n in range(5):
            client.execute(f"INSERT INTO {table} VALUES ({n})")
            assert sees(other, table, reported(client), n)
        with client.cursor() as cursor, cursor.copy(f"COPY {table} (id) FROM STDIN") as copy:
            copy.write_row([100])
        assert sees(other, table, reported(client), 100)


def test_reported_in_session_mode_and_pipelines(start_weir, cluster, table):
    weir = start_weir({"pool_mode": "session"})
    with weir.psycopg(options="-c weir.report_lsn=on") as client, cluster.paused(1, 2):
        client.execute(f"INSERT INTO {table} VALUES (0)")
        assert sees(weir, table, reported(client), 0)
        with client.pipeline() as pipeline:
            for n in range(1, 6):
                client.execute(f"INSERT INTO {table} VALUES ({n})")
                pipeline.sync()
        assert sees(weir, table, reported(client), 5)


def test_reported_before_the_client_may_go_on(weir, table):
    with weir.connect(**{"weir.report_lsn": "on"}) as client:
        client.send(wire.query(f"INSERT INTO {table} VALUES (1)"))
        types = [client.read().type for _ in range(3)]
        assert types == ["C", "S", "Z"]
        client.send(parse("", f"INSERT INTO {table} VALUES (2)"), bind("", ""), execute(), SYNC)
        assert [client.read().type for _ in range(5)] == ["1", "2", "C", "S", "Z"]
        # What is sent without waiting is answered in order.
        client.send(wire.query(f"INSERT INTO {table} VALUES (3)"), wire.query("SELECT 1"))
        client.send(wire.query(f"INSERT INTO {table} VALUES (4)"), wire.query("SELECT 2"))
        types = ""
        while types.count("Z") < 4:
            types += client.read().type
        assert types.replace("S", "") == "CZTDCZCZTDCZ"
        assert types.rindex("S") > types.rindex("CZT")  # behind the latest commit


def test_a_position_that_cannot_be_had_is_reported_as_such(weir, cluster, table):
    revoke = "REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC"
    with weir.connect(**{"weir.report_lsn": "on"}) as client:
        commit(client, table, 1)
        assert "/" in client.parameters["weir.lsn"]
        cluster.sql(0, revoke)
        try:
            commit(client, table, 2)
            assert client.status == "I" and client.parameters["weir.lsn"] == ""
        finally:
            cluster.sql(0, revoke.replace("REVOKE", "GRANT").replace("FROM", "TO"))
        commit(client, table, 3)
        assert "/" in client.parameters["weir.lsn"]


def test_a_value_that_it_cannot_have(weir):
    with weir.connect() as client, pytest.raises(wire.ServerError) as failed:
        client.query("SET weir.report_lsn = 'moon'")
    assert failed.value.code == "22023"
    with pytest.raises(psycopg.OperationalError):
        weir.psycopg(options="-c weir.report_lsn=moon")
