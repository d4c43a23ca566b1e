"""Hosts that both take writes: one of them is fenced, and an operator may say which."""
import contextlib
import re
import threading

import pytest

from support import SLOW, wire
from support.cluster import running_cluster, wait_until
from support.loss import ROLLBACK_TAG, ROLLED_BACK, UNKNOWN, error, goes_on, pid_of, query, shown
from support.orders import faults, host, name, order, refused
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


def wait_state(weir, cluster, states):
    """Until SHOW HOSTS says so."""
    def shows():
        with contextlib.suppress(OSError, wire.Closed):
            return [row["state"] for row in weir.show("HOSTS")]
        return []
    wait_until(lambda: shows() == states, lambda: f"{states}: {shows()}", 10 * SLOW)


def writes(client, table, number):
    return query(client, f"INSERT INTO {table} VALUES ({number})")


INSERTED = [("C", "INSERT 0 1"), ("Z", "I")]


@pytest.fixture(scope="module")
def split():
    """Hosts 1 and 2 were both promoted when 0 had died."""
    with running_cluster(2) as made:
        made.command("kill", 0)
        for number in (1, 2):
            made.command("promote", number)
            made.sql(number, TABLE.format("parted"))
        yield made


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


def test_a_second_primary_is_fenced():
    """Also its reads, which were begun when it was a replica."""
    with running_cluster(2) as cluster, contextlib.ExitStack() as stack:
        weir = stack.enter_context(proxied(cluster, {
            "rules": [{"application_name": "survivor", "hosts": [name(cluster, 2)]}]})).wait_ready()
        cluster.sql(0, TABLE.format("moved"))
        cluster.wait_replayed()
        writer, reader = (stack.enter_context(weir.connect(application_name="survivor"))
                          for _ in range(2))

        def begins_there():
            reader.query("BEGIN READ ONLY")
            if reader.value("SELECT inet_server_port()") == str(cluster.ports[2]):
                return True
            reader.query("COMMIT")
            return False
        wait_until(begins_there, "the replica serves reads", 5 * SLOW)
        cluster.command("kill", 0)
        cluster.command("promote", 1)
        assert writes(writer, "moved", 1) == INSERTED
        assert reader.value("SELECT 7") == "7"
        cluster.command("promote", 2)
        wait_state(weir, cluster, ["down", "up", "fenced"])
        assert query(reader, "SELECT 8") == error(ROLLED_BACK, "E")
        assert query(reader, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
        assert cluster.value(2, OURS) == "0"
        assert host(weir, cluster, 2)["why"] == \
            f"second primary on timeline 2: {name(cluster, 1)} is in use"
        # The operator knows better.
        writer.query("BEGIN")
        writer.query("INSERT INTO moved VALUES (2)")
        assert "until CHOOSE PRIMARY AUTO" in order(weir, f"CHOOSE PRIMARY {name(cluster, 2)}")[0]
        assert writes(writer, "moved", 3) == error(ROLLED_BACK, "E")
        assert query(writer, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
        wait_state(weir, cluster, ["down", "fenced", "up"])
        assert writes(writer, "moved", 4) == INSERTED
        assert cluster.sql(1, "SELECT id FROM moved") == [["1"]]
        assert cluster.sql(2, "SELECT id FROM moved") == [["4"]]
        for client in (writer, reader):
            goes_on(client)


def test_writes_wait_for_the_operators_word(split):
    """Where none of two was the primary before neither is it."""
    with proxied(split) as weir:
        wait_state(weir, split, ["down", "fenced", "fenced"])
        assert all("one of several primaries on timeline 2" in host(weir, split, number)["why"]
                   for number in (1, 2))
        chosen = name(split, 2)
        written = []

        def write():
            with weir.psycopg(connect_timeout=60) as client:
                client.execute("INSERT INTO parted VALUES (1)")
                written.append(1)
        writer = threading.Thread(target=write)
        writer.start()
        wait_until(lambda: [row["waits_for"] for row in weir.show("WAITS")] == ["a primary"],
                   "it waits", 5 * SLOW)
        assert refused(weir, f"CHOOSE PRIMARY {chosen}", "watcher")[0] == "42501"
        order(weir, f"CHOOSE PRIMARY {chosen}")
        writer.join()
        assert written == [1]
        assert [split.value(number, "SELECT count(*) FROM parted") for number in (1, 2)] == \
            ["0", "1"]
        # It is known who said so.
        (told,) = faults(weir, "order")
        assert told["subject"] == f"main/{chosen}" and told["severity"] == "info"
        by = r"client \d+ weir/admin 127\.0\.0\.1: "
        assert re.fullmatch(f"CHOOSE PRIMARY main/{chosen} by {by}done", told["what"])
        logged = f'{by}command command="CHOOSE PRIMARY {chosen}" outcome="done"'
        wait_until(lambda: re.search(logged, weir.log()), "it is logged", 5 * SLOW)
        # A reload changes nothing, neither one of this cluster nor any other.
        with weir.connect() as client:
            for lag_max in ("3s", "3s"):
                weir.write_config({"clusters": {"main": {"routing": {"lag_max": lag_max}}}})
                order(weir, "RELOAD")
                assert host(weir, split, 2)["why"] == "chosen by admin"
                assert writes(client, "parted", 2) == INSERTED
        assert split.value(1, "SELECT count(*) FROM parted") == "0"
        # A restart forgets it.
        weir.process.kill()
        weir.process.wait()
        weir.start()
        wait_state(weir, split, ["down", "fenced", "fenced"])
        split.sql(2, "DELETE FROM parted")


def test_nobody_stands_in_for_the_chosen_one(split):
    """Another one would lack what was written there. Until the operator takes his word back."""
    with proxied(split) as weir:
        wait_state(weir, split, ["down", "fenced", "fenced"])
        order(weir, f"choose primary {name(split, 2)} main")
        with weir.connect() as client:
            client.socket.settimeout(60 * SLOW)
            assert writes(client, "parted", 1) == INSERTED
            split.command("kill", 2)
            try:
                wait_state(weir, split, ["down", "fenced", "down"])
                assert host(weir, split, 2)["why"].startswith("chosen by admin; ")
                client.send(wire.query("INSERT INTO parted VALUES (2)"))
                wait_until(lambda: weir.show("WAITS"), "it waits", 5 * SLOW)
                assert refused(weir, f"CHOOSE PRIMARY {name(split, 2)}")[0] == "55000"
                assert order(weir, "CHOOSE PRIMARY AUTO") == []
                assert shown(client.read_until_ready()) == INSERTED
                assert split.sql(1, "SELECT id FROM parted") == [["2"]]
                assert order(weir, "CHOOSE PRIMARY AUTO main") == ["no primary was chosen"]
            finally:
                split.command("start", 2)
            # It is one of two again, and not the one in use.
            wait_state(weir, split, ["down", "up", "fenced"])
        for number in (1, 2):
            split.sql(number, "DELETE FROM parted")


def test_who_cannot_be_chosen(split, cluster):
    """Each refusal says why, changes nothing, and is told."""
    names = [name(cluster, number) for number in range(3)]
    with proxied(cluster, {"clusters": {"main": {
            "hosts": [*names, name(split, 1)],
            "monitor": {"user": "app", "password": "app", "database": "postgres"}}}}) as weir:
        weir.wait_ready()
        wait_state(weir, cluster, ["up", "up", "up", "fenced"])
        assert refused(weir, f"CHOOSE PRIMARY {names[1]}") == \
            ("55000", f'host "{names[1]}" cannot be the primary: it is in recovery')
        code, why = refused(weir, f"CHOOSE PRIMARY {name(split, 1)}")
        assert code == "55000" and "it belongs to another cluster: system identifier" in why
        assert refused(weir, "CHOOSE PRIMARY nobody") == ("42704", "no such host: nobody")
        assert refused(weir, f"CHOOSE PRIMARY {names[0]} else") == ("42704",
                                                                   "no such cluster: else")
        assert [row["severity"] for row in faults(weir, "order")] == ["warning"] * 4
        assert [row["state"] for row in weir.show("HOSTS")] == ["up", "up", "up", "fenced"]
    with proxied(split) as weir:
        wait_state(weir, split, ["down", "fenced", "fenced"])
        code, why = refused(weir, f"CHOOSE PRIMARY {name(split, 0)}")
        assert code == "55000" and "it is down: " in why
        split.command("start", 0)
        try:
            wait_state(weir, split, ["fenced", "fenced", "fenced"])
            code, why = refused(weir, f"CHOOSE PRIMARY {name(split, 0)}")
            assert code == "55000"
            assert f"superseded by timeline 2 of {name(split, 1)}: this one is on 1" in why
            order(weir, f"CHOOSE PRIMARY {name(split, 1)}")
            wait_state(weir, split, ["fenced", "up", "fenced"])
        finally:
            split.command("kill", 0)


def test_a_promotion_needs_no_word():
    """The chosen one is the primary for as long as nobody is promoted."""
    with running_cluster(1) as cluster, proxied(cluster) as weir:
        cluster.sql(0, TABLE.format("moved"))
        cluster.wait_replayed()
        weir.wait_ready()
        order(weir, f"CHOOSE PRIMARY {name(cluster, 0)}")
        with weir.connect() as client:
            client.socket.settimeout(60 * SLOW)
            assert writes(client, "moved", 1) == INSERTED
            cluster.wait_replayed()
            cluster.command("kill", 0)
            client.send(wire.query("INSERT INTO moved VALUES (2)"))
            cluster.command("promote", 1)
            assert shown(client.read_until_ready()) == INSERTED
        assert cluster.sql(1, "SELECT id FROM moved ORDER BY id") == [["1"], ["2"]]
        assert host(weir, cluster, 1)["why"] == ""
        assert any(row["what"] == f"{name(cluster, 0)} is not the chosen one any more"
                   for row in faults(weir, "primary"))
