"""A real Prometheus (Debian's) on loopback scrapes Weir and knows its alerts."""
import contextlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from support import ROOT, SLOW
from support.cluster import wait_until
from support.weir import free_port

ALERTS = ROOT / "config" / "alerts.yml"
CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}}
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: weir
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    def __init__(self, directory, target):
        self.port = free_port()
        self.log_file = directory / "prometheus.log"
        config = directory / "prometheus.yml"
        config.write_text(CONFIG.format(alerts=ALERTS, port=target))
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)

    def api(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """Labels (as a sorted tuple) -> value."""
        return {tuple(sorted(one["metric"].items())): float(one["value"][1])
                for one in self.api("query", query=expression)["result"]}

    def value(self, expression):
        values = list(self.query(expression).values())
        return values[0] if len(values) == 1 else None

    def is_ready(self):
        with contextlib.suppress(OSError, urllib.error.URLError):
            return self.api("status/runtimeinfo")["reloadConfigSuccess"]
        return False

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def weir(start_weir):
    return start_weir(workers=2)


@pytest.fixture
def prometheus(weir, tmp_path):
    assert shutil.which("prometheus"), "prometheus is not installed: run scripts/setup"
    started = Prometheus(tmp_path, weir.http_port)
    try:
        wait_until(started.is_ready, started.log_file.read_text, 30 * SLOW, 0.1)
        yield started
    finally:
        started.stop()


def test_it_finds_what_the_console_says(prometheus, weir):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.connect()) for _ in range(4)]
        for _ in range(25):
            for client in clients:
                client.query("SELECT 1")
        clients[0].query("CREATE TEMP TABLE mine (a int)")
        total = weir.on_console("SELECT total_query_count AS n FROM stats WHERE database = 'app'")
        queries = float(total[0]["n"])
        assert queries >= 101
        wait_until(lambda: prometheus.value('weir_queries_total{database="app"}') == queries,
                   lambda: prometheus.query("weir_queries_total"), 15 * SLOW, 0.1)
        assert prometheus.value('up{job="weir"}') == 1
        assert prometheus.value("weir_pins") == 1
        assert prometheus.value('weir_host_role{role="primary"} == 1') == 1
        hosts = {dict(labels)["host"]: value for labels, value in
                 prometheus.query('weir_host_requests_total{outcome="answered"}').items()}
        assert hosts == {row["host"]: float(row["answered"])
                         for row in weir.on_console("SELECT host, answered FROM hosts")}
        idle = prometheus.value('sum(weir_pool_servers{database="app",state=~"idle|active|used"})')
        assert idle == sum(int(row["sv_idle"]) + int(row["sv_active"]) + int(row["sv_used"])
                           for row in weir.show("POOLS") if row["database"] == "app") > 0
        quantile = prometheus.value("histogram_quantile(0.99, weir_query_duration_seconds_bucket)")
        assert 0 < quantile < 30
        resident = prometheus.value("process_resident_memory_bytes") / 1024
        assert abs(resident - weir.memory_kib()) < 0.2 * weir.memory_kib()
        assert 10 < prometheus.value("process_open_fds") < prometheus.value("process_max_fds")
        assert 0 < prometheus.value("process_cpu_seconds_total") < weir.cpu_seconds() + 1
        target, = prometheus.api("targets")["activeTargets"]
        assert target["health"] == "up" and not target["lastError"]
    # Series that are there twice, or a sample that is out of order, would be a warning.
    assert "level=warn" not in prometheus.log_file.read_text()


def test_rules_are_evaluated(prometheus, weir, cluster):
    def state(alert):
        groups = prometheus.api("rules")["groups"]
        rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
        assert len(rules) == 10
        assert {rule["health"] for rule in rules.values()} <= {"ok", "unknown"}, rules
        return rules[alert]["state"]
    wait_until(lambda: prometheus.value("weir_host_up") is None
               and len(prometheus.query("weir_host_up == 1")) == 3, "scraped", 15 * SLOW, 0.1)
    assert state("WeirHostDown") == "inactive"
    with cluster.killed(1):
        wait_until(lambda: state("WeirHostDown") == "pending", "alert", 15 * SLOW, 0.1)
    with weir.connect() as client:
        client.query("SELECT 1")
    wait_until(lambda: state("WeirHostDown") == "inactive", "no alert", 30 * SLOW, 0.1)


def test_all_panels_of_the_dashboard_can_be_asked(prometheus, weir):
    with weir.connect() as client:
        client.query("CREATE TEMP TABLE mine (a int)")
        wait_until(lambda: prometheus.value("weir_pins") == 1, "scraped", 15 * SLOW, 0.1)
        time.sleep(2)  # rates need two scrapes
        board = json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())
        empty = []
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for variable, text in (("$__rate_interval", "5m"), ("$job", "weir"),
                                       ("$instance", ".*"), ("$interval", "5m")):
                    expression = expression.replace(variable, text)
                assert "$" not in expression, expression
                # What asks for more than 0 of those who wait finds none.
                if not expression.endswith("> 0") and not prometheus.query(expression):
                    empty.append((panel["title"], expression))
        assert not empty
