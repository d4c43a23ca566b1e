"""What questions to Weir's console cost the clients of a saturated worker."""
import time

from support.bench import Scenario
from support.bench.pgbench import Pgbench, warm_up
from support.bench.targets import Target, weir
from support.bench.transactions import WORKS

# What runs beside the clients, RATE times a second; "direct": at PostgreSQL, not at the console.
BESIDE = ("alone", "direct SELECT 1", "SHOW POOLS", "SHOW STATS",
          "SELECT database, sum(cl_waiting) FROM pools GROUP BY 1")
RATE = 100
CLIENTS = 8


def start_beside(plan, what, target):
    """By pgbench's own rate limit: no client costs less."""
    if what == "alone":
        return None
    direct = what.startswith("direct ")
    script = plan.directory / "beside.sql"
    script.write_text(what.removeprefix("direct ") + ";\n")
    return Pgbench(Target("direct", plan.database_port) if direct else target, 1, "-R", RATE,
                   "-f", script, database="app" if direct else "weir")


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
                other = start_beside(plan, what, target)
                clients = Pgbench(target, CLIENTS, *WORKS["prepared"].arguments, sampling=0.2)
                rates[what] = clients.run_for(plan.seconds).outcome().tps
                if other and other.end().outcome().count < 0.9 * RATE * plan.seconds:
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
    other = start_beside(plan, what, target)
    time.sleep(plan.seconds)
    return target.cpu_us() - before, other.end().outcome().count if other else 0


SCENARIOS = (
    Scenario("console", f"Weir alone: {RATE} queries/s to its console beside {CLIENTS} clients "
             "with prepared point reads", console),
)
