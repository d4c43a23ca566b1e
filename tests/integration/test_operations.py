"""The process: command line, reload, drain, stop, HTTP."""
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.load import Repeated
from support.weir import BINARY, Weir, free_port, toml


def run(*arguments, timeout=30):
    return subprocess.run([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout * SLOW, check=False)


@pytest.fixture
def file(tmp_path, cluster, weir):
    """Writes a configuration: file(changes) or file(text="...")."""
    def write(changes=None, text=None):
        path = tmp_path / "weir.toml"
        proxy = Weir(cluster, changes)
        path.write_text(text if text is not None else toml(proxy.config))
        proxy.dir.rmdir()
        return path
    return write


# --- command line ---------------------------------------------------------------------------------


def test_help_and_version(weir):
    done = run("--help")
    assert done.returncode == 0
    for word in ("--check", "--set", "--listen", "--workers", "--replica", "SIGHUP", "SIGTERM"):
        assert word in done.stdout
    done = run("--version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_check_of_a_good_file(file):
    done = run("--check", "-c", file())
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1" in done.stdout


@pytest.mark.parametrize("text, words", [
    ("listen = \"127.0.0.1:1\"\nworkerz = 3\n", "workers"),
    ("[pool]\nsize = \"many\"\n", "size"),
    ("[pool]\nsize = -1\n", "size"),
    ("[clusters.main]\nhosts = []\n", "hosts"),
    ("[clusters.main]\nhosts = [\"a\"]\n[users.app]\npassword = \"x\"\n"
     "[databases.app]\ncluster = \"nowhere\"\n", "nowhere"),
    ("this is not toml", "1"),
])
def test_check_of_a_bad_file(file, text, words):
    """Exit code 1, and a message that names the place and, for a misspelt key, the right one."""
    path = file(text=text)
    done = run("--check", "-c", path)
    assert done.returncode == 1
    assert words in done.stderr and "weir.toml" in done.stderr


def test_check_reads_the_certificates(file, cluster):
    """What would not start is not called good."""
    tls = cluster.dir / "tls"
    for key, code in (("server.key", 0), ("stranger.key", 1), ("nonesuch.key", 1)):
        done = run("--check", "-c", file({"tls": {"client": {
            "mode": "require", "cert_file": str(tls / "server.crt"), "key_file": str(tls / key)}}}))
        assert done.returncode == code, done.stderr
        assert code == 0 or "tls.client" in done.stderr and "weir.toml" in done.stderr


def test_all_errors_at_once(file):
    text = "workerz = 1\n[pool]\nsise = 2\n[timeouts]\nlogin = []\n"
    done = run("--check", "-c", file(text=text))
    assert done.returncode == 1
    for word in ("workerz", "sise", "login"):
        assert word in done.stderr


def test_bad_command_lines(weir):
    assert run().returncode == 2
    assert run("--nonesuch").returncode == 2
    assert run("-c").returncode == 2
    assert run("-c", "/nonexistent/weir.toml").returncode == 1


def test_address_in_use(weir, file):
    path = file({"listen": [f"127.0.0.1:{weir.port}"]})
    done = run("-c", path)
    assert done.returncode == 3
    assert "in use" in done.stderr


def test_without_a_file(cluster, start_weir):
    """weir postgres://app:app@primary/app --replica ... --listen ... --set ..."""
    proxy = Weir(cluster)
    proxy.port = free_port()
    command = [str(BINARY), f"postgres://app:app@127.0.0.1:{cluster.ports[0]}/app"]
    for port in cluster.ports[1:]:
        command += ["--replica", f"127.0.0.1:{port}"]
    command += ["--listen", f"127.0.0.1:{proxy.port}", "--workers", "1", "--set", "pool.size=5",
                "--set", "routing.balancing=round_robin", "--set", "routing.consistency=eventual"]
    try:
        proxy.run(command).wait_ready()
        with proxy.connect() as client:
            seen = {cluster.number_of(client.value("SELECT inet_server_port()")) for _ in range(8)}
            assert seen == {1, 2}
        with pytest.raises(wire.ServerError):
            proxy.connect("app", "wrong")
        with proxy.connect("app", database="weir") as console:
            assert any("5" in row for row in console.query("SHOW DATABASES"))
            console.query("RELOAD")
    finally:
        proxy.discard()


def test_route_without_a_proxy(weir, cluster):
    def told(*arguments):
        done = run("route", "-c", weir.config_file, *arguments)
        return done.returncode, dict(line.split(": ", 1) for line in done.stdout.splitlines()), \
            done.stderr

    code, lines, _ = told("--database", "app", "--user", "app", "SELECT nextval('s') FROM t")
    assert (code, lines["route"], lines["reason"]) == (0, "primary", "write")
    assert lines["statement"] == "function nextval may write"
    assert (lines["tables"], lines["functions"]) == ("t", "nextval")
    code, lines, _ = told("--database", "app", "/* weir: consistency=strong */ SELECT 1")
    assert (code, lines["route"], lines["consistency"]) == (0, "replica", "strong")
    assert sum(name.startswith("host ") for name in lines) == 3
    assert told("--database", "nope", "SELECT 1")[0] == 2
    assert "statement" in told()[2]
    assert run("-c", weir.config_file, "--user", "app").returncode == 2


def test_set_over_a_file(start_weir):
    weir = start_weir(arguments=["--set", "pool.size=7", "--set", "timeouts.query_wait=10s"])
    sizes = {row["name"]: row["pool_size"] for row in weir.show("DATABASES")}
    assert sizes["app"] == "7"


# --- reload ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["signal", "console"])
def test_reload(start_weir, how):
    weir = start_weir({"pool": {"size": 3}})
    with weir.connect() as client:
        client.query("BEGIN")
        weir.write_config({"pool": {"size": 5}, "users": {"late": {"password": "late"}}})
        if how == "signal":
            weir.signal(signal.SIGHUP)
        else:
            with weir.console() as console:
                console.query("RELOAD")
        wait_until(lambda: [row["pool_size"] for row in weir.show("DATABASES")
                            if row["name"] == "app"] == ["5"], "the new size", 5 * SLOW)
        assert client.value("SELECT 1") == "1"
        client.query("COMMIT")
    with pytest.raises(wire.ServerError) as failed:  # it may log in, the servers do not know it
        with weir.connect("late") as late:
            late.query("SELECT 1")
    assert "late" in str(failed.value) + failed.value.fields.get("D", "")


def test_bad_reload_keeps_the_old_configuration(start_weir):
    weir = start_weir({"pool": {"size": 3}})
    weir.config_file.write_text("workerz = 1\n")
    with weir.console() as console:
        with pytest.raises(wire.ServerError) as failed:
            console.query("RELOAD")
        assert "workerz" in str(failed.value) + str(failed.value.fields)
    weir.signal(signal.SIGHUP)
    wait_until(lambda: "workerz" in weir.log(), "the log says so", 5 * SLOW)
    with weir.connect() as client:
        assert client.value("SELECT 1") == "1"
    assert [row["pool_size"] for row in weir.show("DATABASES") if row["name"] == "app"] == ["3"]


def test_reload_tells_what_needs_a_restart(start_weir):
    weir = start_weir()
    weir.write_config({"workers": 7})
    with weir.console() as console:
        console.query("RELOAD")
        assert [notice["M"] for notice in console.notices] == ["a restart is needed for: workers"]


def test_a_bad_reload_opens_the_log_again(start_weir, tmp_path):
    """The file was rotated, whatever the configuration is like."""
    file, moved = tmp_path / "weir.log", tmp_path / "weir.log.1"
    weir = start_weir({"log": {"file": str(file)}})
    weir.config_file.write_text("workerz = 1\n")
    file.rename(moved)
    weir.signal(signal.SIGHUP)
    wait_until(lambda: file.exists() and "workerz" in file.read_text(), "the new file is written",
               5 * SLOW)


def test_reload_changes_hosts(start_weir, cluster):
    weir = start_weir()
    hosts = [f"127.0.0.1:{port}" for port in cluster.ports[:2]]
    with weir.connect() as client:
        weir.write_config({"clusters": {"main": {"hosts": hosts}}})
        weir.signal(signal.SIGHUP)
        wait_until(lambda: len(weir.show("HOSTS")) == 2, "two hosts", 5 * SLOW)
        wait_until(lambda: {cluster.number_of(client.value("SELECT inet_server_port()"))
                            for _ in range(10)} == {1}, "reads on the one replica", 5 * SLOW)


def test_reload_under_load(start_weir, table):
    """A hundred reloads while clients work: no error."""
    weir = start_weir()
    with Repeated(weir.connect(), lambda client: client.query("SELECT 1")), \
            Repeated(weir.connect(), lambda client: client.query(f"DELETE FROM {table}")):
        for n in range(100):
            weir.write_config({"pool": {"size": 5 + n % 3}})
            weir.signal(signal.SIGHUP)
            time.sleep(0.01)
    weir.check()


def keepalive_timers(port, side):
    """The seconds until the next probe on each established connection; side: sport, dport."""
    listed = subprocess.run(["ss", "-Htno", "state", "established", f"{side} = :{port}"],
                            capture_output=True, text=True, check=True).stdout
    timers = re.findall(r"timer:\(keepalive,(?:(\d+)min)?(?:([\d.]+)sec)?,", listed)
    return [60 * float(minutes or 0) + float(seconds or 0) for minutes, seconds in timers]


def test_keepalives_of_both_sides(start_weir, cluster):
    """New connections have the time that the configuration says, also after a reload."""
    weir = start_weir({"tcp": {"client": {"keepidle": "2000s"}, "server": {"keepidle": "3000s"}}})

    def expect(port, side, low, high):  # ss shows another timer until all is acknowledged
        wait_until(lambda: any(low < left <= high for left in keepalive_timers(port, side)),
                   "a keepalive timer", 2 * SLOW)
    with weir.connect() as client:
        client.query("/* weir: primary */ SELECT 1")
        expect(weir.port, "sport", 1900, 2000)
        expect(cluster.ports[0], "dport", 2900, 3000)
        weir.write_config({"tcp": {"client": {"keepidle": "4000s"},
                                   "server": {"keepidle": "5000s"}}})
        with weir.console() as console:
            console.query("RELOAD")
            console.query("RECONNECT")
        with weir.connect() as other:
            other.query("/* weir: primary */ SELECT 1")
            expect(weir.port, "sport", 3900, 4000)
            expect(cluster.ports[0], "dport", 4900, 5000)


# --- the end --------------------------------------------------------------------------------------


def test_drain_lets_transactions_finish(start_weir, cluster, table):
    weir = start_weir()
    busy, idle = weir.connect(), weir.connect()
    busy.query(f"BEGIN; INSERT INTO {table} VALUES (1)")
    weir.signal(signal.SIGTERM)
    errors = [got.fields()["C"] for got in idle.expect_closed() if got.type == "E"]
    assert errors in (["57P01"], [])
    with pytest.raises((wire.ServerError, wire.Closed, OSError)):
        weir.connect()
    assert weir.process.poll() is None
    busy.query(f"INSERT INTO {table} VALUES (2)")
    busy.query("COMMIT")
    busy.expect_closed()
    assert weir.wait_exit() == 0
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "2"


def test_drain_does_not_wait_for_sessions_that_keep_their_connection(start_weir):
    """They listen, have a temporary table, or their mode has it so; nothing is under way."""
    weir = start_weir({"databases": {"app": {}, "kept": {"dbname": "app", "pool_mode": "session"}}})
    listening, with_table, kept = weir.connect(), weir.connect(), weir.connect(database="kept")
    listening.query("LISTEN x")
    with_table.query("CREATE TEMP TABLE t()")
    kept.query("SELECT 1")
    in_transaction = weir.connect()
    in_transaction.query("CREATE TEMP TABLE u(); BEGIN; SELECT 1")
    weir.signal(signal.SIGTERM)
    for client in (listening, with_table, kept):
        assert [got.fields()["C"] for got in client.expect_closed() if got.type == "E"] == ["57P01"]
    assert weir.process.poll() is None
    in_transaction.query("COMMIT")
    in_transaction.expect_closed()
    assert weir.wait_exit(5) == 0


def test_drain_has_a_deadline(start_weir):
    weir = start_weir({"timeouts": {"drain": "500ms"}})
    with weir.connect() as client:
        client.query("BEGIN")
        begun = time.monotonic()
        weir.signal(signal.SIGTERM)
        assert weir.wait_exit() == 0
        assert 0.3 < time.monotonic() - begun < 3 * SLOW


def test_running_query_is_answered_during_a_drain(start_weir):
    weir = start_weir()
    with weir.connect() as client:
        client.send(wire.query("SELECT pg_sleep(0.7), 'done'"))
        time.sleep(0.2)
        weir.signal(signal.SIGTERM)
        assert client.rows() == [["", "done"]]
    assert weir.wait_exit() == 0


def test_interrupt_ends_at_once(start_weir):
    weir = start_weir()
    with weir.connect() as client:
        client.query("BEGIN")
        begun = time.monotonic()
        weir.signal(signal.SIGINT)
        assert weir.wait_exit() == 0
        assert time.monotonic() - begun < 2 * SLOW
        assert [got.fields()["C"] for got in client.expect_closed() if got.type == "E"] in \
            (["57P01"], [])


def test_second_signal_ends_a_drain(start_weir):
    weir = start_weir()
    with weir.connect() as client:
        client.query("BEGIN")
        weir.signal(signal.SIGTERM)
        time.sleep(0.3)
        weir.signal(signal.SIGINT)
        assert weir.wait_exit(3) == 0


def test_stop_with_many_clients_at_work(start_weir):
    weir = start_weir()
    clients = [weir.connect() for _ in range(50)]

    def work(client):
        try:
            while True:
                client.query("SELECT pg_sleep(0.001)")
        except (wire.Closed, wire.ServerError, OSError):
            pass

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    weir.signal(signal.SIGINT)
    assert weir.wait_exit() == 0
    for thread in threads:
        thread.join()


# --- HTTP -----------------------------------------------------------------------------------------


def get(weir, path, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{weir.http_port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as page:
            return page.status, page.read().decode(), page.headers
    except urllib.error.HTTPError as failed:
        return failed.code, failed.read().decode(), failed.headers


def test_health_and_readiness(weir):
    assert get(weir, "/healthz")[0] == 200
    assert get(weir, "/readyz")[0] == 200
    assert get(weir, "/nonesuch")[0] == 404


def test_not_ready_while_it_drains(start_weir):
    weir = start_weir()
    with weir.connect() as client:
        client.query("BEGIN")
        weir.signal(signal.SIGTERM)
        wait_until(lambda: get(weir, "/readyz")[0] == 503, "not ready", 3 * SLOW)
        assert get(weir, "/healthz")[0] == 200


LINE = re.compile(r'^[a-zA-Z_:][\w:]*(\{(\w+="(\\.|[^"\\])*",?)*\})? (-?[0-9.eE+-]+|NaN|[+-]Inf)$')


def test_metrics(weir):
    with weir.connect() as client:
        client.query("SELECT 1")
    time.sleep(1.5)  # an idle worker ticks once a second
    status, text, headers = get(weir, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    samples, typed = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif line and not line.startswith("#"):
            assert LINE.match(line), line
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    assert {"weir_queries_total", "weir_host_lag_seconds", "weir_pool_clients",
            "weir_query_duration_seconds"} <= typed
    assert sum(value for name, value in samples.items()
               if name.startswith("weir_queries_total")) > 0
    buckets = [value for name, value in samples.items()
               if name.startswith("weir_query_duration_seconds_bucket")]
    assert buckets and buckets == sorted(buckets)
    for by in ("database", "user"):
        served = sum(value for name, value in samples.items() if name.startswith(
            f"weir_{by}_query_duration_seconds_count"))
        assert served == samples["weir_query_duration_seconds_count"] > 0, by
    assert samples["weir_tls_logins_total"] == 0
    assert samples['weir_worker_lateness_seconds_count{worker="0"}'] > 0


def test_open_metrics(weir):
    """Rules of the OpenMetrics specification 1.0 that Prometheus's own format does not have."""
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*"
    status, text, headers = get(weir, "/metrics", Accept=accept)
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    family, kind, seen = None, None, set()
    for line in text.splitlines()[:-1]:
        word = line.split()
        if line.startswith("# TYPE "):
            assert word[2] not in seen or word[2] == family, "families do not mix"
            family, kind = word[2], word[3]
            seen.add(family)
            assert not (kind == "counter" and family.endswith("_total"))
        elif not line.startswith("#"):
            assert LINE.match(line), line
            assert re.split(r"[{ ]", line)[0] in [family + end for end in suffixes[kind]], line
    assert {"weir_queries", "weir_host_lag_seconds", "weir_query_duration_seconds"} <= seen
