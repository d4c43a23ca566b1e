"""`weir top`: a terminal that shows what Weir does, over its console."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from support import SLOW
from support.cluster import wait_until
from support.weir import BINARY

ENVIRONMENT = {"PATH": os.environ["PATH"], "TERM": "xterm", "HOME": "/nowhere"}


class Screen:
    """Plays the terminal: keeps the latest frame as lines of text."""

    def __init__(self, arguments, rows=30, columns=120):
        self.master, slave = pty.openpty()
        self.rows, self.columns = rows, columns
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen([BINARY, "top", *arguments], stdin=slave, stdout=slave,
                                        stderr=slave, env=ENVIRONMENT, start_new_session=True)
        self.bytes = b""

    def resize(self, rows, columns, tell=True):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds=0.05):
        end = time.monotonic() + seconds
        while select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
            try:
                got = os.read(self.master, 65536)
            except OSError:
                return
            if not got:
                return
            self.bytes += got

    def raw_lines(self):
        frames = self.bytes.split(b"\x1b[H")
        # The last one may not have come whole.
        whole = frames[-1] if frames[-1].endswith(b"\x1b[J") else frames[-2]
        return whole.decode().split("\x1b[K")

    def lines(self):
        return [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("\r\n")
                for line in self.raw_lines()][:-1]

    def wait(self, pattern, seconds=10):
        def found():
            self.read()
            return self.bytes.count(b"\x1b[H") > 1 and re.search(pattern, "\n".join(self.lines()))
        wait_until(found, lambda: f"{pattern}, but " + "\n".join(self.lines()), seconds * SLOW)
        return self.lines()

    def type(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def screens():
    made = []

    def start(*arguments, **size):
        made.append(Screen(arguments, **size))
        return made[-1]
    yield start
    for screen in made:
        screen.end()


def console_of(weir):
    return weir.conninfo(user="admin", database="weir")


def test_what_it_shows(weir, screens):
    with weir.connect(application_name="reports") as client:
        client.query("SELECT pg_advisory_lock(1)")
        screen = screens(console_of(weir), "--every", "0.2")
        lines = screen.wait(r"pools \(\d+\)")
        assert len(lines) == screen.rows
        assert {len(line) for line in lines[:-1] if line} == {screen.columns}
        assert re.search(r"clients \d+ \(\d+ active, 0 waiting, 1 pinned\)", lines[0])
        hosts = {row["host"]: row for row in weir.show("HOSTS")}
        for name, row in hosts.items():
            (line,) = [line for line in lines if f"/{name} " in line]
            assert row["role"] in line and row["state"] in line
        assert re.search(r"^app +app +", "\n".join(lines), re.M)
        screen.type("n")
        pins = screen.wait(r"pins \(1\)")
        assert re.search(r"app +app +reports +advisory lock", "\n".join(pins))
        screen.type("c")
        assert "reports" in "\n".join(screen.wait(r"clients \(\d+\)\s"))
        for key, name in (("w", "waits"), ("f", "faults"), ("p", "pools"), ("s", "statements")):
            screen.type(key)
            screen.wait(rf"{name} \(\d+\)")
        for n in range(300):
            client.query(f"SELECT {n} AS counted")
        lines = screen.wait(r"[1-9]\d*\.\d .*select \$ as counted")
        screen.wait(r"queries/s [1-9]")
        screen.type("q")
        assert screen.process.wait(10) == 0
        assert screen.bytes.count(b"\x1b[?1049h") == 1
        screen.read(0.2)
        assert screen.bytes.endswith(b"\x1b[?25h\x1b[?1049l")
        assert termios.tcgetattr(screen.slave) == screen.before


def test_rates_are_of_what_happens_now(weir, screens):
    screen = screens(console_of(weir), "--every", "0.5")
    screen.wait("queries/s 0")
    with weir.connect() as client:
        end = time.monotonic() + 2
        count = 0
        while time.monotonic() < end:
            client.query("SELECT 1")
            count += 1
    screen.read(0.1)
    rates = [int(n) for n in re.findall(rb"queries/s (\d+)", screen.bytes)]
    assert max(rates) > count / 2 / 3
    assert max(rates) < count / 2 * 3
    screen.wait("queries/s 0", 5)


def test_keys_and_sizes(weir, screens):
    clients = [weir.connect(application_name=f"app_{n:02}") for n in range(40)]
    screen = screens(console_of(weir), "--every", "0.2", rows=24, columns=100)
    screen.wait("pools")
    screen.type("c")
    screen.wait(r"clients \(4\d\)")

    def order():
        screen.read(0.5)
        return re.findall(r"app_(\d\d)", "\n".join(screen.lines()))
    screen.type("<<<")  # application
    wait_until(lambda: order() and order() == sorted(order(), reverse=True), "downwards", 5 * SLOW)
    screen.type("r")
    wait_until(lambda: order() and order() == sorted(order()) and order()[0] == "00",
               "upwards", 5 * SLOW)
    first = order()[0]
    screen.type("\x1b[B\x1b[B\x1b[6~")
    wait_until(lambda: order() and order()[0] > first, "scrolled", 5 * SLOW)
    for rows, columns in ((10, 40), (50, 200), (3, 10), (1, 1), (24, 100)):
        screen.resize(rows, columns)
        def fits():
            screen.read(0.1)
            lines = screen.lines()
            return len(lines) == rows and all(len(line) <= columns for line in lines[:-1])
        wait_until(fits, f"{rows} rows of {columns}", 5 * SLOW)
    screen.type(" ")
    screen.wait("held")
    at = len(screen.bytes)
    screen.read(1)
    assert screen.bytes[at:].count(b"\x1b[H") <= 1
    screen.type("\x1b[99;99zq")  # what means nothing, then the end
    assert screen.process.wait(10) == 0
    for client in clients:
        client.terminate()


def test_a_killed_host_and_a_lost_console(start_weir, cluster, screens):
    weir = start_weir()
    screen = screens(console_of(weir), "--every", "0.2")
    screen.wait(r" up ")
    with cluster.killed(1):
        lines = screen.wait(r" down ", 10)
        (line,) = [raw for raw in screen.raw_lines() if " down " in raw]
        assert "\x1b[31m" in line
        assert len(lines) == screen.rows
    screen.wait(r"(?s)^(?!.* down )")
    weir.stop()
    screen.wait("refused|closed|terminat", 10)
    assert screen.process.poll() is None
    screen.type("q")
    assert screen.process.wait(10) == 0


def test_hostile_names(weir, screens):
    names = ["\x1b]0;title\x07", "a\u202eb", "x" * 60]
    clients = [weir.connect(application_name=name) for name in names]
    with weir.connect() as client:
        client.query('SELECT 1 AS "\x1b[2J\u202e"')
    screen = screens(console_of(weir), "--every", "0.2")
    screen.wait("pools")
    for key in "cs":
        screen.type(key)
        screen.wait("clients \\(|statements \\(")
        screen.read(0.5)
    left = re.sub(rb"\x1b\[(H|K|J|\?1049h|\?25l|[0-9;]*m)", b"", screen.bytes)
    assert b"\x1b" not in left and b"\x07" not in left and "\u202e".encode() not in left
    for client in clients:
        client.terminate()


def run(*arguments, **more):
    return subprocess.run([BINARY, "top", *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30 * SLOW,
                          env={**ENVIRONMENT, **more}, check=False)


def test_without_a_terminal(weir):
    done = run(console_of(weir), "--frames", "2", "--every", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("weir top") == 2 and "\x1b" not in done.stdout
    assert "pools (" in done.stdout
    done = run("-c", weir.config_file, "--frames", "1")
    assert done.returncode == 0 and "pools (" in done.stdout, done.stderr
    done = run("host=127.0.0.1 port=1", "--frames", "1")
    assert done.returncode == 3 and done.stderr.startswith("weir: ") and "refused" in done.stderr
    done = run(weir.conninfo(user="app", database="weir"), "--frames", "1")
    assert done.returncode == 3 and "may not use the admin console" in done.stderr


@pytest.mark.parametrize("arguments, problem", [
    (["--every", "0"], "--every"), (["--every", "x"], "--every"), (["--frames", "0"], "--frames"),
    (["a=b", "c=d"], "more than one"), (["-c", "x.toml", "host=a"], "both"),
    (["nonsense=1"], "nonsense")])
def test_usage(arguments, problem):
    done = run(*arguments)
    assert done.returncode in (2, 3) and problem in done.stderr
