"""SET weir.explain = on: a NOTICE with each decision, which names the host that then answers."""
import pytest

from support import wire
from support.wire import SYNC, bind, execute, parse

PORT = "SELECT inet_server_port()"


def notices(client):
    """What was said since the last time."""
    said = [notice["M"] for notice in client.notices]
    assert all(notice["S"] == "NOTICE" and notice["C"] == "00000" for notice in client.notices)
    client.notices.clear()
    return said


def host_names(weir):
    return {row["address"].rsplit(":", 1)[-1]: row["host"] for row in weir.show("HOSTS")}


@pytest.mark.parametrize("way", ["SET", "startup"])
def test_each_decision_is_told(weir, cluster, table, way):
    names = host_names(weir)
    primary = names[str(cluster.ports[0])]
    with weir.connect(**({"weir.explain": "on"} if way == "startup" else {})) as client:
        if way == "SET":
            client.query(PORT)
            assert notices(client) == []
            client.query("SET weir.explain = on")
        notices(client)
        for _ in range(5):
            host = names[client.value(PORT)]
            assert notices(client) == [f"route: replica {host}, read"]
        client.query(f"INSERT INTO {table} VALUES (1)")
        assert notices(client) == [f"route: primary {primary}, write"]
        with cluster.paused(1, 2):
            client.query(f"INSERT INTO {table} VALUES (2)")
            notices(client)
            client.query(f"SELECT count(*) FROM {table}")
            assert notices(client) == [f"route: primary {primary}, own writes"]
        client.query(f"/* weir: primary */ {PORT}")
        assert notices(client) == [f"route: primary {primary}, hint"]
        client.query("BEGIN")
        assert len(notices(client)) == 1
        client.query(PORT)
        client.query("COMMIT")
        assert notices(client) == []  # it was decided by the first one
        hinted = f"/* weir: replica, consistency=eventual */ {PORT}"
        client.send(parse("", hinted), bind("", ""), execute(), SYNC)
        host = names[client.rows()[0][0]]
        assert notices(client) == [f"route: replica {host}, hint"]
        client.query("SET weir.explain = off")
        notices(client)
        client.query(PORT)
        assert notices(client) == []


def test_a_transaction_that_begins_anew_is_told_twice(weir, cluster):
    names = host_names(weir)
    with weir.connect(**{"weir.explain": "on"}) as client:
        client.query("BEGIN READ ONLY")
        assert [text.split()[1] for text in notices(client)] == ["replica"]
        client.query("SELECT pg_is_in_recovery()")
        assert notices(client) == [f"route: primary {names[str(cluster.ports[0])]}, write"]
        client.query("COMMIT")


def test_a_value_that_it_cannot_have(weir):
    with weir.connect() as client, pytest.raises(wire.ServerError) as failed:
        client.query("SET weir.explain = 'moon'")
    assert failed.value.code == "22023"
