"""What questions to Weir's console cost the clients of a saturated worker."""
import threading
import time

from support.bench import Scenario
from support.bench.pgbench import Pgbench, warm_up
from support.bench.targets import weir
from support.bench.transactions import WORKS
from support.wire import connect, query

READY = b"Z\0\0\0\5I"

# What runs beside the clients, RATE times a second; "direct": at PostgreSQL, not at the console.
BESIDE = ("alone", "direct SELECT 1", "SHOW POOLS", "SHOW STATS",
          "SELECT database, sum(cl_waiting) FROM pools GROUP BY 1")
RATE = 100
CLIENTS = 8
AT_ONCE = 10  # queries, so that the client that asks, on the same machine, costs next to nothing


class Asker:
    """Asks one of BESIDE RATE times a second."""

    def __init__(self, plan, what, target, at_once):
        direct = what.startswith("direct ")
        self.count, self.over = 0, threading.Event()
        self.requests = query(what.removeprefix("direct ")) * at_once
        self.at_once = at_once
        self.client = connect("127.0.0.1", plan.database_port if direct else target.port, "app",
                              "app", "app" if direct else "weir")
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        due = time.monotonic()
        while not self.over.is_set():
            self.client.socket.sendall(self.requests)
            ready, got = 0, b""
            while ready < self.at_once:
                got += self.client.socket.recv(1 << 20)
                ready += got.count(READY)
                got = got[-len(READY) + 1:]
            self.count += ready
            due += self.at_once / RATE
            time.sleep(max(0, due - time.monotonic()))

    def end(self):
        """How many it has asked."""
        self.over.set()
        self.thread.join()
        self.client.terminate()
        return self.count


def console(plan, results):
    """Throughput with each of BESIDE, as a part of that of the same round without; and the CPU
    that Weir takes for one while it has no other clients."""
    dropped = 0
    with weir(plan.binary, [plan.database_port]) as target:
        cpu = {what: cpu_of(plan, what, target) for what in BESIDE}
        warm_up(target, CLIENTS, *WORKS["prepared"].arguments)
        for turn in range(plan.rounds):
            rates, first = {}, turn % len(BESIDE)
            for what in BESIDE[first:] + BESIDE[:first]:
                other = Asker(plan, what, target, AT_ONCE) if what != "alone" else None
                clients = Pgbench(target, CLIENTS, *WORKS["prepared"].arguments, sampling=0.2)
                rates[what] = clients.run_for(plan.seconds).outcome().tps
                if other and other.end() < 0.9 * RATE * plan.seconds:
                    del rates[what]  # something else took the machine
                    dropped += 1
            for what, rate in rates.items():
                results.note(what, target, tx_per_s=rate, part_of_alone=rate / rates["alone"])
        for what, (spent, count) in cpu.items():
            if count:
                results.note(what, target, cpu_us_per_query=(spent - cpu["alone"][0]) / count)
    if dropped:
        results.remark(f"{dropped} runs did not count: the machine was too busy for {RATE} "
                       "queries/s")


def cpu_of(plan, what, target):
    """(microseconds of CPU in a run, queries)"""
    before = target.cpu_us()
    other = Asker(plan, what, target, 1) if what != "alone" else None
    time.sleep(plan.seconds)
    count = other.end() if other else 0
    return target.cpu_us() - before, count


SCENARIOS = (
    Scenario("console", f"Weir alone: {RATE} queries/s to its console beside {CLIENTS} clients "
             "with prepared point reads", console),
)
