"""The console's SET, RESET and WAIT_CLOSE, the rights to commands, and their lines in the log."""
import json
import re
import signal
import subprocess
import threading

import psycopg
import pytest

from support import BACKEND, SLOW, wire
from support.cluster import wait_until
from support.weir import BINARY


def setting(weir, key):
    return {row["key"]: row["value"] for row in weir.show("CONFIG")}[key]


def command(weir, sql, user="admin"):
    """Runs it; returns the NOTICEs' messages."""
    with weir.console(user) as console:
        console.query(sql)
        return [notice["M"] for notice in console.notices]


def refusal(weir, sql, user="admin"):
    with weir.console(user) as console, pytest.raises(wire.ServerError) as failed:
        console.query(sql)
    return failed.value


# --- SET ------------------------------------------------------------------------------------------


def test_set_takes_effect(start_weir):
    """A pool of one serves one transaction at a time; one of two serves two."""
    weir = start_weir({"pool": {"size": 1}, "routing": {"split_reads": False},
                       "timeouts": {"query_wait": "500ms"}})

    def another_is_served():
        with weir.connect() as holder, weir.connect() as other:
            holder.query("BEGIN; SELECT 1")
            try:
                return other.value("SELECT 2") == "2"
            except wire.ServerError:
                return False
    assert not another_is_served()
    (notice,) = command(weir, "SET pool.size = 2")
    assert "a restart loses this, a RELOAD does not" in notice and "RESET pool.size" in notice
    assert setting(weir, "pool.size") == "2"
    assert another_is_served()
    command(weir, "RESET pool.size")
    assert setting(weir, "pool.size") == "1"
    assert not another_is_served()


@pytest.mark.parametrize("sql, key, value", [
    ("SET timeouts.query_wait = 3s", "timeouts.query_wait", "3s"),
    ("set timeouts.query_wait to '3s'", "timeouts.query_wait", "3s"),
    ("SET query_wait_timeout = 2.5", "timeouts.query_wait", "2500ms"),
    ("SET default_pool_size = '7'", "pool.size", "7"),
    ("SET databases.app.pool.size = 4", "databases.app.pool.size", "4"),
    ("SET databases.\"other\".pool_mode TO session", "databases.other.pool_mode", "session"),
    ("SET users.app.max_connections = 9", "users.app.max_connections", "9"),
    ("SET clusters.main.routing.balancing = 'random'", "clusters.main.routing.balancing",
     "random"),
    ("SET routing.harmless_functions = ['f', \"s.g\"]", "routing.harmless_functions", "f, s.g"),
    ("SET log.connections = true /* and more */", "log.connections", "true"),
])
def test_forms(start_weir, sql, key, value):
    weir = start_weir()
    before = setting(weir, key)
    assert before != value
    with psycopg.connect(weir.conninfo(user="admin", database="weir"), autocommit=True) as driver:
        driver.execute(sql)
    assert setting(weir, key) == value
    command(weir, f"RESET {key}")
    assert setting(weir, key) == before


@pytest.mark.parametrize("key, value", [
    ("pool.size", "many"), ("pool.size", "-1"), ("timeouts.query", "10 parsecs"),
    ("pool.sise", "3"), ("routing.balancing", "fair"), ("databases.app.cluster", "nowhere"),
    ("pool.min", "21"), ("tls.client.mode", "require"), ("routing.lag_recover_ratio", "0"),
])
def test_errors_are_the_files(start_weir, key, value):
    """--check says the same of the file with that value."""
    weir = start_weir()
    checked = subprocess.run([BINARY, "--check", "-c", weir.config_file, "--set", f"{key}={value}"],
                             capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    before = weir.show("CONFIG")
    error = refusal(weir, f"SET {key} = {value}")
    assert error.code == "22023"
    wanted = [line.split(": ", 1)[1] for line in checked.stderr.splitlines()]
    assert error.fields["M"] == "; ".join(wanted)
    assert weir.show("CONFIG") == before


def test_what_cannot_be_set(weir):
    before = weir.show("CONFIG")
    for sql in ("SET workers = 3", "SET listen = '127.0.0.1:1'", "SET listen_port = 1",
                "SET admin.http = ''"):
        assert refusal(weir, sql).code == "55P02"
    for sql in ("SET defualt_pool_size = 3", "SET verbose = 2", "SET databases.nonesuch.dbname = x",
                "SET users.nonesuch.admin = true", "SET clusters.nonesuch.tls.mode = require"):
        assert refusal(weir, sql).code == "42704"
    assert weir.show("CONFIG") == before
    with pytest.raises(wire.ServerError):
        weir.connect(database="nonesuch")


def test_the_file_is_not_read_again(start_weir):
    """What was written into it meanwhile, right or wrong, waits for a RELOAD."""
    weir = start_weir()
    weir.write_config({"limits": {"clients": 77}})
    command(weir, "SET pool.size = 5")
    assert (setting(weir, "pool.size"), setting(weir, "limits.clients")) == ("5", "10000")
    weir.config_file.write_text("workerz = 1\n")
    command(weir, "SET pool.size = 6")
    assert setting(weir, "pool.size") == "6"
    assert refusal(weir, "RELOAD").code == "F0000"
    command(weir, "RESET pool.size")
    assert setting(weir, "pool.size") == "20"
    weir.write_config()
    command(weir, "RELOAD")
    assert setting(weir, "limits.clients") == "77"


def test_reload_keeps_it_and_a_restart_loses_it(start_weir):
    weir = start_weir()
    command(weir, "SET default_pool_size = 5")
    command(weir, "SET timeouts.query = 10s")
    weir.write_config({"pool": {"size": 8}})
    assert command(weir, "RELOAD") == ["stays as SET has it: pool.size, timeouts.query"]
    assert setting(weir, "pool.size") == "5"
    weir.write_config({"limits": {"clients": 500}})
    weir.signal(signal.SIGHUP)
    wait_until(lambda: setting(weir, "limits.clients") == "500", "reloaded", 5 * SLOW)
    assert setting(weir, "pool.size") == "5"
    command(weir, "RESET timeouts.query")
    assert command(weir, "RELOAD") == ["stays as SET has it: pool.size"]
    weir.restart()
    assert (setting(weir, "pool.size"), setting(weir, "timeouts.query")) == ("8", "0")
    assert command(weir, "RELOAD") == []


def test_what_the_file_drops_does_not_come_back(start_weir):
    weir = start_weir()
    command(weir, "SET databases.other.pool.size = 3")
    command(weir, "SET pool.size = 4")
    weir.write_config({"databases": {"other": None}})
    assert command(weir, "RELOAD") == ["stays as SET has it: pool.size"]
    with pytest.raises(wire.ServerError):
        weir.connect(database="other")
    weir.write_config({"databases": {"other": {"cluster": "main"}}})
    command(weir, "RELOAD")
    assert setting(weir, "databases.other.pool.size") == "4"


def test_over_the_command_line(start_weir):
    weir = start_weir(arguments=("--set", "pool.size=11"))
    assert setting(weir, "pool.size") == "11"
    command(weir, "SET pool.size = 12")
    assert setting(weir, "pool.size") == "12"
    command(weir, "RESET pool.size")
    assert setting(weir, "pool.size") == "11"


def test_config_shows_what_is_in_force(start_weir):
    weir = start_weir(workers=1)
    weir.write_config({"workers": 3})
    for _ in range(2):
        assert command(weir, "RELOAD") == ["a restart is needed for: workers"]
        assert setting(weir, "workers") == "1" and len(weir.show("WORKERS")) == 1
    rows = {row["key"]: row for row in weir.show("CONFIG")}
    assert (rows["workers"]["default"], rows["workers"]["changeable"]) == ("0", "no")
    command(weir, "SET pool.size = 3")
    rows = {row["key"]: row for row in weir.show("CONFIG")}
    assert (rows["pool.size"]["value"], rows["pool.size"]["default"],
            rows["pool.size"]["changeable"]) == ("3", "20", "yes")


def test_sessions_live_on(start_weir):
    weir = start_weir()
    with weir.connect() as client:
        client.query("BEGIN; CREATE TEMP TABLE t (n int); INSERT INTO t VALUES (7)")
        command(weir, "SET databases.app.pool.size = 2")
        assert client.value("SELECT n FROM t") == "7"
        client.query("COMMIT")
        assert client.value("SELECT n FROM t") == "7"


# --- WAIT_CLOSE -----------------------------------------------------------------------------------


@pytest.fixture
def waiting(start_weir):
    """A proxy, a client in a transaction whose server is to be closed, and who waits for that."""
    weir = start_weir()
    with weir.connect() as busy, weir.console() as console:
        busy.query("BEGIN; SELECT 1")
        console.query("RECONNECT app")
        console.send(wire.query("WAIT_CLOSE app"))
        console.socket.settimeout(0.4 * SLOW)
        with pytest.raises(TimeoutError):
            console.read()
        console.socket.settimeout(20 * SLOW)
        yield weir, busy, console


def test_wait_close(waiting):
    weir, busy, console = waiting
    close_needed = [row for row in weir.show("SERVERS") if row["close_needed"] == "1"]
    assert [row["database"] for row in close_needed] == ["app"]
    command(weir, "WAIT_CLOSE other")  # nothing to wait for
    assert busy.value("SELECT 2") == "2"
    backend = busy.value(BACKEND)
    busy.query("COMMIT")
    assert [got.text() for got in console.read_until_ready() if got.type == "C"] == ["WAIT_CLOSE"]
    assert not [row for row in weir.show("SERVERS") if row["close_needed"] == "1"]
    assert busy.value(BACKEND) != backend
    command(weir, "WAIT_CLOSE")
    assert refusal(weir, "WAIT_CLOSE nonesuch").code == "3D000"


def test_wait_close_is_cancelled(waiting):
    weir, _, console = waiting
    wire.cancel(weir.host, weir.port, console.pid, console.secret)
    assert [got.fields()["C"] for got in console.read_until_ready() if got.type == "E"] == ["57014"]
    assert console.query("SHOW VERSION")


@pytest.mark.parametrize("goodbye", [False, True])
def test_wait_close_ends_with_its_client(waiting, goodbye):
    weir, busy, console = waiting
    number = len(weir.show("CLIENTS"))
    if goodbye:
        console.terminate()
    else:
        console.drop()
    wait_until(lambda: len(weir.show("CLIENTS")) == number - 1, "it is gone", 5 * SLOW)
    wait_until(lambda: re.search(r'"WAIT_CLOSE app" outcome="refused".* sqlstate="57014"',
                                 weir.log()), "and waits no more", 5 * SLOW)
    busy.query("COMMIT")


def test_wait_close_after_a_change(start_weir):
    """Of pools that a reload has replaced, too."""
    weir = start_weir()
    with weir.connect() as busy, weir.console() as console:
        busy.query("BEGIN; SELECT 1")
        console.query("SET databases.app.pool.size = 3")
        ended = threading.Event()

        def wait():
            console.query("WAIT_CLOSE")
            ended.set()
        thread = threading.Thread(target=wait)
        thread.start()
        assert not ended.wait(0.4 * SLOW)
        busy.query("COMMIT")
        thread.join(10 * SLOW)
        assert ended.is_set()


def test_suspend_says_why_not(weir):
    error = refusal(weir, "SUSPEND")
    assert error.code == "0A000" and "PAUSE" in error.fields["H"]


# --- rights, and the log --------------------------------------------------------------------------


def all_commands(weir):
    """What SHOW HELP lists besides SHOW and SELECT, with arguments."""
    host = weir.show("HOSTS")[0]["host"]
    with weir.console("watcher") as console:
        console.query("SHOW HELP")
        help_text = console.notices[0]["D"]
    commands = []
    for line in help_text.splitlines():
        line = line.strip()
        if not line or line.startswith(("SHOW", "SELECT")):
            continue
        for form, example in (("[<db>]", "app"), ("<db>", "app"), ("<client id>", "1"),
                              ("<setting>", "pool.size"), ("<value>", "3"),
                              ("<host>|AUTO", host), ("<host>", host), ("[<cluster>]", "main"),
                              ("[<seconds>]", "60"), ("<number>|DEFAULT", "2.5"),
                              ("[WAIT_FOR_CLIENTS|WAIT_FOR_SERVERS]", "WAIT_FOR_CLIENTS")):
            line = line.replace(form, example)
        assert not re.search(r"[\[<|]", line), line
        commands.append(line)
    assert {line.split()[0] for line in commands} >= {
        "RELOAD", "PAUSE", "RESUME", "RECONNECT", "DISABLE", "ENABLE", "KILL", "KILL_CLIENT",
        "WAIT_CLOSE", "CHOOSE", "BAN", "UNBAN", "WEIGHT", "SET", "RESET", "SHUTDOWN"}
    return commands


def test_a_statistics_user_changes_nothing(start_weir):
    weir = start_weir()
    with weir.connect() as client, weir.console("watcher") as watcher, \
            psycopg.connect(weir.conninfo(user="watcher", database="weir"),
                            autocommit=True) as driver:
        commands = all_commands(weir)
        backend = client.value(BACKEND)

        def state():
            return weir.show("CONFIG"), weir.show("DATABASES"), weir.show("STATE"), \
                [row["id"] for row in weir.show("SERVERS")], \
                [(row["state"], row["banned"], row["weight"]) for row in weir.show("HOSTS")]
        before = state()
        for sql in commands:
            with pytest.raises(wire.ServerError) as failed:
                watcher.query(sql)
            assert failed.value.code == "42501", sql
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                driver.execute(sql)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                driver.execute(sql, prepare=True)
        assert state() == before
        assert client.value(BACKEND) == backend
    weir.stop()
    for sql in commands:
        shown = re.escape(sql)
        lines = re.findall(rf'client \d+ weir/watcher 127\.0\.0\.1: command command="{shown}" '
                           r'outcome="refused" ms=\d+ sqlstate="42501" '
                           r'error="permission denied for [\w ]+"', weir.log())
        assert len(lines) == 3, sql


def test_commands_are_logged(start_weir):
    """At any level; what they were called with, and what became of it."""
    weir = start_weir({"log": {"level": "error"}})
    command(weir, "SET timeouts.query = '10s'")
    refusal(weir, "PAUSE nonesuch")
    refusal(weir, "SET pool.size = many")
    command(weir, "RECONNECT\n app")
    command(weir, "PAUSE app; RESUME app; SHOW VERSION; SELECT 1; SET DateStyle = 'ISO'")
    with weir.console() as console:
        console.send(wire.query("SHUTDOWN"))
        console.expect_closed()
    assert weir.wait_exit() == 0
    lines = [line.split(" command ", 1) for line in weir.log().splitlines() if " command " in line]
    assert [re.sub(r"ms=\d+", "ms=0", rest) for _, rest in lines] == [
        'command="SET timeouts.query = \'10s\'" outcome="done" ms=0',
        'command="PAUSE nonesuch" outcome="refused" ms=0 sqlstate="3D000" '
        'error="no such database: nonesuch"',
        'command="SET pool.size = many" outcome="refused" ms=0 sqlstate="22023" '
        'error="pool.size: expected a whole number from 0 to 100000, found \\"many\\""',
        'command="RECONNECT  app" outcome="done" ms=0',
        'command="PAUSE app" outcome="done" ms=0',
        'command="RESUME app" outcome="done" ms=0',
        'command="SHUTDOWN" outcome="done" ms=0']
    for who, _ in lines:
        assert re.search(r"(info|warning) client \d+ weir/admin 127\.0\.0\.1:$", who)


def test_commands_as_json(start_weir):
    weir = start_weir({"log": {"format": "json"}})
    command(weir, "DISABLE \"app\"")
    refusal(weir, "ENABLE \"x\ny\"")
    weir.stop()  # then all is written
    lines = [json.loads(line) for line in weir.log().splitlines()]
    done, refused = [line for line in lines if "command" in line]
    assert (done["command"], done["outcome"], done["level"]) == ('DISABLE "app"', "done", "info")
    assert isinstance(done["ms"], int) and "sqlstate" not in done
    assert re.fullmatch(r"client \d+ weir/admin 127\.0\.0\.1: command", done["message"])
    assert (refused["command"], refused["outcome"], refused["sqlstate"]) == \
        ('ENABLE "x y"', "refused", "3D000")
    assert refused["error"] == "no such database: x\ny"


def test_no_password_is_logged(start_weir):
    """Nor shown; and it is the password from then on."""
    weir = start_weir({"log": {"level": "trace"}})
    refusal(weir, "SET users.watcher.password = ['tell-nobody-1']", "watcher")
    command(weir, "SET users.watcher.password = 'tell-nobody-2'")
    command(weir, "SET users.watcher.password TO tell-nobody-3")
    refusal(weir, "SET users.watcher.pasword = 'tell-nobody-4'")
    with weir.connect("watcher", "tell-nobody-3", database="weir") as client:
        assert "tell-nobody" not in str(client.query("SHOW CONFIG"))
    with pytest.raises(wire.ServerError):
        weir.console("watcher")
    command(weir, "RESET users.watcher.password")
    weir.console("watcher").terminate()
    weir.stop()
    assert weir.log().count('command="SET users.watcher.password = ********"') == 3
    assert weir.log().count('command="SET users.watcher.pasword = ********"') == 1
    assert "tell-nobody" not in weir.log()
