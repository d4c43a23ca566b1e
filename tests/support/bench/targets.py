"""PostgreSQL itself and the proxies in front of it, each with one worker or thread."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import support.weir
from support import PG_BIN, wire
from support.bench.calls import Calls
from support.cluster import running_cluster, wait_until
from support.pgbouncer import running_pgbouncer, version
from support.weir import free_port, merged, toml

NAMES = ("direct", "weir", "pgbouncer", "haproxy")
POOL = 20
CLIENTS_MAX = 20000
# 500 clients of PostgreSQL, as many of HAProxy, and as many of PgBouncer in session mode.
SERVERS_MAX = 1800


class Target(support.weir.Target):
    """Something that speaks the protocol, and the process that does (0: not ours to measure)."""

    def __init__(self, name, port, pid=0, host="127.0.0.1", pools=True, calls=None):
        self.name, self.host, self.port, self.pid = name, host, int(port), int(pid)
        self.calls = calls  # None: its system calls are not counted
        self.pools = pools  # False: each client takes a server connection for itself

    def cpu_us(self):
        """Of all threads, user and system; 0 of what is not ours to measure."""
        if not self.pid:
            return 0
        tasks = pathlib.Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000

    def call_count(self):
        """So far; None where they are not counted."""
        return self.calls.count() if self.calls else None

    def memory_kib(self):
        """Of its own: without the pages of files, which come and go."""
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss_Anon:\s+(\d+)", text, re.M)[1])

    def sleeps(self):
        """How often its threads have given up the CPU by themselves: all, and Weir's workers."""
        every, workers = 0, 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            text = (task / "status").read_text()
            count = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])
            every += count
            if (task / "comm").read_text().startswith("worker"):
                workers += count
        return every, workers

    def run(self, *statements):
        with self.connect() as client:
            client.socket.settimeout(600)  # tables are filled
            for statement in statements:
                client.query(statement)


@contextlib.contextmanager
def process(command, log, environment):
    with open(log, "wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                 env={**os.environ, **environment})
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_for(target, child, log):
    def answers():
        assert child.poll() is None, pathlib.Path(log).read_text()
        try:
            with target.connect() as client:
                return client.value("SELECT 1") == "1"
        except (OSError, wire.Closed, wire.ServerError):
            return False
    wait_until(answers, f"{target.name} answers", 20)
    return target


@contextlib.contextmanager
def weir(binary, server_ports, settings=None, name="weir"):
    with tempfile.TemporaryDirectory() as made:
        config, log = pathlib.Path(made) / "weir.toml", pathlib.Path(made) / "log"
        port = free_port()
        config.write_text(toml(merged({
            "listen": [f"127.0.0.1:{port}"], "workers": 1,
            "pool": {"size": POOL}, "limits": {"clients": CLIENTS_MAX},
            "routing": {"split_reads": False},
            "clusters": {"main": {"hosts": [f"127.0.0.1:{number}" for number in server_ports]}},
            "users": {"app": {"password": "app", "stats": True}}}, settings)))
        calls = Calls()
        with process([binary, "-c", config], log, calls.environment) as child:
            yield wait_for(Target(name, port, child.pid, calls=calls), child, log)


@contextlib.contextmanager
def pgbouncer(server_port, prepared=False, **settings):
    """prepared: clients will prepare statements, which takes 1.21 or a session for each."""
    if in_session_mode(prepared):
        settings.update(pool_mode="session", default_pool_size=CLIENTS_MAX)
    elif prepared:
        settings.update(max_prepared_statements=200)
    calls = Calls()
    with running_pgbouncer(server_port, calls.environment,
                           **{"default_pool_size": POOL, "max_client_conn": CLIENTS_MAX,
                              **settings}) as proxy:
        yield Target("pgbouncer", proxy.port, proxy.pid, pools=not in_session_mode(prepared),
                     calls=calls)


def in_session_mode(prepared):
    """Prepared statements in transaction mode came with 1.21; Debian 12 has 1.18."""
    return prepared and version() < (1, 21)


@contextlib.contextmanager
def haproxy(server_ports):
    """In TCP mode: it knows nothing of PostgreSQL, so each client has a server connection."""
    with tempfile.TemporaryDirectory() as made:
        config, log = pathlib.Path(made) / "haproxy.cfg", pathlib.Path(made) / "log"
        port = free_port()
        servers = "\n".join(f"  server host{number} 127.0.0.1:{number} check inter 1s"
                            for number in server_ports)
        config.write_text(f"""
global
  nbthread 1
  maxconn {SERVERS_MAX}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout check 1s
listen postgresql
  bind 127.0.0.1:{port}
  balance leastconn
  option pgsql-check user app
{servers}
""")
        calls = Calls()
        command = ["/usr/sbin/haproxy", "-db", "-f", config]
        with process(command, log, calls.environment) as child:
            target = Target("haproxy", port, child.pid, pools=False, calls=calls)
            yield wait_for(target, child, log)


@contextlib.contextmanager
def contenders(plan, prepared=False):
    """All that were asked for, in front of the plan's database, Weir without splitting reads: so
    all do the same work."""
    port = plan.database_port
    make = {"direct": lambda: contextlib.nullcontext(Target("direct", port, pools=False)),
            "weir": lambda: weir(plan.binary, [port]),
            "pgbouncer": lambda: pgbouncer(port, prepared),
            "haproxy": lambda: haproxy([port])}
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(make[name]()) for name in plan.only or NAMES] + \
            list(plan.others)


@contextlib.contextmanager
def database(port):
    """The port of a PostgreSQL with pgbench's tables: this one, or one that is started."""
    if port:
        yield port
        return
    with running_cluster(0) as cluster:
        cluster.sql(0, f"ALTER SYSTEM SET max_connections = {SERVERS_MAX}")
        cluster.command("stop", 0)
        cluster.command("start", 0)
        make_tables(cluster)
        yield cluster.ports[0]


def make_tables(cluster):
    subprocess.run([PG_BIN / "pgbench", "-i", "-q", "-s", "10"], check=True, capture_output=True,
                   env=Target("direct", cluster.ports[0]).environment())
    cluster.wait_replayed()


def certificate(directory):
    """The files of a certificate for localhost and of its key, signed by itself."""
    files = directory / "proxy.crt", directory / "proxy.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-out", files[0], "-keyout", files[1]], check=True,
                   capture_output=True)
    directory.chmod(0o755)  # PgBouncer runs as somebody else than root
    files[1].chmod(0o644)
    return files
