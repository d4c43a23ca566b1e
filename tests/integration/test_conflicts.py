"""Reads that stand in the way of a standby's replay, which cancels them: clients hear nothing.

That it has happened is shown by the standby's own log.
"""
import contextlib

import pytest

from support import SLOW, wire
from support.cluster import fresh_name, wait_until

EVENTUAL = {"weir.consistency": "eventual"}


CONFLICT = "ERROR:  canceling statement due to conflict with recovery"
DEADLOCK = "ERROR:  deadlock detected"


def told(cluster, error):
    """How often the replicas had this to tell to a client."""
    return sum((cluster.dir / f"host{number}.log").read_text(errors="replace").count(error)
               for number in cluster.replicas)


@contextlib.contextmanager
def patience(cluster, delay):
    """For how long replay waits for a query that is in its way; -1 is for ever."""
    def alter(how):
        for number in cluster.replicas:
            cluster.sql(number, f"ALTER SYSTEM {how}")
            cluster.sql(number, "SELECT pg_reload_conf()")
    alter(f"SET max_standby_streaming_delay = {delay}")
    try:
        yield
    finally:
        alter("RESET max_standby_streaming_delay")
        cluster.wait_replayed()


@pytest.fixture
def impatient(cluster):
    with patience(cluster, 0):
        yield


@pytest.fixture
def patient(cluster):
    with patience(cluster, -1):
        yield


def reading(cluster, text):
    """On a replica, right now."""
    asks = ("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> "
            f"pg_backend_pid() AND query LIKE '%{text}%'")
    return any(cluster.value(number, asks) != "0" for number in cluster.replicas)


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("block", [False, True])
def test_a_read_in_the_way_runs_again(weir, cluster, table, impatient, protocol, block):
    """40001 of a standby, also to the first statement of a READ ONLY transaction."""
    cluster.sql(0, f"INSERT INTO {table} VALUES (1)")
    cluster.wait_replayed()
    before = told(cluster, CONFLICT)
    with weir.connect(**EVENTUAL) as client:
        if block:
            client.query("BEGIN READ ONLY")
        text = f"SELECT inet_server_port(), count(*) FROM {table}, pg_sleep(2)"
        client.send(wire.query(text) if protocol == "simple" else
                    wire.parse("", text) + wire.bind("", "") + wire.execute() + wire.SYNC)
        wait_until(lambda: reading(cluster, f"{table}, pg_sleep"), "it reads", 5 * SLOW)
        cluster.sql(0, f"ALTER TABLE {table} ADD COLUMN added int")
        host, count = client.rows()[0]
        assert (cluster.number_of(host), count) == (0, "1")
        assert client.status == ("T" if block else "I")
        if block:
            client.query("COMMIT")
    assert told(cluster, CONFLICT) == before + 1


def test_what_was_seen_is_not_run_again(weir, cluster, table, impatient):
    """The second statement of a transaction, and a read of which a row has arrived."""
    cluster.sql(0, f"INSERT INTO {table} VALUES (1)")
    cluster.wait_replayed()
    with weir.connect(**EVENTUAL) as client:
        client.query("BEGIN READ ONLY")
        client.query(f"SELECT count(*) FROM {table}")
        client.send(wire.query(f"SELECT count(*) FROM {table}, pg_sleep(5)"))
        wait_until(lambda: reading(cluster, f"{table}, pg_sleep"), "it reads", 5 * SLOW)
        cluster.sql(0, f"ALTER TABLE {table} ADD COLUMN added int")
        with pytest.raises(wire.ServerError) as failed:
            client.rows()
        assert failed.value.code == "40001"
        client.query("ROLLBACK")
        assert client.value(f"SELECT count(*) FROM {table}") == "1"


@pytest.fixture
def crossed(cluster):
    """Two tables, and a function that reads the second one long after the first."""
    first, second = fresh_name("first"), fresh_name("second")
    cluster.sql(0, f"""
        CREATE TABLE {first} (id int); CREATE TABLE {second} (id int);
        INSERT INTO {first} VALUES (1); INSERT INTO {second} VALUES (1);
        CREATE FUNCTION {first}_then() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
            BEGIN PERFORM FROM {first}; PERFORM pg_sleep(1);
            RETURN (SELECT count(*) FROM {second}); END $$;
        GRANT ALL ON {first}, {second} TO app""")
    cluster.wait_replayed()
    yield first, second
    cluster.sql(0, f"DROP FUNCTION {first}_then; DROP TABLE {first}, {second}")


def test_a_read_that_deadlocks_with_replay_runs_again(weir, cluster, crossed, patient):
    """40P01: it has locked one table and wants the other, replay the other way round."""
    first, second = crossed
    before = told(cluster, DEADLOCK)
    with weir.connect(**EVENTUAL) as client, cluster.connect(0) as writer:
        wait_until(lambda: client.query(f"EXPLAIN ROUTE SELECT {first}_then()")[0]
                   == ["route: replica"], "the catalog is read", 60 * SLOW)
        client.send(wire.query(f"SELECT {first}_then(), inet_server_port()"))
        wait_until(lambda: reading(cluster, f"{first}_then"), "it reads", 5 * SLOW)
        writer.query(f"BEGIN; LOCK TABLE {second}; LOCK TABLE {first}")
        cluster.sql(0, "SELECT pg_logical_emit_message(true, 'test', '')")  # has it written
        wait_until(lambda: told(cluster, DEADLOCK) > before, "they deadlock", 15 * SLOW, every=0.1)
        writer.query("ROLLBACK")
        count, host = client.rows()[0]
        assert (count, cluster.number_of(host)) == ("1", 0)


def test_a_read_that_was_cancelled_is_counted(weir, cluster, table, impatient):
    """SHOW ROUTE_TOTALS has it among the retries, and not among the misroutes: it is no write."""
    def totals():
        rows = weir.show("ROUTE_TOTALS")
        return [sum(int(row[key]) for row in rows) for key in ("retries", "misroutes")]
    cluster.sql(0, f"INSERT INTO {table} VALUES (1)")
    cluster.wait_replayed()
    retries, misroutes = totals()
    with weir.connect(**EVENTUAL) as client:
        client.send(wire.query(f"SELECT count(*) FROM {table}, pg_sleep(1)"))
        wait_until(lambda: reading(cluster, f"{table}, pg_sleep"), "it reads", 5 * SLOW)
        cluster.sql(0, f"ALTER TABLE {table} ADD COLUMN added int")
        client.rows()
        assert totals() == [retries + 1, misroutes]
        cluster.wait_replayed()
        assert cluster.number_of(client.value(f"SELECT inet_server_port() FROM (SELECT count(*) "
                                              f"FROM {table}) AS t")) != 0
