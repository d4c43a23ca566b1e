"""The proxy under test: started with a generated configuration, its log read at the end."""
import contextlib
import copy
import ctypes
import itertools
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg

from support import ROOT, SLOW, wire

BINARY = pathlib.Path(os.environ.get("WEIR_BIN", ROOT / "build" / "src" / "weir"))
WORKERS = int(os.environ.get("WEIR_WORKERS", "1"))
REPORTS = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|CHECK failed|"
                     r"which took over, ended")
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:detect_stack_use_after_return=1:"
                    "quarantine_size_mb=16",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=98",
    "TSAN_OPTIONS": "exitcode=97:second_deadlock_stack=1",
}


_ports = itertools.count(random.randrange(5500))


def free_port():
    """Below the range that connect() draws from; what runs beside (pytest -n 2) has others."""
    runner = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 2
    for n in _ports:
        port = 10_000 + 5500 * runner + n % 5500
        with socket.socket() as probe:
            # As servers have it: what is left of old connections does no harm.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def merged(base, changes):
    """`base` with `changes` laid over it, table by table; None removes a key."""
    result = copy.deepcopy(base)
    for key, value in (changes or {}).items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def toml(table, path=()):
    """A nested dict as TOML text."""
    scalar = {k: v for k, v in table.items() if not isinstance(v, dict)}
    lines = [f"[{'.'.join(path)}]"] if path and (scalar or not table) else []
    for key, value in scalar.items():
        lines.append(f"{toml_key(key)} = {toml_value(value)}")
    for key, value in table.items():
        if isinstance(value, dict):
            lines.append(toml(value, (*path, toml_key(key))))
    return "\n".join(lines)


def toml_key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def toml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


class Target:
    """Something that speaks the protocol at host:port; tests of transparency need no more."""

    host = "127.0.0.1"
    port = 0

    def connect(self, user="app", password=None, database="app", **options):
        """A raw wire client, logged in. The test users' passwords are their names."""
        return wire.connect(self.host, self.port, user, user if password is None else password,
                            database, **options)

    def conninfo(self, user="app", password=None, database="app", **options):
        words = {"host": self.host, "port": self.port, "user": user, "password": password or user,
                 "dbname": database, "connect_timeout": int(10 * SLOW), "sslmode": "disable",
                 "gssencmode": "disable", **options}
        return " ".join(f"{key}='{value}'" for key, value in words.items())

    def psycopg(self, autocommit=True, **options):
        return psycopg.connect(self.conninfo(**options), autocommit=autocommit)

    def environment(self, **more):
        """For programs that use libpq."""
        return {**os.environ, "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": "app",
                "PGPASSWORD": "app", "PGDATABASE": "app", "PGSSLMODE": "disable",
                "PGGSSENCMODE": "disable", **more}

    def check(self):
        """Fails when it has died or complained."""


class Successor:
    """A process that an online restart has started: our child once the old one has ended."""

    def __init__(self, pid):
        self.pid, self.code = pid, None

    def poll(self):
        if self.code is not None:
            return self.code
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            # Its parent waits for it, and would have complained: REPORTS.
            if not pathlib.Path(f"/proc/{self.pid}").exists():
                self.code = 0
        return self.code

    def wait(self, timeout=60):
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("weir", timeout)
            time.sleep(0.01)
        return self.code

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Direct(Target):
    """The primary itself: shows that a test asks for nothing that PostgreSQL does not do."""

    def __init__(self, cluster):
        self.port = cluster.ports[0]
        self.socket_dir = cluster.dir / "socket"


class Weir(Target):
    def __init__(self, cluster, config=None, workers=None, arguments=()):
        self.cluster = cluster
        self.port = self.http_port = free_port()
        while self.http_port == self.port:
            self.http_port = free_port()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-"))
        self.socket_dir = self.dir
        self.config_file, self.log_file = self.dir / "weir.toml", self.dir / "weir.log"
        self.arguments = list(arguments)
        self.config = merged(self.default_config(workers or WORKERS), config)
        self.process = None
        self.exit_code = None
        self.expect_report = False

    def default_config(self, workers):
        names = ("app", "md5", "clear", "open", "tls", "notls", "counted")
        return {
            "listen": [f"127.0.0.1:{self.port}", f"unix:{self.dir}"],
            "workers": workers,
            "clusters": {"main": {
                "hosts": [f"127.0.0.1:{port}" for port in self.cluster.ports],
                "monitor": {"user": "app", "password": "app", "database": "postgres"},
            }},
            "databases": {name: {"cluster": "main"} for name in ("app", "other", "postgres")},
            "users": {**{name: {"password": name} for name in names},
                      "admin": {"password": "admin", "admin": True},
                      "watcher": {"password": "watcher", "stats": True}},
            "admin": {"http": f"127.0.0.1:{self.http_port}"},
            "log": {"level": os.environ.get("WEIR_TEST_LOG", "info")},
        }

    # --- life ---------------------------------------------------------------------------------

    def write_config(self, changes=None):
        self.config = merged(self.config, changes)
        self.config_file.write_text(toml(self.config) + "\n")

    def start(self):
        self.write_config()
        return self.run([str(BINARY), "-c", str(self.config_file), *self.arguments])

    def run(self, command):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**SANITIZER_ENVIRONMENT, **os.environ})
        return self

    def wait_ready(self, user="app", seconds=15.0):
        """Until a client can log in and run a write-route statement."""
        deadline = time.monotonic() + seconds * SLOW
        while True:
            assert self.process.poll() is None, f"weir ended:\n{self.log()}"
            try:
                with self.connect(user) as client:
                    client.query("/* weir: primary */ SELECT 1")
                    client.terminate()
                    return self
            except (OSError, wire.Closed, wire.ServerError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def signal(self, number):
        self.process.send_signal(number)

    def upgrade(self, seconds=30.0):
        """Online restart. Answers the process that was replaced; stop() is for the new one."""
        old, before = self.process, len(self.log())
        self.signal(signal.SIGUSR2)
        self.await_upgrade(before, seconds)
        return old

    def await_upgrade(self, before=0, seconds=30.0):
        """before: how much of the log is older."""
        # PR_SET_CHILD_SUBREAPER: the new process becomes ours when its parent has ended.
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
        deadline = time.monotonic() + seconds * SLOW
        while True:
            found = re.search(r"process (\d+) accepts clients from now on", self.log()[before:])
            if found:
                self.process = Successor(int(found[1]))
                return
            if "this process has not taken over yet" in self.log()[before:]:
                before = len(self.log())
                self.signal(signal.SIGUSR2)
            assert time.monotonic() < deadline, self.log()[before:]
            time.sleep(0.01)

    def socket_file(self):
        return self.socket_dir / f".s.PGSQL.{self.port}"

    def wait_exit(self, seconds=10.0):
        self.exit_code = self.process.wait(seconds * SLOW)
        return self.exit_code

    def stop(self):
        """Ends it and says whether it lived and died well."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
        try:
            self.wait_exit()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"weir did not stop:\n{self.log()}") from None
        finally:
            self.process = None
        self.check()
        assert self.exit_code == 0, f"exit code {self.exit_code}:\n{self.log()}"

    def discard(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def restart(self):
        self.process.kill()
        self.process.wait()
        self.log_file.unlink()
        self.start().wait_ready()

    def check(self):
        found = REPORTS.search(self.log())
        assert not found, f"the log has a report:\n{self.log()[found.start() - 200:][:6000]}"
        if self.process is not None:
            assert self.process.poll() is None, f"weir died:\n{self.log()}"

    def log(self):
        if not self.log_file.exists():
            return ""
        return self.log_file.read_text(errors="replace")[-200_000:]

    # --- looking at it ------------------------------------------------------------------------

    def console(self, user="admin", database="weir"):
        return self.connect(user, database=database)

    def show(self, what):
        return self.on_console(f"SHOW {what}")

    def on_console(self, sql):
        """Its rows as dicts."""
        with self.console() as console:
            console.send(wire.query(sql))
            names, rows = [], []
            for got in console.read_until_ready():
                if got.type == "E":
                    raise wire.ServerError(got.fields())
                if got.type == "T":
                    names = [name for name, _ in got.columns()]
                elif got.type == "D":
                    rows.append(dict(zip(names, got.values())))
            return rows

    def memory_kib(self):
        """Resident memory now."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1])

    def cpu_seconds(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
