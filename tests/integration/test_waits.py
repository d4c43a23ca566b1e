"""SHOW WAITS and SHOW FAULTS: who waits now for what, and what went wrong or changed."""
import threading

import psycopg
import pytest

from support import SLOW, wire
from support.cluster import wait_until


def waits(weir, **where):
    return [row for row in weir.show("WAITS")
            if all(row[key] == value for key, value in where.items())]


def faults(weir, kind):
    return [row for row in weir.show("FAULTS") if row["kind"] == kind]


def test_for_a_connection(start_weir, cluster):
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False}})
    with weir.connect() as holder, weir.connect(application_name="patient") as waiter:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        assert waits(weir) == []
        thread = threading.Thread(target=waiter.query, args=("SELECT 1",))
        thread.start()
        wait_until(lambda: waits(weir), "one waits", 5 * SLOW)
        (row,) = waits(weir)
        assert (row["database"], row["user"], row["application_name"]) == ("app", "app", "patient")
        assert row["waits_for"] == "a server connection that comes free"
        primary = [host["host"] for host in weir.show("HOSTS") if host["role"] == "primary"]
        assert [row["host"]] == primary
        wait_until(lambda: int(waits(weir)[0]["waited_ms"]) > 200, "it goes on", 5 * SLOW)
        with psycopg.connect(weir.conninfo(user="admin", database="weir"), autocommit=True) as sql:
            (id_, since, began) = sql.execute(
                "SELECT w.client, w.since, c.connect_time FROM waits w JOIN clients c "
                "ON c.id = w.client").fetchone()
            assert id_ == int(row["client"]) and since >= began
        holder.query("COMMIT")
        thread.join()
        assert waits(weir) == []


def test_for_resume(start_weir):
    weir = start_weir()
    with weir.console() as console, weir.connect() as client:
        console.query("PAUSE app")
        client.send(wire.query("SELECT 3"))
        wait_until(lambda: waits(weir, waits_for="RESUME", host=None), "it waits", 5 * SLOW)
        console.query("RESUME app")
        assert client.rows() == [["3"]]
        assert waits(weir) == []


def test_failed_logins_are_counted(start_weir):
    weir = start_weir({"databases": {"*": {"cluster": "main"}}})
    for _ in range(3):
        with pytest.raises(wire.ServerError):
            weir.connect(database="nonesuch")
    rows = [row for row in faults(weir, "login") if "nonesuch" in row["what"]]
    assert rows and all(row["severity"] == "warning" and "/" in row["subject"] and
                        'database "nonesuch" does not exist' in row["what"] for row in rows)
    assert sum(int(row["times"]) for row in rows) >= 3
    assert len({(row["subject"], row["what"]) for row in rows}) == len(rows)


def test_roles_reloads_and_kills(start_weir, cluster):
    weir = start_weir()

    def latest():
        return {row["subject"]: row["what"].split(",")[0] for row in faults(weir, "host")}

    hosts = {f"main/{row['host']}": "up" for row in weir.show("HOSTS")}
    assert len(hosts) == len(cluster.ports)
    wait_until(lambda: latest() == hosts, "that they are up is told", 10 * SLOW)
    (primary,) = faults(weir, "primary")
    name = [row["host"] for row in weir.show("HOSTS") if row["role"] == "primary"][0]
    assert primary["what"] == f"{name}, was none"
    with weir.console() as console, weir.connect() as victim:
        console.query("RELOAD")
        assert [(row["severity"], row["what"]) for row in faults(weir, "reload")] == \
            [("info", "nothing changed")]
        weir.config_file.write_text("nonsense = 1\n")
        with pytest.raises(wire.ServerError):
            console.query("RELOAD")
        (_, refused) = faults(weir, "reload")
        assert refused["severity"] == "error" and "nonsense" in refused["what"]
        victim.query("SELECT 1")
        number = [row["id"] for row in weir.show("CLIENTS") if row["database"] == "app"][0]
        console.query(f"KILL_CLIENT {number}")
        assert [row["subject"] for row in faults(weir, "kill")] == [f"client {number}"]
    with weir.console("watcher") as watcher:
        with pytest.raises(wire.ServerError):
            watcher.query("KILL app")
    assert len(faults(weir, "kill")) == 1
