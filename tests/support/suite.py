"""PostgreSQL's own regression suite, of the version that is installed."""
import os
import pathlib
import shutil
import subprocess
import sys

from support import PG_BIN, ROOT
from support.weir import Weir

HOME = ROOT / "build" / "conformance"
PG_REGRESS = pathlib.Path("/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress")
PG_LIBRARIES = pathlib.Path("/usr/lib/postgresql/15/lib")


def run(command, cwd=None):
    done = subprocess.run([str(word) for word in command], cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def source():
    """The folder of PostgreSQL's source; downloaded once (apt-get source)."""
    version = run(["dpkg-query", "-W", "-f", "${Version}", "postgresql-15"])
    upstream = version.split("-")[0]
    folder = HOME / f"postgresql-{upstream}"
    if (folder / "src" / "test" / "regress" / "parallel_schedule").exists():
        return folder
    HOME.mkdir(parents=True, exist_ok=True)
    apt = HOME / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text("".join(
        f"deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        f"http://deb.debian.org/{place} main\n"
        for place in ("debian bookworm", "debian bookworm-updates",
                      "debian-security bookworm-security")))
    options = ["-o", f"Dir::Etc::SourceList={apt}/sources.list", "-o",
               "Dir::Etc::SourceParts=/dev/null", "-o", f"Dir::State::Lists={apt}/lists",
               "-o", f"Dir::Cache={apt}/cache", "-o", "APT::Sandbox::User=root"]
    run(["apt-get", *options, "update"])
    run(["apt-get", *options, "source", "--download-only", f"postgresql-15={version}"], cwd=HOME)
    run(["tar", "xjf", f"postgresql-15_{upstream}.orig.tar.bz2"], cwd=HOME)
    return folder


def libraries(folder):
    """A folder with the shared libraries that the tests load."""
    made = HOME / f"lib-{folder.name}"
    if (made / "regress.so").exists():
        return made
    made.mkdir(exist_ok=True)
    run(["./configure", "--quiet", "--without-readline", "--without-zlib"], cwd=folder)
    run(["make", "-s", "-C", "src/backend", "generated-headers"], cwd=folder)
    run(["make", "-s", "-C", "src/test/regress", "regress.so"], cwd=folder)
    for name in ("refint.so", "autoinc.so"):
        shutil.copy(PG_LIBRARIES / name, made)
    shutil.copy(folder / "src" / "test" / "regress" / "regress.so", made)
    return made


def regress(directory, port, tests=(), options=()):
    """Runs the suite, or some tests of it, against a port of 127.0.0.1; returns what pg_regress
    printed. Tests, libraries and results are in `directory`, which PostgreSQL can reach."""
    folder = source()
    inside, results = directory / "tests", directory / "results"
    shutil.copytree(folder / "src" / "test" / "regress", inside)
    shutil.copytree(libraries(folder), directory / "lib")
    results.mkdir()
    if os.geteuid() == 0:  # the servers write there, too
        shutil.chown(results, "postgres")
    which = tests or [f"--schedule={inside}/parallel_schedule"]
    command = [PG_REGRESS, f"--inputdir={inside}", f"--outputdir={results}", f"--bindir={PG_BIN}",
               f"--dlpath={directory}/lib", "--host=127.0.0.1", f"--port={port}",
               "--user=postgres", *options, *which]
    os.umask(0)
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, timeout=900,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


def proxy(cluster, workers=None, size=20, level="info"):
    """A Weir for the suite, whose tests make roles and databases; not started."""
    sockets = [f"{cluster.dir}/socket:{port}" for port in cluster.ports]
    return Weir(cluster, {
        "auth": {"method": "trust", "user": "postgres"},
        "pool": {"size": size},
        "clusters": {"main": {"hosts": sockets}},
        "databases": {"*": {}, "app": None, "other": None, "postgres": None},
        "users": {"postgres": {}},
        "log": {"level": level},
    }, workers)
