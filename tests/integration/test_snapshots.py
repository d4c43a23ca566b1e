"""Exported snapshots: several sessions that see the same."""
import subprocess
import threading

import pytest

from support import PG_BIN, SLOW
from support.cluster import fresh_name


@pytest.mark.parametrize("begin", [
    ["BEGIN ISOLATION LEVEL REPEATABLE READ"],
    ["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"],
    ["/* weir: primary */ BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]])
def test_a_second_session_takes_the_snapshot(target, table, begin):
    with target.connect() as one, target.connect() as two, target.connect() as writer:
        for text in begin:
            one.query(text)
        snapshot = one.value("SELECT pg_export_snapshot()")
        writer.query(f"INSERT INTO {table} VALUES (1)")
        for text in begin:
            two.query(text)
        two.query(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        for client in (one, two):
            assert client.value(f"SELECT count(*) FROM {table}") == "0"
            client.query("COMMIT")
            assert client.value(f"SELECT count(*) FROM {table}") == "1"


def run(program, *arguments, **options):
    done = subprocess.run([PG_BIN / program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60 * SLOW, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(dump, table):
    """What a plain dump has of it."""
    return dump.split(f"COPY public.{table} ")[1].split("\n", 1)[1].split("\n\\.")[0].split("\n")


def test_parallel_dump(start_weir, cluster, tmp_path):
    """Five sessions, one state of the database, while others write."""
    name = fresh_name("dumped")
    cluster.sql(0, f"CREATE DATABASE {name} OWNER app", "postgres")
    weir = start_weir({"databases": {name: {"cluster": "main"}}})
    stop = threading.Event()

    def write():
        with weir.connect(database=name) as client:
            while not stop.is_set():
                client.query("BEGIN; " + "".join(f"UPDATE counted{n} SET v = v + 1;"
                                                 for n in range(8)) + "COMMIT")
    with weir.connect(database=name) as client:
        client.query("".join(f"CREATE TABLE counted{n} AS SELECT 0 AS v;" for n in range(8)))
    writer = threading.Thread(target=write)
    writer.start()
    try:
        run("pg_dump", "-j", 4, "-Fd", "-f", tmp_path / "dump",
            env=weir.environment(PGDATABASE=name))
    finally:
        stop.set()
        writer.join()
    dump = run("pg_restore", "-f", "-", tmp_path / "dump")
    found = [rows(dump, f"counted{n}") for n in range(8)]
    assert len(found[0]) == 1 and int(found[0][0]) >= 0
    assert found == [found[0]] * 8
    cluster.sql(0, f"DROP DATABASE {name} WITH (FORCE)", "postgres")
