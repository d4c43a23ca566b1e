"""Replication connections pass through to the primary: PostgreSQL's own tools work through Weir."""
import subprocess
import time

import pytest

from support import PG_BIN, SLOW, wire
from support.cluster import wait_until


@pytest.fixture
def replicating(start_weir):
    return start_weir({"users": {"postgres": {"password": "postgres"}}})


def run(weir, program, *arguments, **more):
    environment = weir.environment(PGUSER="postgres", PGPASSWORD="postgres", **more)
    done = subprocess.run([PG_BIN / program, *arguments], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def walsenders(cluster):
    return int(cluster.value(0, "SELECT count(*) FROM pg_stat_replication "
                                "WHERE application_name LIKE 'through%'"))


def test_basebackup(replicating, cluster, tmp_path):
    run(replicating, "pg_basebackup", "-D", str(tmp_path / "copy"), "-X", "stream",
        "--checkpoint=fast")
    run(replicating, "pg_verifybackup", str(tmp_path / "copy"))
    # Its connections are closed, not used again.
    wait_until(lambda: cluster.value(0, "SELECT count(*) FROM pg_stat_activity WHERE "
                                        "application_name = 'pg_basebackup'") == "0", "all closed")


def test_recvlogical(replicating, cluster, table, tmp_path):
    slot, out = f"slot_{table}", tmp_path / "changes"
    named = {"PGDATABASE": "app", "PGAPPNAME": "through weir"}
    run(replicating, "pg_recvlogical", "-d", "app", "--slot", slot, "--create-slot", "-P",
        "test_decoding", **named)
    receiver = subprocess.Popen(
        [PG_BIN / "pg_recvlogical", "-d", "app", "--slot", slot, "--start", "-f", str(out), "-F",
         "0", "-s", "1"],
        env=replicating.environment(PGUSER="postgres", PGPASSWORD="postgres", **named))
    try:
        with replicating.connect() as client:
            for number in range(200):
                client.query(f"INSERT INTO {table} VALUES ({number}, '{'x' * 2000}')")
            wait_until(lambda: out.exists() and out.read_text().count("INSERT:") == 200,
                       "every change arrives", 20 * SLOW)
            assert walsenders(cluster) == 1
            for table_of in ("CLIENTS", "SERVERS"):
                shown = [row["replication"] for row in replicating.show(table_of)]
                assert shown.count("logical") == 1 and set(shown) <= {"none", "logical"}
    finally:
        receiver.terminate()
        receiver.wait(10)
    wait_until(lambda: walsenders(cluster) == 0, "the server's end is closed", 10 * SLOW)
    run(replicating, "pg_recvlogical", "-d", "app", "--slot", slot, "--drop-slot", **named)


def test_commands(replicating, cluster):
    with replicating.connect("postgres", replication="database") as client:
        (row,) = client.query("IDENTIFY_SYSTEM")
        assert row[3] == "app"
        assert client.query("SHOW wal_level") == [["logical"]]
        with pytest.raises(wire.ServerError) as failed:
            client.query("NONSENSE")
        assert failed.value.code == "42601"
        assert client.query("SELECT pg_is_in_recovery()") == [["f"]]
    with replicating.connect("postgres", replication="true") as client:
        assert client.query("IDENTIFY_SYSTEM")[0][3] is None


def test_refused(replicating):
    with pytest.raises(wire.ServerError) as failed:
        replicating.connect("postgres", replication="perhaps")
    assert failed.value.code == "22023" and failed.value.fields["S"] == "FATAL"
    # The server's own words.
    with pytest.raises(wire.ServerError) as failed:
        replicating.connect("app", replication="database")
    assert failed.value.code == "42501", failed.value
    replicating.connect("app", replication="off").terminate()


def test_a_drain_does_not_wait_for_replication(replicating, cluster):
    client = replicating.connect("postgres", replication="database", application_name="through")
    client.query("IDENTIFY_SYSTEM")
    replicating.signal(15)
    began = time.monotonic()
    assert replicating.wait_exit(10) == 0
    assert time.monotonic() - began < 5 * SLOW
