"""The admin console: PgBouncer's tables to the letter, Weir's own, and its commands.

Columns as in PgBouncer 1.25 (src/admin.c, src/stats.c), which exporters and dashboards rely on.
"""
import datetime
import os
import re
import subprocess
import threading
import time

import psycopg
import pytest

from support import BACKEND, SLOW, wire
from support.cluster import frozen, wait_until

CONNECTION = ("type user database replication state addr port local_addr local_port connect_time "
              "request_time wait wait_us close_needed ptr link remote_pid tls application_name "
              "prepared_statements id")
SOCKET = CONNECTION + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail"
COLUMNS = {
    "STATS": "database total_server_assignment_count total_xact_count total_query_count "
             "total_received total_sent total_xact_time total_query_time total_wait_time "
             "total_client_parse_count total_server_parse_count total_bind_count "
             "total_client_login_count avg_server_assignment_count avg_xact_count "
             "avg_query_count avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time "
             "avg_client_parse_count avg_server_parse_count avg_bind_count "
             "avg_client_login_count",
    "STATS_TOTALS": "database server_assignment_count xact_count query_count bytes_received "
                    "bytes_sent xact_time query_time wait_time client_parse_count "
                    "server_parse_count bind_count client_login_count",
    "STATS_AVERAGES": "database server_assignment_count xact_count query_count bytes_received "
                      "bytes_sent xact_time query_time wait_time avg_client_parse_count "
                      "avg_server_parse_count avg_bind_count avg_client_login_count",
    "TOTALS": "name value",
    "POOLS": "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req "
             "sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login "
             "maxwait maxwait_us pool_mode load_balance_hosts",
    "PEER_POOLS": "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login",
    "CLIENTS": CONNECTION,
    "SERVERS": CONNECTION,
    "SOCKETS": SOCKET,
    "ACTIVE_SOCKETS": SOCKET,
    "DATABASES": "name host port database force_user pool_size min_pool_size reserve_pool_size "
                 "server_lifetime pool_mode load_balance_hosts max_connections "
                 "current_connections max_client_connections current_client_connections paused "
                 "disabled",
    "USERS": "name pool_size reserve_pool_size pool_mode max_user_connections "
             "current_connections max_user_client_connections current_client_connections",
    "PEERS": "peer_id host port pool_size",
    "LISTS": "list items",
    "CONFIG": "key value default changeable",
    "MEM": "name size used free memtotal",
    "STATE": "key value",
    "DNS_HOSTS": "hostname ttl addrs",
    "DNS_ZONES": "zonename serial count",
    "VERSION": "version",
}


def columns(client, sql):
    client.send(wire.query(sql))
    for got in client.read_until_ready():
        if got.type == "E":
            raise wire.ServerError(got.fields())
        if got.type == "T":
            return [name for name, _ in got.columns()]
    raise AssertionError("no rows")


@pytest.mark.parametrize("what", COLUMNS)
def test_columns_are_pgbouncers(weir, what):
    with weir.console() as console:
        assert columns(console, f"SHOW {what}") == COLUMNS[what].split()
        assert columns(console, f"show {what.lower()};") == COLUMNS[what].split()


@pytest.mark.parametrize("what", ["POOLS", "CLIENTS", "STATS", "LISTS", "HOSTS", "PINS"])
def test_extended_protocol(weir, what):
    with weir.console() as console, psycopg.connect(
            weir.conninfo(user="admin", database="weir"), autocommit=True) as driver:
        simple = columns(console, f"SHOW {what}")
        assert [column.name for column in driver.execute(f"SHOW {what}").description] == simple


@pytest.mark.parametrize("binary", [False, True])
def test_drivers_understand_the_types(weir, binary):
    """SELECT answers with types of PostgreSQL's; SHOW as PgBouncer does."""
    before = datetime.datetime.now(datetime.timezone.utc)
    with psycopg.connect(weir.conninfo(user="admin", database="weir"),
                         autocommit=True) as driver, driver.cursor(binary=binary) as cursor:
        paused, size = cursor.execute(
            "SELECT paused, pool_size FROM databases WHERE name = 'app'").fetchone()
        assert paused is False and size == 20
        connected, closing = cursor.execute(
            "SELECT connect_time, close_needed FROM Clients ORDER BY connect_time DESC").fetchone()
        assert closing is False
        assert abs(connected - before) < datetime.timedelta(seconds=30 * SLOW)
        assert cursor.execute("SELECT reads FROM hosts WHERE role = 'primary'").fetchone() == \
            (False,)
        assert cursor.execute("SELECT count(*) FROM hosts WHERE reads").fetchone() == (2,)
        shown = cursor.execute("SHOW DATABASES WHERE name = 'app'")
        row = dict(zip([column.name for column in shown.description], shown.fetchone()))
        assert row["paused"] == 0 and not isinstance(row["paused"], bool)
        shown = cursor.execute("SHOW CLIENTS")
        row = dict(zip([column.name for column in shown.description], shown.fetchone()))
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", row["connect_time"])


def test_locks_of_clients(start_weir, cluster, table):
    weir = start_weir()
    primary = next(row["host"] for row in weir.show("HOSTS") if row["role"] == "primary")
    with weir.connect() as holder, weir.connect() as waiter:
        holder.query("SELECT pg_advisory_lock(4294967298), pg_advisory_lock_shared(3, 4)")
        waiter.query("BEGIN")
        waiter.query(f"LOCK TABLE {table} IN SHARE MODE")
        waiter.send(wire.query("SELECT pg_advisory_xact_lock(4294967298)"))
        wait_until(lambda: cluster.value(0, "SELECT count(*) FROM pg_locks WHERE NOT granted")
                   == "1", "it waits", 5 * SLOW)
        rows = weir.on_console("SELECT pinned, host, type, object, mode, granted, waiting, problem "
                               "FROM locks ORDER BY type, mode, granted DESC")
        assert [tuple(row.values()) for row in rows] == [
            ("t", primary, "advisory", "4294967298", "ExclusiveLock", "t", "1", None),
            ("f", primary, "advisory", "4294967298", "ExclusiveLock", "f", "0", None),
            ("t", primary, "advisory", "3, 4", "ShareLock", "t", "1", None),
            ("f", primary, "relation", f"public.{table}", "ShareLock", "t", "0", None)]
        (pin,) = weir.show("PINS")
        assert {row["client"] for row in weir.show("LOCKS") if row["pinned"] == "1"} == \
            {pin["client"]}
        holder.query("SELECT pg_advisory_unlock_all()")
        waiter.read_until_ready()
        waiter.query("COMMIT")
        wait_until(lambda: weir.show("LOCKS") == [], "nobody holds any", 5 * SLOW)
        holder.query("SELECT pg_advisory_lock(1)")
        with frozen(cluster, 0):
            began = time.monotonic()
            (row,) = weir.show("LOCKS")
            assert (row["host"], row["type"], row["granted"]) == (primary, None, None)
            assert row["problem"]
            assert time.monotonic() - began < 2 * SLOW


def test_pgbouncer_is_an_alias(weir):
    with weir.console(database="pgbouncer") as console:
        assert console.query("SHOW VERSION")


def test_who_may_enter(weir):
    with pytest.raises(wire.ServerError) as failed:
        weir.connect("app", database="weir")
    assert failed.value.fields["S"] == "FATAL"
    with weir.console("watcher") as watcher:
        assert watcher.query("SHOW POOLS") is not None
        with pytest.raises(wire.ServerError) as failed:
            watcher.query("PAUSE")
        assert failed.value.code == "42501"
    with pytest.raises(wire.ServerError):
        weir.connect("admin", "wrong", database="weir")


def test_who_may_enter_by_being_a_user_of_the_machine(start_weir):
    weir = start_weir({"admin": {"peers": ["daemon", "0"]}})  # tests run as root

    def psql(*words, user="root", host=str(weir.dir), database="weir"):
        conninfo = f"host={host} port={weir.port} user=whoever dbname={database}"
        done = subprocess.run(["setpriv", f"--reuid={user}", "--clear-groups", "psql", "-XAt",
                               conninfo, *words], env={"PATH": os.environ["PATH"],
                                                       "PGPASSWORD": "none"},
                              capture_output=True, text=True, timeout=20 * SLOW, check=False)
        return done.stdout.strip(), done.stderr
    for path in (weir.dir, *weir.dir.parents):
        if path != path.parent and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
    assert psql("-c", "SELECT count(*) FROM hosts") == ("3", "")
    assert psql("-c", "PAUSE", "-c", "RESUME") == ("PAUSE\nRESUME", "")
    wait_until(lambda: re.search(r"whoever.*\(0 of this machine\): command command=\"PAUSE\"",
                                 weir.log()), "it is logged", 5 * SLOW)
    assert psql("-c", "SELECT count(*) FROM hosts", user="daemon")[0] == "3"
    for more in ({"user": "nobody"}, {"host": "127.0.0.1"}, {"database": "app"}):
        out, problem = psql("-c", "SELECT 1", **more)
        assert out == "" and 'password authentication failed for user "whoever"' in problem
    with weir.console() as console:
        console.query("SET admin.peers = []")
    wait_until(lambda: "password authentication failed" in psql("-c", "SELECT 1")[1],
               "all workers know it", 5 * SLOW)


def test_errors(weir):
    with weir.console() as console:
        for sql in ("SHOW nonesuch", "MAKE COFFEE", "SELECT 1 +", "PAUSE nonesuch",
                    "KILL_CLIENT x"):
            with pytest.raises(wire.ServerError) as failed:
                console.query(sql)
            assert failed.value.fields["S"] == "ERROR"
        assert console.query("SHOW VERSION")


def test_what_drivers_ask_at_the_start(weir):
    with weir.console() as console:
        for name in ("client_encoding", "standard_conforming_strings", "datestyle", "timezone"):
            assert console.query(f"SHOW {name}")
        console.query("SET application_name TO 'x'")


def test_clients_and_pools_show_what_is(start_weir):
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False}})
    with weir.connect(application_name="holder") as holder, \
            weir.connect(application_name="waiter") as waiter:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        thread = threading.Thread(target=waiter.query, args=("SELECT 1",))
        thread.start()

        def row():
            return [row for row in weir.show("POOLS")
                    if (row["database"], row["user"]) == ("app", "app")][0]

        wait_until(lambda: row()["cl_waiting"] == "1", "one waits", 5 * SLOW)
        assert (row()["cl_active"], row()["sv_active"], row()["pool_mode"]) == \
            ("1", "1", "transaction")
        states = {client["application_name"]: client["state"] for client in weir.show("CLIENTS")}
        assert states["holder"] == "active" and states["waiter"] == "waiting"
        time.sleep(0.1)
        assert int(row()["maxwait"]) * 1_000_000 + int(row()["maxwait_us"]) > 50_000
        holder.query("COMMIT")
        thread.join()
        wait_until(lambda: row()["cl_waiting"] == "0", "nobody waits", 5 * SLOW)


def test_servers_show_their_hosts(weir, cluster):
    with weir.connect() as client:
        client.query("/* weir: primary */ SELECT 1")
        ports = {row["port"] for row in weir.show("SERVERS") if row["database"] == "app"}
        assert str(cluster.ports[0]) in ports


def test_stats_count(start_weir):
    weir = start_weir()

    def stats():
        return [row for row in weir.show("STATS") if row["database"] == "app"][0]

    with weir.connect() as client:
        before = stats()
        for _ in range(10):
            client.query("SELECT 1")
        client.query("BEGIN; SELECT 1")
        client.query("COMMIT")
        after = stats()
        gained = {key: int(after[key]) - int(before[key]) for key in after if key != "database"}
        assert gained["total_query_count"] == 12
        assert gained["total_xact_count"] == 11
        assert gained["total_server_assignment_count"] == 11
        assert gained["total_received"] > 0 and gained["total_sent"] > 0


def test_hosts(weir, cluster):
    rows = {row["address"]: row for row in weir.show("HOSTS")}
    assert set(rows) == {f"127.0.0.1:{port}" for port in cluster.ports}
    assert [rows[f"127.0.0.1:{port}"]["role"] for port in cluster.ports] == \
        ["primary", "replica", "replica"]
    for row in rows.values():
        assert row["lsn"] and "/" in row["lsn"]


def test_pins_name_the_statement(start_weir):
    """Which statement took the pin: without its literals, and the one of several."""
    weir = start_weir()
    taken = {
        "CREATE TEMP TABLE scratch (a text DEFAULT 'a secret')":
            ("temporary object", "create temp table scratch ( a text default $ )"),
        "SELECT 1; SELECT pg_advisory_lock(4711); SELECT 2":
            ("advisory lock", "select pg_advisory_lock ( $ )"),
        "BEGIN; LISTEN gossip; COMMIT": ("listen", "listen gossip"),
        "PREPARE p AS SELECT 'a secret'": ("prepared statement", "prepare p as select $"),
        "DO $$ BEGIN PERFORM pg_advisory_lock(4712); END $$": ("advisory lock", "do $"),
        "SELECT pg_backend_pid()": ("backend pid", "select pg_backend_pid ( )"),
    }
    for sql, (reason, statement) in taken.items():
        with weir.connect() as client:
            client.query(sql)
            wait_until(lambda: weir.show("PINS"), "what DO has left is known", 5 * SLOW)
            (row,) = weir.show("PINS")
            assert (row["reason"], row["statement"]) == (reason, statement)
        wait_until(lambda: not weir.show("PINS"), "it has left", 5 * SLOW)
    with weir.connect() as client:
        client.extended("SELECT pg_advisory_lock($1)", ["4713"])
        (row,) = weir.show("PINS")
        assert row["statement"] == "select pg_advisory_lock ( $ )"


def test_lists_and_config(weir):
    lists = {row["list"]: row["items"] for row in weir.show("LISTS")}
    for name in ("databases", "users", "pools", "free_clients", "used_clients", "login_clients",
                 "free_servers", "used_servers", "dns_names", "dns_zones", "dns_queries",
                 "dns_pending"):
        assert int(lists[name]) >= 0
    assert int(lists["used_clients"]) >= 1
    keys = {row["key"] for row in weir.show("CONFIG")}
    assert {"max_client_conn", "max_user_connections"} <= keys


def test_no_secret_is_shown(weir):
    text = str([weir.show(what) for what in ("CONFIG", "USERS", "DATABASES", "CLIENTS", "SERVERS")])
    for secret in ("'watcher'", "SCRAM-SHA-256$"):
        assert secret not in text.replace("'name': 'watcher'", "").replace("'user': 'watcher'", "")


# --- commands -------------------------------------------------------------------------------------


def test_pause_and_resume(start_weir):
    weir = start_weir()
    with weir.console() as console, weir.connect() as client, weir.connect() as busy:
        busy.query("BEGIN")
        busy.query("SELECT 1")
        console.send(wire.query("PAUSE app"))
        time.sleep(0.2)
        assert busy.value("SELECT 2") == "2"  # a transaction goes on
        busy.query("COMMIT")
        assert console.read_until_ready()[0].type == "C"
        client.send(wire.query("SELECT 3"))
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.read()
        assert [row["paused"] for row in weir.show("DATABASES") if row["name"] == "app"] == ["1"]
        console.query("RESUME app")
        client.socket.settimeout(20)
        assert client.rows() == [["3"]]


def test_kill_client(start_weir):
    weir = start_weir()
    with weir.connect(application_name="victim") as victim, weir.connect() as other:
        victim.query("BEGIN")
        number = [row["id"] for row in weir.show("CLIENTS")
                  if row["application_name"] == "victim"][0]
        with weir.console() as console:
            console.query(f"KILL_CLIENT {number}")
            assert [got.fields()["S"] for got in victim.expect_closed() if got.type == "E"] in \
                (["FATAL"], [])
            with pytest.raises(wire.ServerError) as failed:
                console.query(f"KILL_CLIENT {number}")
            assert failed.value.code == "42704"
        assert other.value("SELECT 1") == "1"


def test_kill_and_resume(start_weir):
    weir = start_weir()
    with weir.connect() as victim, weir.connect(database="other") as other, \
            weir.console() as console:
        victim.query("SELECT 1")
        console.query("KILL app")
        victim.expect_closed()
        assert other.value("SELECT 1") == "1"
        console.query("RESUME app")
        with weir.connect() as client:
            assert client.value("SELECT 1") == "1"


def test_disable_and_enable(start_weir):
    weir = start_weir()
    with weir.console() as console, weir.connect() as inside:
        console.query("DISABLE app")
        with pytest.raises(wire.ServerError) as failed:
            weir.connect()
        assert failed.value.fields["S"] == "FATAL"
        assert inside.value("SELECT 1") == "1"
        console.query("ENABLE app")
        weir.connect().terminate()


def test_reconnect(start_weir):
    weir = start_weir()
    with weir.console() as console, weir.connect() as client:
        before = client.value(BACKEND)
        console.query("RECONNECT app")
        wait_until(lambda: client.value(BACKEND) != before,
                   "another server connection", 5 * SLOW)


def test_shutdown(start_weir):
    weir = start_weir()
    with weir.console() as console:
        console.send(wire.query("SHUTDOWN"))
        console.expect_closed()
    assert weir.wait_exit() == 0
