"""Sessions whose server connections are lost: the ways to lose one, and what is told."""
import contextlib
import os
import signal

from support import BACKEND, SLOW, wire
from support.cluster import wait_until
from support.relay import Relay

UNKNOWN, NOT_DONE, ROLLED_BACK, FAILED = "08007", "08006", "40001", "25P02"
COMMIT_TAG, ROLLBACK_TAG = ("C", "COMMIT"), ("C", "ROLLBACK")


def shown(messages):
    """Types, with what matters of each."""
    return [(m.type, m.fields()["C"]) if m.type == "E" else (m.type, m.text()) if m.type in "CZ"
            else (m.type,) for m in messages if m.type not in "SN"]


def ask(client, *messages):
    client.send(*messages)
    return shown(client.read_until_ready())


def query(client, text):
    return ask(client, wire.query(text))


def error(code, status):
    return [("E", code), ("Z", status)]


def pid_of(cluster, pattern, number=0):
    """Of the backend that is busy with such a statement."""
    found = []

    def runs():
        found[:] = cluster.sql(number, "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND "
                                       f"state = 'active' AND query LIKE '%{pattern}%'")
        return found
    wait_until(runs, f"{pattern} runs", 10 * SLOW)
    return int(found[0][0])


def terminate(cluster, pid, number=0):
    """As an administrator does it."""
    assert cluster.value(number, f"SELECT pg_terminate_backend({pid})") == "t"
    wait_until(lambda: cluster.value(number, "SELECT count(*) FROM pg_stat_activity "
                                             f"WHERE pid = {pid}") == "0", "it is gone", 10 * SLOW)


def kill(cluster, pid, number=0):
    """As the kernel does it that has no memory left. All other backends end with it."""
    with cluster.connect(number) as another:
        os.kill(pid, signal.SIGKILL)
        another.expect_closed()  # until then the server serves as if nothing had happened
    cluster.wait_serving(number, 30 * SLOW)


LOSSES = [terminate, kill]


@contextlib.contextmanager
def cut_behind(start_weir, cluster, asked, **passes):
    """A session, the way of whose server to the primary breaks behind the answer to `asked`."""
    with Relay(cluster.ports[0], cut_behind=asked, **passes) as relay:
        hosts = [f"127.0.0.1:{port}" for port in (relay.port, *cluster.ports[1:])]
        weir = start_weir({"clusters": {"main": {"hosts": hosts}}})
        with weir.connect(application_name="survivor") as session:
            # The server has the session's settings: the next answer is to what it is asked.
            session.query("/* weir: primary */ SELECT 1")
            yield session


def in_block(client, cluster, lose, *texts):
    """The session is idle in a transaction, and its server is lost."""
    client.query("BEGIN")
    for text in texts:
        client.query(text)
    lose(cluster, int(client.value(BACKEND)))


def goes_on(client):
    assert query(client, "SELECT 1 /* weir: primary */") == [("T",), ("D",), ("C", "SELECT 1"),
                                                             ("Z", "I")]
    assert client.value("SHOW application_name") == "survivor"
