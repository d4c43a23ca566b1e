"""Hosts that both take writes: one of them is fenced."""
import contextlib

from support import SLOW, wire
from support.cluster import running_cluster, wait_until
from support.loss import ROLLBACK_TAG, ROLLED_BACK, UNKNOWN, error, goes_on, pid_of, query, shown
from support.orders import faults, host, name
from support.weir import Weir

OURS = ("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = "
        "'client backend' AND application_name NOT LIKE 'weir %'")
TABLE = "CREATE TABLE {0} (id int); GRANT ALL ON {0} TO PUBLIC"


@contextlib.contextmanager
def proxied(cluster, config=None):
    weir = Weir(cluster, {"timeouts": {"server_retry": "100ms", "query_wait": "60s"},
                          **(config or {})})
    try:
        yield weir.start()
    finally:
        weir.discard()


def writes(client, table, number):
    return query(client, f"INSERT INTO {table} VALUES ({number})")


INSERTED = [("C", "INSERT 0 1"), ("Z", "I")]


def test_an_old_primary_is_fenced():
    """What is under way there ends at once; nothing goes there any more."""
    with running_cluster(1) as cluster, proxied(cluster) as weir, contextlib.ExitStack() as stack:
        cluster.sql(0, TABLE.format("moved"))
        cluster.wait_replayed()
        weir.wait_ready()
        block, busy, idle = (stack.enter_context(weir.connect(application_name="survivor"))
                             for _ in range(3))
        assert query(idle, "SELECT 1 /* weir: primary */")[-1] == ("Z", "I")
        block.query("BEGIN")
        block.query("INSERT INTO moved VALUES (1)")
        busy.send(wire.query("INSERT INTO moved SELECT 2 FROM pg_sleep(600)"))
        pid_of(cluster, "SELECT 2")
        cluster.command("promote", 1)
        assert shown(busy.read_until_ready()) == error(UNKNOWN, "I")
        # Its backends are gone, though none of them would have looked for its client.
        wait_until(lambda: cluster.value(0, OURS) == "0", "all connections are closed", 5 * SLOW)
        assert writes(block, "moved", 3) == error(ROLLED_BACK, "E")
        assert query(block, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
        for number, client in enumerate((block, busy, idle), 4):
            assert writes(client, "moved", number) == INSERTED
            goes_on(client)
        assert cluster.sql(0, "SELECT id FROM moved") == []
        assert cluster.sql(1, "SELECT id FROM moved ORDER BY id") == [["4"], ["5"], ["6"]]
        old = host(weir, cluster, 0)
        assert (old["state"], old["role"], old["reads"]) == ("fenced", "primary", "0")
        assert old["why"] == f"superseded by timeline 2 of {name(cluster, 1)}: this one is on 1"
        (told,) = [row for row in faults(weir, "host")
                   if row["subject"] == f"main/{name(cluster, 0)}" and "fenced" in row["what"]]
        assert told["severity"] == "error" and old["why"] in told["what"]
        assert any("error" in line for line in weir.log().splitlines() if "state=fenced" in line)
        assert cluster.value(0, OURS) == "0"
