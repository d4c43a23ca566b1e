"""Online restart: another process takes over, and no client notices."""
import os
import shutil
import signal
import threading
import time
import urllib.request

import psycopg
import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.loss import pid_of
from support.weir import BINARY


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
        client.send(wire.query("SELECT pg_sleep(60)"))
        pid_of(cluster, "pg_sleep")
        wire.cancel(weir.host, weir.port, client.pid, client.secret)
        answer = client.read_until_ready()
        assert [got.fields()["C"] for got in answer if got.type == "E"] == ["57014"]
    assert [ended(process) for process in replaced] == [0, 0]


def test_one_that_does_not_come_up_changes_nothing(start_weir):
    weir = start_weir()
    good = weir.config_file.read_text()
    for text in (good + "\n[nonesuch]\n", "this is not toml"):
        weir.config_file.write_text(text)
        weir.signal(signal.SIGUSR2)
        wait_until(lambda: "no online restart" in weir.log() and
                   any(row["kind"] == "restart" for row in weir.show("FAULTS")),
                   "it is told", 20 * SLOW)
        with weir.connect() as client:
            assert client.value("SELECT 1") == "1"
    weir.config_file.write_text(good)
    old = weir.upgrade()
    assert ended(old) == 0
    with weir.connect() as client:
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
