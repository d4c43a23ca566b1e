"""scripts/bench: what it says of two cheap scenarios. Its figures themselves are not judged."""
import json
import subprocess

import pytest

from support import ROOT
from support.weir import BINARY

pytestmark = pytest.mark.alone

TARGETS = ["direct", "weir", "pgbouncer", "haproxy"]


def test_scenarios_end_with_figures(tmp_path):
    file = tmp_path / "figures.json"
    done = subprocess.run([ROOT / "scripts" / "bench", "--quick", "--scenario", "one,copy",
                           "--binary", BINARY, "--json", file], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    scenarios = json.loads(file.read_text())["scenarios"]
    rows = scenarios["one"]["rows"]
    assert [row["target"] for row in rows] == TARGETS
    assert all(row["tx_per_s"] > 0 and row["errors"] == 0 for row in rows), rows
    assert all(row["cpu_us_per_tx"] > 0 for row in rows if row["target"] != "direct"), rows
    rows = scenarios["copy"]["rows"]
    assert [row["target"] for row in rows] == 2 * TARGETS
    assert all(row["mb_per_s"] > 0 and row["errors"] == 0 for row in rows), rows
    for line in ("### one: ", "| 8 clients", "### copy: ", "| COPY FROM STDIN, 10 MB"):
        assert line in done.stdout, done.stdout


def test_a_scenario_that_there_is_not(tmp_path):
    done = subprocess.run([ROOT / "scripts" / "bench", "--scenario", "nonsense"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no such scenario: nonsense" in done.stderr
