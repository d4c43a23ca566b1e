"""READ ONLY transactions that ask for more freshness once they have begun on a replica: moved by
their first statement, refused later; never answered with less than they ask for."""
import struct

import psycopg
import pytest

from support.cluster import wait_until
from support.wire import SYNC, ServerError, bind, execute, message, parse

PORT = "SELECT inet_server_port()"
BEGINS = ["BEGIN READ ONLY", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]
RAISES = ["SET LOCAL weir.consistency = 'strong'", "SET weir.consistency = strong",
          "SELECT set_config('weir.consistency', 'strong', true)",
          "SET LOCAL weir.min_lsn = '{lsn}'"]
LOWERS = ["SET LOCAL weir.consistency = 'eventual'", "SET LOCAL weir.consistency = 'session'",
          "SET LOCAL weir.min_lsn = '0/1'", "SET LOCAL work_mem = '5MB'"]


@pytest.fixture
def client(weir):
    with weir.connect() as made:
        yield made


def begin_on_a_replica(cluster, client, begin, first=PORT):
    """Returns what its first statement has answered there."""
    def begun():
        client.query(begin)
        if cluster.number_of(client.value(first)) != 0:
            return True
        client.query("ROLLBACK")
        return False

    wait_until(begun, "it is on a replica")


def commit(cluster, table):
    """By another session; no replica has it while all are paused. A token for it."""
    cluster.sql(0, f"INSERT INTO {table} VALUES (1)")
    return cluster.value(0, "SELECT pg_current_wal_lsn()")


def refused(client, sql):
    with pytest.raises(ServerError) as caught:
        client.query(sql)
    assert caught.value.code == "25001"
    assert "weir.consistency" in caught.value.message
    assert client.status == "E"
    with pytest.raises(ServerError) as caught:
        client.query("SELECT 1")
    assert caught.value.code == "25P02"


@pytest.mark.parametrize("raises", RAISES)
@pytest.mark.parametrize("begin", BEGINS)
def test_first(cluster, client, table, begin, raises):
    begin_on_a_replica(cluster, client, begin)
    client.query("COMMIT")
    with cluster.paused(1, 2):
        lsn = commit(cluster, table)
        client.query(begin)
        client.query(raises.format(lsn=lsn))
        assert client.value(f"SELECT count(*) FROM {table}") == "1"
        assert cluster.number_of(client.value(PORT)) == 0
        client.query("COMMIT")


@pytest.mark.parametrize("lowers", LOWERS)
def test_first_that_asks_for_no_more(cluster, client, lowers):
    begin_on_a_replica(cluster, client, BEGINS[0])
    client.query("COMMIT")

    def stays():
        client.query(BEGINS[0])
        client.query(lowers)
        host = cluster.number_of(client.value(PORT))
        client.query("COMMIT")
        return host != 0

    wait_until(stays, "it stays on a replica")


@pytest.mark.parametrize("together", ["{begin}; {raises}", "{begin}; {raises}; SELECT 1"])
@pytest.mark.parametrize("raises", RAISES)
def test_in_the_text_of_begin(cluster, client, table, raises, together):
    with cluster.paused(1, 2):
        lsn = commit(cluster, table)
        client.query(together.format(begin=BEGINS[0], raises=raises.format(lsn=lsn)))
        assert client.value(f"SELECT count(*) FROM {table}") == "1"
        client.query("COMMIT")


@pytest.mark.parametrize("raises", RAISES)
def test_in_one_text_with_what_reads(cluster, client, table, raises):
    with cluster.paused(1, 2):
        lsn = commit(cluster, table)
        text = raises.format(lsn=lsn) + f"; SELECT count(*) FROM {table}"
        assert client.query(text)[-1] == ["1"]


@pytest.mark.parametrize("raises", RAISES)
def test_in_one_batch_with_what_reads(cluster, client, table, raises):
    with cluster.paused(1, 2):
        lsn = commit(cluster, table)
        client.send(parse("", raises.format(lsn=lsn)), bind("", ""), execute(),
                    parse("", f"SELECT count(*) FROM {table}"), bind("", ""), execute(), SYNC)
        assert client.rows()[-1] == ["1"]


@pytest.mark.parametrize("raises", RAISES)
@pytest.mark.parametrize("begin", BEGINS)
def test_later(cluster, client, table, begin, raises):
    begin_on_a_replica(cluster, client, begin)
    with cluster.paused(1, 2):
        lsn = commit(cluster, table)
        refused(client, raises.format(lsn=lsn))
        client.query("ROLLBACK")
        assert client.value(f"/* weir: min_lsn={lsn} */ SELECT count(*) FROM {table}") == "1"


@pytest.mark.parametrize("comment", ["consistency=strong", "min_lsn={lsn}"])
@pytest.mark.parametrize("begin", BEGINS)
@pytest.mark.parametrize("way", ["text", "prepared", "large parameter"])
def test_later_by_a_comment(cluster, client, table, begin, comment, way):
    begin_on_a_replica(cluster, client, begin)
    with cluster.paused(1, 2):
        lsn = commit(cluster, table)
        counts = f"/* weir: {comment.format(lsn=lsn)} */ SELECT count(*) FROM {table}"
        if way == "text":
            refused(client, counts)
        else:
            client.query("SAVEPOINT here")
            client.send(parse("counts", counts + " WHERE v IS DISTINCT FROM $1"), SYNC)
            client.read_until_ready()
            value = "x" * (1_200_000 if way == "large parameter" else 1)
            client.send(bind("", "counts", [value]), execute(), SYNC)
            with pytest.raises(ServerError) as caught:
                client.rows()
            assert caught.value.code == "25001"
            client.query("ROLLBACK TO here")
            assert client.value(f"SELECT count(*) FROM {table}") == "0"
        client.query("ROLLBACK")


def test_a_savepoint_takes_the_word_back(cluster, client, table):
    begin_on_a_replica(cluster, client, BEGINS[0])
    with cluster.paused(1, 2):
        commit(cluster, table)
        client.query("SAVEPOINT here")
        refused(client, "SET LOCAL weir.consistency = strong")
        client.query("ROLLBACK TO here")
        assert client.value(f"SELECT count(*) FROM {table}") == "0"  # as it asks for no more
        client.query("COMMIT")


def test_what_a_replica_has(cluster, client, table):
    """A token that the transaction's replica had when it began."""
    commit(cluster, table)
    cluster.wait_replayed()
    lsn = cluster.value(1, "SELECT pg_last_wal_replay_lsn()")
    wait_until(lambda: client.value(f"/* weir: min_lsn={lsn} */ {PORT}"), "it is replayed")
    begin_on_a_replica(cluster, client, BEGINS[0], f"/* weir: min_lsn={lsn} */ {PORT}")
    client.query(f"SET LOCAL weir.min_lsn = '{lsn}'")
    assert client.value(f"SELECT count(*) FROM {table}") == "1"
    client.query("COMMIT")


def test_a_lower_word_is_its_statements_only(cluster, client, table):
    """The first statement decides for its transaction, but asks for less only for itself."""
    client.query(f"INSERT INTO {table} VALUES (1)")
    cluster.wait_replayed()
    begin_on_a_replica(cluster, client, BEGINS[0])
    client.query("COMMIT")
    with cluster.paused(1, 2):
        client.query(f"INSERT INTO {table} VALUES (2)")
        client.query("BEGIN READ ONLY")
        client.query("/* weir: consistency=eventual */ SELECT 1")
        assert client.value(f"SELECT count(*) FROM {table}") == "2"
        client.query("COMMIT")
        client.query("/* weir: consistency=eventual */ BEGIN READ ONLY")
        client.query("SELECT 1")
        client.query(f"SELECT count(*) FROM {table}")  # as it likes, and no error
        client.query("COMMIT")


@pytest.mark.parametrize("begin", BEGINS)
def test_what_a_rule_may_ask_of_a_later_statement(start_weir, cluster, table, begin):
    """Which one comes is not known at BEGIN: the most that any rule asks for counts."""
    weir = start_weir({"rules": [{"table": table, "consistency": "strong"},
                                 {"user": "md5", "table": table, "consistency": "eventual"}]})
    with weir.connect() as client, weir.connect("md5") as other:
        def on_a_replica(asks):
            asks.query(begin)
            number = cluster.number_of(asks.value(PORT))
            asks.query("COMMIT")
            return number != 0

        if begin == BEGINS[0]:  # each statement has a snapshot of its own
            wait_until(lambda: not on_a_replica(client), "the catalog is read")
            assert not any(on_a_replica(client) for _ in range(20))
        else:
            wait_until(lambda: on_a_replica(client), "where it is proven fresh")
        with cluster.paused(1, 2):
            commit(cluster, table)
            client.query(begin)
            client.query("SELECT 1")
            assert client.value(f"SELECT count(*) FROM {table}") == "1"
            client.query("COMMIT")
            # The session's own word counts more than a rule's.
            client.query("SET weir.consistency = 'eventual'")
            wait_until(lambda: on_a_replica(client), "it is on a replica")
        with cluster.paused(1, 2):
            other.query("BEGIN READ ONLY")
            other.query(f"SELECT count(*) FROM {table}")  # not strong: no error, wherever it is
            other.query("COMMIT")


@pytest.mark.parametrize("level", ["strong", "raised", "session"])
@pytest.mark.parametrize("way", ["text", "batch", "large", "function call"])
def test_pinned_to_a_replica(cluster, weir, table, level, way):
    """A session whose pin holds it on the replica that served its READ ONLY transaction."""
    began_with = "strong" if level == "strong" else "session"
    with weir.connect(**{"weir.consistency": began_with}) as client:
        begin_on_a_replica(cluster, client, BEGINS[1])
        client.query("SELECT pg_advisory_lock(4711)")
        client.query("COMMIT")
        if level == "raised":
            client.query("SET weir.consistency = strong")

        def read():
            counts = f"SELECT count(*) FROM {table}"
            if way == "batch":
                return client.extended(counts)
            if way == "function call":  # of pg_current_xact_id_if_assigned()
                client.send(message("F", struct.pack("!IHHH", 5060, 0, 0, 0)))
                client.rows()
                return [["0"]]
            return client.query(counts + (f" /* {'x' * 1_200_000} */" if way == "large" else ""))

        with cluster.paused(1, 2):
            commit(cluster, table)
            if level == "session":
                assert read() == [["0"]]  # it has seen no more
                return
            for begin in ("", "BEGIN READ ONLY"):
                client.query(begin)
                with pytest.raises(ServerError) as caught:
                    read()
                assert caught.value.code == "25001"
                client.query("ROLLBACK")
            # What it says for itself counts.
            client.query("/* weir: consistency=eventual */ SELECT pg_advisory_unlock(4711)")
            assert client.value(f"SELECT count(*) FROM {table}") == "1"


@pytest.mark.parametrize("begin", BEGINS)
def test_strong_where_a_replica_is_asked_for(cluster, weir, table, begin):
    """What a replica that may lack it cannot answer, the primary does, as without a block."""
    with weir.connect(**{"weir.consistency": "strong", "weir.route": "replica"}) as client:
        wait_until(lambda: cluster.number_of(client.value(PORT)) != 0, "it reads on a replica")
        client.query(begin)
        with cluster.paused(1, 2):
            commit(cluster, table)
            inside = client.value(f"SELECT count(*) FROM {table}")
            client.query("COMMIT")
            assert (inside, client.value(f"SELECT count(*) FROM {table}")) == ("1", "1")


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"])
def test_one_text_that_reads_behind_the_end(cluster, weir, table, end):
    with weir.connect(**{"weir.consistency": "strong"}) as client:
        begin_on_a_replica(cluster, client, BEGINS[1])
        with cluster.paused(1, 2):
            commit(cluster, table)
            assert client.value(f"SELECT count(*) FROM {table}") == "0"  # its snapshot
            with pytest.raises(ServerError) as caught:
                client.query(f"{end}; SELECT count(*) FROM {table}")
            assert caught.value.code == "25001"
            client.query("ROLLBACK")
            assert client.value(f"SELECT count(*) FROM {table}") == "1"


def test_psycopg(cluster, weir, table):
    """As an application would: the error names what to do, and the connection lives on."""
    with weir.psycopg(autocommit=False) as connection:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def on_a_replica():
            if cluster.number_of(connection.execute(PORT).fetchone()[0]) != 0:
                return True
            connection.rollback()
            return False

        wait_until(on_a_replica, "it is on a replica")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction) as caught:
            connection.execute("SET LOCAL weir.consistency = 'strong'")
        assert "first statement" in caught.value.diag.message_hint
        connection.rollback()
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
