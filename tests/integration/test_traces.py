"""Traces: statements become spans of their caller's trace, in a collector."""
import contextlib
import http.server
import json
import re
import threading
import time

import psycopg
import pytest

from support import SLOW, wire
from support.cluster import wait_until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def comment(trace=TRACE, flags="01"):
    return f"/*route='%%2Forders',traceparent='00-{trace}-{CALLER}-{flags}'*/"


class Collector:
    """Takes OTLP over HTTP."""

    def __init__(self, status=200):
        self.bodies, self.status = [], status
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if callable(collector.status):
                    status = collector.status()
                else:
                    status = collector.status
                if status == 200:
                    collector.bodies.append((self.path, self.headers["Content-Type"], body))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def spans(self):
        found = []
        for _, _, body in self.bodies:
            for resource in json.loads(body)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    found += scope["spans"]
        return found

    def wait(self, count):
        wait_until(lambda: len(self.spans()) >= count,
                   lambda: f"{count} spans, but {self.spans()}", 10 * SLOW)
        return self.spans()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


def traced(start_weir, collector, sample=0, **more):
    endpoint = f"http://127.0.0.1:{collector.port}/v1/traces"
    return start_weir({"traces": {"endpoint": endpoint, "sample": sample}, **more})


def attributes(span):
    return {one["key"]: one["value"].get("stringValue", one["value"].get("intValue"))
            for one in span.get("attributes", [])}


def by_name(spans):
    return {span["name"]: span for span in spans}


def test_a_statement_in_its_callers_trace(start_weir, collector, table):
    weir = traced(start_weir, collector)
    with weir.connect(application_name="shop") as client:
        client.query("SELECT 1")  # not traced
        before = time.time_ns()
        client.query(f"SELECT id, 'a secret', pg_sleep(0.2) FROM generate_series(1, 3) id "
                     + comment())
        after = time.time_ns()
    spans = by_name(collector.wait(3))
    path, kind, body = collector.bodies[0]
    assert (path, kind) == ("/v1/traces", "application/json")
    (resource,) = json.loads(body)["resourceSpans"]
    assert attributes(resource["resource"]) == {"service.name": "weir"}
    whole = spans.pop("SELECT app")
    assert (whole["traceId"], whole["parentSpanId"], whole["kind"]) == (TRACE, CALLER, 3)
    assert re.fullmatch("[0-9a-f]{16}", whole["spanId"]) and whole["spanId"] != CALLER
    assert before - 10**8 <= int(whole["startTimeUnixNano"])
    assert 6 * 10**8 - 10**7 <= int(whole["endTimeUnixNano"]) - int(whole["startTimeUnixNano"])
    assert int(whole["endTimeUnixNano"]) <= after + 10**8
    told = attributes(whole)
    assert told.items() >= {
        "db.system.name": "postgresql", "db.namespace": "app", "db.operation.name": "SELECT",
        "db.response.returned_rows": "3", "weir.user": "app", "weir.application_name": "shop",
        "weir.route": "replica", "weir.retries": "0"}.items()
    assert "secret" not in json.dumps(spans) and "pg_sleep" in told["db.query.text"]
    server = spans.pop("weir.server")
    hosts = {row["host"]: row["role"] for row in weir.show("HOSTS")}
    assert hosts[attributes(server)["weir.host"]] == "replica"
    assert attributes(server)["server.address"] == "127.0.0.1"
    assert attributes(server)["server.port"] == attributes(server)["weir.host"].split(":")[1]
    assert attributes(spans.pop("weir.route"))["weir.route"] == "replica"
    assert set(spans) <= {"weir.wait"}
    for child in (server,):
        assert (child["traceId"], child["parentSpanId"]) == (TRACE, whole["spanId"])
        assert int(whole["startTimeUnixNano"]) <= int(child["startTimeUnixNano"])
        assert int(child["endTimeUnixNano"]) <= int(whole["endTimeUnixNano"])


@pytest.mark.parametrize("way", ["simple", "unnamed", "named", "psycopg"])
def test_ways_of_sending_it(start_weir, collector, table, way):
    weir = traced(start_weir, collector)
    sql = f"INSERT INTO {table} VALUES (%s) " + comment()
    with weir.connect() as client:
        if way == "simple":
            client.query(sql % "1")
        elif way == "unnamed":
            client.extended(sql % "$1", ("1",))
        elif way == "named":
            client.send(wire.parse("s", sql % "$1"), wire.SYNC)
            client.read_until_ready()
            client.send(wire.bind("", "s", [1]), wire.execute(), wire.SYNC)
            client.read_until_ready()
        else:
            with psycopg.connect(weir.conninfo(), autocommit=True) as driver:
                driver.execute(sql, (1,))
    whole = by_name(collector.wait(2))["INSERT app"]
    assert whole["traceId"] == TRACE and attributes(whole)["weir.route"] == "primary"
    time.sleep(1.5)
    assert sum(span["name"] == "INSERT app" for span in collector.spans()) == 1


def test_each_of_a_batch_and_of_a_transaction(start_weir, collector, table):
    weir = traced(start_weir, collector)
    traces = [f"{n:032x}" for n in range(1, 8)]
    with weir.connect() as client:
        for n, trace in enumerate(traces[:4]):
            client.send(wire.parse("", f"SELECT {n} " + comment(trace)), wire.bind("", ""),
                        wire.execute())
        client.send(wire.SYNC)
        client.read_until_ready()
        client.query("BEGIN")
        for trace in traces[4:6]:
            client.query("SELECT 1 " + comment(trace))
        with pytest.raises(wire.ServerError):
            client.query("SELECT 1/0 " + comment(traces[6]))
        client.query("ROLLBACK")
    spans = collector.wait(2 * 7)
    whole = [span for span in spans if span["name"] == "SELECT app"]
    assert sorted(span["traceId"] for span in whole) == traces
    failed = next(span for span in whole if span["traceId"] == traces[6])
    assert failed["status"] == {"code": 2, "message": "22012"}
    assert attributes(failed)["db.response.status_code"] == "22012"
    assert all("status" not in span for span in whole if span is not failed)
    routes = [span["traceId"] for span in spans if span["name"] == "weir.route"]
    assert not set(routes) & set(traces[5:])


def test_a_wait_and_a_retry(start_weir, collector, cluster, table):
    weir = traced(start_weir, collector, pool={"size": 1}, workers=1)
    with weir.connect() as holder, weir.connect() as client:
        holder.query("BEGIN")
        holder.query(f"INSERT INTO {table} VALUES (1)")
        client.send(wire.query("/* weir: primary */ SELECT 7 " + comment()))
        time.sleep(0.4)
        holder.query("COMMIT")
        client.read_until_ready()
    spans = by_name(collector.wait(4))
    wait, whole = spans["weir.wait"], spans["SELECT app"]
    assert int(wait["endTimeUnixNano"]) - int(wait["startTimeUnixNano"]) >= 3 * 10**8
    assert wait["startTimeUnixNano"] == whole["startTimeUnixNano"]
    assert attributes(wait) == {"db.client.connection.pool.name": "app/app"}
    collector.bodies.clear()
    name = f"hidden_{table}"
    cluster.sql(0, f"CREATE UNLOGGED TABLE {name} (id int); INSERT INTO {name} VALUES (5);"
                   f"CREATE FUNCTION {name}() RETURNS int LANGUAGE plpgsql STABLE AS $$ DECLARE n "
                   f"int; BEGIN EXECUTE 'SELECT id FROM ' || reverse('{name[::-1]}') INTO n; "
                   f"RETURN n; END $$; GRANT ALL ON {name} TO app")
    cluster.wait_replayed()
    try:
        with weir.connect() as client:
            assert client.value("/* weir: replica */ SELECT 1 " + comment()) == "1"
            def retried():
                collector.bodies.clear()
                assert client.value(f"SELECT {name}() /* {time.monotonic()} */" + comment()) == "5"
                wait_until(lambda: "SELECT app" in by_name(collector.spans()), "told", 5 * SLOW)
                return "weir.retry" in by_name(collector.spans())
            wait_until(retried, "a replica has refused it", 60 * SLOW)
            spans = by_name(collector.spans())
            hosts = {row["host"]: row["role"] for row in weir.show("HOSTS")}
            assert hosts[attributes(spans["weir.retry"])["weir.host"]] == "replica"
            assert hosts[attributes(spans["weir.server"])["weir.host"]] == "primary"
            assert attributes(spans["SELECT app"])["weir.retries"] == "1"
    finally:
        cluster.sql(0, f"DROP FUNCTION {name}; DROP TABLE {name}")


@pytest.mark.parametrize("comments", [
    comment(flags="00"), comment(trace="0" * 32), comment(trace="0AF7651916CD43DD8448EB211C80319C"),
    "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'*/",
    "/*traceparent='ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/",
    "/*traceparent='", "/*traceparent=''*/"])
def test_what_is_not_traced(start_weir, collector, comments):
    weir = traced(start_weir, collector)
    with weir.connect() as client:
        assert client.value("SELECT 1 " + (comments if comments.endswith("*/")
                                           else comments + "*/")) == "1"
        client.query("SELECT 2 " + comment("f" * 32))
    assert {span["traceId"] for span in collector.wait(2)} == {"f" * 32}


def test_a_share_of_the_others(start_weir, collector):
    weir = traced(start_weir, collector, sample=0.25, workers=1)
    with weir.connect() as client:
        for n in range(100):
            client.query(f"SELECT {n}")
    spans = collector.wait(50)
    time.sleep(1.5)
    whole = [span for span in collector.spans() if span["name"] == "SELECT app"]
    assert len(whole) == 25 and len({span["traceId"] for span in whole}) == 25
    assert all("parentSpanId" not in span for span in whole) and spans


def test_a_collector_that_is_slow_or_gone_holds_nobody_up(start_weir, collector):
    answers = iter([503, 503])
    collector.status = lambda: next(answers, 200)
    weir = traced(start_weir, collector, sample=1)
    with weir.connect() as client:
        client.query("SELECT 'first'")
        assert by_name(collector.wait(2))["SELECT app"]  # the third try
        release = threading.Event()

        def hang():
            release.wait(30)
            return 200
        collector.status = hang
        began = time.monotonic()
        for n in range(2_000):
            client.query("SELECT 1")
        assert time.monotonic() - began < 10 * SLOW
        assert weir.memory_kib() < 400_000
        began = time.monotonic()
        weir.stop()
        assert time.monotonic() - began < 3 * SLOW
        release.set()


def test_switched_on_at_run_time(start_weir, collector):
    weir = start_weir()
    with weir.connect() as client, weir.console() as console:
        client.query("SELECT 1 " + comment())
        console.query(f"SET traces.endpoint = 'http://127.0.0.1:{collector.port}/x'")
        with contextlib.suppress(AssertionError):
            wait_until(lambda: client.query("SELECT 1 " + comment()) and collector.spans(),
                       "told", 5 * SLOW)
        assert collector.spans() and collector.bodies[0][0] == "/x"
        for wrong in ("https://h/x", "h:4318", "http://", "http://h:99999/", "http://h/a b"):
            with pytest.raises(wire.ServerError) as failed:
                console.query(f"SET traces.endpoint = '{wrong}'")
            assert "expected http://HOST:PORT/PATH" in failed.value.message
        console.query("RESET traces.endpoint")
        time.sleep(1.5)
        count = len(collector.spans())
        client.query("SELECT 1 " + comment())
        time.sleep(1.5)
        assert len(collector.spans()) == count
