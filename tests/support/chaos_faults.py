"""The faults of a campaign. Each ends with all hosts up again, though not in the same roles."""
import contextlib
import os
import signal
import time

from support import SLOW, network, wire
from support.cluster import frozen, wait_until

UP_S = 60.0


class Hosts:
    """A cluster whose primary may be any of its hosts, seen past the proxy."""

    def __init__(self, cluster, relays):
        self.cluster, self.relays, self.primary = cluster, relays, 0
        self.numbers = range(len(relays))

    @property
    def replicas(self):
        return [number for number in self.numbers if number != self.primary]

    def sql(self, number, text):
        with self.cluster.connect(number) as server:
            return server.query(text)

    def value(self, number, text):
        return self.sql(number, text)[0][0]

    def wait_streaming(self):
        count = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND " \
                "application_name = 'walreceiver'"

        def stream():
            with contextlib.suppress(wire.ServerError, wire.Closed, OSError):
                return self.value(self.primary, count) == str(len(self.replicas))
        wait_until(stream, "the replicas stream", UP_S, every=0.05)

    def children(self, number, title):
        """Processes of a host whose title has this."""
        found = []
        for child in self.cluster.processes(number)[1:]:
            with contextlib.suppress(OSError), open(f"/proc/{child}/cmdline", "rb") as words:
                if title in words.read():
                    found.append(child)
        return found


class Troubles:
    """Makes them one at a time, in a thread of its own. `tampered` is none that may come up: it
    shows that a campaign notices."""

    KINDS = ("replica_killed", "replica_stopped", "replica_frozen", "receiver_frozen",
             "receiver_killed", "backends_terminated", "backend_killed", "primary_restarted",
             "primary_frozen", "slow_disk", "failover", "silent_failover", "network_cut",
             "network_slow", "black_hole", "weir_killed", "weir_reloaded", "weir_upgraded")
    # Of packets, in a network of the campaign's own.
    PACKETS = ("packets_lost", "packets_dropped", "packets_rejected", "packets_delayed",
               "host_cut_off", "network_narrow")

    def __init__(self, hosts, weir, rng, recycle):
        """recycle: all sessions leave and begin anew, each when it has its answer."""
        self.hosts, self.weir, self.rng, self.recycle = hosts, weir, rng, recycle

    def shuffled(self, kinds):
        return self.rng.sample(kinds, len(kinds))

    def wait(self, least=0.3, most=1.5):
        time.sleep(self.rng.uniform(least, most))

    def replica(self):
        return self.rng.choice(self.hosts.replicas)

    # --- hosts ----------------------------------------------------------------------------------

    def down_for_a_while(self, number, how):
        self.hosts.cluster.command(how, number)
        self.wait()
        self.hosts.cluster.command("start", number)
        self.hosts.wait_streaming()

    def replica_killed(self):
        self.down_for_a_while(self.replica(), "kill")

    def replica_stopped(self):
        self.down_for_a_while(self.replica(), "stop")

    def primary_restarted(self):
        self.down_for_a_while(self.hosts.primary, self.rng.choice(("kill", "stop")))

    def replica_frozen(self):
        with frozen(self.hosts.cluster, self.replica()):
            self.wait(0.5, 3)

    def primary_frozen(self):
        with frozen(self.hosts.cluster, self.hosts.primary):
            self.wait(0.5, 3)

    def receiver_frozen(self):
        number = self.replica()
        self.hosts.cluster.command("pause", number, "--receive")
        self.wait(0.5, 2)
        self.hosts.cluster.command("resume", number)

    def receiver_killed(self):
        """With it all of the replica's backends end."""
        number = self.replica()
        for pid in self.hosts.children(number, b"walreceiver"):
            os.kill(pid, signal.SIGKILL)
        self.wait()
        self.hosts.cluster.wait_serving(number, UP_S)
        self.hosts.wait_streaming()

    def slow_disk(self):
        """Stands in for one: each commit waits before it is written, on the primary."""
        for text in ("SET commit_siblings = 0", "SET commit_delay = 100000"):
            self.hosts.sql(self.hosts.primary, f"ALTER SYSTEM {text}")
        self.hosts.sql(self.hosts.primary, "SELECT pg_reload_conf()")
        self.wait(0.5, 2)
        self.hosts.sql(self.hosts.primary, "ALTER SYSTEM RESET commit_delay")
        self.hosts.sql(self.hosts.primary, "SELECT pg_reload_conf()")

    # --- backends -------------------------------------------------------------------------------

    def backends_terminated(self):
        """As an administrator does it: some, again and again, on all hosts."""
        for _ in range(10):
            number = self.rng.choice(self.hosts.numbers)
            self.hosts.sql(number, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                                   "usename = 'app' AND datname = 'app' AND random() < 0.4")
            self.wait(0.02, 0.2)

    def backend_killed(self):
        """As the kernel does it that has no memory left: the primary recovers."""
        rows = self.hosts.sql(self.hosts.primary,
                              "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND "
                              "datname = 'app' ORDER BY state = 'active' DESC LIMIT 1")
        for (pid,) in rows:
            os.kill(int(pid), signal.SIGKILL)
        self.hosts.cluster.wait_serving(self.hosts.primary, UP_S)
        self.hosts.wait_streaming()

    # --- roles ----------------------------------------------------------------------------------

    def failover(self):
        """The primary dies; the replica that has received most takes its place."""
        self.hosts.cluster.command("kill", self.hosts.primary)
        self.promote_best()

    def silent_failover(self):
        """The same, but the old primary only stops, and goes on as one for a moment."""
        with frozen(self.hosts.cluster, self.hosts.primary):
            self.wait(0.2, 1.5)
            old = self.promote_best(rejoin=False)
            self.wait(0.2, 1.5)
        self.wait(0.2, 1)
        self.hosts.cluster.command("rejoin", old, self.hosts.primary)
        self.hosts.wait_streaming()

    def promote_best(self, rejoin=True):
        received = lambda number: int(self.hosts.value(
            number, "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')"))
        old, replicas = self.hosts.primary, self.hosts.replicas
        best = max(replicas, key=received)
        self.hosts.cluster.command("promote", best)
        self.hosts.primary = best
        for number in replicas:
            if number != best:
                self.hosts.cluster.command("follow", number, best)
        if rejoin:
            self.wait()
            self.hosts.cluster.command("rejoin", old, best)
            self.hosts.wait_streaming()
        return old

    # --- network --------------------------------------------------------------------------------

    def network_cut(self):
        for _ in range(5):
            self.rng.choice(self.hosts.relays).cut()
            self.wait(0.05, 0.3)

    def network_slow(self):
        relay = self.rng.choice(self.hosts.relays)
        relay.delay(self.rng.choice((0.005, 0.05, 0.3)))
        self.wait(0.5, 2)
        relay.delay(0)

    def black_hole(self):
        with self.rng.choice(self.hosts.relays).black_hole():
            self.wait(0.5, 4)

    # --- packets --------------------------------------------------------------------------------

    def packets_lost(self):
        """One in seven, between the proxy and a host: TCP sends them again, later."""
        with network.ruled(self.rng.choice(self.hosts.relays).port,
                           "numgen random mod 100 < 14 drop"):
            self.wait(0.5, 3)

    def packets_dropped(self):
        """All of them, of connections that are made, too: nobody is told anything."""
        with network.ruled(self.rng.choice(self.hosts.relays).port, "drop"):
            self.wait(0.5, 4)

    def packets_rejected(self):
        """As by a router that knows no way, or a firewall that has changed its mind."""
        with network.ruled(self.rng.choice(self.hosts.relays).port, "reject with tcp reset"):
            self.wait(0.2, 1.5)

    def packets_delayed(self):
        """Each for a time of its own, so that they overtake each other. Those between the proxy
        and a host, or, nearer to it, those of all who talk to the host."""
        number = self.rng.choice(self.hosts.numbers)
        port = self.rng.choice((self.hosts.relays[number].port, self.hosts.cluster.ports[number]))
        with network.late(port, 0.02, self.rng.choice((0.05, 0.15, 0.3))):
            self.wait(1, 4)
        self.hosts.wait_streaming()

    def host_cut_off(self):
        """From the other hosts, too."""
        number = self.rng.choice(self.hosts.numbers)
        with network.ruled(self.hosts.cluster.ports[number], "drop"):
            self.wait(0.5, 3)
        self.hosts.wait_streaming()

    def network_narrow(self):
        with network.narrow(2_000_000):
            self.wait(0.5, 2)

    # --- the proxy ------------------------------------------------------------------------------

    def weir_killed(self):
        self.weir.process.kill()
        self.weir.process.wait()
        self.wait(0.1, 0.5)
        self.weir.start().wait_ready()

    def weir_reloaded(self):
        """With good configurations and broken ones, which change nothing."""
        good = self.weir.config_file.read_text()
        for _ in range(6):
            if self.rng.random() < 0.5:
                lines = good.splitlines(keepends=True)
                lines.insert(self.rng.randrange(len(lines) + 1), "= broken ]\n")
                self.weir.config_file.write_text("".join(lines))
            else:
                self.weir.write_config({"routing": {"balancing": self.rng.choice(
                    ("least_connections", "round_robin", "least_latency"))},
                    "pool": {"min": self.rng.randrange(3)}})
            self.weir.signal(signal.SIGHUP)
            self.wait(0.05, 0.3)
        self.weir.config_file.write_text(good)
        self.weir.signal(signal.SIGHUP)

    def weir_upgraded(self):
        """The old process ends when those have left whom it served."""
        old = self.weir.upgrade()
        self.wait(0.1, 0.5)
        self.recycle()
        assert old.wait(timeout=30 * SLOW) == 0

    # --- what must be noticed -------------------------------------------------------------------

    def tampered(self):
        least = "SELECT least((SELECT count(*) FROM lines), (SELECT count(*) FROM moves))"
        wait_until(lambda: int(self.hosts.value(self.hosts.primary, least)) > 10,
                   "something is written", UP_S)
        for text in ("DELETE FROM lines WHERE id IN (SELECT id FROM lines ORDER BY id "
                     "OFFSET 4 LIMIT 5)",
                     "INSERT INTO lines SELECT * FROM lines ORDER BY id LIMIT 4",
                     "DELETE FROM moves WHERE ctid = (SELECT ctid FROM moves LIMIT 1)",
                     "UPDATE counters SET n = n + 1"):
            self.hosts.sql(self.hosts.primary, text)
