"""Random sessions over a pool smaller than they are: every answer as PostgreSQL's own."""
import os
import threading

import pytest

from support import wire
from support.cluster import fresh_name
from support.twin import SCHEMA, SHARED_SCHEMA, Difference, Script, Twin

SESSIONS, STEPS = 8, 120
SUPERUSERS = 3  # of them, which may be anyone: SET SESSION AUTHORIZATION
SEEDS = [int(os.environ["WEIR_TEST_SEED"])] if "WEIR_TEST_SEED" in os.environ else [1, 2, 3]


@pytest.fixture
def twin_databases(cluster):
    """Two empty databases with what the sessions need; the first is for the proxy."""
    names = [fresh_name("twin"), fresh_name("twin")]
    cluster.sql(0, "CREATE ROLE twin_root LOGIN SUPERUSER PASSWORD 'twin_root';"
                   "CREATE ROLE twin_role; GRANT twin_role TO app", "postgres")
    for name in names:
        cluster.sql(0, f"CREATE DATABASE {name} OWNER app", "postgres")
        with cluster.connect(0, database=name) as server:
            server.query("SET ROLE app;" + SHARED_SCHEMA +
                         "".join(SCHEMA.format(n=n) for n in range(SESSIONS)))
    cluster.wait_replayed()
    yield names
    for name in names:
        left = cluster.sql(0, "SELECT gid FROM pg_prepared_xacts "
                              "WHERE database = current_database()", name)
        for (gid,) in left:
            cluster.sql(0, f"ROLLBACK PREPARED '{gid}'", name)
        cluster.sql(0, f"DROP DATABASE {name} WITH (FORCE)", "postgres")
    cluster.sql(0, "DROP ROLE twin_role, twin_root", "postgres")


def run(number, seed, twin, failures):
    script = Script(number, f"{seed} {number}")
    try:
        for _ in range(STEPS):
            twin.do(script.step())
    except (Difference, OSError) as failed:
        failures.append(f"session {number}: {type(failed).__name__} {failed}\n" +
                        "\n".join(map(str, twin.history[-5:])))
    finally:
        twin.close()


def make_twin(weir, cluster, names, number):
    mine, theirs = names
    user = "twin_root" if number < SUPERUSERS else "app"

    def notify(payload):
        for name in names:
            cluster.sql(0, f"NOTIFY own{number}, '{payload}'", name)
    return Twin(lambda: weir.connect(user, database=mine),
                lambda: wire.connect("127.0.0.1", cluster.ports[0], user, user, theirs), notify)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_sessions(start_weir, cluster, twin_databases, seed):
    weir = start_weir({"pool": {"size": 2}, "users": {"twin_root": {"password": "twin_root"}},
                       "databases": {twin_databases[0]: {"cluster": "main"}}})
    failures, threads = [], []
    for number in range(SESSIONS):
        twin = make_twin(weir, cluster, twin_databases, number)
        thread = threading.Thread(target=run, args=(number, seed, twin, failures))
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, f"seed {seed}\n" + "\n\n".join(failures)
