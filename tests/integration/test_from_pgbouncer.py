"""weir import-pgbouncer, beside the real PgBouncer: what it accepts, and what the result serves."""
import os
import pathlib
import random
import re
import shutil
import subprocess

import psycopg
import pytest

from support import SLOW
from support.cluster import wait_until
from support.weir import BINARY, Weir, free_port

PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
needs_pgbouncer = pytest.mark.skipif(not pathlib.Path(PGBOUNCER).exists(), reason="no pgbouncer")


def run_import(*files):
    return subprocess.run([BINARY, "import-pgbouncer", *map(str, files)], capture_output=True,
                          text=True, timeout=30 * SLOW, check=False)


class PgBouncer:
    """The real one; not as root, which it refuses."""

    def __init__(self, folder, ini):
        self.dir, self.ini = folder, folder / "pgbouncer.ini"
        self.ini.write_text(ini)
        command = [PGBOUNCER, str(self.ini)]
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
            for file in folder.iterdir():
                shutil.chown(file, "postgres")
            for above in folder.parents:
                if "pytest-of-" in str(above):
                    above.chmod(0o755)
            command = ["setpriv", "--reuid=postgres", "--clear-groups", *command]
        self.log = folder / "pgbouncer.out"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=folder)

    def is_up(self):
        """Whether it accepts its configuration."""
        wait_until(lambda: self.process.poll() is not None or "process up" in self.log.read_text(),
                   "it starts or ends", 10 * SLOW)
        return self.process.poll() is None

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def pgbouncer(tmp_path):
    started = []

    def start(ini):
        started.append(PgBouncer(tmp_path, ini))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def outcome(port, user, password, database):
    """What a client sees: the user and the database on the server, or "refused"."""
    try:
        with psycopg.connect(host="127.0.0.1", port=port, user=user, password=password,
                             dbname=database, sslmode="disable",
                             connect_timeout=int(10 * SLOW)) as connection:
            return connection.execute("SELECT current_user, current_database()").fetchone()
    except psycopg.OperationalError:
        return "refused"


INI = """
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = {auth_type}
auth_file = {dir}/userlist.txt
admin_users = app
stats_users = md5, clear
pool_mode = transaction
default_pool_size = 5
server_reset_query = DISCARD ALL
query_wait_timeout = 3.5
ignore_startup_parameters = extra_float_digits
[databases]
app = host=127.0.0.1 port={server}
alias = host=127.0.0.1 port={server} dbname=other pool_size=3
forced = host='127.0.0.1' port={server} dbname=app user=clear password='clear'
known = host=127.0.0.1 port={server} dbname=app user=md5
%include {dir}/more.ini
[users]
md5 = pool_mode=session max_user_connections=4
"""
MORE = "* = host=127.0.0.1 port={server} pool_mode=session\n"
USERLIST = """; users
"app" "{verifier}" ignored
"md5" "{md5}"
"clear" "clear"
"quo""ted" "pass""word"
"nobody" ""
"""


@needs_pgbouncer
@pytest.mark.parametrize("auth_type", ["md5", "scram-sha-256", "trust"])
def test_the_same_logins_and_databases(pgbouncer, cluster, tmp_path, auth_type):
    ports = {"theirs": free_port(), "ours": free_port()}
    words = {"port": ports["theirs"], "server": cluster.ports[0], "dir": tmp_path,
             "auth_type": auth_type}
    (tmp_path / "more.ini").write_text(MORE.format(**words))
    secret = {name: cluster.value(0, f"SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'")
              for name in ("app", "md5")}
    (tmp_path / "userlist.txt").write_text(
        USERLIST.format(verifier=secret["app"], md5=secret["md5"]))
    theirs = pgbouncer(INI.format(**words))
    assert theirs.is_up(), theirs.log.read_text()
    imported = run_import(theirs.ini)
    assert imported.returncode == 0, imported.stderr
    (tmp_path / "weir.toml").write_text(imported.stdout)
    checked = subprocess.run([BINARY, "--check", "-c", tmp_path / "weir.toml"], check=False,
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr + imported.stdout
    ours = Weir(cluster)
    ours.port = ports["ours"]
    try:
        ours.run([str(BINARY), "-c", str(tmp_path / "weir.toml"),
                  "--listen", f"127.0.0.1:{ports['ours']}"])
        ours.wait_ready("clear")
        for user, password in (("app", "app"), ("app", "wrong"), ("md5", "md5"), ("md5", "wrong"),
                               ("clear", "clear"), ("clear", "x"), ("nobody", ""),
                               ("stranger", "x"), ('quo"ted', 'pass"word')):
            if auth_type == "trust" and user not in ("clear", "md5", "stranger"):
                continue  # no server lets them in, which PgBouncer finds out slowly
            for database in ("app", "alias", "forced", "known", "postgres", "nonesuch"):
                seen = [outcome(port, user, password, database) for port in ports.values()]
                assert seen[0] == seen[1], (user, password, database, imported.stdout)
        # The console's users, and what the settings became.
        with ours.connect("clear", database="pgbouncer") as console:
            rows = {row[0]: row for row in console.query("SHOW DATABASES")}
            assert rows["alias"][3] == "other"
    finally:
        ours.discard()


@needs_pgbouncer
def test_every_setting_is_known(pgbouncer, tmp_path):
    """All that SHOW CONFIG lists, with its value, is mapped or spoken of."""
    port = free_port()
    real = pgbouncer(f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
                     "unix_socket_dir =\nauth_type = any\n[databases]\nx = host=h user=u\n")
    assert real.is_up()
    with psycopg.connect(host="127.0.0.1", port=port, user="pgbouncer", dbname="pgbouncer",
                         autocommit=True, sslmode="disable",
                         cursor_factory=psycopg.ClientCursor) as console:
        shown = console.execute("SHOW CONFIG").fetchall()
    assert len(shown) > 80
    lines = [f"{row[0]} = {row[1]}" for row in shown if row[0] != "auth_file"]
    ini = tmp_path / "all.ini"
    ini.write_text("[pgbouncer]\n" + "\n".join(lines) + "\n[databases]\nx = host=h user=u\n")
    imported = run_import(ini)
    assert imported.returncode == 0, imported.stderr
    page = (pathlib.Path(__file__).parent.parent.parent / "docs" / "from-pgbouncer.md").read_text()
    for name, *_ in shown:
        row = re.search(rf"^\| `{name}` \| (.*?) \| (.*?) \|$", page, re.M)
        assert row, name
        if not row[1] and name != "auth_file":
            assert re.search(rf"\b{name}\b", imported.stdout), name


@pytest.mark.parametrize("ini, line, words", [
    ("[pgbouncer]\nfoo\n", 2, "expected key = value"),
    ("x = 1\n", 1, "[section]"),
    ("[pgbouncer\nx = 1\n", 1, "]"),
    ("[nope]\n", 1, "unknown section"),
    ("[pgbouncer]\n\nmax_client_con = 1\n", 3, 'did you mean "max_client_conn"?'),
    ("[pgbouncer]\nmax_client_conn = many\n", 2, "whole number"),
    ("[pgbouncer]\nquery_timeout = -1\n", 2, "seconds"),
    ("[pgbouncer]\nauth_type = none\n", 2, "auth_type"),
    ("[pgbouncer]\n[databases]\na = host\n", 3, "key=value"),
    ("[pgbouncer]\n[databases]\na = host='x\n", 3, "closing quote"),
    ("[pgbouncer]\n[databases]\na = hots=x\n", 3, "hots"),
    ("[pgbouncer]\n[databases]\na = host=x port=0\n", 3, "65535"),
    ("[pgbouncer]\n[databases]\npgbouncer = host=x\n", 3, "console"),
    ("[pgbouncer]\n%include nowhere.ini\n", 2, "nowhere.ini"),
    ("[pgbouncer]\nauth_file = nowhere.txt\n[databases]\na=host=x\n", 2, "nowhere.txt"),
    ("[pgbouncer]\nlogfile = \udcff\n", 2, "UTF-8"),
])
def test_errors_name_the_line(tmp_path, ini, line, words):
    file = tmp_path / "p.ini"
    file.write_bytes(ini.encode("utf-8", "surrogateescape"))
    done = run_import(file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{file}:{line}: ") and words in done.stderr, done.stderr


@pytest.mark.parametrize("text, line", [
    ('"a" "b"\nc "d"\n', 2), ('"a"\n', 1), ('"a" "b', 1), ('"a" "b"\n\n"c" d\n', 3)])
def test_errors_in_the_userlist(tmp_path, text, line):
    ini, users = tmp_path / "p.ini", tmp_path / "u.txt"
    ini.write_text("[pgbouncer]\n[databases]\na = host=x\n")
    users.write_text(text)
    done = run_import(ini, users)
    assert done.returncode == 1 and done.stderr.startswith(f"{users}:{line}: "), done.stderr


def test_what_is_missing_is_told(tmp_path):
    """An ini with which nobody can log in is imported as far as it goes."""
    ini = tmp_path / "p.ini"
    ini.write_text("[pgbouncer]\nauth_type = hba\nauth_hba_file = /etc/hba\npeer_id = 1\n"
                   "transaction_timeout = 5\n[databases]\n"
                   "a = host=x,y connect_query='SELECT ''1'''\n"
                   "b = host=z timezone=UTC\nweir = host=x\n[peers]\n1 = host=x\n"
                   "[users]\nx = query_timeout=5\n")
    (tmp_path / "u.txt").write_text('"x" "SCRAM-SHA-256$4096:YQ==$YQ==:YQ=="')
    done = run_import(ini)
    assert done.returncode == 1 and "by hand" in done.stderr
    assert "Not imported: user x" in done.stdout
    done = run_import(ini, tmp_path / "u.txt")
    assert done.returncode == 0 and "no password in plain text" in re.sub(r"\n# ", " ", done.stdout)
    for word in ("auth_type hba does not exist", "auth_hba_file", 'transaction = "5s"',
                 "peer_id = 1", "[peers.1]", "connect_query = SELECT '1'", "timezone = UTC",
                 "Not imported: database weir", "query_timeout = 5", "x-y"):
        assert word in done.stdout, (word, done.stdout)


def test_a_section_that_comes_again_starts_afresh(tmp_path):
    ini = tmp_path / "p.ini"
    ini.write_text("[pgbouncer]\npool_mode = transaction\nauth_type = trust\n[databases]\n"
                   "a = host=x user=y\n[pgbouncer]\nauth_type = trust\n")
    done = run_import(ini)
    assert done.returncode == 0, done.stderr  # PgBouncer: SHOW CONFIG says session
    assert 'pool_mode = "session"' in done.stdout


LINES = ["[pgbouncer]", "[databases]", "[users]", "", "; a = b", "# [x", "\t max_client_conn=7 ",
         "max_client_conn = 0x10", "query_timeout = 1.5", "pool_mode = SESSION", "verbose= -1",
         "server_check_query =", "a = host=h user=u", "a.b-c*=host=h user=u port=1", "d =user=u",
         "[databases] e = host='h''h' user = 'u u'", "d = host=h\tport=1 user=u", "d =  ",
         "d = host=h user=u password='a;b # c'x", "stats_users = a, b\r"]
MARKS = ["", " ", "\t", "=", "'", "''", ";", "#", "]", "[", "%include x", "x", "-", "."]


def spoilt(rng, line):
    """A line with something put in, sometimes."""
    at = rng.randint(0, len(line))
    return line[:at] + rng.choice(MARKS) + line[at:] if rng.random() < 0.15 else line


@needs_pgbouncer
def test_accepts_what_pgbouncer_accepts(tmp_path):
    """Random inis: both take one, or both refuse it."""
    seed = int(os.environ.get("WEIR_TEST_SEED", "1"))
    rng = random.Random(seed)
    accepted = 0
    for number in range(60):
        section = rng.choice(["[databases]", "[pgbouncer]"])
        fits = [line for line in LINES if " = " not in line or
                ("user" in line) == (section == "[databases]") or rng.random() < 0.1]
        body = "\n".join(spoilt(rng, rng.choice(fits)) for _ in range(rng.randint(1, 4)))
        # What lets it start comes last.
        ini = (f"[databases]\nd = host=h user=u\n{section}\n{body}\n[pgbouncer]\n"
               f"listen_addr = 127.0.0.1\nlisten_port = {free_port()}\nunix_socket_dir =\n"
               "auth_type = any\n")
        folder = tmp_path / str(number)
        folder.mkdir()
        real = PgBouncer(folder, ini)
        try:
            theirs = real.is_up()
            said = real.log.read_text()
        finally:
            real.stop()
        done = run_import(real.ini)
        ours = "by hand" in done.stderr or done.returncode == 0
        assert ours == theirs, (seed, number, ini, said, done.stderr)
        accepted += theirs
    assert 5 < accepted < 55
