"""config/grafana-dashboard.json and config/alerts.yml: they ask for what a running Weir tells."""
import json
import re
import subprocess
import urllib.request

import pytest

from support import ROOT, SLOW
from support.cluster import wait_until

DASHBOARD, ALERTS = ROOT / "config" / "grafana-dashboard.json", ROOT / "config" / "alerts.yml"
METRIC = re.compile(r"\bweir_\w+")
# What the scrape adds to each series, and histograms to their buckets.
ADDED = {"job", "instance", "le"}


def expressions():
    """(where, PromQL)"""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [(panel["title"], target["expr"]) for panel in dashboard["panels"]
             for target in panel.get("targets", ())]
    found += [(variable["name"], variable["query"]["query"])
              for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    yaml = pytest.importorskip("yaml")
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"]
             for rule in group["rules"]]
    for rule in rules:
        assert {"alert", "expr", "for", "labels", "annotations"} == set(rule), rule
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} == set(rule["annotations"])
    return found + [(rule["alert"], rule["expr"]) for rule in rules]


@pytest.fixture
def exposed(start_weir):
    """Metric -> its label names, of a Weir that has done a little of everything."""
    weir = start_weir()
    with weir.connect() as client:
        client.query("CREATE TEMP TABLE t()")  # a pin

        def series():
            client.query("SELECT 1")
            url = f"http://127.0.0.1:{weir.http_port}/metrics"
            text = urllib.request.urlopen(url, timeout=10).read().decode()
            found = {}
            for name, labels in re.findall(r"^(weir_\w+)(?:\{(.*)\})? ", text, re.M):
                found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
            return found
        wait_until(lambda: {"weir_pins", "weir_host_latency_seconds"} <= set(series()),
                   "all there is to tell", 10 * SLOW)
        yield series()


def test_metrics_and_labels_exist(exposed):
    used = set()
    for where, expression in expressions():
        names = set(METRIC.findall(expression))
        assert names <= set(exposed), (where, names - set(exposed))
        used |= names
        known = ADDED.union(*(exposed[name] for name in names)) if names else {"job"}
        labels = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', expression))
        for listed in re.findall(r"\b(?:by|on|without|group_left) \((.*?)\)", expression):
            labels |= set(filter(None, (label.strip() for label in listed.split(","))))
        assert labels <= known, (where, labels - known)
        assert expression.count("(") == expression.count(")")
        if "rate(" in expression:  # of what counts only
            assert re.search(r"rate\(weir_\w+_(total|bucket)\b", expression), where
    assert {"weir_clients", "weir_pins", "weir_host_lag_seconds", "weir_logins_failed_total",
            "weir_errors_total", "weir_wait_duration_seconds_bucket"} <= used


def test_panels_do_not_overlap():
    cells = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        own = {(x, y) for x in range(place["x"], place["x"] + place["w"])
               for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & own and place["x"] + place["w"] <= 24, panel["title"]
        cells |= own


def test_promtool_accepts_the_alerts():
    done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_metrics(start_weir):
    weir = start_weir(workers=2)
    with weir.connect() as client:
        client.query("CREATE TEMP TABLE t()")
        url = f"http://127.0.0.1:{weir.http_port}/metrics"
        text = urllib.request.urlopen(url, timeout=10).read()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                          check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
