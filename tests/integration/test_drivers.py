"""Each driver's own smoke program, run through the proxy."""
import os
import shutil
import subprocess

import pytest

from support import ROOT, SLOW

DRIVERS = ROOT / "tests" / "drivers"
BUILT = ROOT / "build" / "drivers"


def run(target, command, **environment):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          env=target.environment(**environment), timeout=180 * SLOW)
    assert done.returncode == 0, done.stdout
    assert done.stdout.strip().endswith(" ok"), done.stdout


@pytest.mark.parametrize("driver", ["psycopg3", "psycopg2", "asyncpg"])
def test_python(target, driver):
    run(target, ["/usr/bin/python3", DRIVERS / f"{driver}_smoke.py"])


def test_node(target):
    """scripts/setup installs the packages; without them this fails, it is not skipped."""
    packages = BUILT / "node" / "node_modules"
    assert packages.is_dir(), "node-postgres is not installed: run scripts/setup with a registry"
    run(target, ["node", DRIVERS / "node" / "smoke.js"], NODE_PATH=str(packages))


@pytest.fixture(scope="module")
def go_program():
    """Built with Debian's sources of pgx, without modules."""
    BUILT.mkdir(parents=True, exist_ok=True)
    program, source = BUILT / "pgx_smoke", DRIVERS / "go" / "smoke.go"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode",
                       "GOFLAGS": "", "GOCACHE": str(BUILT / "go-cache")}
        go = shutil.which("go", path="/usr/bin") or "go"
        done = subprocess.run([go, "build", "-o", program, source], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout
    return program


def test_go_pgx(target, go_program):
    run(target, [go_program])


def compiled_java(name):
    """The directory of a program's classes."""
    into, source = BUILT / "java", DRIVERS / "java" / f"{name}.java"
    into.mkdir(parents=True, exist_ok=True)
    made = into / f"{name}.class"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        done = subprocess.run(["javac", "-encoding", "UTF-8", "-cp", JDBC, "-d", into, source],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        assert done.returncode == 0, done.stdout
    return into


JDBC = "/usr/share/java/postgresql.jar"
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp"]


def test_jdbc(target):
    run(target, [*JAVA, f"{compiled_java('Smoke')}:{JDBC}", "Smoke"])


@pytest.mark.parametrize("database", ["weir", "pgbouncer"])
def test_jdbc_on_the_console(weir, database):
    with weir.connect() as client:
        client.query("SELECT 1")  # so that there is a pool
        run(weir, [*JAVA, f"{compiled_java('Console')}:{JDBC}", "Console"],
            PGUSER="admin", PGPASSWORD="admin", PGDATABASE=database)
