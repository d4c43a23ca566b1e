"""A cluster that Patroni runs: Weir asks it who the hosts are, and finds the primary by itself."""
import threading
import time

import psycopg
import pytest

from support import SLOW, patroni
from support.cluster import wait_until
from support.weir import Weir, free_port

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def run_by_patroni():
    """Two of three members; the third one is for a test to add."""
    with patroni.running((0, 1)) as cluster:
        leader = cluster.leader()
        cluster.sql(leader, "CREATE TABLE IF NOT EXISTS items (id int)")
        cluster.sql(leader, "GRANT ALL ON items TO PUBLIC")
        yield cluster


@pytest.fixture
def weir(run_by_patroni):
    """It knows one host, and of the URLs the first one is of nobody."""
    made = Weir(run_by_patroni, {
        "clusters": {"main": {
            "hosts": [{"host": "127.0.0.1", "port": run_by_patroni.ports[0], "weight": 2.0}],
            "patroni": [f"http://127.0.0.1:{free_port()}", run_by_patroni.url(0),
                        run_by_patroni.url(1)]}},
        "databases": {"app": {"dbname": "postgres"}},
        "timeouts": {"query_wait": "90s"},
    })
    try:
        yield made.start().wait_ready(seconds=40)
    finally:
        made.discard()


def hosts(weir):
    return {row["host"]: row for row in weir.show("HOSTS")}


def wait_hosts(weir, *names, seconds=15):
    wait_until(lambda: set(hosts(weir)) == set(names) and
               all(row["state"] == "up" for row in hosts(weir).values()),
               lambda: f"the hosts are {names}: {hosts(weir)}, {weir.log()[-2000:]}",
               seconds * SLOW, every=0.1)


class Writer:
    """Counts up, in one session, for as long as the block lasts."""

    def __init__(self, weir):
        self.weir, self.done, self.written, self.failed = weir, False, 0, []

    def __enter__(self):
        self.thread = threading.Thread(target=self.write)
        self.thread.start()
        return self

    def write(self):
        with psycopg.connect(self.weir.conninfo(), autocommit=True) as session:
            session.execute("SET work_mem = '7MB'")
            while not self.done:
                try:
                    session.execute("INSERT INTO items VALUES (1)")
                    self.written += 1
                except psycopg.Error as failed:
                    self.failed.append(failed.sqlstate)
                time.sleep(0.01)
            self.setting = session.execute("SHOW work_mem").fetchone()[0]

    def __exit__(self, *_):
        self.done = True
        self.thread.join()

    def goes_on(self):
        before = self.written
        wait_until(lambda: self.written > before + 5, lambda: f"it writes: {self.failed}",
                   90 * SLOW)


def test_its_members_are_the_hosts(run_by_patroni, weir):
    """In place of those that are configured, but with what was said of them."""
    first = f"127.0.0.1:{run_by_patroni.ports[0]}"
    wait_hosts(weir, first, "pg1")
    assert (hosts(weir)[first]["weight"], hosts(weir)["pg1"]["weight"]) == ("2", "1")
    roles = {first: run_by_patroni.leader() == 0, "pg1": run_by_patroni.leader() == 1}
    assert {name: row["role"] == "primary" for name, row in hosts(weir).items()} == roles
    with weir.connect() as client:
        client.query("INSERT INTO items VALUES (2)")
        wait_until(lambda: client.value("SELECT inet_server_port()") !=
                   str(run_by_patroni.ports[run_by_patroni.leader()]), "a replica reads", 10 * SLOW)
    # A reload does not bring the file's hosts back.
    weir.on_console("RELOAD")
    assert set(hosts(weir)) == {first, "pg1"}


def test_a_member_comes_and_goes(run_by_patroni, weir):
    """No session notices; and one that is to take no reads is no host."""
    first = f"127.0.0.1:{run_by_patroni.ports[0]}"
    wait_hosts(weir, first, "pg1")
    with Writer(weir) as writer:
        run_by_patroni.start(2, noloadbalance=True)
        run_by_patroni.wait_streaming(0, 1, 2)
        time.sleep(2.5)
        assert set(hosts(weir)) == {first, "pg1"}
        run_by_patroni.stop(2)
        run_by_patroni.start(2)
        run_by_patroni.wait_streaming(0, 1, 2)
        wait_hosts(weir, first, "pg1", "pg2", seconds=30)
        writer.goes_on()
        run_by_patroni.stop(2)
        # Patroni forgets it when its key has expired.
        wait_until(lambda: set(hosts(weir)) == {first, "pg1"}, lambda: hosts(weir), 60 * SLOW,
                   every=0.2)
        writer.goes_on()
    assert (writer.failed, writer.setting) == ([], "7MB")


def test_switchover(run_by_patroni, weir):
    """The primary is followed at once; writes wait, and none fails but one that was under way."""
    first = f"127.0.0.1:{run_by_patroni.ports[0]}"
    wait_hosts(weir, first, "pg1")
    leader = run_by_patroni.leader()
    with Writer(weir) as writer:
        writer.goes_on()
        run_by_patroni.order("/switchover", leader=f"pg{leader}", candidate=f"pg{1 - leader}")
        wait_until(lambda: run_by_patroni.leader() == 1 - leader, "another leads", 60 * SLOW)
        writer.goes_on()
        wait_until(lambda: [name for name, row in hosts(weir).items() if row["role"] == "primary"]
                   == [(first, "pg1")[1 - leader]], lambda: hosts(weir), 30 * SLOW)
    assert set(writer.failed) <= {"08007"} and len(writer.failed) <= 1, writer.failed
    run_by_patroni.wait_streaming(0, 1)


def test_nobody_answers(run_by_patroni, weir):
    """Then the hosts stay; the log says it once, and when Patroni is back."""
    first = f"127.0.0.1:{run_by_patroni.ports[0]}"
    wait_hosts(weir, first, "pg1")
    weir.write_config({"clusters": {"main": {"patroni": f"http://127.0.0.1:{free_port()}/x"}}})
    weir.on_console("RELOAD")
    wait_until(lambda: "Patroni does not answer" in weir.log(), weir.log, 10 * SLOW)
    time.sleep(2.5)
    assert weir.log().count("Patroni does not answer") == 1
    assert set(hosts(weir)) == {first, "pg1"}
    with weir.connect() as client:
        client.query("INSERT INTO items VALUES (3)")
    # Without it the file's word counts.
    weir.write_config({"clusters": {"main": {"patroni": None}}})
    weir.on_console("RELOAD")
    assert set(hosts(weir)) == {first}
