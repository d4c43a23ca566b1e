"""Scenarios of many bytes: rows of 1 MB, COPY. What counts is the CPU for each MB."""
import contextlib
import os
import subprocess
import time

from support import PG_BIN
from support.bench import Scenario
from support.bench.targets import Target, contenders
from support.bench.transactions import Work, by_size, compare

ROWS = 16  # they stay in shared_buffers
LINE_BYTES = 100  # in COPY's text form, with its end


@contextlib.contextmanager
def table(plan, name, column, *statements):
    """Without WAL; gone afterwards."""
    direct = Target("direct", plan.database_port)
    direct.run(f"DROP TABLE IF EXISTS {name}", f"CREATE UNLOGGED TABLE {name} ({column})",
               *statements)
    try:
        yield
    finally:
        direct.run(f"DROP TABLE {name}")


def wide(plan, results):
    work = Work((), (8,), kept=1.0, unit="mb", script=f"""
\\set id random(1, {ROWS})
SELECT v FROM wide WHERE id = :id;
""")
    # EXTERNAL: PostgreSQL compresses nothing, and so has nothing to decompress.
    with table(plan, "wide", "id int PRIMARY KEY, v text",
               "ALTER TABLE wide ALTER v SET STORAGE EXTERNAL",
               "INSERT INTO wide SELECT n, repeat('x', 1000000) "
               f"FROM generate_series(1, {ROWS}) n"), contenders(plan) as targets:
        compare(plan, results, targets, work, by_size(plan, work))


def psql(target, command, **files):
    """Whether it ran; if not, it has told why."""
    done = subprocess.run([PG_BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", command],
                          env=target.environment(), check=False,
                          **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **files})
    return done.returncode == 0


def copy(plan, results):
    lines = plan.copy_mb * 1_000_000 // LINE_BYTES
    path = plan.directory / "lines"
    direct = Target("direct", plan.database_port)

    def copy_out(target):
        return psql(target, "COPY bulk TO STDOUT")

    def copy_in(target):
        with open(path, "rb") as data:
            return psql(target, "COPY bulk_in FROM STDIN", stdin=data)

    cases = {f"COPY TO STDOUT, {plan.copy_mb} MB": copy_out,
             f"COPY FROM STDIN, {plan.copy_mb} MB": copy_in}
    with table(plan, "bulk", "line text", "INSERT INTO bulk SELECT "
               f"rpad(n::text, {LINE_BYTES - 1}, 'x') FROM generate_series(1, {lines}) n",
               "VACUUM bulk"), \
            table(plan, "bulk_in", "line text"), contenders(plan) as targets:
        with open(path, "wb") as data:
            assert psql(direct, "COPY bulk TO STDOUT", stdout=data)
        assert os.stat(path).st_size == lines * LINE_BYTES
        for case, target in plan.turns(cases, targets):
            direct.run("TRUNCATE bulk_in")
            before, began, calls = target.cpu_us(), time.monotonic(), target.call_count()
            done = cases[case](target)
            results.note(case, target, mb_per_s=plan.copy_mb / (time.monotonic() - began),
                         errors=int(not done))
            if target.pid:
                results.note(case, target, cpu_us_per_mb=(target.cpu_us() - before) / plan.copy_mb)
            if calls:
                made = target.call_count() - calls
                results.note(case, target, calls_per_mb=made / plan.copy_mb)


SCENARIOS = (
    Scenario("wide", "SELECT of one row of 1 MB of text, simple protocol", wide),
    Scenario("copy", f"COPY both ways by psql, lines of {LINE_BYTES} bytes (--copy-mb)", copy),
)
