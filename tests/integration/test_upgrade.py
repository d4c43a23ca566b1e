"""Online restart: another process takes over, and no client notices."""
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import psycopg
import pytest

from support import SLOW, api, wire
from support.cluster import wait_until
from support.loss import pid_of
from support.orders import name, order
from support.weir import BINARY, free_port


def ended(process):
    """Its exit code, once it has ended by itself."""
    return process.wait(timeout=10 * SLOW)


def test_no_connection_is_refused_and_no_query_fails(start_weir, cluster, table):
    """New connections all the while, and old ones that write until they are done."""
    weir = start_weir()
    done, failures, connected, written = threading.Event(), [], [], []

    def connect():
        while not done.is_set():
            with psycopg.connect(weir.conninfo(), autocommit=True) as driver:
                connected.append(driver.execute("SELECT 1").fetchone())

    def write(number):
        with psycopg.connect(weir.conninfo(), autocommit=True) as driver:
            while not done.is_set():
                with driver.transaction():
                    driver.execute(f"INSERT INTO {table} VALUES (%s)", [len(written) * 4 + number])
                written.append(number)

    def noting(work, *arguments):
        try:
            work(*arguments)
        except psycopg.Error as failed:
            failures.append(failed)

    cluster.sql(0, f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    threads = [threading.Thread(target=noting, args=(connect,)) for _ in range(2)]
    threads += [threading.Thread(target=noting, args=(write, number)) for number in range(4)]
    for thread in threads:
        thread.start()
    replaced = []
    for _ in range(3):
        wait_until(lambda before=(len(connected), len(written)):
                   len(connected) > before[0] + 20 and len(written) > before[1] + 20 or failures,
                   "all are busy", 20 * SLOW)
        replaced.append(weir.upgrade())
    time.sleep(0.2)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len({process.pid for process in (*replaced, weir.process)}) == 4
    assert [ended(process) for process in replaced] == [0, 0, 0]
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == str(len(written))


def test_sessions_stay_where_they_are(start_weir, table):
    weir = start_weir()
    with weir.connect() as block, weir.connect() as pinned:
        block.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
        pinned.query("CREATE TEMP TABLE mine AS SELECT 7 AS n; SET work_mem = '7MB'")
        old = weir.upgrade()
        with weir.connect() as fresh:
            assert fresh.value(f"SELECT count(*) FROM {table}") == "0"
        block.query("COMMIT")
        assert block.value(f"SELECT count(*) FROM {table}") == "1"
        assert pinned.value("SELECT n FROM mine") == "7"
        assert pinned.value("SHOW work_mem") == "7MB"
        assert old.poll() is None
    assert ended(old) == 0
    with weir.connect() as fresh:
        assert fresh.value(f"SELECT count(*) FROM {table}") == "1"


def test_cancel_requests_reach_the_old_process(start_weir, cluster):
    """They come to the new one, which knows nothing of the key, also two restarts later."""
    weir = start_weir()
    with weir.connect() as client:
        replaced = [weir.upgrade(), weir.upgrade()]
        client.send(wire.query("/* weir: primary */ SELECT pg_sleep(60)"))
        pid_of(cluster, "pg_sleep")
        wire.cancel(weir.host, weir.port, client.pid, client.secret)
        answer = client.read_until_ready()
        assert [got.fields()["C"] for got in answer if got.type == "E"] == ["57014"]
    assert [ended(process) for process in replaced] == [0, 0]


def cancelled(cluster, client, asked):
    """Whether a cancel request that `asked` gets ends what the client runs."""
    client.send(wire.query("/* weir: primary */ SELECT pg_sleep(60)"))
    pid_of(cluster, "pg_sleep")
    wire.cancel(asked.host, asked.port, client.pid, client.secret)
    answer = client.read_until_ready()
    return [got.fields()["C"] for got in answer if got.type == "E"] == ["57014"]


def test_cancel_requests_that_come_to_a_peer(start_weir, cluster):
    """It passes them on to the new process, and that to the old one."""
    weir, other = start_weir({"peer_id": 1}), start_weir({"peer_id": 2})
    other.write_config({"peers": {"1": {"host": weir.host, "port": weir.port}}})
    with other.console() as console:
        console.query("RELOAD")
    with weir.connect() as client:
        old = weir.upgrade()
        assert cancelled(cluster, client, other)
        assert cancelled(cluster, client, weir)
    assert ended(old) == 0


@pytest.mark.parametrize("before, after", [({}, {"peer_id": 3}), ({"peer_id": 3}, {"peer_id": 4})])
def test_cancel_requests_of_another_number(start_weir, cluster, before, after):
    """The new process has another peer_id than the one that gave the session its number."""
    weir = start_weir(before)
    with weir.connect() as client:
        weir.write_config(after)
        old = weir.upgrade()
        assert cancelled(cluster, client, weir)
        with weir.connect() as fresh:
            assert fresh.pid >> 24 == after["peer_id"] and cancelled(cluster, fresh, weir)
    assert ended(old) == 0


@pytest.mark.parametrize("what", ["PAUSE", "PAUSE HOST"])
def test_nobody_waits_for_a_resume_that_cannot_come(start_weir, cluster, table, what):
    weir = start_weir({"timeouts": {"query_wait": "60s"}})
    with weir.connect() as writer:
        writer.socket.settimeout(30 * SLOW)
        order(weir, what if what == "PAUSE" else f"{what} {name(cluster, 0)}")
        writer.send(wire.query(f"INSERT INTO {table} VALUES (1)"))
        wait_until(lambda: [row["waits_for"] for row in weir.show("WAITS")] ==
                   [what.replace("PAUSE", "RESUME")], "it waits", 10 * SLOW)
        old = weir.upgrade()
        assert writer.rows() == []
        with weir.connect() as fresh:
            assert fresh.value(f"SELECT count(*) FROM {table}") == "1"
            fresh.query(f"INSERT INTO {table} VALUES (2)")
    assert ended(old) == 0


def test_each_has_a_line_of_its_own(start_weir):
    """Who waits in the old process is in nobody's way in the new one, and is served."""
    weir = start_weir({"pool": {"size": 1}, "limits": {"waiting": 1},
                       "routing": {"split_reads": False}})

    def line():
        holder, waiter = weir.connect(), weir.connect()
        for client in (holder, waiter):
            client.socket.settimeout(30 * SLOW)
        holder.query("BEGIN; SELECT 1")
        waiter.send(wire.query("SELECT 7"))
        wait_until(lambda: len(weir.show("WAITS")) == 1, "one waits", 10 * SLOW)
        return holder, waiter
    first = line()
    old = weir.upgrade()
    for holder, waiter in (line(), first):
        holder.query("COMMIT")
        assert waiter.rows() == [["7"]]
        for client in (holder, waiter):
            client.drop()
    assert ended(old) == 0


def refused(weir, why):
    """An online restart that fails: it is told, and who served goes on."""
    before = len(weir.log())
    weir.signal(signal.SIGUSR2)
    wait_until(lambda: re.search(f"no online restart, this process goes on: .*{why}",
                                 weir.log()[before:]), why, 20 * SLOW)
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_one_that_does_not_come_up_changes_nothing(start_weir):
    """The log of who goes on has the reason, in the words of who did not come up."""
    weir = start_weir()
    good = weir.config_file.read_text()
    taken = socket.create_server(("127.0.0.1", 0))
    another = f"127.0.0.1:{taken.getsockname()[1]}"
    with weir.connect() as stays:
        for text, why in ((good + "\n[nonesuch]\n", "exit code 1: .*nonesuch"),
                          ("this is not toml", "exit code 1: .*weir.toml:1"),
                          (good.replace("listen = [", f'listen = ["{another}", '),
                           f"exit code 3: cannot listen on {another}")):
            weir.config_file.write_text(text)
            refused(weir, why)
        faults = [row for row in weir.show("FAULTS") if row["kind"] == "restart"]
        assert any("nonesuch" in row["what"] for row in faults)
        weir.config_file.write_text(good)
        assert stays.value("SELECT 1") == "1"
        old = weir.upgrade()
    assert ended(old) == 0
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"
    with wire.connect(str(weir.socket_dir), weir.port, "app", "app", "app") as client:
        assert client.value("SELECT 1") == "1"


def test_all_that_listens_goes_over(start_weir):
    """The Unix socket, whose file stays, and the HTTP port."""
    weir = start_weir()
    assert ended(weir.upgrade()) == 0
    with wire.connect(str(weir.socket_dir), weir.port, "app", "app", "app") as client:
        assert client.value("SELECT 1") == "1"
    with urllib.request.urlopen(f"http://127.0.0.1:{weir.http_port}/readyz", timeout=10) as answer:
        assert answer.status == 200
    with weir.console() as console:
        assert console.query("SHOW VERSION")


def test_their_stay_may_end(start_weir):
    """timeouts.upgrade: who is in a transaction may end it, as in any drain."""
    weir = start_weir({"timeouts": {"upgrade": "500ms"}})
    with weir.connect() as idle, weir.connect() as block:
        block.query("BEGIN")
        begun = time.monotonic()
        old = weir.upgrade()
        errors = [got.fields()["C"] for got in idle.expect_closed() if got.type == "E"]
        assert errors == ["57P01"] and time.monotonic() - begun >= 0.5
        assert block.value("SELECT 1") == "1"
        block.query("COMMIT")
        assert ended(old) == 0


@pytest.mark.parametrize("replaced", [True, False])
def test_what_is_at_the_path_now_is_run(start_weir, tmp_path, replaced):
    weir = start_weir()
    weir.stop()
    program = tmp_path / "weir"
    shutil.copy(BINARY, program)
    weir.run([str(program), "-c", str(weir.config_file)]).wait_ready()
    if replaced:
        shutil.copy(BINARY, tmp_path / "newer")
        os.replace(tmp_path / "newer", program)
    assert ended(weir.upgrade()) == 0
    assert os.path.samefile(f"/proc/{weir.process.pid}/exe", program)
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"


def own_program(weir, to):
    """Starts it again from a file of its own, which a test may replace: `put` does."""
    weir.stop()
    program = to / "weir"

    def put(content):
        (to / "newer").write_bytes(content)
        (to / "newer").chmod(0o755)
        os.replace(to / "newer", program)

    put(BINARY.read_bytes())
    weir.run([str(program), "-c", str(weir.config_file)]).wait_ready()
    return put


def test_a_program_that_crashes_or_is_none(start_weir, tmp_path):
    weir = start_weir()
    put = own_program(weir, tmp_path)
    for content, why in ((b"#!/bin/sh\nkill -SEGV $$\n", "by signal 11"),
                         (b"#!/bin/sh\nexit 77\n", "with exit code 77"),
                         (b"\x7fnone", "cannot be run: Exec format error")):
        put(content)
        refused(weir, why)
    put(BINARY.read_bytes())
    assert ended(weir.upgrade()) == 0


# Not a shell: that takes signals which we have blocked.
SLOW_START = f"""#!/usr/bin/python3
import os, sys, time
time.sleep(2)
os.execv("{BINARY}", ["{BINARY}", *sys.argv[1:]])
""".encode()


def test_meanwhile_the_old_one_serves_and_takes_no_second_order(start_weir, tmp_path):
    weir = start_weir()
    put = own_program(weir, tmp_path)
    put(SLOW_START)
    old = weir.process
    weir.signal(signal.SIGUSR2)
    wait_until(lambda: "is started from" in weir.log(), "it begins", 10 * SLOW)
    weir.signal(signal.SIGUSR2)
    wait_until(lambda: "no online restart: one is under way" in weir.log(), "refused", 10 * SLOW)
    begun = time.monotonic()
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"
    assert time.monotonic() - begun < 1 * SLOW and "accepts clients from now on" not in weir.log()
    weir.await_upgrade()
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"
    assert ended(old) == 0
    assert weir.log().count("is started from") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_meanwhile_is_an_end(start_weir, tmp_path, number):
    """Whoever stops the service does not want another one."""
    weir = start_weir()
    put = own_program(weir, tmp_path)
    put(SLOW_START)
    weir.signal(signal.SIGUSR2)
    wait_until(lambda: "is started from" in weir.log(), "it begins", 10 * SLOW)
    pid = int(re.search(r"process (\d+) is started", weir.log())[1])
    weir.signal(number)
    assert ended(weir.process) == 0
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}/exe").exists(), "both are gone", 10 * SLOW)
    with pytest.raises(ConnectionRefusedError):
        weir.connect()
    assert not weir.socket_file().exists()


def test_other_addresses(start_weir):
    """What listen names anew, and not any more; no socket's file is left behind."""
    weir = start_weir()
    other, http = free_port(), free_port()
    with weir.connect() as stays:
        weir.write_config({"listen": [f"127.0.0.1:{weir.port}", f"127.0.0.1:{other}"],
                           "admin": {"http": f"127.0.0.1:{http}"}})
        old = weir.upgrade()
        for port in (weir.port, other):
            with wire.connect("127.0.0.1", port, "app", "app", "app") as client:
                assert client.value("SELECT 1") == "1"
        assert not weir.socket_file().exists()
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=10) as answer:
            assert answer.status == 200
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", weir.http_port))
        assert stays.value("SELECT 1") == "1"
    assert ended(old) == 0
    weir.write_config({"listen": [f"127.0.0.1:{weir.port}", f"unix:{weir.socket_dir}"]})
    for _ in range(2):  # made by the first one, inherited by the second
        assert ended(weir.upgrade()) == 0
        assert weir.socket_file().is_socket()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", other))
    with wire.connect(str(weir.socket_dir), weir.port, "app", "app", "app") as client:
        assert client.value("SELECT 1") == "1"
    weir.stop()
    assert not weir.socket_file().exists()


def test_who_has_connected_only(start_weir):
    """It belongs to the process that accepted it: that waits for its login, too."""
    weir = start_weir()
    with wire.Wire(weir.host, weir.port) as early:
        with weir.connect() as client:  # accepted behind it
            client.query("SELECT 1")
        old = weir.upgrade()
        early.startup("app", "app")
        early.authenticate("app", "app")
        assert early.value("SELECT 1") == "1"
        assert old.poll() is None
    assert ended(old) == 0


def test_the_console_is_the_new_one_s(start_weir):
    """Its sessions do not keep the old process; who asks again is told of the new one."""
    weir = start_weir()
    with weir.console() as idle, weir.connect() as stays:
        old = weir.upgrade()
        assert [got.fields()["C"] for got in idle.expect_closed() if got.type == "E"] == ["57P01"]
        assert stays.value("SELECT 1") == "1"
        assert [row["user"] for row in weir.show("CLIENTS")] == ["admin"]
    assert ended(old) == 0


def test_a_reload_is_for_both(start_weir):
    weir = start_weir()
    with weir.connect() as first:
        replaced = [weir.upgrade()]
        with weir.connect() as second:
            replaced.append(weir.upgrade())
            weir.write_config({"timeouts": {"client_idle": "300ms"}})
            with weir.console() as console:
                console.query("RELOAD")
            for client in (first, second):
                errors = [got.fields()["C"] for got in client.expect_closed() if got.type == "E"]
                assert errors == ["57P05"]
    assert [ended(process) for process in replaced] == [0, 0]
    assert weir.log().count("weir: reloaded") == 3


def test_http_answers_all_the_while(start_weir):
    """And a connection that is kept alive does not tell of the old process for ever."""
    weir = start_weir()
    kept = http.client.HTTPConnection("127.0.0.1", weir.http_port, timeout=10)
    with weir.connect() as stays:
        kept.request("GET", "/metrics")
        assert 'weir_worker_clients{worker="0"} ' in kept.getresponse().read().decode()
        done, statuses, failures = threading.Event(), [], []

        def ask():
            while not done.is_set():
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{weir.http_port}/readyz",
                                                timeout=10) as answer:
                        statuses.append(answer.status)
                except OSError as failed:
                    failures.append(failed)

        asking = threading.Thread(target=ask)
        asking.start()
        old = weir.upgrade()
        wait_until(lambda before=len(statuses): len(statuses) > before + 20 or failures, "asked",
                   20 * SLOW)
        done.set()
        asking.join()
        assert not failures and set(statuses) == {200}
        kept.sock.settimeout(10)
        assert kept.sock.recv(1) == b""
        assert stays.value("SELECT 1") == "1"
    assert ended(old) == 0


# --- weir --upgrade -------------------------------------------------------------------------------


def run_upgrade(weir, *where, **environment):
    return subprocess.run(
        [BINARY, "--upgrade", *(where or ("-c", str(weir.config_file)))], capture_output=True,
        text=True, timeout=90 * SLOW, check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **environment})


def console_string(weir, user="admin"):
    return f"host={weir.host} port={weir.port} user={user} password={user}"


@pytest.mark.parametrize("how", ["by the file", "by a connection", "on the console", "over HTTP"])
def test_by_command(start_weir, how):
    """It ends when another process serves; sessions go on. By the file it is its first
    administrator who asks, not those who stand before him and may only look."""
    weir = start_weir({**api.TOKENS, "users": {"app": {"stats": True}}})
    with weir.connect() as stays:
        stays.query("SET work_mem = '7MB'")
        old, before = weir.process, len(weir.log())
        if how == "on the console":
            with weir.console() as console:
                console.query("UPGRADE")
                said = [notice["M"] for notice in console.notices]
        elif how == "over HTTP":
            answer = api.command(weir, "UPGRADE")
            assert answer.status == 200
            said = answer.json()["notices"]
        else:
            done = run_upgrade(weir, *(() if how == "by the file" else (console_string(weir),)))
            assert (done.returncode, done.stderr) == (0, "")
            said = [done.stdout]
        number = re.search(r"process (\d+) accepts clients from now on; 1 stay here", said[0])[1]
        weir.await_upgrade(before)
        assert weir.process.pid == int(number) != old.pid
        with weir.connect() as fresh:
            assert fresh.value("SELECT 1") == "1"
        assert stays.value("SHOW work_mem") == "7MB"
    assert ended(old) == 0


def test_a_command_that_fails_says_why(start_weir):
    weir = start_weir()
    good, old = weir.config_file.read_text(), weir.process.pid
    weir.config_file.write_text("nonsense = 1\n" + good)
    done = run_upgrade(weir, console_string(weir))
    assert done.returncode == 3 and re.search("exit code 1: .*nonsense", done.stderr), done
    done = run_upgrade(weir)
    assert done.returncode == 1 and "nonsense" in done.stderr, done
    weir.config_file.write_text(good)
    done = run_upgrade(weir, console_string(weir, "watcher"))
    assert done.returncode == 3 and "permission denied" in done.stderr, done
    done = run_upgrade(weir, console_string(weir).replace("password=admin", "password=wrong"))
    assert done.returncode == 3 and "authentication failed" in done.stderr, done
    done = run_upgrade(weir, f"host=127.0.0.1 port={free_port()}")
    assert done.returncode == 3 and "refused" in done.stderr, done
    weir.config_file.write_text(good.replace("admin = true", "admin = false"))
    done = run_upgrade(weir)
    assert done.returncode == 1 and "no user has admin = true\n" in done.stderr, done
    assert run_upgrade(weir, "-c", "/nowhere/weir.toml").returncode == 1
    assert run_upgrade(weir, "-c", "x", "host=y").returncode == 2
    assert weir.process.pid == old and weir.process.poll() is None
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"
