"""Replicas that fall behind get no reads; sessions see what they wrote; hosts come and go."""
import glob
import time

import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.faults import delay_replay, frozen_receiver
from support.load import Repeated

READ = "SELECT inet_server_port()"


def write(table):
    return lambda client: client.query(f"INSERT INTO {table} VALUES ((random() * 1e9)::int) "
                                       "ON CONFLICT DO NOTHING")


def recorder(cluster, seen):
    """Notes when which host answered."""
    def read(client):
        host = cluster.number_of(client.value(READ))
        seen.append((time.monotonic(), host))
    return read


def read_between(seen, host, since, until):
    return sum(1 for when, who in seen if who == host and since <= when <= until)


def test_paused_replica_gets_no_reads(start_weir, cluster, table):
    """None 500 ms after it passed its limit, and some again 1 s after it caught up."""
    lag_max = 1.0
    weir = start_weir({"routing": {"lag_max": "1s", "consistency": "eventual"}})
    seen = []
    with Repeated(cluster.connect(0, "app", "app"), write(table), 0.005), \
            Repeated(weir.connect(), recorder(cluster, seen), 0.001):
        time.sleep(0.5)
        with cluster.paused(1):
            paused = time.monotonic()
            time.sleep(lag_max + 0.5 * SLOW + 1)
            resumed = time.monotonic()
        cluster.wait_replayed(1)
        caught_up = time.monotonic()
        time.sleep(1.0 * SLOW + 0.5)
        end = time.monotonic()
    assert read_between(seen, 1, paused - 0.5, paused) > 0
    assert read_between(seen, 1, paused + lag_max + 0.5 * SLOW, resumed) == 0
    assert read_between(seen, 2, paused + lag_max + 0.5 * SLOW, resumed) > 0
    assert read_between(seen, 0, 0, end) == 0
    assert read_between(seen, 1, caught_up, caught_up + 1.0 * SLOW) > 0


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_clocks_that_disagree(start_weir, cluster, table, seconds):
    """A replica whose clock is an hour off is as late as it is, and not by that hour."""
    weir = start_weir({"routing": {"lag_max": "1s", "consistency": "eventual"}})
    (library,) = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    cluster.command("stop", 1)
    try:
        cluster.command("start", 1, LD_PRELOAD=library, FAKETIME=f"{seconds:+}s",
                        FAKETIME_DONT_FAKE_MONOTONIC="1")
        cluster.wait_serving(1, 30 * SLOW)
        off = float(cluster.value(1, "SELECT extract(epoch FROM clock_timestamp())")) - time.time()
        assert abs(off - seconds) < 60
        address = f"127.0.0.1:{cluster.ports[1]}"

        def row():
            return next(row for row in weir.show("HOSTS") if row["host"] == address)
        wait_until(lambda: row()["reads"] == "1", lambda: str(row()), 20 * SLOW)
        with Repeated(cluster.connect(0, "app", "app"), write(table), 0.005):
            time.sleep(2)
            assert 0 <= float(row()["lag_ms"]) < 500 * SLOW and row()["reads"] == "1"
            with cluster.paused(1):
                time.sleep(2)
                assert 1_000 <= float(row()["lag_ms"]) < 4_000 * SLOW
                assert row()["reads"] == "0"
            wait_until(lambda: row()["reads"] == "1", lambda: str(row()), 10 * SLOW)
    finally:
        cluster.command("stop", 1)
        cluster.command("start", 1)
        cluster.wait_serving(1, 30 * SLOW)


def test_an_idle_primary_shows_no_lag(weir, cluster):
    cluster.wait_replayed()
    time.sleep(1.5)
    replicas = [row for row in weir.show("HOSTS") if row["role"] == "replica"]
    assert len(replicas) == 2
    assert all(float(row["lag_ms"]) < 1000 for row in replicas)


def written_in_part(cluster):
    """The primary has written WAL up to the middle of a record: standbys have all of it and cannot
    replay its end."""
    written, inserted = cluster.sql(
        0, "SELECT pg_current_wal_flush_lsn(), pg_current_wal_insert_lsn()")[0]
    return cluster.value(1, "SELECT pg_last_wal_replay_lsn()") != written != inserted


@pytest.mark.parametrize("commits", ["waiting", "not waiting"])
def test_a_transaction_that_pauses_makes_no_lag(start_weir, cluster, table, commits):
    """PostgreSQL writes whole pages of WAL in the background, and the rest only when somebody
    commits: a record that reaches into the next page stays incomplete for up to 15 seconds."""
    weir = start_weir()
    if commits == "not waiting":
        with weir.connect() as client:
            client.query("SET synchronous_commit = off")
    cluster.wait_replayed()
    with cluster.connect(0) as writer:
        writer.query("BEGIN")
        for n in range(20):
            writer.query(f"INSERT INTO {table} SELECT g, repeat('x', 100)"
                         f" FROM generate_series({500 * n}, {500 * n + 499}) g")
            time.sleep(0.3)  # the background writer of WAL does it every 200 ms
            if written_in_part(cluster):
                break
        else:
            pytest.skip("every record ended with its page")
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            hosts = weir.show("HOSTS")
            assert [row["reads"] for row in hosts] == ["0", "1", "1"], hosts
            time.sleep(0.05)


def test_both_paused_means_primary(start_weir, cluster, table):
    weir = start_weir({"routing": {"lag_max": "200ms", "consistency": "eventual"}})
    with Repeated(cluster.connect(0, "app", "app"), write(table), 0.005), weir.connect() as client:
        with cluster.paused(1, 2):
            wait_until(lambda: cluster.number_of(client.value(READ)) == 0, "reads on the primary",
                       5 * SLOW)
            assert {cluster.number_of(client.value(READ)) for _ in range(20)} == {0}
        wait_until(lambda: cluster.number_of(client.value(READ)) != 0, "reads on replicas",
                   5 * SLOW)


def test_no_replica_as_an_error(start_weir, cluster, table):
    weir = start_weir({"routing": {"lag_max": "200ms", "no_replica": "error",
                                   "consistency": "eventual"}})
    with Repeated(cluster.connect(0, "app", "app"), write(table), 0.005), weir.connect() as client:
        with cluster.paused(1, 2):
            def refused():
                try:
                    client.query(READ)
                    return False
                except wire.ServerError as failed:
                    assert failed.fields["S"] == "ERROR"
                    return True
            wait_until(refused, "reads are refused", 5 * SLOW)
            assert client.status == "I"
            client.query(f"DELETE FROM {table}")
        wait_until(lambda: not refused(), "reads work again", 5 * SLOW)


def test_lag_in_bytes(start_weir, cluster, table):
    weir = start_weir({"routing": {"lag_max": "0", "lag_bytes_max": 1 << 20,
                                   "consistency": "eventual"}})
    with weir.connect() as client, cluster.paused(1):
        cluster.sql(0, f"INSERT INTO {table} SELECT g, repeat('x', 100) "
                       "FROM generate_series(1, 50000) g")
        wait_until(lambda: all(cluster.number_of(client.value(READ)) == 2 for _ in range(20)),
                   "the replica behind gets nothing", 5 * SLOW)
        cluster.sql(0, f"DELETE FROM {table}")


def lag_ms(weir, cluster, number):
    port = str(cluster.ports[number])
    return next(float(row["lag_ms"]) for row in weir.show("HOSTS") if port in row["address"])


def test_a_replica_that_receives_fast_and_replays_slowly(start_weir, cluster, table):
    """What counts is what it shows, and how old that is."""
    weir = start_weir({"routing": {"lag_max": "1s", "consistency": "eventual"}})
    delay_replay(cluster, 1, 2500)
    try:
        with Repeated(cluster.connect(0, "app", "app"), write(table), 0.01), \
                weir.connect() as client:
            wait_until(lambda: lag_ms(weir, cluster, 1) > 2000, "it is behind", 10 * SLOW)
            received = ("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn(), "
                        "pg_last_wal_receive_lsn() - '0/0'")
            ahead, there = cluster.sql(1, received)[0]
            sent = cluster.value(0, "SELECT pg_current_wal_flush_lsn() - '0/0'")
            assert ahead == "t" and int(sent) - int(there) < 1 << 20
            assert lag_ms(weir, cluster, 1) < 2500 + 1500 * SLOW
            assert lag_ms(weir, cluster, 2) < 1000 * SLOW
            assert {cluster.number_of(client.value(READ)) for _ in range(40)} == {2}
    finally:
        delay_replay(cluster, 1, 0)
    with weir.connect() as client:
        wait_until(lambda: cluster.number_of(client.value(READ)) == 1, "it serves again",
                   10 * SLOW)


def test_a_replica_behind_another_one(start_weir, cluster, table):
    """One that streams from a replica is as late as that, counted from the primary."""
    weir = start_weir({"routing": {"lag_max": "500ms", "consistency": "eventual"}})
    cluster.command("follow", 2, 1)
    try:
        cluster.wait_replayed()
        upstream = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: [cluster.value(n, upstream) for n in (0, 1)] == ["1", "1"],
                   "it streams from the other one", 10 * SLOW)
        with Repeated(cluster.connect(0, "app", "app"), write(table), 0.01), \
                weir.connect() as client:
            wait_until(lambda: {cluster.number_of(client.value(READ)) for _ in range(20)}
                       == {1, 2}, "both serve", 10 * SLOW)
            with frozen_receiver(cluster, 1):
                wait_until(lambda: min(lag_ms(weir, cluster, n) for n in (1, 2)) > 500,
                           "both are behind", 10 * SLOW)
                assert {cluster.number_of(client.value(READ)) for _ in range(20)} == {0}
            with cluster.paused(1):  # it hands on what it does not replay
                wait_until(lambda: lag_ms(weir, cluster, 1) > 500 > lag_ms(weir, cluster, 2),
                           "only the one in the middle is behind", 10 * SLOW)
                wait_until(lambda: {cluster.number_of(client.value(READ)) for _ in range(20)}
                           == {2}, "the last one serves", 10 * SLOW)
    finally:
        cluster.command("follow", 2, 0)
    cluster.wait_replayed()
    wait_until(lambda: cluster.value(0, upstream) == "2", "both stream from the primary", 10 * SLOW)


def test_show_hosts_says_why(start_weir, cluster, table):
    weir = start_weir({"routing": {"lag_max": "300ms"}})
    with Repeated(cluster.connect(0, "app", "app"), write(table), 0.005), cluster.paused(1):
        def lagging():
            port = str(cluster.ports[1])
            row = next(row for row in weir.show("HOSTS") if port in str(row.values()))
            return float(row["lag_ms"]) > 300 and "lag" in row["why"]
        wait_until(lagging, "SHOW HOSTS shows the lag", 5 * SLOW)


# --- read your writes -----------------------------------------------------------------------------


def test_a_session_reads_its_writes(target, table):
    with target.connect() as client:
        for n in range(500):
            client.query(f"INSERT INTO {table} VALUES ({n})")
            assert client.value(f"SELECT count(*) FROM {table}") == str(n + 1)


@pytest.mark.parametrize("style", ["simple", "extended", "transaction", "function", "prepared"])
def test_own_writes_with_replicas_that_stand_still(weir, cluster, table, style):
    with weir.connect() as client, cluster.paused(1, 2):
        for n in range(20):
            statement = f"INSERT INTO {table} VALUES ({n})"
            if style == "simple":
                client.query(statement)
            elif style == "extended":
                client.extended(statement)
            elif style == "transaction":
                client.query("BEGIN")
                client.query(statement)
                client.query("COMMIT")
            elif style == "function":
                client.query(f"DO $$ BEGIN {statement}; END $$")
            else:
                client.query(f"PREPARE p{n} AS {statement}; EXECUTE p{n}")
            assert client.value(f"SELECT count(*) FROM {table}") == str(n + 1)


def test_others_read_from_replicas_meanwhile(weir, cluster, table):
    """Only the session that wrote pays for its freshness."""
    with weir.connect() as writer, weir.connect() as reader:
        with cluster.paused(1, 2):
            writer.query(f"INSERT INTO {table} VALUES (1)")
            assert cluster.number_of(writer.value(READ)) == 0
            assert cluster.number_of(reader.value(READ)) in (1, 2)
        cluster.wait_replayed()
        wait_until(lambda: cluster.number_of(writer.value(READ)) != 0,
                   "the writer reads from replicas again", 3 * SLOW)


def test_eventual_consistency_may_be_stale(start_weir, cluster, table):
    """Shows that the tests above test something."""
    weir = start_weir({"routing": {"consistency": "eventual"}})
    with weir.connect() as client, cluster.paused(1, 2):
        client.query(f"INSERT INTO {table} VALUES (1)")
        assert client.value(f"SELECT count(*) FROM {table}") == "0"


def test_many_sessions_read_their_writes(weir, table):
    clients = [weir.connect() for _ in range(10)]
    for n in range(50):
        for number, client in enumerate(clients):
            client.query(f"INSERT INTO {table} VALUES ({number * 1000 + n})")
        for number, client in enumerate(clients):
            assert client.value(f"SELECT count(*) FROM {table} WHERE id BETWEEN {number * 1000} "
                                f"AND {number * 1000 + 999}") == str(n + 1)
    for client in clients:
        client.terminate()


def test_a_strong_read_behind_another_sees_what_came_between(weir, cluster, table):
    seen = set()
    with weir.connect(**{"weir.consistency": "strong"}) as client:
        for n in range(1, 6):
            client.send(wire.query("SELECT inet_server_port() FROM pg_sleep(1)"))
            time.sleep(0.3)
            with cluster.paused(1, 2):
                cluster.sql(0, f"INSERT INTO {table} VALUES ({n})")
                client.send(wire.query(f"SELECT count(*) FROM {table}"))
                seen.add(cluster.number_of(client.rows()[0][0]))
                assert client.rows() == [[str(n)]]
            if seen != {0}:  # else the proof took too long, and the primary served it
                break
            cluster.wait_replayed()
    assert seen != {0}


def test_levels_of_statements_in_a_row(weir, cluster, table):
    """What does not care for freshness says nothing of the next one."""
    with weir.connect() as client, cluster.paused(1, 2):
        client.query(f"INSERT INTO {table} VALUES (1)")
        port, count = "SELECT inet_server_port()", f"SELECT count(*) FROM {table}"
        client.send(wire.query(f"/* weir: consistency=eventual */ {port}"), wire.query(count))
        assert cluster.number_of(client.rows()[0][0]) in (1, 2)
        assert client.rows() == [["1"]]


def test_the_last_of_writes_in_a_row_counts(weir, cluster, table):
    """What was asked between the commits does not prove that a replica has the last one."""
    with weir.connect() as client:
        client.send(wire.query(f"INSERT INTO {table} VALUES (1)"),
                    wire.query(f"SELECT pg_sleep({2 * SLOW}); INSERT INTO {table} VALUES (2)"))
        client.read_until_ready()
        cluster.wait_replayed()
        with cluster.paused(1, 2):
            client.read_until_ready()
            assert client.value(f"SELECT count(*) FROM {table}") == "2"


@pytest.mark.parametrize("way", ["startup", "SET", "SET LOCAL", "set_config"])
def test_a_commit_that_does_not_wait_is_seen(weir, table, way):
    """With synchronous_commit off WAL is written later than the commit is answered."""
    options = {"synchronous_commit": "off"} if way == "startup" else {}
    insert = f"INSERT INTO {table} VALUES (%d)"
    if way == "SET LOCAL":
        insert = f"BEGIN; SET LOCAL synchronous_commit = off; {insert}; COMMIT"
    if way == "set_config":
        insert = f"BEGIN; SELECT set_config('synchronous_commit', 'off', true); {insert}; COMMIT"
    with weir.connect(**options) as client:
        if way == "SET":
            client.query("SET synchronous_commit TO off")
        for n in range(1, 21):
            client.query(insert % n)
            time.sleep(0.02)
            assert client.value(f"SELECT count(*) FROM {table}") == str(n)
