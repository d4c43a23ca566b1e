"""Debian's PgBouncer in front of one server, for as long as a block runs."""
import contextlib
import os
import pathlib
import re
import subprocess
import tempfile

from support import wire
from support.cluster import wait_until
from support.weir import Target, free_port

PROGRAM = "/usr/sbin/pgbouncer"
SETTINGS = {"listen_addr": "127.0.0.1", "unix_socket_dir": "", "auth_type": "scram-sha-256",
            "admin_users": "app", "pool_mode": "transaction",
            "ignore_startup_parameters": "extra_float_digits"}


class PgBouncer(Target):
    """Serves database app to app/app, whose secret it has from that server."""

    def __init__(self, directory, server_port, settings):
        self.port, self.directory = free_port(), directory
        self.settings = {**SETTINGS, "listen_port": self.port,
                         "auth_file": directory / "users", **settings}
        self.config, self.log = directory / "pgbouncer.ini", directory / "log"
        # From a password in plain text it stretches a new key for each log-in, which takes 3 ms.
        with wire.connect("127.0.0.1", server_port, "postgres", database="app") as server:
            secret = server.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
        (directory / "users").write_text(f'"app" "{secret}"\n')
        self.write(server_port)

    def write(self, server_port):
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        self.config.write_text("\n".join([
            "[databases]", f"app = host=127.0.0.1 port={server_port}",
            "[pgbouncer]", *lines, ""]))

    def follow(self, server_port):
        """As an operator does it whose primary is elsewhere from now on."""
        self.write(server_port)
        for command in ("RELOAD", "RECONNECT"):
            subprocess.run(["psql", "-qc", command], check=True, capture_output=True,
                           env=self.environment(PGDATABASE="pgbouncer"))


@contextlib.contextmanager
def running_pgbouncer(server_port, environment=None, **settings):
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        proxy = PgBouncer(directory, server_port, settings)
        # It refuses to run as root, and its files must be within its reach.
        owner = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        directory.chmod(0o755)
        with open(proxy.log, "wb") as output:
            child = subprocess.Popen([PROGRAM, proxy.config], stdin=subprocess.DEVNULL,
                                     stdout=output, stderr=output,
                                     env={**os.environ, **(environment or {})}, **owner)
        try:
            wait_until(lambda: re.search("process up", proxy.log.read_text()), proxy.log.read_text)
            proxy.pid = child.pid
            yield proxy
        finally:
            child.kill()
            child.wait()


def version():
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True,
                          check=True).stdout
    return tuple(map(int, re.search(r"(\d+)\.(\d+)", said).groups()))
