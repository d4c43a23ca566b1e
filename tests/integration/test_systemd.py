"""As a service of systemd, whose part the tests play: notifications, inherited sockets, units."""
import ctypes
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

import psycopg
import pytest

from support import ROOT, SLOW, wire
from support.weir import BINARY, Weir, free_port

# Becomes the program with the given files as 3, 4, ... and LISTEN_PID its own, as systemd does it.
ACTIVATE = """
import fcntl, os, sys
files = [int(word) for word in sys.argv[1].split(",")]
copies = [fcntl.fcntl(file, fcntl.F_DUPFD, 100) for file in files]
for file in files:
    os.close(file)
for number, file in enumerate(copies, 3):
    os.dup2(file, number)
    os.close(file)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(files)),
                  LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class Systemd:
    """Receives what sd_notify(3) sends."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.name = address.replace("\0", "@")
        self.told = []  # (when, {name: value})

    def receive(self, seconds):
        if not select.select([self.socket], [], [], max(seconds, 0))[0]:
            return None
        lines = self.socket.recv(65536).decode().split("\n")
        words = dict(line.split("=", 1) for line in lines)
        self.told.append((time.monotonic(), words))
        return words

    def wait(self, name, seconds=10.0, like=""):
        """The next message that says `name`, with a value that has `like`."""
        deadline = time.monotonic() + seconds * SLOW
        while time.monotonic() < deadline:
            words = self.receive(deadline - time.monotonic())
            if words and name in words and like in words[name]:
                return words
        raise AssertionError(f"no {name} {like}: {self.told}")

    def heard(self, name):
        while self.receive(0):
            pass
        return [words[name] for _, words in self.told if name in words]


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    made = Systemd(str(tmp_path / "notify") if request.param == "path" else f"\0weir-{os.getpid()}")
    yield made
    made.socket.close()


@pytest.fixture
def service(cluster, start_weir):
    """Starts weir with an environment of its own, and inherited sockets: service({...}, files)."""
    started = []

    def start(environment=(), config=None, files=(), names="", workers=None):
        proxy = Weir(cluster, config, workers)
        started.append(proxy)
        proxy.write_config()
        command = [str(BINARY), "-c", str(proxy.config_file)]
        if files:
            numbers = ",".join(str(file.fileno()) for file in files)
            command = [sys.executable, "-c", ACTIVATE, numbers, names, *command]
        words = [f"{name}={value}" for name, value in dict(environment).items()]
        with open(proxy.log_file, "ab") as log:
            proxy.process = subprocess.Popen(["env", *words, *command], stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log,
                                             pass_fds=[file.fileno() for file in files])
        return proxy

    yield start
    for proxy in started:
        proxy.discard()


# --- notifications --------------------------------------------------------------------------------


def test_a_life_is_told(service, systemd, cluster):
    weir = service({"NOTIFY_SOCKET": systemd.name})
    systemd.wait("READY")
    with weir.connect() as client:  # at once: it listens and knows the primary
        port = client.value("/* weir: primary */ SELECT inet_server_port()")
        assert port == str(cluster.ports[0])
        status = systemd.wait("STATUS", like="1 client;")["STATUS"]
        assert f"main: primary 127.0.0.1:{cluster.ports[0]}, 2 of 2 replicas read" in status

        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        weir.signal(signal.SIGHUP)
        reloading = systemd.wait("RELOADING")
        assert reloading["RELOADING"] == "1"
        assert before <= int(reloading["MONOTONIC_USEC"]) / 1e6 <= time.clock_gettime(
            time.CLOCK_MONOTONIC)
        assert systemd.wait("READY")["READY"] == "1"

        client.query("BEGIN")
        weir.signal(signal.SIGTERM)
        assert systemd.wait("STOPPING")["STOPPING"] == "1"
        systemd.wait("STATUS", like="draining")
        assert weir.process.poll() is None
        client.query("COMMIT")
    assert weir.wait_exit() == 0
    assert systemd.heard("STOPPING") == ["1"] and systemd.heard("READY") == ["1", "1"]
    assert systemd.heard("WATCHDOG") == []  # nobody has asked for it


def test_the_console_s_reload_and_a_refused_one(service, systemd):
    weir = service({"NOTIFY_SOCKET": systemd.name})
    systemd.wait("READY")
    with weir.console() as console:
        console.query("RELOAD")
    systemd.wait("RELOADING")
    systemd.wait("READY")
    weir.config_file.write_text("workerz = 1\n")
    weir.signal(signal.SIGHUP)
    systemd.wait("RELOADING")
    systemd.wait("READY")  # it serves on, with what it had
    systemd.wait("STATUS", like="refused")
    weir.write_config()
    weir.signal(signal.SIGHUP)
    systemd.wait("RELOADING")
    assert "refused" not in systemd.wait("STATUS", like="client")["STATUS"]


def test_an_online_restart_is_told(service, systemd):
    """Who is the main process, by the old one; only then the new one speaks."""
    weir = service({"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "600000"})
    systemd.wait("READY")
    told = len(systemd.told)
    with weir.connect() as stays:
        old = weir.upgrade()
        assert systemd.wait("MAINPID")["MAINPID"] == str(weir.process.pid)
        assert not any("READY" in words for _, words in systemd.told[told:])
        by_new = len(systemd.told)
        assert systemd.wait("READY")["READY"] == "1"
        for _ in range(3):
            systemd.wait("WATCHDOG")
        states = [words["STATUS"] for _, words in systemd.told[by_new:] if "STATUS" in words]
        assert states and all(state.startswith("0 clients") for state in states)
        assert stays.value("SELECT 1") == "1"
    assert old.wait(10 * SLOW) == 0
    assert systemd.heard("STOPPING") == [] and len(systemd.heard("MAINPID")) == 1
    weir.signal(signal.SIGHUP)
    systemd.wait("RELOADING")
    systemd.wait("READY")
    weir.signal(signal.SIGTERM)
    systemd.wait("STOPPING")
    assert weir.wait_exit() == 0


def test_an_interrupt_is_told(service, systemd):
    weir = service({"NOTIFY_SOCKET": systemd.name})
    systemd.wait("READY")
    weir.signal(signal.SIGINT)
    systemd.wait("STOPPING")
    assert weir.wait_exit() == 0


def test_ready_waits_for_a_primary_but_not_for_ever(service, tmp_path):
    systemd = Systemd(str(tmp_path / "notify"))
    begun = time.monotonic()
    weir = service({"NOTIFY_SOCKET": systemd.name},
                   {"clusters": {"main": {"hosts": [f"127.0.0.1:{free_port()}"]}}})
    systemd.wait("STATUS", like="no primary")
    weir.signal(signal.SIGHUP)
    systemd.wait("READY", 15)
    assert time.monotonic() - begun > 9.5
    # A reload before that says nothing: its end would be taken for the beginning of service.
    assert systemd.heard("RELOADING") == []
    systemd.socket.close()


def test_a_full_queue_holds_nothing_up(service, tmp_path):
    """Who does not read loses nothing but STATUS; nothing waits for him."""
    systemd = Systemd(str(tmp_path / "notify"))
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    filler.setblocking(False)
    filler.connect(str(tmp_path / "notify"))
    try:
        while True:
            filler.send(b"FILLER=1")
    except BlockingIOError:
        pass
    weir = service({"NOTIFY_SOCKET": systemd.name}).wait_ready()
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"
    assert systemd.heard("READY") == []
    systemd.wait("READY")
    weir.signal(signal.SIGTERM)
    systemd.wait("STOPPING")
    filler.close()
    systemd.socket.close()


# --- watchdog -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pid", ["ours", "other"])
def test_watchdog(service, systemd, pid):
    environment = {"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "900000"}
    if pid == "other":
        environment["WATCHDOG_PID"] = "1"
    service(environment)
    systemd.wait("READY")
    time.sleep(2 * SLOW)
    count = len(systemd.heard("WATCHDOG"))
    assert count >= 3 if pid == "ours" else count == 0


class Stopped:
    """One thread of a process that makes no progress, while all others do."""

    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000  # ptrace(2), waitpid(2)

    def __init__(self, thread):
        self.thread = thread

    def ptrace(self, request):
        call = ctypes.CDLL(None, use_errno=True).ptrace
        call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if call(request, self.thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.ptrace(self.SEIZE)
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)

    def __exit__(self, *_):
        self.ptrace(self.DETACH)


def test_no_sign_of_life_while_a_worker_hangs(service, tmp_path):
    systemd = Systemd(str(tmp_path / "notify"))
    weir = service({"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "600000"}, workers=2)
    weir.wait_ready()
    systemd.wait("WATCHDOG")
    threads = [int(name) for name in os.listdir(f"/proc/{weir.process.pid}/task")]
    found = None
    with weir.connect() as client:  # found by that: its worker does not answer
        for thread in set(threads) - {weir.process.pid}:
            with Stopped(thread):
                client.send(wire.query("SELECT 1"))
                if not select.select([client.socket], [], [], 0.5 * SLOW)[0]:
                    systemd.heard("WATCHDOG")
                    found = thread
                    count = len(systemd.heard("WATCHDOG"))
                    time.sleep(1.5)
                    assert len(systemd.heard("WATCHDOG")) == count
            client.read_until_ready()
            if found:
                break
    assert found, "no thread serves this client"
    systemd.wait("WATCHDOG")
    assert "a worker does not answer" in weir.log()
    systemd.socket.close()


# --- inherited sockets ----------------------------------------------------------------------------


def listening(family, address, **options):
    made = socket.create_server(address, family=family, **options) if family != socket.AF_UNIX \
        else socket.socket(family)
    if family == socket.AF_UNIX:
        made.bind(address)
        made.listen()
    return made


def login(host, port):
    with psycopg.connect(f"host={host} port={port} user=app password=app dbname=app sslmode=disable"
                         f" connect_timeout={int(10 * SLOW)}") as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_sockets_are_taken_over(service, tmp_path):
    """TCP and Unix; a client that came before the start is served; the files are not removed."""
    tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    path = tmp_path / f".s.PGSQL.{port}"
    unix = listening(socket.AF_UNIX, str(path))
    early = socket.create_connection(("127.0.0.1", port))
    early.sendall(bytes.fromhex("0000000804d2162f"))  # SSLRequest
    bound = free_port()
    listen = [f"127.0.0.1:{port}", f"unix:{tmp_path}", f"127.0.0.1:{bound}"]
    weir = service(config={"listen": listen}, files=[tcp, unix], names="tcp:unix")
    weir.port = bound
    weir.wait_ready()
    early.settimeout(10 * SLOW)
    assert early.recv(1) == b"N"
    for host, number in (("127.0.0.1", port), (tmp_path, port), ("127.0.0.1", bound)):
        assert login(host, number)
    log = weir.log()
    assert log.count("inherited the socket of") == 2 and f":{bound}\n" not in log
    # Whoever comes while it is restarted waits, and is not refused.
    weir.signal(signal.SIGTERM)
    assert weir.wait_exit() == 0
    weir.process = None
    assert path.exists()
    waiting = socket.create_connection(("127.0.0.1", port))
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", bound))
    for file in (waiting, early, tcp, unix):
        file.close()


def test_what_systemd_made_outlives_online_restarts(service, tmp_path):
    """The file of its Unix socket, too: that is not ours to remove."""
    tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    path = tmp_path / f".s.PGSQL.{port}"
    unix = listening(socket.AF_UNIX, str(path))
    weir = service(config={"listen": [f"127.0.0.1:{port}", f"unix:{tmp_path}"]},
                   files=[tcp, unix], names="tcp:unix")
    weir.port = port
    weir.wait_ready()
    for _ in range(2):
        assert weir.upgrade().wait(10 * SLOW) == 0
        assert login("127.0.0.1", port) and login(str(tmp_path), port)
    weir.stop()
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(str(path))  # whom the next start would serve


@pytest.mark.parametrize("listen", [["*"], ["0.0.0.0"], ["[::]"]])
def test_a_socket_for_both_kinds_of_addresses(service, listen):
    """ListenStream=6432 makes one socket for IPv6 and IPv4."""
    both = listening(socket.AF_INET6, ("::", 0), dualstack_ipv6=True)
    port = both.getsockname()[1]
    weir = service(config={"listen": [f"{host}:{port}" for host in listen]}, files=[both])
    weir.port = port
    weir.wait_ready()
    assert login("127.0.0.1", port) and login("::1", port)
    assert weir.log().count("inherited the socket of") == 1
    both.close()


def test_sockets_that_fit_nothing(service, tmp_path):
    other = listening(socket.AF_INET, ("127.0.0.1", 0))
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    mute = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # does not listen
    weir = service(files=[other, datagram, mute, open(tmp_path / "file", "wb")],
                   names="spare:datagram").wait_ready()
    log = weir.log()
    assert f'inherited socket 127.0.0.1 port {other.getsockname()[1]} "spare" is no address' in log
    assert log.count("is no listening stream socket") == 3
    # Those are closed: only what it opened itself is left of sockets that listen.
    listed = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in listed.splitlines() if f"pid={weir.process.pid}," in line]
    assert not any(f":{other.getsockname()[1]} " in line for line in ours)


@pytest.mark.parametrize("environment", [
    {"LISTEN_PID": "1", "LISTEN_FDS": "1"},  # meant for another process
    {"LISTEN_PID": "x", "LISTEN_FDS": "1"},
    {"LISTEN_FDS": "1"},
])
def test_an_environment_that_is_not_ours(service, environment):
    weir = service(environment).wait_ready()
    assert "inherited" not in weir.log()


@pytest.mark.parametrize("count", ["-1", "x", "", "99999999999999999999", "1000000"])
def test_odd_numbers_of_files(service, count):
    weir = service().wait_ready()
    weir.stop()
    shell = f"LISTEN_PID=$$ LISTEN_FDS='{count}' exec {BINARY} -c {weir.config_file}"
    weir.run(["sh", "-c", shell]).wait_ready()
    assert "inherited the socket" not in weir.log()


# --- the units ------------------------------------------------------------------------------------


def unit(name, to):
    """The unit as it is installed, with this binary."""
    text = (ROOT / "config" / f"{name}.in").read_text() if name.endswith("service") else \
        (ROOT / "config" / name).read_text()
    text = text.replace("@bindir@/weir", str(pathlib.Path(BINARY).resolve()))
    path = to / name
    path.write_text(text)
    return path


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_units_are_valid(tmp_path):
    service_file, socket_file = unit("weir.service", tmp_path), unit("weir.socket", tmp_path)
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", service_file, socket_file],
                             capture_output=True, text=True, check=False)
    complaints = [line for line in checked.stderr.splitlines() if "weir" in line]
    assert checked.returncode == 0 and complaints == [], checked.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_is_hardened(tmp_path):
    judged = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                             unit("weir.service", tmp_path)], capture_output=True, text=True,
                            check=False)
    level = re.search(r"Overall exposure level for weir.service: ([\d.]+)", judged.stdout)
    assert level and float(level[1]) < 2, judged.stdout + judged.stderr
