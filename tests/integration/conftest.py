"""Fixtures of the integration tests. Environment:

WEIR_BIN           the binary (default build/src/weir); WEIR_WORKERS its workers (1)
WEIR_TEST_TARGET   `postgres`: the tests that need no proxy run against the primary itself
WEIR_TEST_SLOW     stretches deadlines, for sanitizers (1)
WEIR_TEST_LONG     1: the long versions (60 s of load)
WEIR_TEST_MINUTES  how long each run of test_consistency.py takes (0.2), and that of test_chaos.py
"""
import os
import pathlib
import signal

import pytest

from support import SLOW
from support.cluster import fresh_name, running_cluster
from support.weir import Direct, Weir

DIRECT = os.environ.get("WEIR_TEST_TARGET") == "postgres"


def pytest_configure():
    # A run that is ended from outside still stops its servers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """not_yet.txt: what Weir does not do yet, as `test_file.py::test_name  reason`, and files that
    were not brought to pass yet and are not run, as `test_file.py  reason`."""
    lines = (pathlib.Path(__file__).parent / "not_yet.txt").read_text().splitlines()
    reasons = dict(line.split("  ", 1) for line in lines if line and not line.startswith("#"))
    for item in items:
        name = f"{item.path.name}::{item.name}"
        if not DIRECT and name in reasons:
            item.add_marker(pytest.mark.xfail(reason=reasons[name]))
        if not DIRECT and item.path.name in reasons:
            item.add_marker(pytest.mark.xfail(reason=reasons[item.path.name], run=False))


@pytest.fixture(scope="session")
def cluster():
    """One primary and two replicas, for the whole run."""
    with running_cluster(2) as made:
        yield made


@pytest.fixture(scope="session")
def shared_weir(cluster):
    if DIRECT:
        yield Direct(cluster)
        return
    proxy = Weir(cluster)
    try:
        yield proxy.start().wait_ready()
    finally:
        proxy.discard()


@pytest.fixture
def target(shared_weir):
    """What clients connect to: a proxy with default settings, or PostgreSQL itself."""
    yield shared_weir
    try:
        shared_weir.check()
    except AssertionError:
        shared_weir.restart()  # one test's failure is not the next one's
        raise


@pytest.fixture
def weir(target):
    """The same, for tests that only a proxy can pass."""
    if DIRECT:
        pytest.skip("needs the proxy")
    return target


@pytest.fixture
def start_weir(cluster):
    """Starts proxies with settings of their own: start_weir({"pool": {"size": 2}}, workers=1)."""
    if DIRECT:
        pytest.skip("needs the proxy")
    started = []

    def start(config=None, workers=None, arguments=(), ready=True, user="app"):
        proxy = Weir(cluster, config, workers, arguments)
        started.append(proxy)
        proxy.start()
        return proxy.wait_ready(user) if ready else proxy

    yield start
    failures = []
    for proxy in started:
        try:
            proxy.discard()
        except AssertionError as failed:
            failures.append(str(failed))
    assert not failures, "\n".join(failures)


@pytest.fixture
def proxy(start_weir):
    """One whose requests wait for as long as a server needs to recover."""
    return start_weir({"timeouts": {"server_retry": "100ms", "query_wait": "60s"}})


@pytest.fixture
def session(proxy):
    """A client of that one, known by its application_name."""
    with proxy.connect(application_name="survivor") as client:
        client.socket.settimeout(60 * SLOW)
        yield client


@pytest.fixture
def table(cluster):
    """The name of an empty table (id int primary key, v text) on all hosts."""
    name = fresh_name()
    cluster.sql(0, f"CREATE TABLE {name} (id int PRIMARY KEY, v text);"
                   f"ALTER TABLE {name} OWNER TO app; GRANT ALL ON {name} TO PUBLIC")
    cluster.wait_replayed()
    yield name
    cluster.sql(0, f"DROP TABLE IF EXISTS {name} CASCADE")
