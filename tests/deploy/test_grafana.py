"""The Grafana dashboard: every query is valid PromQL and uses only metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgefuse.telemetry.live import Live
from tests.reports import full_report

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy/grafana/edgefuse.json"
pytestmark = pytest.mark.skipif(not DASHBOARD.exists(), reason="not beside a checkout: deploy/ is not installed")


def queries() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 20
    return expressions


def test_every_query_asks_for_metrics_and_labels_that_exist() -> None:
    pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    from edgefuse.board.state import temperature_c
    from edgefuse.telemetry.prometheus import exposition

    known: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition(Live(full_report)).decode()):
        for sample in family.samples:
            known.setdefault(sample.name, {"instance"}).update(sample.labels)
    if temperature_c() is None:
        # reported only with a sensor
        known["edgefuse_processor_temperature_celsius"] = {"instance"}
    for query in queries():
        metrics = re.findall(r"([a-z_]+)\{([^}]*)\}", query)
        assert metrics, query
        labels = {label for metric, _ in metrics for label in known.get(metric, ())}
        for metric, selectors in metrics:
            assert metric in known, query
            assert set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selectors)) <= known[metric], query
        assert set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query)))) <= labels, query
        # a metric name without a selector would not have been found
        bare = re.sub(r"\{[^}]*\}|by \([^)]*\)", "", query)
        assert set(re.findall(r"\b[a-z]+_[a-z_]+\b", bare)) <= known.keys() | {"__rate_interval"}, query


def test_legends_name_labels_of_their_query() -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            grouped = re.search(r"by \(([^)]*)\)", target["expr"])
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            if grouped:
                assert named == set(re.findall(r"\w+", grouped[1])), target


def test_panels_do_not_overlap_and_have_their_own_ids() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for g in (p["gridPos"] for p in panels):
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert g["x"] + g["w"] <= 24
        assert not cells & taken
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)")
def test_prometheus_can_parse_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"q{k}", "expr": q.replace("$__rate_interval", "1m").replace("$instance", ".*")} for k, q in enumerate(queries())
    ]  # fmt: skip
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)")
def test_prometheus_own_linter_has_nothing_to_say_of_our_names() -> None:
    pytest.importorskip("prometheus_client")
    from edgefuse.telemetry.prometheus import exposition

    text = exposition(Live(full_report))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
