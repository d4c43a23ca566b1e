"""A replica that its monitor finds well, and that fails those who ask it."""
import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.orders import faults, host, name

READ = "SELECT inet_server_port()"
# Raises a SQLSTATE that tells of the host, on one host only.
ILL = """CREATE OR REPLACE FUNCTION {name}() RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF inet_server_port() = {port} THEN
    RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'could not extend file';
  END IF;
  RETURN inet_server_port();
END $$"""


@pytest.fixture
def ill(cluster, table):
    """A function that says that the disk of replica 1 is full."""
    made = f"f_{table}"
    cluster.sql(0, ILL.format(name=made, port=cluster.ports[1], code="53100"))
    cluster.wait_replayed()
    yield made
    cluster.sql(0, f"DROP FUNCTION {made}()")


def wait_replicas(weir, count=2):
    wait_until(lambda: [row["reads"] for row in weir.show("HOSTS")].count("1") == count,
               lambda: f"{count} replicas: {weir.show('HOSTS')}", 10 * SLOW)


def start_with_pause(start_weir, pause):
    weir = start_weir({"clusters": {"main": {"monitor": {"catalog_interval": "200ms"}}},
                       "routing": {"slow_start": "0", "consistency": "eventual",
                                   "breaker_pause": pause, "breaker_pause_max": pause}})
    wait_replicas(weir)
    return weir


def test_a_full_disk(start_weir, cluster, ill):
    weir = start_with_pause(start_weir, "60s")
    with weir.connect() as client:
        client.socket.settimeout(60 * SLOW)
        replicas = {str(cluster.ports[2])}

        def on_replica():
            return client.value(f"SELECT {ill}()") in replicas
        wait_until(on_replica, "the function is a read", 20 * SLOW, every=0.05)
        # No read fails: the primary serves what replica 1 cannot. Five in a row open its breaker,
        # which others that it answers in between may delay.
        def opens():
            assert client.value(f"SELECT {ill}()") != str(cluster.ports[1])
            return host(weir, cluster, 1)["breaker"] == "open"
        wait_until(opens, "it opens", 20 * SLOW)
        row = host(weir, cluster, 1)
        assert (row["state"], row["reads"]) == ("up", "0")
        assert row["why"].startswith("breaker open for") and "failed" in row["why"]
        assert [client.value(READ) for _ in range(10)] == [str(cluster.ports[2])] * 10
        assert any(fault["subject"].endswith(name(cluster, 1)) for fault in faults(weir, "host"))


def test_it_closes_by_a_probe(start_weir, cluster, ill):
    weir = start_with_pause(start_weir, "300ms")
    with weir.connect() as client:
        client.socket.settimeout(60 * SLOW)
        seen = set()

        def opens():
            assert client.value(f"SELECT {ill}()") != str(cluster.ports[1])
            seen.add(host(weir, cluster, 1)["breaker"])
            return "open" in seen
        wait_until(opens, "it opens", 20 * SLOW)
        # It stays away while it fails: probes find out.
        cluster.sql(0, ILL.format(name=ill, port=0, code="53100"))
        cluster.wait_replayed()

        def closes():
            client.value(READ)
            return host(weir, cluster, 1)["breaker"] == "closed"
        wait_until(closes, "it closes", 20 * SLOW)
        wait_until(lambda: client.value(READ) == str(cluster.ports[1]), "it reads", 10 * SLOW)


def test_users_errors_open_nothing(start_weir, cluster):
    weir = start_weir({"routing": {"slow_start": "0", "breaker_failures": 1}})
    wait_replicas(weir)
    with weir.connect() as client:
        for _ in range(30):
            with pytest.raises(wire.ServerError) as failed:
                client.query("/* weir: replica */ SELECT 1 / 0")
            assert failed.value.code == "22012"
        assert {row["breaker"] for row in weir.show("HOSTS")} == {"closed"}
