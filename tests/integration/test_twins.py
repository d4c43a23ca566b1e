"""Random sessions over a pool smaller than they are: every answer as PostgreSQL's own."""
import os
import threading

import pytest

from support import wire
from support.cluster import fresh_name
from support.twin import SCHEMA, SHARED_SCHEMA, Difference, Script, Twin

SESSIONS, STEPS = 8, 120
SEEDS = [int(os.environ["WEIR_TEST_SEED"])] if "WEIR_TEST_SEED" in os.environ else [1, 2, 3]


@pytest.fixture
def twin_databases(cluster):
    """Two empty databases with what the sessions need; the first is for the proxy."""
    names = [fresh_name("twin"), fresh_name("twin")]
    for name in names:
        cluster.sql(0, f"CREATE DATABASE {name} OWNER app", "postgres")
        with cluster.connect(0, database=name) as server:
            server.query("SET ROLE app;" + SHARED_SCHEMA +
                         "".join(SCHEMA.format(n=n) for n in range(SESSIONS)))
    cluster.wait_replayed()
    yield names
    for name in names:
        cluster.sql(0, f"DROP DATABASE {name} WITH (FORCE)", "postgres")


def run(number, seed, twin, failures):
    script = Script(number, f"{seed} {number}")
    try:
        for _ in range(STEPS):
            parts, readies, what = script.step()
            if readies:
                twin.exchange(*parts, readies=readies, what=what)
            else:
                twin.leave(parts, what)
    except (Difference, OSError) as failed:
        failures.append(f"session {number}: {type(failed).__name__} {failed}\n" +
                        "\n".join(map(str, twin.history[-5:])))
    finally:
        twin.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_sessions(start_weir, cluster, twin_databases, seed):
    mine, theirs = twin_databases
    weir = start_weir({"pool": {"size": 3}, "databases": {mine: {"cluster": "main"}}})
    failures, threads = [], []
    for number in range(SESSIONS):
        twin = Twin(lambda: weir.connect(database=mine),
                    lambda: wire.connect("127.0.0.1", cluster.ports[0], "app", "app", theirs))
        thread = threading.Thread(target=run, args=(number, seed, twin, failures))
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, f"seed {seed}\n" + "\n\n".join(failures)
