"""Where log lines go, and that nobody waits for them."""
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from support import SLOW
from support.cluster import wait_until
from support.weir import BINARY


class Collector:
    """Plays syslogd or journald."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.got = []

    def receive(self):
        while select.select([self.socket], [], [], 0)[0]:
            self.got.append(self.socket.recv(65536).decode())
        return self.got

    def wait(self, pattern):
        wait_until(lambda: any(re.search(pattern, one, re.S) for one in self.receive()),
                   pattern, 10 * SLOW)

    def close(self):
        self.socket.close()
        os.unlink(self.path)


def refuse_reload(weir, times=1):
    """An error line for each."""
    weir.config_file.write_text("workerz = 1\n")
    for _ in range(times):
        weir.signal(signal.SIGHUP)
        time.sleep(0.02)


def test_syslog(start_weir, tmp_path):
    daemon = Collector(tmp_path / "log")
    weir = start_weir({"log": {"output": "syslog", "socket": daemon.path, "ident": "proxy",
                               "facility": "local3"}})
    stamp = r"\w{3} [ \d]\d \d\d:\d\d:\d\d"
    # local3 is 19, info 6, error 3 (RFC 5424).
    daemon.wait(rf"^<{19 * 8 + 6}>{stamp} proxy\[{weir.process.pid}\]: weir: up with")
    refuse_reload(weir)
    daemon.wait(rf"^<{19 * 8 + 3}>{stamp} proxy\[\d+\]: weir: reload refused: .*workerz")
    assert not any("\n" in one for one in daemon.got)
    assert weir.log() == ""
    # Who is restarted has another socket; what comes meanwhile is not lost.
    daemon.close()
    refuse_reload(weir)
    wait_until(lambda: "reload refused" in weir.log(), "on standard error", 5 * SLOW)
    daemon = Collector(tmp_path / "log")
    refuse_reload(weir)
    daemon.wait("reload refused")
    daemon.close()


def test_journald(start_weir, tmp_path):
    daemon = Collector(tmp_path / "journal")
    weir = start_weir({"log": {"output": "journald", "socket": daemon.path}})
    daemon.wait("^PRIORITY=6\nSYSLOG_IDENTIFIER=weir\nMESSAGE=weir: up with .*\n$")
    refuse_reload(weir)
    daemon.wait("^PRIORITY=3\n.*\nMESSAGE=weir: reload refused: .*\n$")
    assert all(one.count("\n") == 3 for one in daemon.got)  # nobody can add a field
    daemon.close()


def test_nobody_there(start_weir, tmp_path):
    weir = start_weir({"log": {"output": "syslog", "socket": str(tmp_path / "nobody")}})
    wait_until(lambda: "takes no log lines, standard error is used" in weir.log(), "said", 5 * SLOW)
    assert "weir: up with" in weir.log()


def test_a_file_or_another_output(start_weir, tmp_path):
    weir = start_weir()
    done = subprocess.run([BINARY, "--check", "-c", weir.config_file, "--set", "log.output=syslog",
                           "--set", f"log.file={tmp_path}/x"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1 and "log.file: expected no file" in done.stderr


def test_a_log_that_hangs_holds_nobody_up(start_weir, tmp_path):
    """The file is a pipe that nobody reads: not even opening it ends."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    weir = start_weir({"log": {"file": str(pipe), "level": "trace", "queue_bytes": "64kB",
                               "connections": True}})

    def work(count):
        begun = time.monotonic()
        for _ in range(count):
            with weir.connect() as client:
                assert client.value("SELECT 1") == "1"
        return time.monotonic() - begun
    work(500)
    got = []

    def read():
        with open(pipe, encoding="utf-8") as lines:
            got.extend(lines)
    reader = threading.Thread(target=read)
    reader.start()
    wait_until(lambda: any("log lines were dropped" in line for line in got), "told", 10 * SLOW)
    kept = sum(len(line) for line in got)
    dropped = [int(found[1]) for line in got
               if (found := re.search(r"weir: (\d+) log lines were dropped", line))]
    assert kept <= 70_000 and sum(dropped) > 0 and "up with" in "".join(got)
    weir.stop()
    reader.join()
    assert "weir: stopped" in got[-1]


def test_the_end_does_not_wait_for_a_log_that_hangs(start_weir, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    weir = start_weir({"log": {"file": str(tmp_path / "pipe")}})
    begun = time.monotonic()
    weir.signal(signal.SIGTERM)
    assert weir.wait_exit() == 0
    assert time.monotonic() - begun < 4 * SLOW


@pytest.mark.parametrize("limit", [20, 0])
def test_repeats_are_counted(start_weir, limit):
    weir = start_weir({"log": {"repeats": limit}})
    refuse_reload(weir, 60)
    weir.stop()
    lines = [line for line in weir.log().splitlines() if "reload refused" in line]
    told = [re.search(r"(\d+) more within 10 s, but for numbers: weir: reload refused", line)
            for line in lines]
    more = sum(int(found[1]) for found in told if found)
    whole = sum(found is None for found in told)
    # Signals that come in a row are one.
    assert 40 < whole + more <= 60
    assert whole <= 20 and more > 0 if limit else more == 0


def test_what_is_told_once_is_not_held_back(start_weir):
    """Lines of log-ins are no warnings: all are there."""
    weir = start_weir({"log": {"connections": True}})
    for _ in range(30):
        with weir.connect("watcher", database="weir"):
            pass
    wait_until(lambda: len(re.findall("watcher.*: logged in", weir.log())) == 30, "all log-ins",
               5 * SLOW)


def test_a_level_for_one_database(start_weir):
    """By file and at run time; what concerns no database goes by the general one."""
    weir = start_weir({"log": {"level": "warn", "connections": True},
                       "databases": {"app": {"log_level": "info"},
                                     "other": {"cluster": "main", "dbname": "app"}}})

    def logged_in(database):
        def lines():
            return len(re.findall(f" {database}/.*logged in", weir.log()))
        before = lines()
        with weir.connect(database=database) as client:
            client.query("SELECT 1")
            time.sleep(0.2)
            return lines() > before

    assert logged_in("app")
    assert not logged_in("other")
    assert "up with" not in weir.log()
    with weir.console() as console:
        console.query("SET databases.other.log_level = debug")
        console.query("SET databases.app.log_level = error")
    assert logged_in("other")
    assert not logged_in("app")
    wait_until(lambda: re.search("other/.*closed", weir.log()), "debug lines", 5 * SLOW)
    with weir.console() as console:
        console.query("RESET databases.app.log_level")
    assert logged_in("app")
