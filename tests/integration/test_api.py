"""docs/api.md: the console's tables as JSON, who may see them, commands, and events."""
import contextlib
import random
import re
import socket
import threading
import time

import pytest

from support import ROOT, SLOW
from support.api import (TOKEN, TOKENS, VIEW_TOKEN, command, events, get, request, table)
from support.cluster import wait_until
from support.weir import merged

DOCUMENT = ROOT / "docs" / "api.md"


def wait_logged(weir, pattern):
    """Lines are written a moment later, by a thread of their own."""
    wait_until(lambda: re.search(pattern, weir.log()), pattern, 5 * SLOW)


@pytest.fixture
def weir(start_weir):
    return start_weir(TOKENS)


# --- what is told ---------------------------------------------------------------------------------


def test_every_table_is_there_as_on_the_console(weir):
    with weir.connect(application_name="it's <b>me</b>") as client:
        client.query("SELECT 1")
        listed = get(weir, "tables")["tables"]
        shown = weir.show("TABLES")
        assert [(one["name"], ", ".join(column["name"] for column in one["columns"]))
                for one in listed] == [(row["name"], row["columns"]) for row in shown]
        for one in listed:
            told = get(weir, f"tables/{one['name']}")
            assert told["columns"] == one["columns"]
            assert told["count"] == len(told["rows"])
            for row in told["rows"]:
                assert list(row) == [column["name"] for column in one["columns"]]
        assert "it's <b>me</b>" in [row["application_name"] for row in table(weir, "clients")]


def test_values_are_those_of_the_console(weir):
    with weir.connect() as client:
        for _ in range(7):
            client.query("SELECT 42")
        names = ("cluster", "host", "role", "state", "weight", "banned", "breaker", "answered")
        console = weir.on_console(f"SELECT {', '.join(names)} FROM hosts")
        told = table(weir, "hosts")
        for one, row in zip(console, told, strict=True):
            assert {"t": True, "f": False}[one.pop("banned")] == row["banned"]
            assert one == {name: f"{row[name]:g}" if name == "weight" else str(row[name])
                           for name in names if name != "banned"}
        counted = next(row for row in table(weir, "statements") if row["statement"] == "select $")
        assert counted["calls"] >= 7 and counted["total_ms"] > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", counted["last_seen"])
        secrets = [row for row in table(weir, "config") if row["key"].startswith("admin.")]
        assert {row["key"]: row["value"] for row in secrets}["admin.token"] == "*" * 8


def test_rows_are_chosen(weir):
    lags = [row["timeline"] for row in table(weir, "hosts", order_by="timeline", limit=2)]
    assert len(lags) == 2 and lags == sorted(lags)
    assert request(weir, "/api/v1/tables/hosts?limit=10001").error() == "query"
    assert request(weir, "/api/v1/tables/hosts?order_by=nonesuch").error() == "query"
    assert request(weir, "/api/v1/tables/nonesuch").error() == "not_found"


def test_pools_have_one_row_whatever_the_workers(start_weir):
    weir = start_weir(TOKENS, workers=2)
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(weir.connect()).query("SELECT 1")
        assert {row["clients"] > 0 for row in table(weir, "workers")} == {True}
        keys = [(row["database"], row["user"], row["host"]) for row in table(weir, "host_pools")]
        assert len(keys) == len(set(keys))
        lines = request(weir, "/metrics", token=None).body.decode().splitlines()
        series = [line.rsplit(" ", 1)[0] for line in lines if line and line[0] != "#"]
        assert len(series) == len(set(series))


def test_the_documentation_names_everything(weir):
    text = DOCUMENT.read_text()
    overview, detail = get(weir, "overview"), get(weir, "detail")
    history = get(weir, "history")["points"]
    assert history and list(history[0]) == list(overview["point"])
    named = set(re.findall(r"`(\w+)`", text))
    for document in (overview, detail, overview["point"], overview["point"]["query"],
                     overview["point"]["hosts"][0]):
        assert set(document) <= named, set(document) - named
    for path in re.findall(r"`(?:GET|POST) (/\S+)`", text):
        asked = path.replace("NAME", "pools")
        if not asked.endswith("events"):
            assert request(weir, asked).status in (200, 405), path


# --- who may --------------------------------------------------------------------------------------


def test_nobody_may_unless_the_configuration_says_so(start_weir):
    weir = start_weir()
    assert request(weir, "/", token=None).status == 200  # the page has no secrets
    assert request(weir, "/metrics", token=None).status == 200
    assert request(weir, "/api/v1/overview", token=None).error() == "closed"
    assert request(weir, "/api/v1/overview").error() == "wrong_token"
    weir.on_console("SET admin.view_without_token = true")
    assert request(weir, "/api/v1/overview", token=None).status == 200
    # The page of somebody whose name is made to mean 127.0.0.1 does not get there.
    named = request(weir, "/api/v1/overview", token=None, Host=f"evil.example:{weir.http_port}")
    assert named.status == 421 and named.error() == "name"
    assert command(weir, "PAUSE", token=None).status == 403


def test_tokens(weir):
    assert request(weir, "/api/v1/tables", token=None).error() == "no_token"
    for wrong in ("wrong-0123456789abcdef", TOKEN[:-1], TOKEN + "x", "x" * 7000, "\xff" * 20):
        answer = request(weir, "/api/v1/tables", token=wrong)
        assert answer.status == 401 and answer.error() == "wrong_token"
    assert get(weir, "access", VIEW_TOKEN) == {"may_command": False}
    assert get(weir, "access", TOKEN) == {"may_command": True}
    wait_logged(weir, r"warning http 127.0.0.1:\d+: a wrong token was refused")
    weir.on_console("SET admin.view_token = 'another-0123456789abcdef'")
    assert request(weir, "/api/v1/tables").error() == "wrong_token"
    assert request(weir, "/api/v1/tables", token="another-0123456789abcdef").status == 200
    for token in (TOKEN, VIEW_TOKEN, "another-0123456789abcdef", "wrong-0123456789abcdef"):
        assert token not in weir.log()


# --- commands -------------------------------------------------------------------------------------


def test_commands_do_what_the_console_does(weir):
    host = table(weir, "hosts")[1]["host"]
    done = command(weir, f'BAN "{host}" main 60')
    assert done.status == 200 and done.json()["done"]
    assert weir.on_console(f"SELECT banned, why FROM hosts WHERE host = '{host}'") == [
        {"banned": "t", "why": "banned by admin.token"}]
    wait_logged(weir,
                r'info http 127.0.0.1:\d+ admin.token: command command="BAN .* outcome="done"')
    assert command(weir, f'UNBAN "{host}"').status == 200
    assert command(weir, "SET pool.size = 7").json()["notices"]
    assert weir.on_console("SELECT value FROM config WHERE key = 'pool.size'")[0]["value"] == "7"
    assert command(weir, "PAUSE nonesuch").status == 404
    assert command(weir, "SHOW POOLS").error() == "body"
    refused = command(weir, "KILL app", VIEW_TOKEN)
    assert refused.status == 403 and refused.json()["error"]["sqlstate"] == "42501"
    wait_logged(weir, r'warning http 127.0.0.1:\d+: command command="KILL app" outcome="refused"')


def test_a_command_that_takes_long_is_told_to_be_under_way(weir):
    with weir.connect() as client:
        client.query("BEGIN; SELECT 1")
        began = time.monotonic()
        answer = command(weir, "PAUSE app")
        assert answer.status == 202 and answer.json() == {"command": "PAUSE", "done": False}
        assert 9 < time.monotonic() - began < 12 * SLOW
        client.query("COMMIT")
    assert [row["paused"] for row in table(weir, "databases") if row["name"] == "app"] == [True]
    assert command(weir, "RESUME app").status == 200


def test_what_pages_of_others_can_send_commands_nothing(weir):
    """A form or an image of another origin: no token, or a type that needs no permission."""
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data"}, {}):
        answer = request(weir, "/api/v1/commands", "POST", '{"command": "PAUSE app"}', TOKEN,
                         **headers)
        assert answer.error() == "type"
    assert request(weir, "/api/v1/commands", "OPTIONS", Origin="http://evil").status == 405
    assert not any(row["paused"] for row in table(weir, "databases"))


# --- events ---------------------------------------------------------------------------------------


def test_events_tell_of_a_change_within_two_seconds(weir, cluster):
    with events(weir) as told:
        seen = {}
        while set(seen) != {"overview", "detail"}:
            name, data = next(told)
            seen[name] = data
        states = [row["state"] for row in seen["overview"]["hosts"]["rows"]]
        assert states == [row["state"] for row in table(weir, "hosts")]
        with cluster.killed(2):
            for name, data in told:
                if name == "overview" and data["hosts"]["rows"][2]["state"] == "down":
                    assert data["faults"]["rows"][0]["subject"].startswith("main/")
                    break


def test_watchers_are_limited_and_share_a_sample(weir):
    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(events(weir)) for _ in range(16)]
        full = request(weir, "/api/v1/events")
        assert full.status == 503 and full.error() == "watchers" and full.headers["Retry-After"]
        assert request(weir, "/metrics", token=None).status == 200
        taken = []
        for one in told:
            samples = {data["taken"] for name, data in (next(one) for _ in range(6))
                       if name == "overview"}
            taken.append(samples)
        assert set.intersection(*taken), taken  # the same instant for all
    wait_until(lambda: request(weir, "/api/v1/events", "HEAD").status == 200, "room again",
               5 * SLOW)


def test_who_does_not_read_is_dropped(start_weir):
    """With databases of long names a sample is large enough to fill what the kernel takes."""
    names = {f"{number}-{'x' * 55}": {"cluster": "main"} for number in range(50)}
    weir = start_weir(merged(TOKENS, {"databases": names}))
    with socket.create_connection(("127.0.0.1", weir.http_port)) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n"
                     b"Authorization: Bearer " + VIEW_TOKEN.encode() + b"\r\n\r\n")
        ends = [f":{port:04X}" for port in (weir.http_port, idle.getsockname()[1])]

        def is_open():
            with open("/proc/net/tcp", encoding="ascii") as connections:
                lines = [line.split() for line in connections.readlines()[1:]]
            return any([each[-5:] for each in line[1:3]] == ends and line[3] == "01"
                       for line in lines)
        assert is_open()
        wait_until(lambda: not is_open(), "dropped", 60 * SLOW, 0.1)


# --- hostile clients ------------------------------------------------------------------------------


def send(weir, data, seconds=5):
    """What comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", weir.http_port), timeout=seconds) as client:
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            client.sendall(data)
        got = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := client.recv(65536):
                got += part
        return got


def test_garbage_is_refused_and_harms_nobody(weir):
    chance = random.Random(7)
    head = b"GET /api/v1/overview HTTP/1.1\r\nHost: x\r\n"
    close = b"Connection: close\r\n\r\n"
    for data in (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 9000 + b"\r\n\r\n",
                 head + b"".join(b"X%d: y\r\n" % n for n in range(2000)) + close):
        assert send(weir, data).startswith(b"HTTP/1.1 431 ")
    for data in (b"\x16\x03\x01\x02\x00\x01", b"\r\n\r\n\x00", b"GET /\x00 HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/9.9\r\n\r\n", b"POST /api/v1/commands HTTP/1.1\r\n"
                 b"Content-Length: 99999999999999999999\r\n\r\n",
                 head + b"Content-Length: -1\r\n\r\n",
                 head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
        assert not send(weir, data + close).startswith(b"HTTP/1.1 2"), data
    for length in (*range(1, 40), *([2000] * 40)):
        assert not send(weir, chance.randbytes(length) + b"\r\n\r\n").startswith(b"HTTP/1.1 2")
    for path in ("/../../etc/passwd", "/dashboard.css/", "//", "/%2e%2e/", "/api/v1/tables/../x"):
        assert request(weir, path).status == 404
    body = b"POST /api/v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
    assert send(weir, body + b" " * 20000).startswith(b"HTTP/1.1 413 ")
    assert request(weir, "/healthz", token=None).status == 200
    weir.check()


def test_many_connections_and_watchers_do_not_hold_up_queries(weir):
    watch = (b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
             + VIEW_TOKEN.encode() + b"\r\n\r\n")
    with contextlib.ExitStack() as stack:
        for number in range(100):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", weir.http_port)))
            with contextlib.suppress(OSError):
                client.sendall(watch if number % 2 else b"GET /met")
        with weir.connect() as client:
            for _ in range(200):
                client.query("SELECT 1")
        weir.check()
    wait_until(lambda: answers(weir), "HTTP again", 15 * SLOW, 0.1)


def answers(weir):
    with contextlib.suppress(OSError):
        return request(weir, "/healthz", token=None).status == 200
    return False


def test_requests_of_many_at_once(weir):
    """With clients that come and go, whose rows are read meanwhile."""
    failed, over = [], threading.Event()

    def ask(path):
        while not over.is_set():
            try:
                get(weir, path)
            except (AssertionError, OSError) as error:
                failed.append(error)
                return

    asking = [threading.Thread(target=ask, args=(path,))
              for path in ("tables/clients", "overview", "detail", "tables/statements", "history")]
    for thread in asking:
        thread.start()
    for _ in range(60):
        with weir.connect() as client:
            client.query("SELECT 1")
    over.set()
    for thread in asking:
        thread.join()
    assert not failed


# --- restarts -------------------------------------------------------------------------------------


def test_watchers_go_to_the_new_process(weir):
    with events(weir) as told:
        next(told)
        before = get(weir, "overview")["started"]
        weir.upgrade()
        for _ in told:  # until it is closed
            pass
    with events(weir) as told:
        name, data = next(told)
        while name != "overview":
            name, data = next(told)
        assert data["started"] > before


def test_it_stops_while_some_watch(weir):
    with events(weir) as told, events(weir):
        next(told)
        weir.stop()
