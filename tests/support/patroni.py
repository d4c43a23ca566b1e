"""A cluster that Patroni runs: three members, which agree among themselves by Raft."""
import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from support import PG_BIN, SLOW, wire
from support.cluster import claim_ports, wait_until

OWNER = "postgres"  # PostgreSQL refuses to run as root
UP_S = 120


class Patroni:
    def __init__(self, directory, count=3):
        self.dir = directory
        # Of each: PostgreSQL, the REST API, Raft.
        base, self.claim = claim_ports(3 * count)
        self.ports = range(base, base + count)
        self.rest = range(base + count, base + 2 * count)
        self.raft = range(base + 2 * count, base + 3 * count)
        self.processes = {}

    def url(self, number):
        return f"http://127.0.0.1:{self.rest[number]}"

    def name(self, number):
        return f"pg{number}"

    def start(self, number, **tags):
        home = self.dir / self.name(number)
        home.mkdir(exist_ok=True)
        address = lambda ports, n=number: f"127.0.0.1:{ports[n]}"
        login = {"username": OWNER, "password": "secret"}
        config = {
            "scope": "weir", "name": self.name(number), "tags": tags,
            "log": {"level": "INFO"},
            "restapi": {"listen": address(self.rest), "connect_address": address(self.rest)},
            "raft": {"data_dir": str(home / "raft"), "self_addr": address(self.raft),
                     "partner_addrs": [address(self.raft, n) for n in range(len(self.raft))
                                       if n != number]},
            "bootstrap": {
                "dcs": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "postgresql": {
                    "use_pg_rewind": True,
                    "parameters": {"wal_log_hints": "on", "hot_standby": "on", "fsync": "off",
                                   "max_connections": 60, "wal_retrieve_retry_interval": "200ms"}}},
                "initdb": [{"encoding": "UTF8"}, "no-sync", {"auth-host": "scram-sha-256"}],
                "pg_hba": ["host all all 127.0.0.1/32 scram-sha-256",
                           "host replication all 127.0.0.1/32 scram-sha-256"],
                "users": {"app": {"password": "app", "options": ["createdb"]}}},
            "postgresql": {
                "listen": address(self.ports), "connect_address": address(self.ports),
                "data_dir": str(home / "data"), "bin_dir": str(PG_BIN),
                "pgpass": str(home / "pgpass"),
                "authentication": {"superuser": login, "replication": login},
                "parameters": {"unix_socket_directories": str(home)}}}
        (home / "patroni.json").write_text(json.dumps(config))
        for path in (home, home / "patroni.json"):
            shutil.chown(path, OWNER, OWNER)
        with open(home / "log", "ab") as log:
            self.processes[number] = subprocess.Popen(
                ["patroni", str(home / "patroni.json")], stdout=log, stderr=log, user=OWNER,
                group=OWNER, extra_groups=[], cwd=home, start_new_session=True)

    def stop(self, number):
        """It takes its PostgreSQL along."""
        process = self.processes.pop(number)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30 * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, number):
        """Without a word: PostgreSQL, too."""
        pid = (self.dir / self.name(number) / "data" / "postmaster.pid").read_text().split()[0]
        self.processes[number].kill()
        subprocess.run(["kill", "-9", pid], check=True)
        self.processes.pop(number).wait()

    def members(self, asked=None):
        """By name; of whoever answers first."""
        for number in [asked] if asked is not None else list(self.processes):
            with contextlib.suppress(OSError, ValueError):
                with urllib.request.urlopen(self.url(number) + "/cluster", timeout=5) as answer:
                    return {one["name"]: one for one in json.load(answer)["members"]}
        return {}

    def leader(self):
        for name, member in self.members().items():
            if member["role"] == "leader" and member["state"] == "running":
                return int(name.removeprefix("pg"))
        return None

    def wait_streaming(self, *numbers):
        def streams():
            members = self.members()
            states = [members.get(self.name(n), {}).get("state") for n in numbers]
            return self.leader() is not None and set(states) <= {"running", "streaming"}
        wait_until(streams, lambda: f"{numbers} run: {self.members()}, {self.logs()}",
                   UP_S * SLOW, every=0.2)

    def order(self, path, **body):
        """To the REST API of the leader."""
        request = urllib.request.Request(
            self.url(self.leader()) + path, json.dumps(body).encode(),
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def sql(self, number, text):
        with wire.connect("127.0.0.1", self.ports[number], OWNER, "secret", "postgres") as server:
            return server.query(text)

    def logs(self):
        return "\n".join(path.read_text()[-1500:] for path in sorted(self.dir.glob("pg*/log")))


@contextlib.contextmanager
def running(numbers, count=3):
    directory = Path(tempfile.mkdtemp(prefix="weir-test-patroni-"))
    directory.chmod(0o755)
    patroni = Patroni(directory, count)
    try:
        for number in numbers:
            patroni.start(number)
        patroni.wait_streaming(*numbers)
        yield patroni
    finally:
        for number in list(patroni.processes):
            patroni.stop(number)
        shutil.rmtree(directory, ignore_errors=True)
